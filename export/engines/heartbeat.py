"""A sign of life while a library is silent: the stage and the seconds, every few seconds, on stderr."""

import json
import queue
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

from lsu.runtime.terminal import print_note

SECONDS_BETWEEN = 5.0


class Heartbeat:
    """Says where a long task is: a spinner where stderr is a terminal, elsewhere a JSON line every 5 s.

    Use it as a context. It needs no thread: whoever waits does so in `beats`.
    """

    def __init__(self, task: str, *, seconds: float = SECONDS_BETWEEN) -> None:
        """Begin the task's time; `seconds` lie between two lines."""
        self._task, self._every = task, seconds
        self._stage, self._begun = "starting", time.monotonic()
        self._said = self._begun
        self._shown: Any = None
        self._open = ExitStack()

    def __enter__(self) -> "Heartbeat":
        from rich.console import Console

        console = Console(stderr=True)
        if console.is_terminal:
            self._shown = self._open.enter_context(console.status(self._task))
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def stage(self, name: str) -> None:
        """The task has come to another stage."""
        self._stage = name
        if self._shown is not None:
            self._beat()

    def beats(self, events: "queue.Queue[Any]") -> Iterator[Any]:
        """What comes through the queue, for ever; while nothing comes, a sign of life is given."""
        while True:
            rest = (1.0 if self._shown else self._every) - (time.monotonic() - self._said)
            try:
                yield events.get(timeout=max(rest, 0.01))
            except queue.Empty:
                self._beat()
            else:
                if rest <= 0:
                    self._beat()

    def _beat(self) -> None:
        self._said = time.monotonic()
        seconds = round(self._said - self._begun, 1)
        if self._shown is not None:
            self._shown.update(f"{self._task}: {self._stage}, {seconds:.0f} s")
        else:
            print_note(json.dumps({"task": self._task, "stage": self._stage, "seconds": seconds}))
