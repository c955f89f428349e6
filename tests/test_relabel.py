import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pictures import FOREIGN, SOURCE, BrightnessEngine, write_dataset
from relabelling import RELATION, request, tree

from lsu.runtime import VOID, BackendError, Dataset, InputError, ModelSpec, Relation
from lsu.runtime.image import grey_from_bytes
from lsu.runtime.relabel.journal import Journal
from lsu.runtime.relabel.output import digest_of_labels
from lsu.runtime.relabel.pipeline import relabel
from lsu.runtime.relabel.teachers import Network
from lsu.runtime.segmenter import Segmenter


def test_every_pixel_is_within_what_its_label_allows(tmp_path) -> None:
    asked = request(tmp_path)
    relabel(Network(BrightnessEngine()), asked, tmp_path / "out")
    written = Dataset.load(tmp_path / "out").split("train")
    assert written.label_space.identity == SOURCE.identity
    for foreign, new in zip(asked.split.frames, written.frames, strict=True):
        before, after = asked.split.read(foreign).labels, written.read(new).labels
        for label, members in enumerate(RELATION.allowed):
            assert set(after[before == label].tolist()) <= members
        assert (after[before == VOID] == VOID).all()


def test_free_labels_ignore_the_relation_but_keep_void(tmp_path) -> None:
    asked = request(tmp_path, free=True)
    relabel(Network(BrightnessEngine()), asked, tmp_path / "free")
    written = Dataset.load(tmp_path / "free").split("train")
    pairs = [
        (asked.split.read(f).labels, written.read(g).labels)
        for f, g in zip(asked.split.frames, written.frames, strict=True)
    ]
    before, after = (np.stack(part) for part in zip(*pairs, strict=True))
    assert set(after[before == 0].tolist()) > {0}
    assert ((before == VOID) == (after == VOID)).all()


def test_the_summary_counts_every_pixel_by_label(tmp_path) -> None:
    asked = request(tmp_path)
    summary = relabel(Network(BrightnessEngine()), asked, tmp_path / "out")
    truth = np.stack([asked.split.read(f).labels for f in asked.split.frames])
    by_name = {row.name: row for row in summary.labels}
    assert by_name["ground"].pixels == by_name["ground"].forced == (truth == 0).sum()
    assert by_name["object"].chosen == by_name["object"].pixels == (truth == 1).sum()
    assert by_name["void"].void == (truth == VOID).sum()
    assert by_name["object"].allowed == ("car", "person")
    assert 0 < by_name["object"].agreement < 1
    assert json.loads((tmp_path / "out/summary.json").read_text())["frames"] == 5


def test_unlabelled_images_are_relabelled_freely(tmp_path) -> None:
    path = write_dataset(tmp_path / "data")
    text = path.read_text()
    path.write_text("".join(line for line in text.splitlines(True) if not line.startswith("labels")))
    summary = relabel(
        Network(BrightnessEngine()), request(tmp_path, relation=None, free=True), tmp_path / "out"
    )
    assert [row.name for row in summary.labels] == ["all"]
    assert len(Dataset.load(tmp_path / "out").split("train").frames) == 5


@pytest.mark.parametrize("stop_after", [1, 3, 5])
def test_a_run_that_was_killed_and_continued_leaves_the_same_files(tmp_path, monkeypatch, stop_after) -> None:
    relabel(Network(BrightnessEngine()), request(tmp_path), tmp_path / "whole", workers=2)
    add = Journal.add
    seen = 0

    def killed(self, entry) -> None:
        nonlocal seen
        if seen == stop_after:
            raise KeyboardInterrupt
        seen += 1
        add(self, entry)

    monkeypatch.setattr(Journal, "add", killed)
    if stop_after < 5:
        with pytest.raises(KeyboardInterrupt):
            relabel(Network(BrightnessEngine()), request(tmp_path), tmp_path / "cut", workers=2)
    monkeypatch.setattr(Journal, "add", add)
    if stop_after < 5:
        journal = tmp_path / "cut/journal.jsonl"
        journal.write_bytes(journal.read_bytes() + b'{"key": "f4", "dig')
        (tmp_path / "cut/labels/train/.f3.png.1-2.part").write_bytes(b"half")
    relabel(Network(BrightnessEngine()), request(tmp_path), tmp_path / "cut", workers=3)
    assert tree(tmp_path / "whole") == tree(tmp_path / "cut")


def test_a_process_killed_in_the_middle_continues_to_the_same_files(tmp_path) -> None:
    write_dataset(tmp_path / "data", frames=40)
    relabel(Network(BrightnessEngine()), request(tmp_path), tmp_path / "whole")
    program = (
        "import os, sys, signal\n"
        "sys.path.insert(0, sys.argv[1])\n"
        "from pathlib import Path\n"
        "import test_relabel as t\n"
        "from lsu.runtime.relabel.pipeline import relabel\n"
        "from lsu.runtime.relabel.teachers import Network\n"
        "seen = []\n"
        "def stop(n):\n"
        "    seen.append(n)\n"
        "    if len(seen) == 15: os.kill(os.getpid(), signal.SIGKILL)\n"
        "p = Path(sys.argv[2])\n"
        "relabel(Network(t.BrightnessEngine()), t.request(p), p / 'cut', on_frame=stop)\n"
    )
    arguments = [sys.executable, "-c", program, str(Path(__file__).parent), str(tmp_path)]
    assert subprocess.run(arguments, check=False).returncode == -9
    done = len((tmp_path / "cut/journal.jsonl").read_text().splitlines()) - 1
    assert 0 < done < 40
    relabel(Network(BrightnessEngine()), request(tmp_path), tmp_path / "cut")
    assert tree(tmp_path / "whole") == tree(tmp_path / "cut")


