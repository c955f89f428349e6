"""The CUDA kernels' bodies on the host, thread by thread, against the slow truth.

What a GPU adds, threads that run at the same time, is checked on one by tools/gpu_check.sh. Here the threads
of a block take their turns in three orders: an answer that depends on the order shows a missing barrier.
"""

from typing import Any

import numpy as np
import pytest
import reference
from device_twin import Answer, agrees, answered_by_cells, library, smooth_scores, truth
from head_problems import INF, LARGEST, NAN, SUBNORMAL, Problem, problems, table_of
from hypothesis import given, settings
from hypothesis import strategies as st

# The truth for large images, against the slow one.


@settings(deadline=None)
@given(problems())
def test_the_fast_truth_is_the_slow_one(problem: Problem) -> None:
    scores, options = problem
    slow = reference.constrained_argmax(scores, **options)
    options.pop("margin_scale")
    classes, counts = truth(scores, **options)
    assert np.array_equal(classes, slow.classes)
    assert np.array_equal(counts, slow.counts[:, :3])


# Any problem, by either kernel.


@settings(max_examples=300, deadline=None)
@given(
    problems(),
    st.booleans(),
    st.booleans(),
    st.sampled_from([0, 1, 2, 3]),
    st.sampled_from([0, 1, 2]),
    st.sampled_from([1, 65535]),
)
def test_the_answer_is_the_reference_bit_for_bit(
    problem: Problem, margin: bool, packed: bool, shift: int, turns: int, most_blocks: int
) -> None:
    scores, options = problem
    slow = reference.constrained_argmax(scores, **options)
    answer = Answer(
        scores,
        **options,
        margin=margin,
        agreement=margin,
        packed=packed,
        shift=shift,
        turns=turns,
        most_blocks=most_blocks,
    )
    assert np.array_equal(answer.classes[0], slow.classes)
    assert np.array_equal(answer.counts[0], slow.counts if margin else slow.counts[:, :3])
    assert not margin or np.array_equal(answer.margin[0], slow.margin)
    assert np.all(answer.padding == 255)
    assert not margin or np.all(answer.margin_map[..., options["size"][1] :] == 255)


