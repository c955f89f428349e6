"""Evaluation: small tables by hand, then an independent slow definition on random maps."""

import math
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from lsu.runtime.boundary import boundary_counts, boundary_f
from lsu.runtime.datasets.dataset import Dataset, Split
from lsu.runtime.errors import InputError
from lsu.runtime.evaluate import (
    Evaluation,
    confusion_matrix,
    evaluate,
    foreign_answers,
    require_scorable,
    unanswerable,
)
from lsu.runtime.label_space import VOID, LabelClass, LabelSpace
from lsu.runtime.relation import Relation

V = VOID
Classes = npt.NDArray[np.uint8]


def space(name: str, *classes: str) -> LabelSpace:
    return LabelSpace(name, tuple(LabelClass(c) for c in classes))


def grid(*rows: list[int]) -> Classes:
    return np.array(rows, np.uint8)


ABC = space("abc", "a", "b", "c")
SOURCE = space("source", "road", "path", "car", "bus", "sky")
FOREIGN = space("foreign", "ground", "way", "vehicle", "animal")
# road and path are ground, path is also a way; nothing is an animal; sky belongs nowhere.
OVERLAPPING = Relation(
    "r",
    SOURCE,
    FOREIGN,
    (frozenset({0, 1}), frozenset({1}), frozenset({2, 3, V}), frozenset({V})),
)


def evaluation(truth: Classes, classes: Classes, label_space: LabelSpace = ABC) -> Evaluation:
    count = len(label_space)
    return Evaluation(
        label_space, confusion_matrix(truth, classes, count), boundary_counts(truth, classes, count), 1
    )


# Confusion and IoU


def test_confusion_counts_pixels_by_truth_and_prediction() -> None:
    counts = confusion_matrix(grid([0, 0], [1, 1]), grid([0, 1], [1, 1]), 3)
    assert counts.tolist() == [[1, 1, 0, 0], [0, 2, 0, 0], [0, 0, 0, 0]]
    assert counts.dtype == np.int64


def test_iou_divides_hits_by_the_union() -> None:
    result = evaluation(grid([0, 0], [1, 1]), grid([0, 1], [1, 1]))
    assert result.iou == (1 / 2, 2 / 3, None)
    assert result.mean_iou == pytest.approx(7 / 12)
    assert result.pixel_accuracy == 3 / 4
    assert result.frequency_weighted_iou == pytest.approx(0.5 * 1 / 2 + 0.5 * 2 / 3)


def test_void_in_the_truth_is_never_counted() -> None:
    result = evaluation(grid([0, V], [V, 1]), grid([0, 1], [0, 1]))
    assert result.confusion.sum() == 2
    assert result.iou == (1.0, 1.0, None)


def test_void_in_the_prediction_is_wrong_and_stands_in_the_last_column() -> None:
    result = evaluation(grid([0, 0], [1, 1]), grid([0, V], [1, V]))
    assert result.confusion.tolist() == [[1, 0, 0, 1], [0, 1, 0, 1], [0, 0, 0, 0]]
    assert result.iou == (1 / 2, 1 / 2, None)
    assert result.pixel_accuracy == 1 / 2


def test_a_class_absent_from_the_truth_has_no_iou_even_when_predicted() -> None:
    result = evaluation(grid([0, 0], [1, 1]), grid([2, 0], [1, 1]))
    assert result.iou == (1 / 2, 1.0, None)
    assert result.mean_iou == 3 / 4


def test_a_class_that_was_never_hit_has_iou_zero() -> None:
    assert evaluation(grid([0, 1]), grid([0, 0])).iou == (1 / 2, 0.0, None)


def test_truth_that_is_all_void_has_no_score() -> None:
    result = evaluation(grid([V, V]), grid([0, 1]))
    assert result.iou == (None, None, None)
    shares = (result.mean_iou, result.pixel_accuracy, result.frequency_weighted_iou, result.mean_boundary_f)
    assert shares == (None, None, None, None)


