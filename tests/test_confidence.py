"""Relative confidence: by hand, against a slow numpy version, and the levels of classes."""

import numpy as np
import pytest
from pictures import FOREIGN, SOURCE
from reference import classes_of, enlarged_float64

from lsu.runtime import VOID, Relation
from lsu.runtime.relabel.confidence import (
    ONE,
    ClassConfidence,
    Thresholds,
    class_sums,
    relative_confidence,
    sixteen_bits,
)
from lsu.runtime.relabel.score_grid import softmax
from lsu.runtime.segmenter import Scores

ROWS = {"ground": ["road"], "object": ["road", "person"], "above": ["car", "person", "sky", "void"]}


def constant(*probabilities: float) -> Scores:
    """The same probabilities everywhere, on a grid of one cell over 4x4 pixels."""
    return Scores(np.array(probabilities, np.float32).reshape(-1, 1, 1), (4, 4))


def table(rows: dict[str, list[str]], void_channel: int | None = None) -> np.ndarray:
    return Relation.from_names("t", SOURCE, FOREIGN, allow=rows).table(void_channel)


def test_without_labels_it_is_the_lead_of_the_best_over_the_second() -> None:
    answer = relative_confidence(constant(0.5, 0.3, 0.15, 0.05), (3, 4))
    assert answer.shape == (3, 4)
    assert answer.dtype == np.float32
    assert np.allclose(answer, 0.2)


def test_probabilities_of_the_allowed_classes_are_renormalised() -> None:
    labels = np.array([[0, 1, 2, VOID]], np.uint8)
    answer = relative_confidence(
        constant(0.5, 0.3, 0.15, 0.05), (1, 4), labels=labels, table=table({**ROWS, "above": ["car", "sky"]})
    )
    # road alone; road 0.5 and person 0.15; car 0.3 and sky 0.05; void allows nothing
    assert np.allclose(answer, [[1, 0.35 / 0.65, 0.25 / 0.35, 0]])


def test_an_allowed_void_channel_takes_part_and_a_forbidden_one_does_not() -> None:
    labels = np.array([[1, 2]], np.uint8)
    scores = constant(0.4, 0.1, 0.1, 0.05, 0.35)
    answer = relative_confidence(scores, (1, 2), labels=labels, table=table(ROWS, 4))
    assert np.allclose(answer, [[0.3 / 0.5, 0.25 / 0.6]])


def test_one_allowed_class_is_sure_whatever_its_probability() -> None:
    for p in (0.0, 1e-30, np.nan):
        answer = relative_confidence(
            constant(p, 0.7, 0.2, 0.1), (2, 2), labels=np.zeros((2, 2), np.uint8), table=table(ROWS)
        )
        assert (answer == 1).all()
    assert (relative_confidence(constant(0.3), (2, 2)) == 1).all()


def test_allowed_classes_without_probability_and_broken_ones_have_no_confidence() -> None:
    labels = np.ones((1, 1), np.uint8)
    for road, person in ((0.0, 0.0), (np.nan, 0.5), (np.inf, 0.5)):
        scores = constant(road, 0.5, person, 0.5)
        assert relative_confidence(scores, (1, 1), labels=labels, table=table(ROWS)) == 0


@pytest.mark.parametrize("void_channel", [None, 4])
@pytest.mark.parametrize("labelled", [False, True])
def test_it_equals_a_slow_version_in_float64(labelled, void_channel) -> None:
    generator = np.random.default_rng(5)
    for grid, canvas, size in (
        ((3, 5), (24, 40), (21, 33)),
        ((7, 4), (9, 4), (9, 4)),
        ((9, 9), (5, 6), (4, 6)),
    ):
        channels = 4 + (void_channel is not None)
        values = softmax(generator.normal(scale=3, size=(channels, *grid)).astype(np.float32))
        labels = generator.choice(np.array([0, 1, 2, VOID], np.uint8), size)
        known = {"labels": labels, "table": table(ROWS, void_channel)} if labelled else {}
        answer = relative_confidence(Scores(values, canvas), size, **known)
        enlarged = enlarged_float64(values, size, canvas=canvas)
        for y, x in np.ndindex(*size):
            allowed = classes_of(known["table"][labels[y, x]]) if labelled else list(range(channels))
            left = sorted(enlarged[allowed, y, x], reverse=True)
            truth = 0.0 if not left else 1.0 if len(left) == 1 else (left[0] - left[1]) / sum(left)
            assert abs(answer[y, x] - truth) < 2e-5, (y, x)


