"""The head against tables by hand and against the slow truth."""

from typing import Any

import numpy as np
import pytest
import reference
from head_problems import INF, LARGEST, NAN, Problem, problems, same, table_of
from hypothesis import given, settings
from hypothesis import strategies as st

from lsu.runtime.head import constrained_argmax


def pixel(*values: float) -> np.ndarray:
    """Scores [C, 1, 1] of one sample."""
    return np.array(values, np.float32).reshape(-1, 1, 1)


def answer(scores: np.ndarray, allowed: set[int] | None = None, **options: Any) -> int:
    """The class at the one pixel of the answer."""
    table = None if allowed is None else table_of(len(scores), {0: allowed})[:1]
    return int(constrained_argmax(scores, (1, 1), table=table, **options).classes[0, 0])


# By hand.


def test_the_best_class_wins() -> None:
    assert answer(pixel(1, 3, 2)) == 1


def test_the_best_class_wins_among_negative_scores() -> None:
    assert answer(pixel(-3, -2, -5)) == 1


def test_a_class_that_is_not_allowed_cannot_win() -> None:
    assert answer(pixel(1, 3, 2), {0, 2}) == 2


def test_tie_goes_to_the_lowest_class() -> None:
    assert answer(pixel(2, 7, 7, 7)) == 1


def test_tie_goes_to_the_lowest_allowed_class() -> None:
    assert answer(pixel(7, 2, 7, 7), {1, 2, 3}) == 2


def test_zeros_of_both_signs_tie() -> None:
    assert answer(pixel(-0.0, 0.0)) == 0


def test_void_label_forces_void() -> None:
    labels = np.array([[0, 255]], np.uint8)
    table = table_of(2, {0: {0, 1}})
    classes = constrained_argmax(pixel(1, 2), (1, 2), labels=labels, table=table).classes
    assert classes.tolist() == [[1, 255]]


def test_void_label_follows_its_row_if_it_has_one() -> None:
    labels = np.array([[255]], np.uint8)
    table = table_of(3, {255: {0, 2}})
    assert constrained_argmax(pixel(1, 9, 2), (1, 1), labels=labels, table=table).classes.tolist() == [[2]]


@pytest.mark.parametrize("score", [5.0, NAN, INF, -INF])
def test_a_set_of_one_class_is_forced_whatever_the_scores(score: float) -> None:
    assert answer(pixel(score, 9, 9), {0}) == 0


def test_the_only_class_of_a_network_is_forced() -> None:
    assert answer(pixel(NAN)) == 0


@pytest.mark.parametrize("sample", [NAN, INF, -INF])
def test_a_sample_that_is_not_finite_cannot_win(sample: float) -> None:
    assert answer(pixel(sample, -8, -9)) == 1
    assert answer(pixel(-8, sample, -9)) == 0


@pytest.mark.parametrize("sample", [NAN, INF, -INF])
def test_no_candidate_left_gives_void(sample: float) -> None:
    assert answer(pixel(sample, sample, 1), {0, 1}) == 255


def test_a_neighbour_of_weight_zero_counts_if_it_is_nan() -> None:
    scores = np.array([[[9, NAN, 9, 9]], [[1, 1, 1, 1]]], np.float32)
    assert constrained_argmax(scores, (1, 4)).classes.tolist() == [[1, 1, 0, 0]]
    assert constrained_argmax(scores.transpose(0, 2, 1).copy(), (4, 1)).classes.ravel().tolist() == [
        1,
        1,
        0,
        0,
    ]


def test_the_lowest_finite_scores_can_win() -> None:
    scores = np.full((2, 6, 7), -LARGEST, np.float32)
    scores[1] = NAN
    assert np.all(constrained_argmax(scores, (61, 97)).classes == 0)


def test_void_channel_is_written_as_void() -> None:
    assert answer(pixel(1, 3, 2), void_channel=1) == 255
    assert answer(pixel(1, 3, 2), void_channel=2) == 1
    assert answer(pixel(1, 3, 2), {2}, void_channel=2) == 255


def test_enlargement_has_half_pixel_centres() -> None:
    ramp = np.array([[[0, 1]], [[0.5, 0.5]]], np.float32)  # at four columns: 0, 0.25, 0.75, 1
    labelling = constrained_argmax(ramp, (1, 4), margin=True)
    assert labelling.classes.tolist() == [[1, 1, 0, 0]]
    assert labelling.margin is not None
    assert labelling.margin.tolist() == [[128, 64, 64, 128]]  # 127.5 and 63.75


