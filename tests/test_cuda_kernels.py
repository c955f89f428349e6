"""The CUDA kernels' bodies on the host, thread by thread, against the slow truth.

What a GPU adds, threads that run at the same time, is checked on one by tools/gpu_check.sh. Here the threads
of a block take their turns in three orders: an answer that depends on the order shows a missing barrier.
"""

from typing import Any

import numpy as np
import pytest
import reference
from device_twin import Answer, library, truth
from head_problems import INF, LARGEST, NAN, Problem, problems, table_of
from hypothesis import given, settings
from hypothesis import strategies as st

SUBNORMAL = 2.0**-149


def smooth_scores(
    generator: np.random.Generator, channels: int, sides: tuple[int, int], period: float = 6.0
) -> np.ndarray:
    """Sums of a few waves per class: regions of one class with borders between them."""
    y, x = np.mgrid[: sides[0], : sides[1]] / period
    scores = np.zeros((channels, *sides))
    for c in range(channels):
        for _ in range(3):
            angle, phase = generator.uniform(0, 2 * np.pi, 2)
            scores[c] += np.sin(np.cos(angle) * x + np.sin(angle) * y + phase)
    return scores.astype(np.float32)


def agrees(answer: Answer, scores: np.ndarray, size: tuple[int, int], **options: Any) -> bool:
    classes, counts = truth(scores, size, **options)
    return np.array_equal(answer.classes[0], classes) and np.array_equal(answer.counts[0], counts)


def answered_by_cells(scores: np.ndarray, size: tuple[int, int], **options: Any) -> None:
    """The cell-wise kernel answers, and rightly."""
    answer = Answer(scores, size, **options)
    assert answer.by_cells
    for name in ("shift", "label_shift", "packed"):
        options.pop(name, None)
    assert agrees(answer, scores, size, **options)


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


# By hand.


def test_a_class_that_leads_the_union_of_two_labels_does_not_rule_out_where_it_is_not_allowed() -> None:
    scores = np.stack([np.full((2, 2), v, np.float32) for v in (1, 9, 2)])
    labels = np.indices((8, 8)).sum(axis=0).astype(np.uint8) % 2
    table = table_of(3, {0: {0, 1}, 1: {0, 2}})
    answer = Answer(scores, (8, 8), labels=labels, table=table)
    assert answer.by_cells
    assert np.array_equal(answer.classes[0], np.where(labels == 0, 1, 2))


def test_subnormal_scores_that_tie_after_rounding_go_to_the_lowest_class() -> None:
    scores = np.array([[[3, 3]], [[4, 3]]]) * SUBNORMAL
    scores = scores.astype(np.float32)
    for size in ((2, 4), (4, 8), (8, 16)):
        answered_by_cells(scores, size)
    scores = np.stack([np.full((2, 2), 3.0), np.full((2, 2), 4.0)]) * SUBNORMAL
    # The middle row and column have weights of 1/2, which round 3/2 and 2 units alike.
    answered_by_cells(scores.astype(np.float32), (5, 5))
    answer = Answer(scores.astype(np.float32), (5, 5))
    assert np.count_nonzero(answer.classes == 0) > 0, "no tie after rounding: the case proves nothing"


def test_leads_of_one_rounding_are_interpolated() -> None:
    """Class 1 leads all corners by the last bit, and class 0 wins where both round alike."""
    generator = np.random.default_rng(6)
    low = generator.uniform(1, 2, (12, 12)).astype(np.float32)
    scores = np.stack([low, np.nextafter(low, np.float32(3))])
    answered_by_cells(scores, (96, 100))
    answer = Answer(scores, (96, 100))
    assert np.count_nonzero(answer.classes == 0) > 0, "no tie after rounding: the case proves nothing"


def test_a_rival_of_a_higher_id_needs_a_clear_lead() -> None:
    """The same among classes that lead no cell: the third leads elsewhere in it."""
    generator = np.random.default_rng(7)
    low = generator.uniform(1, 2, (12, 12)).astype(np.float32)
    high = np.nextafter(low, np.float32(3))
    third = np.where(np.indices((12, 12)).sum(axis=0) % 2, np.float32(1), np.float32(2.5))
    scores = np.stack([low, high, third]).astype(np.float32)
    answered_by_cells(scores, (96, 100))
    answered_by_cells(scores[[2, 0, 1]], (96, 100))


