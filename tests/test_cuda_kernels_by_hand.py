"""The CUDA kernels' bodies on the host: ties, holes, windows, batches and bits that lead nowhere, by hand."""

import numpy as np
import pytest
from device_twin import Answer, answered_by_cells, smooth_scores, truth
from head_problems import INF, LARGEST, NAN, SUBNORMAL, table_of


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
