"""The process that builds an engine: it reads a request and a model, says where it is, and gives the plan.

A process of its own, because builders are native code that works for minutes: when one crashes or is
interrupted, nothing of it stays. It stops when the process that asked is gone. On its standard input comes
a line of JSON, the request with the model's length, and the model; on its standard output go lines of JSON,

    {"stage": "building: Timing tactics"}
    {"facts": {...}}                                      library, machines, tensors: before the build
    {"plan": <bytes>, "seconds": 1.5, "log": [...]}       followed by the plan; 0 bytes of a dry run
    {"error": "...", "exit_code": 2}                      instead
"""

import json
import os
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from lsu.runtime.cuda_device import driver_version, sm_of_device
from lsu.runtime.engines.tensorrt_library import kept_messages, tensorrt_library
from lsu.runtime.errors import BackendError, InputError, LsuError
from lsu.runtime.files import write_atomically

from .engine_network import BuildRequest, add_profile, parsed_network, set_up

Say = Callable[[dict[str, Any]], None]


def main() -> None:
    """Serve the one request on standard input."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # libraries may print: that is not for who listens
    sys.stdout = sys.stderr

    def say(message: dict[str, Any]) -> None:
        answers.write(json.dumps(message).encode() + b"\n")
        answers.flush()

    source = sys.stdin.buffer
    table = json.loads(source.readline())
    model = source.read(table.pop("model_bytes"))
    threading.Thread(target=_end_with, args=(source,), daemon=True).start()
    try:
        plan, about = _built(BuildRequest.from_dict(table), model, say)
    except LsuError as error:
        say({"error": str(error), "exit_code": error.exit_code})
        return
    say({"plan": len(plan), **about})
    answers.write(plan)
    answers.flush()


def _end_with(source: BinaryIO) -> None:
    source.read(1)
    os._exit(1)


def _built(request: BuildRequest, model: bytes, say: Say) -> tuple[bytes, dict[str, Any]]:
    say({"stage": f"loading {request.target}"})
    library = tensorrt_library(request.target)
    sms = _machines(request)
    messages = kept_messages(library)
    if request.plugin is not None and not _load_plugin(library, request.plugin):
        raise BackendError(f"{request.plugin}: {request.target} cannot load the plugin")
    try:
        builder = library.Builder(messages)
    except Exception as error:  # a TypeError of the bindings where the library made no object
        raise BackendError(_because(f"{request.target} gives no builder", messages)) from error
    say({"stage": "parsing the network"})
    network = parsed_network(library, builder, messages, model)
    config = builder.create_builder_config()
    set_up(library, config, request, sms)
    add_profile(builder, config, network, request)
    version = str(library.__version__)
    say({"facts": {"library": version, "sms": sms, "driver": driver_version(), **_tensors(network)}})
    if request.dry_run:
        return b"", {"seconds": 0.0, "log": messages.warnings}
    cache = _timing_cache(config, request)
    _show_progress(library, config, say)
    say({"stage": "building"})
    begun = time.perf_counter()
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise BackendError(_because(f"{request.target} cannot build the engine", messages))
    seconds = time.perf_counter() - begun
    if cache is not None:
        write_atomically(cache, bytes(config.get_timing_cache().serialize()))
    return bytes(plan), {"seconds": round(seconds, 3), "log": messages.warnings}


def _machines(request: BuildRequest) -> tuple[int, ...]:
    if request.sms:
        return request.sms
    try:
        return (sm_of_device(),)
    except BackendError as error:
        if request.target == "tensorrt-rtx":
            raise InputError(f"{error}: name the machines, such as --sm 86,89,120") from error
        raise BackendError(
            f"{error}: TensorRT builds on the GPU that will run the engine: build there, or for desktop GPUs "
            "with --target tensorrt-rtx --sm 86,89,120"
        ) from error


def _load_plugin(library: Any, path: str) -> bool:
    if hasattr(library, "init_libnvinfer_plugins"):
        library.init_libnvinfer_plugins(None, "")
    return library.get_plugin_registry().load_library(path) is not None


def _timing_cache(config: Any, request: BuildRequest) -> Path | None:
    """Set what was timed before; the file to write afterwards, or None where there is no such thing."""
    if request.timing_cache is None or request.target == "tensorrt-rtx":
        return None
    path = Path(request.timing_cache)
    data = b""
    with suppress(OSError):
        data = path.read_bytes()
    cache = config.create_timing_cache(data)
    # Without `ignore_mismatch`: what another GPU or version has timed is refused, and timed again.
    if cache is None or not config.set_timing_cache(cache, ignore_mismatch=False):
        config.set_timing_cache(config.create_timing_cache(b""), ignore_mismatch=False)
    return path


def _show_progress(library: Any, config: Any, say: Say) -> None:
    if not hasattr(library, "IProgressMonitor"):
        return

    class Progress(library.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            library.IProgressMonitor.__init__(self)

        def phase_start(self, name: str, parent: str | None, steps: int) -> None:  # noqa: ARG002
            say({"stage": f"building: {name}"})

        def step_complete(self, name: str, step: int) -> bool:  # noqa: ARG002
            return True

        def phase_finish(self, name: str) -> None:
            pass

    config.progress_monitor = Progress()


def _tensors(network: Any) -> dict[str, Any]:
    inputs = (network.get_input(k) for k in range(network.num_inputs))
    outputs = (network.get_output(k) for k in range(network.num_outputs))
    described: dict[str, Any] = {
        kind: {tensor.name: [str(tensor.dtype).rpartition(".")[2], list(tensor.shape)] for tensor in tensors}
        for kind, tensors in (("inputs", inputs), ("outputs", outputs))
    }
    return {**described, "layers": network.num_layers}


def _because(what: str, messages: Any) -> str:
    return f"{what}: {messages.errors[0] if messages.errors else 'it says no reason'}"
