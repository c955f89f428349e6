"""Talking to the process that builds an engine, and saying in one line how it died if it did."""

import json
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from typing import IO, Any

from lsu.runtime.errors import BackendError, InputError

from .engine_network import BuildRequest
from .heartbeat import Heartbeat

_CHILD = (
    "import sys; sys.path[:] = [p for p in sys.path if p]; "  # never from the folder we stand in
    "from lsu.export.engines.engine_builder import main; main()"
)


def builder_answers(
    request: BuildRequest, model: bytes, heart: Heartbeat
) -> Generator[dict[str, Any], None, None]:
    """What the builder finds, then what it built; the process ends with this generator.

    Returns:
        the facts (`engine_builder` lists them), then `plan` (bytes), `seconds` and `log`.

    Raises:
        InputError: the request does not go with the network or the library.
        BackendError: the library is missing or failed, or the process died.
    """
    events: queue.Queue[dict[str, Any]] = queue.Queue()
    stage = "it started"
    with _child(request, model, events) as (child, printed):
        for event in heart.beats(events):
            if "stage" in event:
                stage = event["stage"]
                heart.stage(stage)
            elif "facts" in event:
                yield event["facts"]
            elif "plan" in event:
                yield event
                return
            elif "error" in event:
                kind = InputError if event["exit_code"] == InputError.exit_code else BackendError
                raise kind(event["error"])
            else:
                raise BackendError(f"{_death(child, stage, printed)}; nothing was written")


@contextmanager
def _child(
    request: BuildRequest, model: bytes, events: "queue.Queue[dict[str, Any]]"
) -> Iterator[tuple["subprocess.Popen[bytes]", IO[bytes]]]:
    """The builder's process, which never outlives the context, and what it prints; it answers in `events`."""
    with tempfile.TemporaryFile() as printed:
        child = subprocess.Popen(
            [sys.executable, "-c", _CHILD],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=printed,
            start_new_session=True,  # an interrupt comes to us, and we end it
        )
        talk = threading.Thread(target=_converse, args=(child, request, model, events), daemon=True)
        try:
            talk.start()
            yield child, printed
        finally:
            child.kill()
            child.wait()
            talk.join()
            for pipe in (child.stdin, child.stdout):
                with suppress(OSError):  # what was never read by a dead process
                    assert pipe is not None
                    pipe.close()


def _converse(
    child: "subprocess.Popen[bytes]",
    request: BuildRequest,
    model: bytes,
    events: "queue.Queue[dict[str, Any]]",
) -> None:
    """Give the child its work and pass its answers on; an empty one when it is gone."""
    assert child.stdin is not None and child.stdout is not None
    try:
        head = json.dumps({**request.to_dict(), "model_bytes": len(model)}).encode()
        child.stdin.write(head + b"\n" + model)
        child.stdin.flush()
        for line in child.stdout:
            event = json.loads(line)
            if "plan" in event:
                data = child.stdout.read(event["plan"])
                if len(data) == event["plan"]:
                    events.put({**event, "plan": data})
                break
            events.put(event)
    except (OSError, ValueError):
        pass  # it died in the middle of a word
    events.put({})


def _death(child: "subprocess.Popen[bytes]", stage: str, printed: IO[bytes]) -> str:
    code = child.wait()
    how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    printed.seek(0)
    lines = printed.read().decode(errors="replace").strip().splitlines()
    return f"the builder's process died while {stage} ({how}){': ' + lines[-1] if lines else ''}"