def test_more_than_64_classes_are_told_apart() -> None:
    values = np.full((70, 1, 1), 0.01, np.float32)
    values[[3, 67, 69], 0, 0] = 0.1, 0.3, 0.2
    rows = np.zeros((256, 2), np.uint64)
    rows[5] = [1 << 3, 1 << 5]  # classes 3 and 69
    answer = relative_confidence(
        Scores(values, (1, 1)), (1, 1), labels=np.full((1, 1), 5, np.uint8), table=rows
    )
    assert np.allclose(answer, 0.1 / 0.3)


def test_sixteen_bits_round_to_nearest() -> None:
    steps = np.array([0, 0.4 / ONE, 0.6 / ONE, 0.5, 1], np.float32)
    assert sixteen_bits(steps).tolist() == [0, 0, 1, 32768, ONE]


def test_a_class_keeps_what_is_above_its_mean_over_all_frames() -> None:
    frames = [
        (np.array([[0, 0, 1]], np.uint8), np.array([[10, 20, 7]], np.uint16)),
        (np.array([[0, 1, VOID]], np.uint8), np.array([[33, 8, 60000]], np.uint16)),
    ]
    sums = [class_sums(*frame) for frame in frames]
    assert sums == [{0: (2, 30, 0), 1: (1, 7, 0)}, {0: (1, 33, 0), 1: (1, 8, 0)}]
    thresholds = Thresholds(sums)  # 21 for class 0, 7.5 for class 1
    kept = [thresholds.filtered(*frame).tolist() for frame in frames]
    assert kept == [[[VOID, VOID, VOID]], [[0, 1, VOID]]]
    assert thresholds.rows(SOURCE, [1, 1, 0, 0]) == (
        ClassConfidence("road", 21 / ONE, 3, 1, 0),
        ClassConfidence("car", 7.5 / ONE, 2, 1, 0),
    )


def test_the_mean_itself_is_not_above_the_mean() -> None:
    classes, confidence = np.array([[2, 2, 2]], np.uint8), np.array([[5, 6, 7]], np.uint16)
    assert Thresholds([class_sums(classes, confidence)]).filtered(classes, confidence).tolist() == [
        [VOID, VOID, 2]
    ]


def test_full_confidence_is_kept_even_where_it_is_the_mean() -> None:
    classes, confidence = np.array([[0, 0, 1]], np.uint8), np.array([[ONE, ONE, 9]], np.uint16)
    assert Thresholds([class_sums(classes, confidence)]).filtered(classes, confidence).tolist() == [
        [0, 0, VOID]
    ]


def test_pixels_that_labels_force_do_not_lift_the_level() -> None:
    classes = np.array([[0, 0, 0, 0, 1]], np.uint8)
    confidence = np.array([[ONE, ONE, 10, 30, ONE]], np.uint16)
    by_labels = np.array([[True, True, False, False, True]])
    sums = class_sums(classes, confidence, by_labels)
    assert sums == {0: (2, 40, 2), 1: (0, 0, 1)}
    thresholds = Thresholds([sums, sums])
    assert thresholds.filtered(classes, confidence).tolist() == [[0, 0, VOID, 0, 1]]
    assert thresholds.rows(SOURCE, [6, 2, 0, 0]) == (
        ClassConfidence("road", 20 / ONE, 4, 2, 4),
        ClassConfidence("car", 1.0, 0, 0, 2),
    )


def test_sums_of_large_frames_are_exact() -> None:
    classes = np.zeros((3000, 3000), np.uint8)
    assert class_sums(classes, np.full(classes.shape, ONE, np.uint16)) == {0: (9_000_000, 9_000_000 * ONE, 0)}
