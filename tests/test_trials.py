"""The arithmetic of the trials' tables; the trials themselves take minutes and real data."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "tools"))
import trial_schedules
import trials


def test_each_drive_is_scored_once_per_seed_and_is_never_learnt_from_then() -> None:
    found = trials.rotations(2)
    assert [t.scored for t in found if t.seed == 1] == ["0016E5", "0001TP", "0006R0"]
    assert all(len({t.source, t.foreign, t.scored}) == 3 for t in found)
    assert len({t.name for t in found}) == 6


def test_a_summary_has_means_and_spreads_over_what_agrees() -> None:
    rows = [
        {"scored": "a", "model": "x", "miou": 1.0},
        {"scored": "a", "model": "x", "miou": 4.0},
        {"scored": "b", "model": "x", "miou": ""},
    ]
    first, second = trials.summary(rows, by=("scored", "model"))
    assert first == {"scored": "a", "model": "x", "rows": 2, "miou_mean": 2.5, "miou_sd": 2.12}
    assert (second["rows"], second["miou_mean"], second["miou_sd"]) == (1, "", "")


@pytest.mark.parametrize(
    ("target", "expected"),
    [(15.0, 1.33), (20.0, 1.0), (25.0, ""), (9.0, "> 2.00")],  # 100 / 75, 100 / 100, never, at once
)
def test_equal_scores_are_read_off_between_two_budgets(target: float, expected: float | str) -> None:
    curve = [{"miou": 10.0, "megapixels": 50.0}, {"miou": 20.0, "megapixels": 100.0}]
    assert trial_schedules.ratio_at(target, 100.0, curve, "megapixels") == expected


def test_a_fit_that_was_cut_off_is_timed_whole(tmp_path, monkeypatch) -> None:
    place = tmp_path / "fixed-400"
    begun = []

    def fitted(folder, data, fitting, *, on_step):
        begun.append(not folder.exists())
        folder.mkdir(exist_ok=True)
        if begun[-1]:
            on_step(None)
            on_step(None)
        return folder / "checkpoint.safetensors"

    place.mkdir()
    (place / "unfinished.safetensors").write_text("a third of it")
    monkeypatch.setattr(trial_schedules, "fitted", fitted)
    checkpoint, seconds = trial_schedules.timed(place, [], trials.Fitting(9))
    assert begun == [True]
    assert (checkpoint.parent, seconds >= 0) == (place, True)
    (place / "seconds.json").write_text(json.dumps(12.5))
    assert (
        trial_schedules.timed(place, [], trials.Fitting(9))[1] == 12.5
    )  # done before: neither fitted nor timed again
    assert begun == [True, False]


def test_pseudo_labels_are_judged_by_the_truth_of_their_own_frame() -> None:
    def split(folder: str, *names: str) -> SimpleNamespace:
        return SimpleNamespace(frames=[SimpleNamespace(image=Path(folder, name)) for name in names])

    assert len(trials.same_frames(split("x", "a.jpg", "b.jpg"), split("y", "a.png", "b.png"))) == 2
    with pytest.raises(SystemExit, match="x/b.jpg would be judged by the truth of x/c.jpg"):
        trials.same_frames(split("x", "a.jpg", "b.jpg"), split("x", "a.jpg", "c.jpg"))