def test_values_beyond_the_classes_are_refused() -> None:
    with pytest.raises(InputError, match="the prediction holds the value 3; 0 to 2 and 255 = void"):
        confusion_matrix(grid([0, 1]), grid([0, 3]), 3)
    with pytest.raises(InputError, match="the truth holds the value 254"):
        confusion_matrix(grid([0, 254]), grid([0, 0]), 3)


def test_the_largest_label_space_is_counted() -> None:
    counts = confusion_matrix(grid([254, 0]), grid([254, V]), 255)
    assert counts[254, 254] == 1
    assert counts[0, 255] == 1


def test_confusion_agrees_with_counting_pixel_by_pixel() -> None:
    random = np.random.default_rng(1)
    truth, classes = (random.choice([0, 1, 2, V], (17, 23)).astype(np.uint8) for _ in range(2))
    expected = np.zeros((3, 4), np.int64)
    for true, found in zip(truth.ravel(), classes.ravel(), strict=True):
        if true != V:
            expected[true, min(found, 3)] += 1
    np.testing.assert_array_equal(confusion_matrix(truth, classes, 3), expected)


# Boundary F


def test_boundary_of_one_column_beside_its_place() -> None:
    truth = grid([0, 0, 1, 1, 1], [0, 0, 1, 1, 1], [0, 0, 1, 1, 1])
    shifted = grid([0, 0, 0, 1, 1], [0, 0, 0, 1, 1], [0, 0, 0, 1, 1])
    # Class 0 ends at column 1 in the truth and at column 2 in the prediction, class 1 begins at 2 and at 3.
    assert boundary_counts(truth, shifted, 2, tolerance=0).tolist() == [[3, 0, 3, 0], [3, 0, 3, 0]]
    one_pixel = 1 / math.hypot(3, 5)
    assert boundary_counts(truth, shifted, 2, tolerance=one_pixel).tolist() == [[3, 3, 3, 3]] * 2
    assert boundary_counts(truth, shifted, 2, tolerance=0.99 * one_pixel)[0].tolist() == [3, 0, 3, 0]


def test_boundary_f_is_the_harmonic_mean_of_precision_and_recall() -> None:
    f = boundary_f(np.array([[4, 1, 3, 2], [0, 0, 5, 0], [5, 0, 0, 0], [3, 3, 3, 3]]))
    assert f == (pytest.approx(2 * (1 / 4) * (2 / 3) / (1 / 4 + 2 / 3)), 0.0, None, 1.0)


def test_an_equal_segmentation_has_boundary_f_one() -> None:
    truth = grid([0, 0, 1], [0, 2, 1], [2, 2, 1])
    assert evaluation(truth, truth).boundary_f == (1.0, 1.0, 1.0)


def test_the_image_border_is_no_boundary() -> None:
    assert not boundary_counts(grid([0, 0], [0, 0]), grid([0, 0], [0, 0]), 1).any()


def test_the_edge_of_an_unlabelled_region_is_no_boundary_on_either_side() -> None:
    truth = grid([0, 0, V, 1])
    classes = grid([0, 0, 1, 1])
    assert not boundary_counts(truth, classes, 2).any()


def test_predicted_void_makes_a_boundary_of_the_class_beside_it() -> None:
    assert boundary_counts(grid([0, 0, 0]), grid([0, V, 0]), 1, tolerance=0).tolist() == [[2, 0, 0, 0]]


