"""The truth that the head is compared with: slow, in numpy and Python, and written without its source.

Coordinates are exact fractions, the enlarged scores are made in full, and every pixel picks its class from a
list. Only the rules are shared: which roundings to float32 happen, and in which order.
"""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from itertools import product
from math import floor
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]
Sides = tuple[int, int]


@dataclass(frozen=True, eq=False)
class Truth:
    """What the head should answer, with every column of the counts and the margin."""

    classes: Array  # uint8 [H, W]
    counts: Array  # int64 [256, 4]
    margin: Array  # uint8 [H, W]


def taps(source: int, target: int, begin: int, count: int) -> tuple[list[int], list[int], list[Fraction]]:
    """Lower index, upper index and exact fraction of the `count` output coordinates from `begin` on."""
    positions = [
        max(Fraction((2 * x + 1) * source, 2 * target) - Fraction(1, 2), Fraction(0))
        for x in range(begin, begin + count)
    ]
    lower = [floor(position) for position in positions]
    upper = [min(index + 1, source - 1) for index in lower]
    return lower, upper, [position - floor(position) for position in positions]


def _enlarged(
    scores: Array, size: Sides, canvas: Sides, offset: Sides, real: Callable[[Any], np.floating[Any]]
) -> Array:
    """The scores [C, h, w] at every pixel of the window, [C, H, W], in the arithmetic of `real`."""
    samples = scores.astype(real)
    samples[~np.isfinite(samples)] = np.nan
    for axis in (2, 1):  # horizontal first
        side = axis - 1
        lower, upper, fractions = taps(scores.shape[axis], canvas[side], offset[side], size[side])
        # No fraction with a denominator below 2^24 lies where rounding twice differs from rounding once.
        upper_weight = np.array([real(float(fraction)) for fraction in fractions], real)
        lower_weight = real(1) - upper_weight
        shape = (1, 1, -1) if axis == 2 else (1, -1, 1)
        with np.errstate(all="ignore"):
            samples = lower_weight.reshape(shape) * np.take(samples, lower, axis) + upper_weight.reshape(
                shape
            ) * np.take(samples, upper, axis)
    return samples


def enlarged_float64(
    scores: Array, size: Sides, *, canvas: Sides | None = None, offset: Sides = (0, 0)
) -> Array:
    """The scores at every pixel in float64, for comparisons by tolerance."""
    return _enlarged(scores, size, canvas or size, offset, np.float64)


def constrained_argmax(
    scores: Array,
    size: Sides,
    *,
    labels: Array | None = None,
    table: Array | None = None,
    void_channel: int | None = None,
    canvas: Sides | None = None,
    offset: Sides = (0, 0),
    margin_scale: float = 1.0,
) -> Truth:
    """The constrained argmax with all its outputs; the arguments are those of `lsu.runtime.head`."""
    values = _enlarged(scores, size, canvas or size, offset, np.float32)
    truth = Truth(np.zeros(size, np.uint8), np.zeros((256, 4), np.int64), np.zeros(size, np.uint8))
    every_class = list(range(scores.shape[0]))
    for y, x in product(range(size[0]), range(size[1])):
        label = 0 if labels is None else int(labels[y, x])
        allowed = every_class if table is None else classes_of(table[label])
        answer = _best(values[:, y, x], allowed, void_channel)
        truth.classes[y, x] = answer
        truth.margin[y, x] = (
            0 if answer == 255 else _margin(values[:, y, x], allowed, np.float32(margin_scale))
        )
        truth.counts[label, 2 if answer == 255 else 0 if len(allowed) == 1 else 1] += 1
        # The free argmax takes the scores' word even where there is but one class.
        truth.counts[label, 3] += answer == _written(_ranked(values[:, y, x], every_class)[:1], void_channel)
    return truth


def classes_of(row: Array) -> list[int]:
    """The classes in one row of a table, uint64 [words]."""
    bits = sum(int(word) << (64 * place) for place, word in enumerate(row))
    return [c for c in range(64 * len(row)) if bits >> c & 1]


def _ranked(values: Array, allowed: list[int]) -> list[int]:
    """The allowed classes with a number for a score: best first, the lowest id first among equals."""
    return sorted((c for c in allowed if not np.isnan(values[c])), key=lambda c: (-float(values[c]), c))


def _written(winner: list[int], void_channel: int | None) -> int:
    return 255 if not winner or winner[0] == void_channel else winner[0]


def _best(values: Array, allowed: list[int], void_channel: int | None) -> int:
    return _written(allowed if len(allowed) == 1 else _ranked(values, allowed)[:1], void_channel)


def _margin(values: Array, allowed: list[int], scale: np.float32) -> int:
    ranked = _ranked(values, allowed)
    if len(allowed) == 1 or len(ranked) == 1:
        return 255
    best, second = values[ranked[0]], values[ranked[1]]
    if best == second:
        return 0
    with np.errstate(over="ignore"):
        share = min((best - second) / scale, np.float32(1))
    return round(float(np.float32(255) * share))
