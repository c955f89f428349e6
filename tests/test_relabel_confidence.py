"""Relabelling by relative confidence: two passes, and the same files after any kill."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pictures import FOREIGN, SOURCE, BrightnessEngine, write_dataset
from relabelling import RELATION, request, tree

from lsu.runtime import VOID, Dataset, InputError, ModelSpec, Relation
from lsu.runtime.image import grey_from_bytes
from lsu.runtime.relabel import threshold
from lsu.runtime.relabel.confidence import relative_confidence
from lsu.runtime.relabel.journal import Journal
from lsu.runtime.relabel.output import Output
from lsu.runtime.relabel.pipeline import relabel
from lsu.runtime.relabel.score_grid import probabilities_of
from lsu.runtime.relabel.teachers import Network
from lsu.runtime.segmenter import Segmenter

RELATIVE = {"confidence": "relative"}


def pixels(folder: Path, part: str) -> np.ndarray:
    files = sorted((folder / part / "train").rglob("*.png"))
    return np.stack([grey_from_bytes(p.read_bytes(), p) for p in files])


def test_labels_are_the_candidates_above_the_mean_of_their_class(tmp_path) -> None:
    out, asked = tmp_path / "out", request(tmp_path, **RELATIVE)
    summary = relabel(Network(BrightnessEngine()), asked, out)
    candidates, confidence, labels = (pixels(out, p) for p in ("candidates", "confidence", "labels"))
    assert confidence.dtype == np.uint16
    expected = np.full_like(candidates, VOID)
    rows = {row.name: row for row in summary.confidence}
    foreign = np.stack([asked.split.read_labels(frame) for frame in asked.split.frames])
    single = np.array([len(row) == 1 for row in RELATION.allowed] + [False] * 253)
    single[VOID] = len(RELATION.void_allowed) == 1
    for k, name in enumerate(SOURCE.names):
        of_class = candidates == k
        forced = of_class & single[foreign]
        chosen = of_class & ~forced
        mean = confidence[chosen].mean() if chosen.any() else 65535
        kept = forced | (chosen & ((confidence > mean) | (confidence == 65535)))
        expected[kept] = k
        assert abs(rows[name].threshold - mean / 65535) < 1e-9
        assert (rows[name].pixels, rows[name].forced) == (chosen.sum(), forced.sum())
        assert rows[name].kept == (kept & chosen).sum()
    assert np.array_equal(labels, expected)
    assert 0.2 < (labels != VOID).mean() < 0.9
    assert rows["road"].forced > 0  # ground allows it alone
    assert rows["car"].kept < rows["car"].pixels


def test_candidates_and_confidence_are_those_of_the_constrained_probabilities(tmp_path) -> None:
    asked = request(tmp_path, **RELATIVE)
    relabel(Network(BrightnessEngine()), asked, tmp_path / "out")
    segmenter = Segmenter(BrightnessEngine())
    candidates, confidence = (pixels(tmp_path / "out", p) for p in ("candidates", "confidence"))
    for k, frame in enumerate(asked.split.frames):
        sample = asked.split.read(frame)
        scores = probabilities_of(segmenter.scores(sample.image), "logits")
        answer = segmenter.head(
            scores.values, (24, 40), labels=sample.labels, table=RELATION.table(), canvas=scores.canvas
        )
        assert np.array_equal(candidates[k], answer.classes)
        truth = relative_confidence(scores, (24, 40), labels=sample.labels, table=RELATION.table())
        assert np.abs(confidence[k] / 65535 - truth).max() <= 0.5001 / 65535


def test_it_works_without_labels_and_without_a_relation(tmp_path) -> None:
    path = write_dataset(tmp_path / "data")
    lines = path.read_text().splitlines(True)
    path.write_text("".join(line for line in lines if not line.startswith("labels")))
    asked = request(tmp_path, relation=None, free=True, **RELATIVE)
    summary = relabel(Network(BrightnessEngine()), asked, tmp_path / "out")
    assert [row.name for row in summary.labels] == ["all"]
    assert all(0 < row.kept < row.pixels for row in summary.confidence)


def test_answers_of_the_void_channel_are_no_class(tmp_path) -> None:
    class Voiding(BrightnessEngine):
        spec = ModelSpec(SOURCE, fit="pad", multiple=16, void_channel=4)

        def infer(self, images: np.ndarray) -> np.ndarray:
            scores = super().infer(images)
            return np.concatenate([scores, np.full_like(scores[:, :1], -1.2)], 1)

    rows = {"ground": ["road", "car", "void"], "object": ["car"], "above": ["void"]}
    asked = request(tmp_path, relation=Relation.from_names("v", SOURCE, FOREIGN, allow=rows), **RELATIVE)
    summary = relabel(Network(Voiding()), asked, tmp_path / "out")
    candidates, labels = (pixels(tmp_path / "out", p) for p in ("candidates", "labels"))
    assert (labels[candidates == VOID] == VOID).all()
    assert (candidates == VOID).any()
    assert [row.name for row in summary.confidence] == ["road", "car"]
    assert sum(row.pixels + row.forced for row in summary.confidence) == (candidates != VOID).sum()


def test_the_summary_is_written_and_the_result_is_a_data_set(tmp_path) -> None:
    summary = relabel(Network(BrightnessEngine()), request(tmp_path, **RELATIVE), tmp_path / "out")
    document = json.loads((tmp_path / "out/summary.json").read_text())
    assert document == summary.to_dict()
    assert [*document["confidence"][0]] == ["class", "threshold", "pixels", "kept", "forced"]
    split = Dataset.load(tmp_path / "out").split("train")
    assert np.array_equal(split.read(split.frames[0]).labels, pixels(tmp_path / "out", "labels")[0])
    assert (
        "confidence" not in relabel(Network(BrightnessEngine()), request(tmp_path), tmp_path / "o").to_dict()
    )


@pytest.mark.parametrize("workers", [1, 3])
def test_both_passes_are_told(tmp_path, workers) -> None:
    asked, told = request(tmp_path, **RELATIVE), []
    asked.split.frames[1].image.write_bytes(b"")
    for _ in range(2):  # the second time all but one is done already
        told.clear()
        relabel(Network(BrightnessEngine()), asked, tmp_path / "out", workers=workers, on_frame=told.append)
        assert sum(told) == asked.total == 10


def test_labels_of_two_levels_are_never_a_data_set(tmp_path, monkeypatch) -> None:
    asked, out = request(tmp_path, **RELATIVE), tmp_path / "out"
    image = asked.split.frames[0].image
    good = image.read_bytes()
    image.write_bytes(good[:50])
    relabel(Network(BrightnessEngine()), asked, out, workers=1)
    assert (out / "dataset.toml").exists()
    image.write_bytes(good)
    write = Output.write

    def mortal(self, frame, png, part="labels"):
        if part == "labels":
            raise KeyError
        return write(self, frame, png, part)

    with monkeypatch.context() as patch, pytest.raises(KeyError):
        patch.setattr(Output, "write", mortal)
        relabel(Network(BrightnessEngine()), asked, out, workers=1)
    assert not (out / "dataset.toml").exists()
    relabel(Network(BrightnessEngine()), asked, out, workers=1)
    assert len(Dataset.load(out).split("train").frames) == len(asked.split.frames)


@pytest.mark.parametrize("stop", [("add", 2), ("write", 3), ("write", 8), ("write", 12), ("make_dataset", 0)])
def test_a_run_that_was_killed_and_continued_leaves_the_same_files(tmp_path, monkeypatch, stop) -> None:
    """Each frame writes two files in the first pass, and its label file in the second."""
    name, after = stop
    asked = request(tmp_path, **RELATIVE, keep_scores=True)
    relabel(Network(BrightnessEngine()), asked, tmp_path / "whole", workers=1)
    owner = Journal if name == "add" else Output
    real = getattr(owner, name)
    seen = 0

    def killed(self, *args, **kwargs):
        nonlocal seen
        if seen == after:
            raise KeyboardInterrupt
        seen += 1
        return real(self, *args, **kwargs)

    monkeypatch.setattr(owner, name, killed)
    with pytest.raises(KeyboardInterrupt):
        relabel(Network(BrightnessEngine()), asked, tmp_path / "cut", workers=1)
    monkeypatch.undo()
    assert not (tmp_path / "cut/dataset.toml").exists()
    for part in ("candidates", "confidence", "labels", "scores"):
        (tmp_path / f"cut/{part}/train").mkdir(parents=True, exist_ok=True)
        (tmp_path / f"cut/{part}/train/.f3.1-2.part").write_bytes(b"half")
    relabel(Network(BrightnessEngine()), asked, tmp_path / "cut", workers=2)
    assert tree(tmp_path / "cut") == tree(tmp_path / "whole")


def test_a_process_killed_in_the_second_pass_continues_to_the_same_files(tmp_path) -> None:
    write_dataset(tmp_path / "data", frames=30)
    asked = request(tmp_path, **RELATIVE)
    relabel(Network(BrightnessEngine()), asked, tmp_path / "whole")
    program = (
        "import os, sys, signal\n"
        "sys.path.insert(0, sys.argv[1])\n"
        "from pathlib import Path\n"
        "import relabelling, pictures\n"
        "from lsu.runtime.relabel.output import Output\n"
        "from lsu.runtime.relabel.pipeline import relabel\n"
        "from lsu.runtime.relabel.teachers import Network\n"
        "real, seen = Output.write, []\n"
        "def write(self, frame, png, part='labels'):\n"
        "    seen.append(part)\n"
        "    if seen.count('labels') == 15: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return real(self, frame, png, part)\n"
        "Output.write = write\n"
        "p = Path(sys.argv[2])\n"
        "asked = relabelling.request(p, confidence='relative')\n"
        "relabel(Network(pictures.BrightnessEngine()), asked, p / 'cut')\n"
    )
    arguments = [sys.executable, "-c", program, str(Path(__file__).parent), str(tmp_path)]
    assert subprocess.run(arguments, check=False, env={**os.environ}).returncode == -9
    assert 0 < len(list((tmp_path / "cut/labels/train").glob("*.png"))) < 30
    relabel(Network(BrightnessEngine()), asked, tmp_path / "cut")
    assert tree(tmp_path / "whole") == tree(tmp_path / "cut")


@pytest.mark.parametrize("part", ["candidates", "confidence", "labels"])
@pytest.mark.parametrize("change", [Path.unlink, lambda p: p.write_bytes(b"")])
def test_a_file_that_changed_is_written_again(tmp_path, part, change) -> None:
    asked = request(tmp_path, **RELATIVE)
    relabel(Network(BrightnessEngine()), asked, tmp_path / "out")
    whole = tree(tmp_path / "out")
    change(tmp_path / f"out/{part}/train/f2.png")
    relabel(Network(BrightnessEngine()), asked, tmp_path / "out")
    journal = "journal.jsonl"
    assert {**tree(tmp_path / "out"), journal: b""} == {**whole, journal: b""}


def test_nothing_is_written_again_when_all_is_done(tmp_path) -> None:
    asked = request(tmp_path, **RELATIVE)
    relabel(Network(BrightnessEngine()), asked, tmp_path / "out")
    stamps = {p: p.stat().st_mtime_ns for p in (tmp_path / "out").rglob("*.png")}
    assert len(stamps) == 15
    relabel(Network(BrightnessEngine()), asked, tmp_path / "out")
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "out").rglob("*.png")} == stamps


def test_a_bad_frame_has_no_part_in_the_thresholds_until_it_is_repaired(tmp_path) -> None:
    asked = request(tmp_path, **RELATIVE)
    whole = relabel(Network(BrightnessEngine()), asked, tmp_path / "whole")
    image = asked.split.frames[1].image
    good = image.read_bytes()
    image.write_bytes(good[:-20])
    part = relabel(Network(BrightnessEngine()), asked, tmp_path / "out")
    assert [key for key, _ in part.skipped] == ["f1"]
    assert part.confidence != whole.confidence
    assert not (tmp_path / "out/labels/train/f1.png").exists()
    image.write_bytes(good)
    assert relabel(Network(BrightnessEngine()), asked, tmp_path / "out") == whole
    assert tree(tmp_path / "out/labels") == tree(tmp_path / "whole/labels")


@pytest.mark.parametrize(
    ("first", "then", "message"),
    [
        ({}, RELATIVE, r"another confidence \(None, now 'relative'\)"),
        (RELATIVE, {}, r"another confidence \('relative', now None\)"),
        ({}, {"keep_scores": True}, r"another keep_scores \(None, now True\)"),
    ],
)
def test_other_settings_may_not_continue_a_folder(tmp_path, first, then, message) -> None:
    relabel(Network(BrightnessEngine()), request(tmp_path, **first), tmp_path / "out")
    with pytest.raises(InputError, match=message):
        relabel(Network(BrightnessEngine()), request(tmp_path, **then), tmp_path / "out")


def test_an_unknown_confidence_is_refused(tmp_path) -> None:
    with pytest.raises(InputError, match="unknown confidence 'absolute'; known: relative"):
        request(tmp_path, confidence="absolute")


def test_a_failure_of_the_second_pass_leaves_no_data_set(tmp_path, monkeypatch) -> None:
    def broken(*_: object) -> bytes:
        raise InputError("damaged")

    monkeypatch.setattr(threshold, "grey_from_bytes", broken)
    with pytest.raises(InputError, match="damaged"):
        relabel(Network(BrightnessEngine()), request(tmp_path, **RELATIVE), tmp_path / "out")
    assert not (tmp_path / "out/dataset.toml").exists()