@pytest.mark.parametrize("tolerance", [0.0, 0.06, 0.2])
def test_boundary_counts_agree_with_all_pairs_of_distances(tolerance: float) -> None:
    random = np.random.default_rng(2)
    small = random.choice([0, 1, 2, V], (2, 5, 6), p=[0.4, 0.3, 0.2, 0.1]).astype(np.uint8)
    truth, classes = (cv2.resize(s, (24, 15), interpolation=cv2.INTER_NEAREST) for s in small)

    def outline(values: Classes, index: int) -> list[tuple[int, int]]:
        found = []
        for y, x in np.ndindex(truth.shape):
            around = [(y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)]
            inside = [p for p in around if 0 <= p[0] < 15 and 0 <= p[1] < 24 and truth[p] != V]
            if truth[y, x] != V and values[y, x] == index and any(values[p] != index for p in inside):
                found.append((y, x))
        return found

    def near(ours: list[tuple[int, int]], theirs: list[tuple[int, int]]) -> int:
        limit = tolerance * math.hypot(15, 24)
        return sum(any(math.dist(p, q) <= limit for q in theirs) for p in ours)

    counts = boundary_counts(truth, classes, 3, tolerance=tolerance)
    for index in range(3):
        predicted, true = outline(classes, index), outline(truth, index)
        expected = [len(predicted), near(predicted, true), len(true), near(true, predicted)]
        assert counts[index].tolist() == expected


def test_a_negative_tolerance_is_refused() -> None:
    with pytest.raises(InputError, match="tolerance is -1; give a share of the diagonal"):
        boundary_counts(grid([0]), grid([0]), 1, tolerance=-1)


# Foreign label spaces


def test_a_class_that_the_label_allows_counts_as_the_label() -> None:
    classes, truth = foreign_answers(grid([1, 1, 0, 3]), grid([0, 1, 0, 2]), OVERLAPPING)
    assert classes.tolist() == [[0, 1, 0, 2]]
    assert truth.tolist() == [[0, 1, 0, 2]]


def test_a_class_that_the_label_does_not_allow_counts_as_the_first_label_that_does() -> None:
    # path is ground and way: at a vehicle it is ground. road at a way is ground. car at ground is vehicle.
    classes, _ = foreign_answers(grid([1, 0, 2]), grid([2, 1, 0]), OVERLAPPING)
    assert classes.tolist() == [[0, 0, 2]]


def test_a_class_that_no_label_allows_counts_as_void() -> None:
    assert foreign_answers(grid([4, 4]), grid([0, V]), OVERLAPPING)[0].tolist() == [[V, V]]


def test_predicted_void_is_never_right_even_where_the_label_allows_void() -> None:
    assert foreign_answers(grid([V]), grid([2]), OVERLAPPING)[0].tolist() == [[V]]


def test_a_label_that_allows_no_class_is_not_counted() -> None:
    assert foreign_answers(grid([0, 2]), grid([3, V]), OVERLAPPING)[1].tolist() == [[V, V]]
    assert unanswerable(OVERLAPPING) == ("animal",)


def test_foreign_scores_of_a_table_by_hand() -> None:
    labels = grid([0, 0, 1, 1], [2, 2, 3, V])
    answers = grid([0, 1, 1, 0], [2, 4, 0, 0])
    classes, truth = foreign_answers(answers, labels, OVERLAPPING)
    result = evaluation(truth, classes, FOREIGN)
    assert result.confusion.tolist() == [[2, 0, 0, 0, 0], [1, 1, 0, 0, 0], [0, 0, 1, 0, 1], [0] * 5]
    assert result.iou == (2 / 3, 1 / 2, 1 / 2, None)
    assert result.pixel_accuracy == 4 / 6


def test_foreign_answers_agree_with_the_rule_pixel_by_pixel() -> None:
    random = np.random.default_rng(3)
    rows = tuple(frozenset(np.flatnonzero(random.random(5) < 0.4).tolist()) for _ in range(4))
    relation = Relation("r", SOURCE, FOREIGN, rows)
    answers = random.choice([0, 1, 2, 3, 4, V], (9, 31)).astype(np.uint8)
    labels = random.choice([0, 1, 2, 3, V], (9, 31)).astype(np.uint8)
    classes, truth = foreign_answers(answers, labels, relation)
    for at in np.ndindex(labels.shape):
        label, answer = int(labels[at]), int(answers[at])
        allowing = [y for y in range(4) if answer in rows[y]]
        expected = label if label in allowing else (allowing or [V])[0]
        assert classes[at] == expected
        assert truth[at] == (label if label != V and rows[label] else V)