@st.composite
def cell_problems(draw: st.DrawFn) -> Problem:
    """Enlargements by 2 and more, whole or not, with everything that can differ inside a cell."""
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    channels = draw(st.sampled_from([1, 2, 3, 5, 11, 19, 32, 33, 64, 65, 130, 255]))
    sides = (draw(st.integers(1, 9)), draw(st.integers(1, 12)))
    ratio = st.sampled_from([2.0, 2.3, 3.0, 4.0, 5.7, 8.0, 16.0])
    canvas = tuple(-(-int(side * draw(ratio) * 16) // 16) + 1 for side in sides)
    offset = tuple(draw(st.integers(0, side // 2)) for side in canvas)
    size = tuple(
        draw(st.integers(1, min(whole - begin, 90))) for whole, begin in zip(canvas, offset, strict=True)
    )
    kind = draw(st.sampled_from(["smooth", "ties", "near ties", "tiny", "huge", "holes", "noise"]))
    scores = smooth_scores(generator, channels, sides, period=3.0).astype(np.float64)
    if kind == "ties":
        scores = np.round(2 * scores)
    elif kind == "near ties":
        scores = 1 + np.round(scores) * 2.0**-23
    elif kind == "tiny":
        scores = np.round(4 * scores) * SUBNORMAL
    elif kind == "huge":
        scores = np.clip(scores * 2e38, -LARGEST, LARGEST)
    elif kind == "noise":
        scores = generator.standard_normal(scores.shape)
    elif kind == "holes":
        holes = generator.random(scores.shape) < 0.03
        scores[holes] = generator.choice([NAN, INF, -INF], np.count_nonzero(holes))
    with np.errstate(over="ignore"):
        scores = scores.astype(draw(st.sampled_from([np.float32, np.float16])))
    options: dict[str, Any] = {"size": size, "canvas": canvas, "offset": offset}
    options["void_channel"] = draw(st.none() | st.integers(0, channels - 1))
    constrained = draw(st.sampled_from(["free", "one row", "blocks", "pixels"]))
    if constrained != "free":
        allowed = generator.random((256, channels)) < generator.choice([0.0, 0.2, 0.6, 1.0], (256, 1))
        table = table_of(channels, {y: set(np.flatnonzero(row).tolist()) for y, row in enumerate(allowed)})
        options["table"] = table[:1] if constrained == "one row" else table
    if constrained in ("blocks", "pixels"):
        step = 1 if constrained == "pixels" else draw(st.integers(2, 20))
        coarse = generator.integers(0, 256, 4, dtype=np.uint8)[
            generator.integers(0, 4, (-(-size[0] // step), -(-size[1] // step)))
        ]
        options["labels"] = np.ascontiguousarray(
            np.kron(coarse, np.ones((step, step), np.uint8))[: size[0], : size[1]]
        )
    return scores, options


@settings(max_examples=400, deadline=None)
@given(cell_problems(), st.booleans(), st.sampled_from([0, 1, 2]), st.sampled_from([1, 10000]))
def test_cells_answer_as_the_truth_does(
    problem: Problem, packed: bool, turns: int, multiprocessors: int
) -> None:
    scores, options = problem
    size = options.pop("size")
    answer = Answer(scores, size, **options, packed=packed, turns=turns, multiprocessors=multiprocessors)
    assert answer.by_cells or len(scores) > 130
    assert agrees(answer, scores, size, **options)
    assert np.all(answer.padding == 255)


# Coordinates.


@settings(max_examples=2000, deadline=None)
@given(st.data())
def test_the_quick_coordinates_are_the_exact_ones(data: st.DataObject) -> None:
    side = st.integers(1, 1 << 23) | st.integers(1, 3000)
    source, target = data.draw(side), data.draw(side)
    x = data.draw(st.integers(0, target - 1))
    assert library().lsu_twin_taps_agree(x, source, target)


# Larger images, with several tiles and real insides of cells.


@pytest.mark.parametrize("turns", [0, 1, 2])
@pytest.mark.parametrize(
    ("channels", "sides", "size"),
    [
        (5, (33, 65), (132, 260)),
        (19, (32, 64), (256, 512)),
        (19, (16, 24), (256, 384)),
        (11, (30, 41), (221, 333)),
        (150, (12, 20), (97, 161)),
        (7, (5, 300), (13, 601)),
        (3, (1, 1), (200, 300)),
        (3, (2, 1), (3, 900)),
    ],
)
def test_larger_images(channels: int, sides: tuple[int, int], size: tuple[int, int], turns: int) -> None:
    generator = np.random.default_rng(channels)
    scores = smooth_scores(generator, channels, sides)
    if min(size[0] / sides[0], size[1] / sides[1]) < 2:
        size = (2 * sides[0], size[1])
    for dtype in (np.float32, np.float16):
        expected = truth(scores.astype(dtype), size)
        for multiprocessors in (1, 132):
            answer = Answer(scores.astype(dtype), size, turns=turns, multiprocessors=multiprocessors)
            assert answer.by_cells
            assert np.array_equal(answer.classes[0], expected[0])
            assert np.array_equal(answer.counts[0], expected[1])


def test_larger_images_with_labels_that_change_from_pixel_to_pixel() -> None:
    generator = np.random.default_rng(3)
    scores, size = smooth_scores(generator, 19, (32, 48)), (256, 384)
    rows = {y: set(generator.choice(19, y, replace=False).tolist()) for y in range(19)}
    table = table_of(19, rows)
    for step in (1, 3, 16, 64):
        coarse = generator.integers(0, 20, (-(-size[0] // step), -(-size[1] // step)))
        labels = np.kron(coarse, np.ones((step, step)))[: size[0], : size[1]].astype(np.uint8)
        answered_by_cells(scores, size, labels=np.ascontiguousarray(labels), table=table, void_channel=4)


def test_larger_images_with_holes() -> None:
    generator = np.random.default_rng(4)
    scores = smooth_scores(generator, 11, (24, 32))
    scores[generator.random(scores.shape) < 0.02] = NAN
    scores[:, 10:13, 10:13] = INF
    answered_by_cells(scores, (192, 256))
    answered_by_cells(scores, (192, 256), table=table_of(11, {0: {1, 4, 9}})[:1])


def test_noise_where_nothing_fills() -> None:
    scores = np.random.default_rng(5).standard_normal((19, 17, 33)).astype(np.float32)
    answered_by_cells(scores, (136, 264))
