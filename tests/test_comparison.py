"""Comparisons by hand: pixels, scores, tables, tolerances and the pictures of what differs."""

import numpy as np
import pytest

from lsu.export.verification.answers import FREE, Answer
from lsu.export.verification.comparison import Comparing, WorstImage
from lsu.export.verification.constraint import allowed_from_table, drawn_constraint, table_from_allowed
from lsu.export.verification.material import evenly_spread
from lsu.export.verification.report import file_name
from lsu.export.verification.report_page import points_text, share_text
from lsu.export.verification.scores_check import Tolerance, checked_scores
from lsu.export.verification.verify import Options
from lsu.export.verification.worst_picture import DIFFERENT, difference_picture
from lsu.runtime.mixed_cells import mixed_share


def answer(classes: list[list[int]], score: float = 0.0) -> Answer:
    return Answer(np.array([[[score]], [[2.0]]], np.float32), {FREE: np.array(classes, np.uint8)})


def test_pixels_are_counted_over_all_images_and_the_worst_is_kept_first() -> None:
    comparing = Comparing("b", FREE, least=0.8, worst=2)
    image = np.zeros((2, 2, 3), np.uint8)
    right = [[0, 1], [1, 255]]
    for name, other, score in (
        ("a", right, 0.5),
        ("b", [[0, 1], [0, 255]], 0.0),
        ("c", [[1, 0], [1, 255]], 0.0),
    ):
        comparing.add(name, image, answer(right), answer(other, score))
    found = comparing.comparison()
    assert (found.pixels, found.different, found.equal) == (12, 3, 0.75)
    assert not found.passed
    assert [entry.name for entry in found.worst] == ["c", "b"]
    assert [entry.different for entry in found.worst] == [2, 1]
    document = found.to_dict()
    assert document["equal_worst_image"] == 0.5
    assert document["largest_score_difference"] == 0.5
    assert document["largest_difference_of_range"] == 0.25
    assert document["mean_iou"] is None


def test_only_so_many_worst_images_are_kept() -> None:
    comparing = Comparing("b", FREE, least=0, worst=1)
    for name, other in (("a", [[1, 0]]), ("b", [[0, 0]]), ("c", [[1, 0]])):
        comparing.add(name, np.zeros((1, 2, 3), np.uint8), answer([[0, 1]]), answer(other))
    assert [entry.name for entry in comparing.comparison().worst] == ["a"]


@pytest.mark.parametrize("bad", [np.full((2, 1, 1), np.nan, np.float32), np.zeros((2, 1, 2), np.float32)])
def test_scores_that_are_not_finite_or_of_another_shape_fail_whatever_the_classes(bad: np.ndarray) -> None:
    comparing = Comparing("b", FREE, least=0, worst=1)
    given = answer([[0]])
    comparing.add("a", np.zeros((1, 1, 3), np.uint8), given, Answer(bad, given.classes))
    assert comparing.comparison().equal == 1.0
    assert not comparing.comparison().passed


def test_a_table_is_the_same_in_bits_and_booleans() -> None:
    allowed = np.zeros((256, 70), bool)
    allowed[3, [0, 63, 64, 69]] = True
    table = table_from_allowed(allowed)
    assert table[3].tolist() == [1 | 1 << 63, 1 | 1 << 5]
    assert np.array_equal(allowed_from_table(table, 70), allowed)
    drawn = drawn_constraint((4, 6), 70, 1)
    assert drawn.labels.shape == (4, 6)
    assert np.array_equal(table_from_allowed(allowed_from_table(drawn.table, 70)), drawn.table)


def test_mixed_cells_are_those_with_two_best_classes() -> None:
    best = np.array([[0, 0, 1], [0, 0, 1]])
    scores = np.stack([best == 0, best == 1]).astype(np.float32)
    assert mixed_share(scores) == 0.5
    assert mixed_share(scores[:, :1]) == 0.0  # no cell


def test_polygraphy_judges_scores_by_both_tolerances() -> None:
    truth = np.array([[[1.0, 100.0]]], np.float32)
    other = np.array([[[1.0, 101.0]]], np.float32)
    assert checked_scores(other, truth, Tolerance(rtol=0.02, atol=0)).passed
    assert checked_scores(other, truth, Tolerance(rtol=0, atol=1.5)).passed
    found = checked_scores(other, truth, Tolerance(rtol=0.005, atol=0.25))
    assert not found.passed
    assert (found.max_absdiff, found.mean_absdiff) == (1.0, 0.5)
    assert found.max_reldiff == pytest.approx(0.01)
    assert not checked_scores(other[..., :1], truth, Tolerance(1, 1)).passed


def test_frames_are_spread_from_the_first_to_the_last() -> None:
    frames = tuple(range(10))
    assert evenly_spread(frames, 3) == (0, 4, 9)
    assert evenly_spread(frames, 1) == (0,)
    assert evenly_spread(frames, None) == evenly_spread(frames, 99) == frames


def test_a_single_different_pixel_is_seen_in_a_large_image() -> None:
    reference = np.zeros((720, 1440), np.uint8)
    other = reference.copy()
    other[300, 700] = 1
    picture = difference_picture(WorstImage("a", np.zeros((720, 1440, 3), np.uint8), reference, other))
    marked = (picture == DIFFERENT).all(-1)
    assert marked[300, 700]
    assert marked.sum() == 13 * 13  # three pixels of a strip that is a quarter as wide, made odd


def test_figures_say_neither_more_nor_less() -> None:
    assert [share_text(share) for share in (1, 1 - 1e-9, 0.5)] == ["100.0000", "99.9999", "50.0000"]
    assert [points_text(d) for d in (None, 0.0, 0.0123, -1e-5)] == ["-", "0", "+1.230", "-0.001"]
    assert file_name("bundle a/b (1)", "free") == "bundle_a_b_1-free"
    assert Options().least("float16") == 0.995
    assert Options(agreement=0.5).least("float32") == 0.5
