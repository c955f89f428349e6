"""The loop that runs frames through network, head and output and measures each stage.

A mean says nothing about a vehicle's deadline: the report holds percentiles and the maximum of every stage,
and how many frames came too late.
"""

import math
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

from lsu.runtime.errors import InputError
from lsu.runtime.latency import Latency

from .outputs import Write
from .sources import Source

if TYPE_CHECKING:
    from lsu.runtime.segmenter import Scores as SegmenterScores
    from lsu.runtime.segmenter import Segmenter

Pixels = npt.NDArray[np.uint8]
Scores = TypeVar("Scores")

STAGES = ("read", "network", "head", "write", "answer", "total")
"""`answer` is network + head + write, what a deadline is about: reading may wait for a camera. `total` is
everything from asking for a frame to its written answer."""


@dataclass(frozen=True)
class StreamReport:
    """What a run of the loop measured.

    Attributes:
        frames: how many were answered; all of them are timed.
        warm_up: how often network and head ran on the first frame before, neither timed nor written.
        seconds: the sum of all frames' total.
        stages: name of `STAGES` -> latency.
        deadline_ms: the limit for `answer`, or None.
        misses: frames over it.
    """

    frames: int
    warm_up: int
    seconds: float
    stages: dict[str, Latency]
    deadline_ms: float | None = None
    misses: int = 0

    @property
    def frames_per_second(self) -> float:
        """Frames by their summed total."""
        return self.frames / self.seconds if self.seconds else math.inf

    @property
    def miss_share(self) -> float:
        """Misses by frames, 0 to 1."""
        return self.misses / self.frames

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain JSON types."""
        return {
            "frames": self.frames,
            "warm_up": self.warm_up,
            "seconds": self.seconds,
            "frames_per_second": self.frames_per_second,
            "milliseconds": {name: vars(latency) for name, latency in self.stages.items()},
            "deadline_ms": self.deadline_ms,
            "deadline_misses": self.misses,
        }


def run_stream(  # noqa: PLR0913 - four parts of a loop, and options
    source: Source,
    network: Callable[[Pixels], Scores],
    head: Callable[[Scores, tuple[int, int]], Pixels],
    write: Write,
    *,
    warm_up: int = 5,
    limit: int | None = None,
    deadline_ms: float | None = None,
    clock: Callable[[], int] = time.perf_counter_ns,
    on_frame: Callable[[], object] = lambda: None,
) -> StreamReport:
    """Answer every frame and measure it.

    Args:
        source: the frames. An endless one ends well by an interrupt.
        network: an image uint8 [H,W,3] RGB -> scores.
        head: scores and the image's (H, W) -> classes uint8 [H,W].
        write: takes name, image and classes.
        warm_up: how often network and head run on the first frame before anything is timed.
        limit: stop after this many frames.
        deadline_ms: frames whose `answer` takes longer are counted.
        clock: nanoseconds from any fixed moment.
        on_frame: called after each frame, outside of the measured time.

    Raises:
        InputError: an option is out of its range, or no frame came.
    """
    _check_options(warm_up, limit, deadline_ms)
    measured: list[tuple[int, int, int, int]] = []
    try:
        with closing(source.frames()) as frames:
            while limit is None or len(measured) < limit:
                named, read = _timed(clock, lambda: next(frames, None))
                if named is None:
                    break
                if not measured:
                    _run_untimed(named[1], network, head, times=warm_up)
                measured.append((read, *_answer(named, network, head, write, clock=clock)))
                on_frame()
    except KeyboardInterrupt:
        if not (source.endless and measured):
            raise
    if not measured:
        raise InputError("the source gave no frame")
    return _report(measured, warm_up, deadline_ms)


def head_of(segmenter: "Segmenter") -> "Callable[[SegmenterScores, tuple[int, int]], Pixels]":
    """The head as `Segmenter.segment` runs it without labels, as a step of its own."""

    def head(scores: "SegmenterScores", size: tuple[int, int]) -> Pixels:
        return segmenter.head(
            scores.values,
            size,
            void_channel=segmenter.engine.spec.void_channel,
            canvas=scores.canvas,
        ).classes

    return head


_Answered = TypeVar("_Answered")


def _timed(clock: Callable[[], int], step: Callable[[], _Answered]) -> tuple[_Answered, int]:
    begin = clock()
    result = step()
    return result, clock() - begin


def _answer(
    named: tuple[str, Pixels],
    network: Callable[[Pixels], Scores],
    head: Callable[[Scores, tuple[int, int]], Pixels],
    write: Write,
    *,
    clock: Callable[[], int],
) -> tuple[int, int, int]:
    """Nanoseconds in network, head and output for one frame."""
    name, image = named
    scores, in_network = _timed(clock, lambda: network(image))
    classes, in_head = _timed(clock, lambda: head(scores, _size(image)))
    _, in_write = _timed(clock, lambda: write(name, image, classes))
    return in_network, in_head, in_write


def _run_untimed(
    image: Pixels,
    network: Callable[[Pixels], Scores],
    head: Callable[[Scores, tuple[int, int]], Pixels],
    *,
    times: int,
) -> None:
    for _ in range(times):
        head(network(image), _size(image))


def _size(image: Pixels) -> tuple[int, int]:
    return image.shape[0], image.shape[1]


def _report(
    measured: list[tuple[int, int, int, int]], warm_up: int, deadline_ms: float | None
) -> StreamReport:
    answers = [sum(frame[1:]) for frame in measured]
    totals = [sum(frame) for frame in measured]
    columns = [*(list(stage) for stage in zip(*measured, strict=True)), answers, totals]
    late = 0 if deadline_ms is None else sum(answer > deadline_ms * 1e6 for answer in answers)
    return StreamReport(
        frames=len(measured),
        warm_up=warm_up,
        seconds=sum(totals) / 1e9,
        stages={name: Latency.of(column) for name, column in zip(STAGES, columns, strict=True)},
        deadline_ms=deadline_ms,
        misses=late,
    )


def _check_options(warm_up: int, limit: int | None, deadline_ms: float | None) -> None:
    if warm_up < 0:
        raise InputError(f"warm-up is {warm_up}; 0 or more runs are possible")
    if limit is not None and limit < 1:
        raise InputError(f"the limit is {limit} frames; 1 or more are possible")
    if deadline_ms is not None and not deadline_ms > 0:
        raise InputError(f"the deadline is {deadline_ms} ms; a time above 0 is possible")
