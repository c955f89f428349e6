"""Benchmarks: bundles and backends side by side, in turns, each in a process of its own.

A machine has slow minutes. Measured one after the other, contenders would meet different ones; so each round
asks all of them for a block of frames, in turn and in the opposite order every second round, and one works
while the others wait.
"""

import multiprocessing
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from lsu.runtime.errors import BackendError, InputError, LsuError
from lsu.runtime.latency import Latency
from lsu.runtime.machine import clocks, machine

from .bench_worker import BLOCK, END, STAGES, Job, Times, columns, serve

PAUSE = 0.05
"""Seconds before each block: threads of onnxruntime spin for a while after their work."""
_LAST_WORDS = 10  # seconds to wait for a process that was told to end


@dataclass(frozen=True)
class Measured:
    """One contender's figures.

    Attributes:
        job: what it was.
        about: what it says of itself.
        frames: how many were timed.
        stages: name of `STAGES` -> latency; None where the backend has no such stage or does not tell it.
        seconds: the sum of all totals.
        peak_memory: bytes, the most that its process held.
    """

    job: Job
    about: dict[str, Any]
    frames: int
    stages: dict[str, Latency | None]
    seconds: float
    peak_memory: int

    @property
    def frames_per_second(self) -> float:
        """One frame after the other, nothing overlapped."""
        return self.frames / self.seconds

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON types."""
        return {
            "name": self.job.name,
            "bundle": str(self.job.bundle),
            "backend": self.job.backend,
            "threads": self.job.threads,
            **self.about,
            "frames": self.frames,
            "milliseconds": {name: latency and vars(latency) for name, latency in self.stages.items()},
            "frames_per_second": self.frames_per_second,
            "peak_memory_bytes": self.peak_memory,
        }


@dataclass(frozen=True)
class Benchmark:
    """A whole run.

    Attributes:
        measured: who ran.
        absent: name and reason of who could not, or failed on the way; its times are dropped.
        repeats: blocks of each.
        warm_up: untimed runs of each before its first block.
        machine: where; its clocks are those before the run.
        clocks_after: those after it.
    """

    measured: tuple[Measured, ...]
    absent: tuple[tuple[str, str], ...]
    repeats: int
    warm_up: int
    machine: dict[str, Any]
    clocks_after: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON types."""
        return {
            "format": 1,
            "repeats": self.repeats,
            "warm_up": self.warm_up,
            "contenders": [entry.to_dict() for entry in self.measured],
            "absent": [{"name": name, "reason": reason} for name, reason in self.absent],
            "machine": self.machine,
            "clocks_after": self.clocks_after,
        }


def bench(jobs: Sequence[Job], *, repeats: int, on_block: Callable[[], object] = lambda: None) -> Benchmark:
    """Measure all jobs in turns.

    Args:
        jobs: one per contender, with names that differ.
        repeats: blocks of each; a block is all its images once.
        on_block: called after each block.

    Raises:
        InputError: no jobs, two of one name, or nothing to repeat.
        BackendError: none can run here, or all failed on the way.
    """
    names = [job.name for job in jobs]
    if not jobs or len(set(names)) != len(names) or repeats < 1:
        raise InputError(f"{names} with {repeats} repeats: one or more of different names are needed")
    before = machine()
    with ExitStack() as stack:
        running: list[Running] = []
        absent: list[tuple[str, str]] = []
        for job in jobs:
            try:
                running.append(stack.enter_context(Running(job)))
            except LsuError as error:
                absent.append((job.name, str(error)))
        if not running:
            raise _nobody(absent)
        for turn in range(repeats):
            for contender in running[:: 1 if turn % 2 == 0 else -1]:
                time.sleep(PAUSE)
                try:
                    contender.times += contender.asked(BLOCK)
                except LsuError as error:  # the others' hours are not lost with it
                    running.remove(contender)
                    absent.append((contender.job.name, f"failed in block {turn + 1}: {error}"))
                on_block()
        if not running:
            raise _nobody(absent)
        measured = tuple(contender.measured() for contender in running)
    return Benchmark(measured, tuple(absent), repeats, jobs[0].warm_up, before, clocks())


def _nobody(absent: Sequence[tuple[str, str]]) -> BackendError:
    return BackendError("; ".join(f"{name}: {reason}" for name, reason in absent))


class Running:
    """A contender's process, as seen from here."""

    def __init__(self, job: Job) -> None:
        self.job, self.times = job, list[Times]()
        self.about: dict[str, Any] = {}
        self._connection: Connection
        self._process: Any = None

    def __enter__(self) -> "Running":
        """Start it and wait until it is loaded and warm."""
        context = multiprocessing.get_context("spawn")  # a fork would hold this process's memory
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=serve, args=(theirs, self.job), daemon=True)
        self._process.start()
        theirs.close()
        try:
            self.about = self._received()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""
        self._connection.close()
        self._process.join(_LAST_WORDS)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._process.close()

    def asked(self, command: str) -> Any:
        """Its answer."""
        try:
            self._connection.send(command)
        except ConnectionError as error:  # it died since its last answer
            raise self._death() from error
        return self._received()

    def measured(self) -> Measured:
        """End of the work."""
        peak = self.asked(END)
        told = columns(self.times)
        return Measured(
            job=self.job,
            about=self.about,
            frames=len(self.times),
            stages={stage: Latency.of(told[stage]) if stage in told else None for stage in STAGES},
            seconds=sum(told["total"]) / 1e9,
            peak_memory=peak,
        )

    def _received(self) -> Any:
        try:
            answer = self._connection.recv()
        except (EOFError, ConnectionError) as error:
            raise self._death() from error
        if isinstance(answer, LsuError):
            raise answer
        return answer

    def _death(self) -> BackendError:
        self._process.join(_LAST_WORDS)
        code = self._process.exitcode
        return BackendError(
            f"{self.job.name}: its process died with exit code {code}: run it alone to see why"
        )
