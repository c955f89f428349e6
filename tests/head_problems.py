"""Problems for the head: score maps that stress one rule each, constraint tables, and how answers compare."""

from typing import Any

import numpy as np
import reference
from hypothesis import strategies as st

from lsu.runtime.head import Labelling

NAN = float("nan")
INF = float("inf")
LARGEST = float(np.finfo(np.float32).max)
SUBNORMAL = 2.0**-149  # the smallest

Problem = tuple[np.ndarray, dict[str, Any]]


def table_of(channels: int, rows: dict[int, set[int]]) -> np.ndarray:
    """A constraint table [256, words] with the given rows; the others allow nothing."""
    table = np.zeros((256, -(-channels // 64)), np.uint64)
    for label, classes in rows.items():
        for c in classes:
            table[label, c // 64] |= np.uint64(1 << (c % 64))
    return table


def palette(generator: np.random.Generator, kind: str, shape: tuple[int, ...]) -> np.ndarray:
    """Scores that stress one rule each."""
    noise = generator.standard_normal(shape).astype(np.float32)
    if kind == "ties":
        return np.round(noise)
    if kind == "holes":
        return np.where(generator.random(shape) < 0.1, generator.choice([NAN, INF, -INF], shape), noise)
    scale = {"noise": 1.0, "near ties": 1e-7, "tiny": 1e-42, "huge": 3e38}[kind]
    lift = 1.0 if kind == "near ties" else 0.0
    return np.clip(lift + noise.astype(np.float64) * scale, -LARGEST, LARGEST)


@st.composite
def problems(draw: st.DrawFn) -> Problem:
    """Scores and the options of a call, small enough for the slow truth."""
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    channels = draw(st.sampled_from([1, 2, 3, 7, 19, 64, 65, 255]))
    side = st.integers(1, 9)
    shape = (channels, draw(side), draw(side))
    kind = draw(st.sampled_from(["noise", "ties", "near ties", "holes", "tiny", "huge"]))
    dtype = draw(st.sampled_from([np.float32, np.float16]))
    with np.errstate(over="ignore"):
        scores = palette(generator, kind, shape).astype(dtype)
    size = (draw(st.integers(0, 7)), draw(st.integers(0, 21)))
    offset = (draw(st.integers(0, 5)), draw(st.integers(0, 5)))
    spare = (draw(st.integers(0, 5)), draw(st.integers(0, 5)))
    options: dict[str, Any] = {
        "size": size,
        "offset": offset,
        "canvas": (size[0] + offset[0] + spare[0], size[1] + offset[1] + spare[1]),
        "void_channel": draw(st.none() | st.integers(0, channels - 1)),
        "margin_scale": draw(st.sampled_from([1.0, 0.3, 7.0])),
    }
    constrained = draw(st.sampled_from(["free", "one row", "labels"]))
    if constrained != "free":
        density = generator.choice([0.0, 0.1, 0.5, 1.0], (256, 1))
        allowed = generator.random((256, channels)) < density
        options["table"] = table_of(
            channels, {y: set(np.flatnonzero(row).tolist()) for y, row in enumerate(allowed)}
        )
        options["table"] = options["table"] if constrained == "labels" else options["table"][:1]
    if constrained == "labels":
        known = generator.integers(0, 256, draw(st.integers(1, 4)), dtype=np.uint8)
        options["labels"] = generator.choice(known, size)
    return scores, options


def same(got: Labelling, expected: Labelling | reference.Truth) -> bool:
    assert got.margin is not None
    return all(
        np.array_equal(one, other)
        for one, other in [
            (got.classes, expected.classes),
            (got.counts, expected.counts),
            (got.margin, expected.margin),
        ]
    )
