"""The race: contenders timed in turns, so that a slow minute of the machine strikes all of them alike."""

import gc
import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from head_rivals import Classes, Contender

from lsu.runtime import VOID, InputError

PAUSE = 0.01  # s before each call: the threads of torch and onnxruntime spin for a while after their work
WARM_BELOW = 0.03  # s: who is quicker is called once more just before, with warm caches as between two images
SLOW_FROM = 0.1  # s: who is slower is timed in fewer rounds
LEAST_REPEATS = 7
LEAST_EQUAL = 0.999  # of the pixels: rivals round otherwise than we do


@dataclass(frozen=True)
class Timing:
    """What one contender took; seconds."""

    seconds: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.seconds:
            raise ValueError("a timing needs a measurement")

    @property
    def median(self) -> float:
        """The median."""
        return statistics.median(self.seconds)

    def percentile(self, percent: float) -> float:
        """By linear interpolation between the sorted measurements."""
        return float(np.percentile(self.seconds, percent))


def race(contenders: Sequence[Contender], rounds: int, clock: Callable[[], float]) -> list[Timing]:
    """Each contender's times: in every round each of them in turn, the slow ones `LEAST_REPEATS` times.

    A round before the others tells who is slow; it counts for these alone.

    Args:
        contenders: each has been called before, which compiled what is compiled.
        rounds: how many.
        clock: seconds, such as `time.perf_counter`.
    """
    expected = []
    for contender in contenders:
        time.sleep(PAUSE)
        expected.append(_timed(contender, clock))
    chosen = {math.floor(k * rounds / (LEAST_REPEATS - 1)) for k in range(LEAST_REPEATS - 1)}
    seconds = [[once] if once >= SLOW_FROM else [] for once in expected]
    gc.collect()
    gc.disable()
    try:
        for turn in range(rounds):
            for contender, once, times in zip(contenders, expected, seconds, strict=True):
                if once >= SLOW_FROM and turn not in chosen:
                    continue
                time.sleep(PAUSE)
                if once < WARM_BELOW:
                    contender.run()
                times.append(_timed(contender, clock))
    finally:
        gc.enable()
    return [Timing(tuple(times)) for times in seconds]


def _timed(contender: Contender, clock: Callable[[], float]) -> float:
    begin = clock()
    contender.run()
    return clock() - begin


def equal_share(answer: Classes, reference: npt.NDArray[np.uint8]) -> float:
    """The share of pixels with the reference's class, among those where it is not void."""
    counted = reference != VOID
    if not counted.any():
        return 1.0
    return float((answer == reference)[counted].mean())


def refuse_wrong(name: str, share: float, least: float = LEAST_EQUAL) -> None:
    """Raise InputError when a contender answers too many pixels otherwise than the head."""
    if share < least:
        raise InputError(f"{name}: {share:.4%} of its pixels are the head's, {least:.1%} are needed: no race")