def test_the_far_edge_keeps_both_weights() -> None:
    """Weighing one sample twice can round two scores to a tie, which the lowest class wins."""
    size, ties = (1, 11), 0
    for low in np.linspace(1, 2, 200, dtype=np.float32):
        scores = pixel(low, np.nextafter(low, np.float32(3)))
        classes = constrained_argmax(scores, size).classes
        assert np.array_equal(classes, reference.constrained_argmax(scores, size).classes)
        ties += int(np.count_nonzero(classes == 0))
    assert ties > 0


def test_reduction_samples_without_smoothing() -> None:
    scores = np.array([[[0, 9, 0, 0, 9, 0]], [[1, 1, 1, 1, 1, 1]]], np.float32)  # centres 1 and 4
    assert constrained_argmax(scores, (1, 2)).classes.tolist() == [[0, 0]]


def test_counts_are_per_label_forced_chosen_void() -> None:
    labels = np.array([[0, 1, 1, 2, 255, 7]], np.uint8)
    table = table_of(3, {0: {2}, 1: {0, 1}, 2: {1, 2}})
    counts = constrained_argmax(pixel(1, 2, NAN), (1, 6), labels=labels, table=table).counts
    assert counts.shape == (256, 3)
    assert {y: counts[y].tolist() for y in np.flatnonzero(counts.any(axis=1))} == {
        0: [1, 0, 0],
        1: [0, 2, 0],
        2: [0, 1, 0],
        7: [0, 0, 1],
        255: [0, 0, 1],
    }


def test_without_labels_row_zero_counts_everything() -> None:
    counts = constrained_argmax(pixel(1, 2), (3, 5)).counts
    assert counts[0].tolist() == [0, 15, 0]
    assert counts.sum() == 15


def test_a_void_that_won_is_counted_as_void() -> None:
    assert constrained_argmax(pixel(1, 2), (1, 1), void_channel=1).counts[0].tolist() == [0, 0, 1]


def test_agreement_counts_where_the_free_argmax_is_the_same() -> None:
    labels = np.array([[0, 1, 2, 3, 255]], np.uint8)
    table = table_of(3, {0: {1}, 1: {2}, 2: {0, 1}, 3: {0, 2}})
    counts = constrained_argmax(pixel(1, 3, 2), (1, 5), labels=labels, table=table, agreement=True).counts
    assert counts[[0, 1, 2, 3, 255]].tolist() == [
        [1, 0, 0, 1],
        [1, 0, 0, 0],
        [0, 1, 0, 1],
        [0, 1, 0, 0],
        [0, 0, 1, 0],
    ]


def margin_of(scores: np.ndarray, allowed: set[int] | None = None, **options: Any) -> int:
    table = None if allowed is None else table_of(len(scores), {0: allowed})[:1]
    lead = constrained_argmax(scores, (1, 1), table=table, margin=True, **options).margin
    assert lead is not None
    return int(lead[0, 0])


def test_margin_is_the_lead_over_the_best_other_allowed_class() -> None:
    assert margin_of(pixel(2, 2.5, 0)) == 128
    assert margin_of(pixel(2.5, 2, 0)) == 128
    assert margin_of(pixel(0, 2, 2.5)) == 128
    assert margin_of(pixel(2, 2.5, 2.25), {0, 1}) == 128
    assert margin_of(pixel(2, 3, 0), margin_scale=4.0) == 64
    assert margin_of(pixel(2, 3.5, 0)) == 255
    assert margin_of(pixel(3, 1, 3)) == 0


def test_margin_is_full_where_no_other_class_could_win_and_none_where_void() -> None:
    assert margin_of(pixel(1, 2), {0}) == 255
    assert margin_of(pixel(1, NAN)) == 255
    assert margin_of(pixel(1, 2), set()) == 0
    assert margin_of(pixel(1, 2), void_channel=1) == 0


def test_margin_of_a_forced_pixel_does_not_depend_on_the_pixel_before() -> None:
    scores = pixel(NAN, NAN)
    labels = np.array([[0], [1]], np.uint8)
    table = table_of(2, {0: {0, 1}, 1: {1}})
    lead = constrained_argmax(scores, (2, 1), labels=labels, table=table, margin=True).margin
    assert lead is not None
    assert lead.tolist() == [[0], [255]]


def test_margin_is_answered_only_if_asked_for() -> None:
    assert constrained_argmax(pixel(1, 2), (1, 1)).margin is None


# Against the slow truth.


@settings(max_examples=400, deadline=None)
@given(problems(), st.integers(1, 3))
def test_the_answer_is_the_reference_bit_for_bit(problem: Problem, threads: int) -> None:
    scores, options = problem
    got = constrained_argmax(scores, **options, margin=True, agreement=True, threads=threads)
    assert same(got, reference.constrained_argmax(scores, **options))
    plain = constrained_argmax(scores, **options, threads=threads)
    assert np.array_equal(plain.classes, got.classes)
    assert np.array_equal(plain.counts, got.counts[:, :3])