def test_a_label_file_that_changed_is_written_again(tmp_path) -> None:
    relabel(Network(BrightnessEngine()), request(tmp_path), tmp_path / "out")
    before = tree(tmp_path / "out/labels")
    victim = tmp_path / "out/labels/train/f2.png"
    victim.write_bytes(b"")
    relabel(Network(BrightnessEngine()), request(tmp_path), tmp_path / "out")
    assert tree(tmp_path / "out/labels") == before


def test_bad_frames_are_recorded_and_left_out(tmp_path) -> None:
    asked = request(tmp_path)
    image = asked.split.frames[1].image
    image.write_bytes(image.read_bytes()[:-20])
    summary = relabel(Network(BrightnessEngine()), asked, tmp_path / "out")
    assert summary.frames == 4
    assert [key for key, _ in summary.skipped] == ["f1"]
    assert "cut off" in summary.skipped[0][1]
    assert [f.key for f in Dataset.load(tmp_path / "out").split("train").frames] == ["f0", "f2", "f3", "f4"]


def test_another_request_may_not_write_into_the_same_folder(tmp_path) -> None:
    relabel(Network(BrightnessEngine()), request(tmp_path), tmp_path / "out")
    with pytest.raises(InputError, match=r"another free \(False, now True\): choose another --out"):
        relabel(Network(BrightnessEngine()), request(tmp_path, free=True), tmp_path / "out")
    with pytest.raises(InputError, match="is not empty and holds no labels of this kind"):
        relabel(Network(BrightnessEngine()), request(tmp_path), tmp_path / "data")


@pytest.mark.parametrize(
    "changed", ["network", "label_space", "relation", "views", "data", "images", "labels"]
)
def test_each_part_of_the_request_is_held_against_the_journal(tmp_path, changed) -> None:
    asked = request(tmp_path)
    relabel(Network(BrightnessEngine()), asked, tmp_path / "out")
    journal = tmp_path / "out/journal.jsonl"
    first, rest = journal.read_text().split("\n", 1)
    header = json.loads(first)
    assert set(header) == {
        "format",
        "free",
        "network",
        "label_space",
        "relation",
        "views",
        "data",
        "images",
        "labels",
    }
    journal.write_text(json.dumps({**header, changed: "other"}) + "\n" + rest)
    with pytest.raises(InputError, match=f"a relabelling with another {changed} "):
        relabel(Network(BrightnessEngine()), asked, tmp_path / "out")


def test_other_ids_of_the_same_names_are_another_request(tmp_path) -> None:
    relabel(Network(BrightnessEngine()), request(tmp_path), tmp_path / "out")
    space = tmp_path / "data/foreign.toml"
    space.write_text(space.read_text().replace("id = 7", "id = 8").replace("id = 20", "id = 7"))
    with pytest.raises(InputError, match="a relabelling with another labels "):
        relabel(Network(BrightnessEngine()), request(tmp_path), tmp_path / "out")


@pytest.mark.parametrize("tail", [b"\0" * 40 + b"\n", b"[]\n", b'{"key": "f9"}\n{"key": 3}\n'])
def test_what_stands_behind_a_damaged_journal_line_is_done_again(tmp_path, tail) -> None:
    relabel(Network(BrightnessEngine()), request(tmp_path), tmp_path / "out")
    journal = tmp_path / "out/journal.jsonl"
    whole = tree(tmp_path / "out")
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:3]) + tail)
    relabel(Network(BrightnessEngine()), request(tmp_path), tmp_path / "out")
    assert tree(tmp_path / "out") == whole


def test_scores_of_padded_images_with_a_void_channel_lie_where_they_belong(tmp_path) -> None:
    """The multiple is 16 and the image 24x40, so the scores cover 32x48; the last channel is void."""

    class Voiding(BrightnessEngine):
        spec = ModelSpec(SOURCE, fit="pad", multiple=16, void_channel=4)

        def infer(self, images: np.ndarray) -> np.ndarray:
            scores = super().infer(images)
            return np.concatenate([scores, np.full_like(scores[:, :1], -1.2)], 1)

    rows = {"ground": ["road", "car", "person", "sky", "void"], "object": ["car"], "above": ["sky", "void"]}
    asked = request(tmp_path, relation=Relation.from_names("v", SOURCE, FOREIGN, allow=rows))
    relabel(Network(Voiding()), asked, tmp_path / "out")
    written = Dataset.load(tmp_path / "out").split("train")
    segmenter = Segmenter(Voiding())
    voids = 0
    for old, new in zip(asked.split.frames, written.frames, strict=True):
        sample, ours = asked.split.read(old), written.read(new).labels
        free = segmenter.segment(sample.image).classes
        assert np.array_equal(ours[sample.labels == 0], free[sample.labels == 0])
        voids += int((ours[sample.labels == 0] == VOID).sum())
    assert voids > 50