# A whole split


def write_split(folder: Path, truths: dict[str, Classes], *, labels: bool = True) -> Split:
    names = ", ".join(f'{{ name = "{c}" }}' for c in ABC.names)
    (folder / "abc.toml").write_text(f'name = "abc"\nclasses = [{names}]\n')
    lines = ['name = "tiny"', 'label_space = "abc.toml"', "[splits.val]", 'images = "images/*.png"']
    (folder / "dataset.toml").write_text("\n".join(lines + ['labels = "labels/*.png"'] * labels) + "\n")
    for name, truth in truths.items():
        for kind, pixels in (("images", cv2.merge([truth] * 3)), ("labels", truth)):
            (folder / kind).mkdir(exist_ok=True)
            assert cv2.imwrite(str(folder / kind / f"{name}.png"), pixels)
    return Dataset.load(folder).split("val")


def seen(image: npt.NDArray[np.uint8]) -> Classes:
    """A perfect network: the test's images show their labels."""
    return np.ascontiguousarray(image[..., 0])


def test_a_split_is_counted_over_all_frames(tmp_path: Path) -> None:
    truths = {f"f{k}": np.full((4, 4 + k), k % 3, np.uint8) for k in range(7)}
    calls: list[int] = []
    result = evaluate(seen, ABC, write_split(tmp_path, truths), on_frame=lambda: calls.append(1))
    assert result.frames == len(calls) == 7
    assert result.confusion.sum() == sum(t.size for t in truths.values())
    assert result.mean_iou == 1.0


def test_scoring_through_a_relation_answers_in_the_labels_space(tmp_path: Path) -> None:
    split = write_split(tmp_path, {"one": grid([0, 1], [2, 2])})
    relation = Relation("r", SOURCE, split.label_space, (frozenset({0}), frozenset({1}), frozenset()))
    result = evaluate(lambda image: np.zeros_like(seen(image)), SOURCE, split, relation=relation)
    assert result.label_space.names == ("a", "b", "c")
    assert result.confusion.tolist() == [[1, 0, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]
    assert result.uncounted == ("c",)


def test_label_spaces_that_differ_are_refused_with_both_shown(tmp_path: Path) -> None:
    split = write_split(tmp_path, {"one": grid([0, 1])})
    with pytest.raises(InputError, match=r"the network speaks 'source'.*data set 'tiny' speaks 'abc'"):
        evaluate(seen, SOURCE, split)
    with pytest.raises(InputError, match=r"the network speaks 'abc'.*source of relation 'r' speaks 'source'"):
        evaluate(seen, ABC, split, relation=OVERLAPPING)
    with pytest.raises(InputError, match=r"foreign side of relation 'r' speaks 'foreign'.*speaks 'abc'"):
        evaluate(seen, SOURCE, split, relation=OVERLAPPING)


def test_a_split_without_labels_is_refused(tmp_path: Path) -> None:
    split = write_split(tmp_path, {"one": grid([0, 1])}, labels=False)
    with pytest.raises(InputError, match="split 'val' has no labels to compare with"):
        require_scorable(ABC, split, None)


def test_a_prediction_of_another_size_is_refused(tmp_path: Path) -> None:
    split = write_split(tmp_path, {"one": grid([0, 1], [1, 0])})
    with pytest.raises(InputError, match=r"frame 'one': the prediction is uint8 \(1, 2\); uint8 \(2, 2\)"):
        evaluate(lambda image: seen(image)[:1], ABC, split)


def test_the_document_holds_null_for_what_has_no_score() -> None:
    document = evaluation(grid([0, 0], [1, 1]), grid([0, 1], [1, 1])).to_dict()
    assert document["classes"][2] == {"name": "c", "pixels": 0, "iou": None, "boundary_f": None}
    assert document["confusion"] == [[1, 1, 0, 0], [0, 2, 0, 0], [0, 0, 0, 0]]
    assert document["mean_iou"] == pytest.approx(7 / 12)
