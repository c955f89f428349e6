"""The arithmetic of the trials' tables; the trials themselves take minutes and real data."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "tools"))
import plot_trials
import trial_black_box
import trial_distillation
import trial_schedules
import trial_transfer
import trials
from matplotlib.axes import Axes
from measurement import write_csv


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


def test_over_all_drives_the_spread_is_that_of_the_seeds() -> None:
    rows = [
        {"scored": drive, "seed": seed, "model": "x", "miou": miou, "kept": ""}
        for drive, seed, miou in (("a", 0, 10.0), ("b", 0, 30.0), ("a", 1, 12.0), ("b", 1, 32.0))
    ]
    *_, every = trials.by_drive(rows, ("miou", "kept"))
    assert (every["scored"], every["rows"]) == ("all", 2)
    assert (every["miou_mean"], every["miou_sd"], every["kept_mean"]) == (21.0, 1.41, "")


def test_a_table_names_the_command_with_all_that_changes_it(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("sys.argv", ["elsewhere/trial_x.py"])
    asked = trials.parser("", work="x", steps=400)
    asked.add_argument("--repeats", type=int, default=90)
    trials.write_table(tmp_path / "t.csv", [{"a": 1}], asked.parse_args(["--data", "d", "--jobs", "2"]))
    command = "python tools/trial_x.py --data $LSU_DATA --seeds 3 --steps 400 --size 128x160 --repeats 90"
    assert (tmp_path / "t.csv").read_text() == f"a,command\n1,{command}\n"


@pytest.mark.parametrize("name", plot_trials.FIGURES)
def test_every_table_is_drawn_with_all_its_models(name: str, tmp_path, monkeypatch) -> None:
    models = {
        "black_box": ["teacher", *trial_black_box.ARMS],
        "distillation": ["teacher", *trial_distillation.ARMS],
        "transfer": [*trial_transfer.MEMBERS, "s-net, mean", "s-net, joined", *trial_transfer.ARMS],
    }.get(name, ["free", "constrained"])
    columns = ("miou", "miou_rare", "iou_Pole", "pseudo_labels_right")
    rows = [
        {"scored": scored, "model": model, "views": "none", "megapixels": 3}
        | {f"{column}_{what}": 1.0 for column in columns for what in ("mean", "sd")}
        for scored in ("a", "all")
        for model in models
    ]
    write_csv(tmp_path / f"{name}_summary.csv", rows)
    shown: list[list[str]] = []
    legend = Axes.legend

    def noted(axes: Axes, **how: object) -> object:
        shown.append(axes.get_legend_handles_labels()[1])
        return legend(axes, **how)

    monkeypatch.setattr(Axes, "legend", noted)
    monkeypatch.setattr("sys.argv", ["x", "--tables", str(tmp_path), "--out", str(tmp_path)])
    plot_trials.main()
    assert shown == [models]
    assert [path.name for path in tmp_path.glob("*.png")] == [f"{name}.png"]


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
