"""`lsu relabel` with stored scores and several teachers, and scores that it keeps."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from bundles import tiny_bundle
from pictures import FOREIGN, SOURCE, BrightnessEngine, write_dataset
from relabelling import request, tree
from test_cli import RELABEL
from test_cli import lsu as lsu  # noqa: PLC0414 - a plain import would be redefined by arguments
from test_cli import place as place  # noqa: PLC0414 - the same
from test_score_store import rewritten

from lsu.runtime import BackendError, Dataset, InputError, LabelClass, LabelSpace, ModelSpec, Relation
from lsu.runtime.image import grey_from_bytes
from lsu.runtime.relabel import teacher_folders
from lsu.runtime.relabel.output import Output
from lsu.runtime.relabel.pipeline import relabel
from lsu.runtime.relabel.score_writer import ScoreWriter
from lsu.runtime.relabel.teachers import Ensemble, Network, StoredScores
from lsu.runtime.relabel.views import views_from_text

DATA = ("--data", "data", "--split", "train", "--relation", "r.toml", "--out")
KEEP = {"keep_scores": True}


def labels(folder: Path) -> np.ndarray:
    files = sorted((folder / "labels").rglob("*.png"))
    return np.stack([grey_from_bytes(p.read_bytes(), p) for p in files])


@pytest.mark.parametrize("views", ["", "flip,1.5"])
def test_labels_from_kept_scores_are_those_of_the_live_run(tmp_path, views) -> None:
    write_dataset(tmp_path / "data", frames=8, size=(96, 152))  # blocks of 4 need no padding, of 16 they do
    teacher = Network(BrightnessEngine(), views_from_text(views))
    relabel(teacher, request(tmp_path, free=True, **KEEP), tmp_path / "live")
    asked = request(tmp_path, free=True)
    relabel(StoredScores(tmp_path / "live/scores", asked.split), asked, tmp_path / "stored")
    live, stored = labels(tmp_path / "live"), labels(tmp_path / "stored")
    assert len(np.unique(live)) == 5
    assert (live != stored).mean() < 5e-4


def test_small_probabilities_of_allowed_classes_are_not_lost_where_another_leads(tmp_path) -> None:
    class Sure(BrightnessEngine):
        """Person leads all others by 25, and no label allows it."""

        def infer(self, images: np.ndarray) -> np.ndarray:
            scores = super().infer(images)
            scores[:, 2] += 25 + scores.max(1)
            return scores

    rows = {"ground": ["road", "car", "sky"], "object": ["car", "sky"], "above": ["sky", "road"]}
    relation = Relation.from_names("without person", SOURCE, FOREIGN, allow=rows)
    asked = request(tmp_path, relation=relation, **KEEP)
    relabel(Network(Sure(), views_from_text("flip")), asked, tmp_path / "live")
    again = request(tmp_path, relation=relation)
    relabel(StoredScores(tmp_path / "live/scores", again.split), again, tmp_path / "stored")
    live, stored = labels(tmp_path / "live"), labels(tmp_path / "stored")
    assert (live != stored).mean() < 5e-3


def test_kept_scores_have_the_canvas_and_the_void_channel_of_the_teacher(tmp_path) -> None:
    class Padding(BrightnessEngine):
        spec = ModelSpec(SOURCE, fit="pad", multiple=16, void_channel=4)

        def infer(self, images: np.ndarray) -> np.ndarray:
            scores = super().infer(images)
            return np.concatenate([scores, np.full_like(scores[:, :1], -1.2)], 1)

    write_dataset(tmp_path / "data", frames=3, size=(40, 72))
    asked = request(tmp_path, free=True, **KEEP)
    relabel(Network(Padding()), asked, tmp_path / "live")
    again = request(tmp_path, free=True)
    stored = StoredScores(tmp_path / "live/scores", again.split)
    assert stored.void_channel == 4
    frame = again.split.frames[0]
    assert stored.scores(frame, again.split.read_image(frame)).canvas == (48, 80)
    relabel(stored, again, tmp_path / "stored")
    live = labels(tmp_path / "live")
    assert (live == 255).any()
    assert (live != labels(tmp_path / "stored")).mean() < 5e-3


def test_kept_scores_of_an_ensemble_are_its_probabilities(tmp_path) -> None:
    ensemble = Ensemble([Network(BrightnessEngine()), Network(BrightnessEngine(), views_from_text("0.5"))])
    asked = request(tmp_path, **KEEP)
    relabel(ensemble, asked, tmp_path / "out")
    assert json.loads((tmp_path / "out/scores/scores.json").read_text())["kind"] == "log-probabilities"
    frame = asked.split.frames[2]
    image = asked.split.read_image(frame)
    kept = StoredScores(tmp_path / "out/scores", asked.split).scores(frame, image)
    assert np.allclose(kept.values, ensemble.scores(frame, image).values, atol=1e-3)


@pytest.mark.parametrize("change", [Path.unlink, lambda p: p.write_bytes(p.read_bytes()[:-9])])
def test_a_frame_whose_kept_scores_are_gone_is_done_again(tmp_path, change) -> None:
    asked = request(tmp_path, **KEEP)
    relabel(Network(BrightnessEngine()), asked, tmp_path / "out")
    whole = tree(tmp_path / "out/scores")
    change(tmp_path / "out/scores/train/f2.npz")
    told: list[int] = []
    relabel(Network(BrightnessEngine()), asked, tmp_path / "out", on_frame=told.append)
    assert told == [4, 1]
    assert tree(tmp_path / "out/scores") == whole


def test_other_scores_may_not_continue_a_folder(tmp_path) -> None:
    asked = request(tmp_path)
    relabel(Network(BrightnessEngine()), request(tmp_path, **KEEP), tmp_path / "live")
    folder = tmp_path / "live/scores"
    relabel(StoredScores(folder, asked.split), asked, tmp_path / "out")
    relabel(StoredScores(folder, asked.split), asked, tmp_path / "out")
    with pytest.raises(InputError, match="holds a relabelling with another scores"):
        rewritten(canvas=np.array([32, 48], np.int32))(folder / "train/f4.npz")
        relabel(StoredScores(folder, asked.split), asked, tmp_path / "out")
    with pytest.raises(InputError, match="holds a relabelling with another "):
        relabel(Network(BrightnessEngine()), asked, tmp_path / "out")


def test_scores_that_cannot_be_kept_leave_their_frame_out(tmp_path) -> None:
    class Broken(BrightnessEngine):
        def infer(self, images: np.ndarray) -> np.ndarray:
            scores = super().infer(images)
            if images[0, 0, 0, 0] == first:
                scores[0, 0, 0, 0] = np.nan
            return scores

    asked = request(tmp_path, **KEEP)
    first = asked.split.read_image(asked.split.frames[3])[0, 0, 0]
    summary = relabel(Network(Broken()), asked, tmp_path / "out")
    assert ("f3", "a score is not finite, so the scores cannot be kept") in summary.skipped
    assert not (tmp_path / "out/labels/train/f3.png").exists()


def test_kept_scores_are_there_before_the_label_file(tmp_path, monkeypatch) -> None:
    def full(*_: object) -> str:
        raise BackendError("no space")

    monkeypatch.setattr(Output, "write", full)
    with pytest.raises(BackendError, match="no space"):
        relabel(Network(BrightnessEngine()), request(tmp_path, **KEEP), tmp_path / "out", workers=1)
    assert (tmp_path / "out/scores/train/f0.npz").is_file()
    assert not (tmp_path / "out/labels").exists()


def test_two_bundles_and_scores_are_an_ensemble(place, lsu) -> None:
    assert lsu(*RELABEL[:-1], "one", "--keep-scores").code == 0
    tiny_bundle(place / "other", ModelSpec(SOURCE, fit="pad", multiple=16))
    words = ("relabel", "bundle", "other", "--scores", "one/scores", "--shares", "2,1,1", *DATA, "out")
    assert lsu(*words, "--keep-scores", "--json").code == 0
    header = json.loads((place / "out/journal.jsonl").read_text().splitlines()[0])
    assert header["shares"] == [0.5, 0.25, 0.25]
    assert ["network" in member for member in header["ensemble"]] == [True, True, False]
    assert lsu("relabel", "out/scores", *DATA, "again").code == 0  # told by its table
    assert (labels(place / "out") != labels(place / "again")).mean() < 0.01


def test_the_teachers_of_a_command_are_opened_with_their_views_and_closed(place, lsu, monkeypatch) -> None:
    assert lsu(*RELABEL[:-1], "one", "--keep-scores").code == 0
    closed = []
    real = teacher_folders.engine_for

    def watched(*arguments, **options):
        engine = real(*arguments, **options)
        close = engine.close
        engine.close = lambda: (closed.append(1), close())[1]
        return engine

    monkeypatch.setattr(teacher_folders, "engine_for", watched)
    assert lsu("relabel", "bundle", "--scores", "one/scores", "--views", "flip", *DATA, "out").code == 0
    header = json.loads((place / "out/journal.jsonl").read_text().splitlines()[0])
    assert header["ensemble"][0]["views"] == ["1", "1 flipped"]
    assert closed == [1]


def test_stores_are_taken_in_the_order_of_the_command(place, lsu) -> None:
    for name in ("one", "two"):
        assert (
            lsu(*RELABEL[:-1], name, "--keep-scores", *(["--views", "flip"] if name == "two" else [])).code
            == 0
        )
    facts = {}
    for name in ("one", "two"):
        assert lsu("relabel", "--scores", f"{name}/scores", *DATA, f"from-{name}").code == 0
        first = (place / f"from-{name}/journal.jsonl").read_text().splitlines()[0]
        facts[name] = json.loads(first)["scores"]
    assert facts["one"] != facts["two"]
    assert lsu("relabel", "--scores", "two/scores", "--scores", "one/scores", *DATA, "both").code == 0
    header = json.loads((place / "both/journal.jsonl").read_text().splitlines()[0])
    assert [member["scores"] for member in header["ensemble"]] == [facts["two"], facts["one"]]


def test_relative_confidence_is_told_by_class(place, lsu) -> None:
    outcome = lsu(*RELABEL, "--confidence", "relative", "--json")
    assert outcome.code == 0
    rows = json.loads(outcome.out)["confidence"]
    assert {row["class"] for row in rows} <= set(SOURCE.names)
    assert all(0 <= row["threshold"] <= 1 for row in rows)
    assert all(row["kept"] is None if not row["pixels"] else 0 <= row["kept"] <= 1 for row in rows)
    assert any(row["pixels"] for row in rows)
    table = lsu(*RELABEL, "--confidence", "relative").out
    assert "threshold" in table
    assert Dataset.load("out").split("train").frames


def test_a_damaged_file_of_scores_leaves_its_frame_out(place, lsu) -> None:
    assert lsu(*RELABEL[:-1], "one", "--keep-scores").code == 0
    path = place / "one/scores/train/f1.npz"
    path.write_bytes(path.read_bytes()[:-40])
    outcome = lsu("relabel", "--scores", "one/scores", *DATA, "out", "--json")
    assert outcome.code == 1
    (skipped,) = json.loads(outcome.out)["skipped"]
    assert skipped["frame"] == "f1"
    assert "f1.npz: not a .npz file, or damaged" in skipped["reason"]


def missing_frames(place: Path) -> None:
    (place / "one/scores/train/f1.npz").unlink()


def other_space(place: Path) -> None:
    shutil.rmtree(place / "one/scores")
    space = LabelSpace("four", tuple(LabelClass(n) for n in "abcd"))
    writer = ScoreWriter(place / "one/scores", space, kind="logits")
    for k in range(5):
        writer.write("train", f"f{k}", np.zeros((4, 6, 10), np.float32), (24, 40))


def nothing(_: Path) -> None:
    pass


@pytest.mark.parametrize(
    ("change", "words", "message"),
    [
        (nothing, (), "no teacher is named: give a bundle's folder, or --scores DIR"),
        (nothing, ("bundle", "--shares", "1,2"), "2 shares for 1 teachers: give one to each"),
        (nothing, ("bundle", "--scores", "one/scores", "--shares", "1"), "1 shares for 2 teachers"),
        (nothing, ("bundle", "--scores", "one/scores", "--shares", "1,-2"), "numbers above 0 are needed"),
        (nothing, ("bundle", "--shares", "half"), "shares are 'half'; numbers such as 0.7,0.3 are needed"),
        (nothing, ("--scores", "one/scores", "--views", "flip"), "views 'flip' need a bundle"),
        (nothing, ("--scores", "bundle"), "is no folder of scores: it has no scores.json"),
        (nothing, ("--scores", "gone"), "gone/scores.json: cannot be read"),
        (nothing, ("bundle", "--confidence", "best"), "unknown confidence 'best'; known: relative"),
        (missing_frames, ("--scores", "one/scores"), "1 of 5 frames have no stored scores, the first is "),
        (other_space, ("--scores", "one/scores"), "label spaces differ: the teacher speaks 'four'"),
        (other_space, ("bundle", "--scores", "one/scores"), "label spaces differ: teacher 2 speaks 'four'"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_bad_teachers_are_one_line_and_code_2_and_nothing_is_written(
    place,
    lsu,
    change,
    words,
    message,
) -> None:
    assert lsu(*RELABEL[:-1], "one", "--keep-scores").code == 0
    change(place)
    outcome = lsu("relabel", *words, *DATA, "out")
    assert outcome.code == 2
    assert message in outcome.line
    assert not (place / "out").exists()


def test_an_output_inside_stored_scores_is_refused(place, lsu) -> None:
    assert lsu(*RELABEL[:-1], "one", "--keep-scores").code == 0
    outcome = lsu("relabel", "--scores", "one/scores", *DATA, "one/scores/out")
    assert outcome.code == 2
    assert "is inside the folder of scores, which must not change" in outcome.line