@pytest.mark.parametrize("hole", [NAN, INF, -INF])
def test_a_hole_takes_its_class_out_of_the_whole_cell(hole: float) -> None:
    scores = np.zeros((3, 4, 4), np.float32)
    scores[0] = 5
    scores[1] = 4
    scores[0, 1, 2] = hole
    answered_by_cells(scores, (32, 32))
    answered_by_cells(scores[::-1].copy(), (32, 32))


def test_nothing_finite_is_void() -> None:
    answer = Answer(np.full((3, 4, 4), NAN, np.float32), (16, 16))
    assert answer.by_cells
    assert np.all(answer.classes == 255)
    assert answer.counts[0, 0].tolist() == [0, 0, 256]


def test_scores_that_differ_in_sign_near_the_largest_number() -> None:
    scores = np.array([LARGEST, -LARGEST], np.float32)[np.indices((4, 4)).sum(axis=0) % 2][None]
    answered_by_cells(np.concatenate([scores, -scores, np.zeros_like(scores)]), (32, 33))


@pytest.mark.parametrize("size", [(32, 32), (5, 5)])
def test_bits_beyond_the_classes_are_not_followed(size: tuple[int, int]) -> None:
    """The device is not asked to check the table: such a bit must not lead outside the scores."""
    memory = np.full((64, 4, 4), 1e9, np.float32)
    scores = memory[:5]
    table = np.full((1, 1), 0xFFFF_FFFF_FFFF_FFFF, np.uint64)
    scores[...] = smooth_scores(np.random.default_rng(8), 5, (4, 4))
    free = Answer(scores, size)
    assert free.by_cells == (size == (32, 32))
    assert np.array_equal(Answer(scores, size, table=table).classes, free.classes)
    scores[...] = NAN  # no leader at any corner: nothing rules the classes beyond out
    assert np.all(Answer(scores, size, table=table).classes == 255)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("size", [(40, 70), (7, 5)])
def test_a_batch_is_its_images_one_by_one(packed: bool, size: tuple[int, int]) -> None:
    generator = np.random.default_rng(9)
    scores = np.stack([smooth_scores(generator, 6, (6, 7)) for _ in range(5)])
    labels = generator.integers(0, 9, (5, *size), dtype=np.uint8)
    table = table_of(6, {y: set(range(y % 4, 6)) for y in range(8)})
    whole = Answer(scores, size, labels=labels, table=table, packed=packed, most_blocks=2)
    for n in range(5):
        classes, counts = truth(scores[n], size, labels=labels[n], table=table)
        assert np.array_equal(whole.classes[n], classes)
        assert np.array_equal(whole.counts[n], counts)
    assert np.all(whole.padding == 255)


@pytest.mark.parametrize("size", [(64, 64), (5, 5)])
def test_counts_are_not_written_if_they_are_not_wanted(size: tuple[int, int]) -> None:
    scores = smooth_scores(np.random.default_rng(10), 4, (5, 5))
    answer = Answer(scores, size, counted=False)
    assert answer.counts is None
    assert np.array_equal(answer.classes[0], truth(scores, size)[0])


@pytest.mark.parametrize(("shift", "label_shift"), [(0, 1), (2, 0), (3, 3)])
@pytest.mark.parametrize("packed", [False, True])
def test_maps_need_no_alignment(shift: int, label_shift: int, packed: bool) -> None:
    generator = np.random.default_rng(12)
    scores, size = smooth_scores(generator, 6, (8, 9)), (64, 72)
    labels, table = (
        generator.integers(0, 4, size, dtype=np.uint8),
        table_of(6, {1: {0, 2}, 2: {3, 4, 5}, 3: {1}}),
    )
    answered_by_cells(
        scores, size, labels=labels, table=table, shift=shift, label_shift=label_shift, packed=packed
    )


def test_a_window_is_a_crop_of_the_whole() -> None:
    scores = smooth_scores(np.random.default_rng(11), 9, (20, 20))
    whole = Answer(scores, (160, 170)).classes[0]
    for offset, size in [((3, 5), (100, 129)), ((159, 0), (1, 170)), ((8, 166), (131, 4))]:
        part = Answer(scores, size, canvas=(160, 170), offset=offset).classes[0]
        assert np.array_equal(part, whole[offset[0] :, offset[1] :][: size[0], : size[1]])


@settings(max_examples=2000, deadline=None)
@given(st.data())
def test_the_quick_coordinates_are_the_exact_ones(data: st.DataObject) -> None:
    side = st.integers(1, 1 << 23) | st.integers(1, 3000)
    source, target = data.draw(side), data.draw(side)
    x = data.draw(st.integers(0, target - 1))
    assert library().lsu_twin_taps_agree(x, source, target)
