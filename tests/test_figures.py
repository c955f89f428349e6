"""The pictures of a run folder."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from lsu.runtime import InputError, LabelClass, LabelSpace
from lsu.runtime.evaluate import Evaluation
from lsu.training.figures import _curves, draw_run, smoothed, write_score
from lsu.training.run_folder import CONFUSION, CURVES, LOG, SCORE


def evaluation(classes: int, seed: int = 0) -> Evaluation:
    space = LabelSpace("many", tuple(LabelClass(f"class $\\x{k}$ of a long name") for k in range(classes)))
    counts = np.random.default_rng(seed).integers(0, 99, (classes, classes + 1))
    counts[np.arange(classes), np.arange(classes)] += 900
    counts[0] = 0
    return Evaluation(space, counts, np.zeros((classes, 4), np.int64), frames=1)


def write_log(folder: Path, lines: int, **more: float | None) -> None:
    text = [{"step": 10 * k + 10, "loss": 2.0 / (k + 1), "learning_rate": 0.1, **more} for k in range(lines)]
    (folder / LOG).write_text("".join(json.dumps(line) + "\n" for line in text))


def test_the_mean_is_centred_and_leaves_out_what_is_no_number() -> None:
    values = np.array([1.0] * 20 + [np.nan] + [4.0] * 39)
    smooth, width = smoothed(values)
    assert width == 3
    assert smooth[0] == 1.0
    assert smooth[20] == 2.5  # of 1 and 4
    assert smooth[21] == 4.0
    assert smoothed(np.array([5.0, 1.0]))[0].tolist() == [5.0, 1.0]


@pytest.mark.parametrize("classes", [2, 19, 123])
def test_pictures_are_small_enough_to_send(tmp_path, classes) -> None:
    write_log(tmp_path, 300, **{"score/mean_iou": 0.5})
    write_score(tmp_path, evaluation(classes))
    pictures = draw_run(tmp_path)
    for name, file in (("curves", CURVES), ("confusion", CONFUSION)):
        assert (tmp_path / file).stat().st_size < 200_000
        shown = cv2.imread(str(tmp_path / file))
        assert shown.shape == pictures[name].shape
        assert max(shown.shape) < 2400


def test_without_scores_there_are_curves_only(tmp_path) -> None:
    write_score(tmp_path, evaluation(2))
    draw_run(tmp_path)
    write_log(tmp_path, 1)
    write_score(tmp_path, None)
    assert list(draw_run(tmp_path)) == ["curves"]
    assert not (tmp_path / CONFUSION).exists()


def test_losses_and_scores_that_are_no_numbers_are_drawn_around(tmp_path) -> None:
    write_log(tmp_path, 5, **{"loss": None, "score/mean_iou": None})
    assert list(draw_run(tmp_path)) == ["curves"]


def test_the_best_score_is_the_largest_that_is_a_number(tmp_path) -> None:
    scores = {10: float("nan"), 20: 0.25, 30: 0.5, 40: 0.375}
    figure = _curves({"loss": {10: 1.0}, "score/mean_iou": scores})
    assert figure.axes[2].get_title(loc="right") == "best 50.0 % after step 30"


def test_a_row_shows_shares_of_its_class_and_grey_where_it_has_no_pixel(tmp_path) -> None:
    write_score(tmp_path, evaluation(4))
    picture = draw_run(tmp_path)["confusion"]
    grey = (picture == (228, 228, 228)).all(-1)
    assert grey.sum() > 0.02 * grey.size


def test_a_single_point_is_seen() -> None:
    for points, marker in ((1, "o"), (2, "")):
        curve = {10.0 * k: 1.0 for k in range(points)}
        figure = _curves({"loss": curve, "learning_rate": curve})
        assert [axes.lines[0].get_marker() for axes in figure.axes] == [marker] * 2


@pytest.mark.parametrize("damage", ['{"classes": [', "[]", '{"classes": [], "confusion": [[]]}'])
def test_a_damaged_score_is_one_line(tmp_path, damage) -> None:
    (tmp_path / SCORE).write_text(damage)
    with pytest.raises(InputError, match="score.json: not an evaluation of lsu: delete it"):
        draw_run(tmp_path)


def test_an_empty_folder_gives_no_picture(tmp_path) -> None:
    assert draw_run(tmp_path) == {}