def test_the_first_report_is_of_the_frames_that_were_done(tmp_path) -> None:
    told: list[int] = []
    relabel(Network(BrightnessEngine()), request(tmp_path), tmp_path / "out", on_frame=told.append)
    assert told == [0, 1, 1, 1, 1, 1]
    told.clear()
    relabel(Network(BrightnessEngine()), request(tmp_path), tmp_path / "out", on_frame=told.append)
    assert told == [5]


def test_labels_are_written_as_dense_indices_whatever_the_ids_of_the_source(tmp_path) -> None:
    classes = tuple(replace(c, id=90 + k) for k, c in enumerate(SOURCE.classes))
    space = replace(SOURCE, classes=classes)

    class Sparse(BrightnessEngine):
        spec = ModelSpec(space, fit="pad", multiple=4)

    relabel(Network(Sparse()), request(tmp_path), tmp_path / "out")
    values = grey_from_bytes((tmp_path / "out/labels/train/f0.png").read_bytes(), tmp_path)
    assert set(np.unique(values).tolist()) <= {0, 1, 2, 3, 255}


def test_an_output_that_is_a_file_is_refused(tmp_path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(InputError, match="is not a folder: choose another --out"):
        relabel(Network(BrightnessEngine()), request(tmp_path), tmp_path / "out")
    assert (tmp_path / "out").read_text() == "mine"


def test_two_processes_may_not_write_into_the_same_folder(tmp_path) -> None:
    asked = request(tmp_path)
    with (
        Journal(tmp_path / "out/journal.jsonl", asked.header(Network(BrightnessEngine()))),
        pytest.raises(InputError, match="another process is relabelling"),
    ):
        relabel(Network(BrightnessEngine()), asked, tmp_path / "out")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"relation": None}, "a relation is needed: give --relation FILE, or --free"),
        (
            {"relation": Relation.from_names("q", FOREIGN, FOREIGN, allow={}, default=["void"])},
            "the teacher speaks 'source' .* relation 'q' speaks 'foreign'",
        ),
        (
            {"relation": Relation.from_names("q", SOURCE, SOURCE, allow={}, default=["void"])},
            "relation 'q' speaks 'source' .* data set 'blocks' speaks 'foreign'",
        ),
    ],
)
def test_what_does_not_belong_together_is_refused_before_anything_is_written(
    tmp_path, changes, message
) -> None:
    with pytest.raises(InputError, match=message):
        relabel(Network(BrightnessEngine()), request(tmp_path, **changes), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_full_disk_leaves_nothing_half_written(tmp_path, monkeypatch) -> None:
    from lsu.runtime import files

    fsync, written = os.fsync, 0
    real_open = Path.open

    def full(self, mode="r", *args, **kwargs):
        nonlocal written
        if "x" in mode and self.suffix == ".part":
            written += 1
            if written > 2:
                raise OSError(28, "No space left on device")
        return real_open(self, mode, *args, **kwargs)

    monkeypatch.setattr(files.Path, "open", full)
    with pytest.raises(BackendError, match="No space left on device"):
        relabel(Network(BrightnessEngine()), request(tmp_path), tmp_path / "out", workers=1)
    assert fsync is os.fsync
    pngs = sorted((tmp_path / "out/labels").rglob("*"))
    assert all(grey_from_bytes(p.read_bytes(), p).shape == (24, 40) for p in pngs if p.is_file())
    assert not list((tmp_path / "out").rglob("*.part"))
    assert not (tmp_path / "out/dataset.toml").exists()
    monkeypatch.undo()
    assert relabel(Network(BrightnessEngine()), request(tmp_path), tmp_path / "out").frames == 5


def test_a_folder_that_an_older_version_began_is_continued(tmp_path) -> None:
    asked = request(tmp_path)
    relabel(Network(BrightnessEngine()), asked, tmp_path / "whole")
    journal = tmp_path / "old/journal.jsonl"
    journal.parent.mkdir()
    first, entry, *_ = (tmp_path / "whole/journal.jsonl").read_text().splitlines()
    header = {
        "format": 1,
        "network": "brightness",
        "label_space": SOURCE.identity,
        "relation": RELATION.identity,
        "free": False,
        "views": ["1"],
        "data": "blocks/train",
        "images": asked.split.image_glob,
        "labels": digest_of_labels(asked.split),
    }
    assert json.loads(first) == header
    assert set(json.loads(entry)) == {"key", "digest", "counts"}
    journal.write_text(json.dumps(header) + "\n")
    relabel(Network(BrightnessEngine()), asked, tmp_path / "old")
    old, whole = tree(tmp_path / "old"), tree(tmp_path / "whole")
    assert old.pop("journal.jsonl").splitlines()[1:] == whole.pop("journal.jsonl").splitlines()[1:]
    assert old == whole
