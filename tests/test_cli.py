"""The command line as a user meets it: what bad input says, how it ends, and that nothing is left behind."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
from bundles import tiny_bundle
from pictures import FOREIGN, SOURCE, write_dataset, write_png

from lsu.runtime import ModelSpec
from lsu.runtime.cli import application

RELATION = """
name = "r"
source = "source.toml"
foreign = "data/foreign.toml"
[allow]
ground = ["road"]
object = ["car", "person"]
above = ["sky", "person"]
"""


@dataclass(frozen=True)
class Outcome:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def line(self) -> str:
        """The one line of an error."""
        assert self.err.count("\n") == 1, self.err
        assert self.err.startswith("lsu: "), self.err
        return self.err


Bench = Callable[..., Outcome]


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    """A bundle of SOURCE, a data set of FOREIGN and a relation between them, in the working directory."""
    tiny_bundle(tmp_path / "bundle", ModelSpec(SOURCE, fit="pad", multiple=8))
    write_dataset(tmp_path / "data")
    (tmp_path / "source.toml").write_text(SOURCE.to_toml())
    (tmp_path / "r.toml").write_text(RELATION)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def lsu(capsys) -> Bench:
    def run(*arguments: str) -> Outcome:
        code = 0
        try:
            application()([*arguments])
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 0
        printed = capsys.readouterr()
        return Outcome(code, printed.out, printed.err)

    return run


RELABEL = ("relabel", "bundle", "--data", "data", "--split", "train", "--relation", "r.toml", "--out", "out")
EVALUATE = ("evaluate", "bundle", "--data", "data", "--split", "train", "--relation", "r.toml")
RUN = ("run", "bundle", "--source", "data/images/train", "--output", "frames")


def test_the_whole_way_of_the_runtime_succeeds(place, lsu) -> None:
    assert lsu(*RELABEL).code == 0
    assert lsu(*EVALUATE).code == 0
    assert lsu(*RUN).code == 0
    assert lsu("inspect", "bundle").code == 0
    assert len(list((place / "out/labels/train").glob("*.png"))) == 5
    assert list((place / "frames").rglob("*.png"))


@pytest.mark.parametrize("verb", [RELABEL, EVALUATE, RUN, ("inspect", "bundle")])
def test_json_is_one_document_and_nothing_else(place, lsu, verb) -> None:
    outcome = lsu(*verb, "--json")
    assert outcome.code == 0
    assert isinstance(json.loads(outcome.out), dict)


def test_resuming_after_everything_is_done_changes_nothing(place, lsu) -> None:
    first = lsu(*RELABEL, "--json")
    stamps = {p: p.stat().st_mtime_ns for p in (place / "out/labels").rglob("*.png")}
    assert lsu(*RELABEL, "--json").out == first.out
    assert {p: p.stat().st_mtime_ns for p in (place / "out/labels").rglob("*.png")} == stamps


@dataclass(frozen=True)
class Spoil:
    """Something wrong with the input, and what is said of it."""

    change: Callable[[Path], object]
    message: str

    def __str__(self) -> str:
        return self.message


def cut_image(place: Path) -> None:
    path = place / "data/images/train/f0.png"
    path.write_bytes(path.read_bytes()[:200])


def deep_image(place: Path) -> None:
    pixels = np.zeros((24, 40, 3), np.uint16)
    (place / "data/images/train/f0.png").write_bytes(cv2.imencode(".png", pixels)[1].tobytes())


def change_byte(place: Path) -> None:
    path = place / "bundle/model.onnx"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def no_images(place: Path) -> None:
    for path in (place / "data").rglob("f*.png"):
        path.unlink()


CUT = Spoil(cut_image, "f0.png: the PNG file is cut off after 200 bytes")
DEEP = Spoil(deep_image, "f0.png: the image has 3 channels of uint16")
SIZE = Spoil(
    lambda p: write_png(p / "data/labels/train/f0_ids.png", np.full((24, 41), 7, np.uint8)),
    "f0_ids.png is 41x24, its image f0.png is 40x24",
)
UNKNOWN = Spoil(
    lambda p: write_png(p / "data/labels/train/f0_ids.png", np.full((24, 40), 99, np.uint8)),
    "f0_ids.png: id 99 (960 pixels) not in label space 'foreign'",
)
UNPAIRED = Spoil(
    lambda p: (p / "data/labels/train/f3_ids.png").unlink(), "1 of 5 images have no label, first "
)
EMPTY = Spoil(no_images, "no image matches ")
MISSPELT = Spoil(
    lambda p: (p / "r.toml").write_text(RELATION.replace('"car"', '"caar"')),
    "'source' has no class 'caar'; did you mean 'car'",
)
UNMAPPED = Spoil(
    lambda p: (p / "r.toml").write_text(RELATION.replace("ground", "# ground")),
    "no row for 'ground' of 'foreign'",
)
BYTE = Spoil(change_byte, "model.onnx")


def other_space(place: Path) -> None:
    (place / "source.toml").write_text(SOURCE.to_toml().replace('"sky"', '"heaven"'))
    (place / "r.toml").write_text(RELATION.replace('"sky"', '"heaven"'))


OTHER_SPACE = Spoil(other_space, "label spaces differ: ")


@pytest.mark.parametrize("spoil", [UNPAIRED, EMPTY, MISSPELT, UNMAPPED, BYTE], ids=str)
def test_bad_input_to_relabel_is_one_line_and_code_2_and_writes_nothing(place, lsu, spoil) -> None:
    spoil.change(place)
    outcome = lsu(*RELABEL)
    assert outcome.code == 2
    assert spoil.message in outcome.line
    assert not (place / "out").exists()


def test_relabel_notes_another_number_of_frames_than_the_official_one(place, lsu) -> None:
    path = place / "data" / "dataset.toml"
    path.write_text(path.read_text() + "count = 99\n")
    outcome = lsu(*RELABEL, "--json")
    assert "frames, officially 99" in outcome.err
    assert json.loads(outcome.out)["official_frames"] == 99


@pytest.mark.parametrize("spoil", [CUT, DEEP, SIZE, UNKNOWN], ids=str)
def test_bad_frames_are_recorded_by_relabel_and_the_code_is_1(place, lsu, spoil) -> None:
    spoil.change(place)
    outcome = lsu(*RELABEL, "--json")
    assert outcome.code == 1
    (skipped,) = json.loads(outcome.out)["skipped"]
    assert skipped["frame"] == "f0"
    assert spoil.message in skipped["reason"]
    assert not (place / "out/labels/train/f0.png").exists()
    assert len(list((place / "out/labels/train").glob("*.png"))) == 4


@pytest.mark.parametrize(
    "spoil", [CUT, DEEP, SIZE, UNKNOWN, UNPAIRED, EMPTY, MISSPELT, UNMAPPED, BYTE], ids=str
)
def test_bad_input_to_evaluate_is_one_line_and_code_2(place, lsu, spoil) -> None:
    spoil.change(place)
    outcome = lsu(*EVALUATE, "--plot", "plot.png")
    assert outcome.code == 2
    assert spoil.message in outcome.line
    assert not outcome.out
    assert not (place / "plot.png").exists()


@pytest.mark.parametrize("spoil", [CUT, DEEP, BYTE], ids=str)
def test_bad_input_to_run_is_one_line_and_code_2(place, lsu, spoil) -> None:
    spoil.change(place)
    outcome = lsu(*RUN)
    assert outcome.code == 2
    assert spoil.message in outcome.line


def test_an_empty_folder_to_run_is_one_line_and_code_2(place, lsu) -> None:
    no_images(place)
    outcome = lsu(*RUN)
    assert outcome.code == 2
    assert "data/images/train" in outcome.line
    assert not (place / "frames").exists()


@pytest.mark.parametrize("verb", [RELABEL, EVALUATE])
def test_a_relation_for_another_label_space_than_the_bundles_shows_both(place, lsu, verb) -> None:
    OTHER_SPACE.change(place)
    outcome = lsu(*verb)
    assert outcome.code == 2
    assert "label spaces differ: " in outcome.line
    assert SOURCE.identity in outcome.line
    assert not (place / "out").exists()


@pytest.mark.parametrize(
    "verb",
    [
        (*RELABEL[:-1], "r.toml/out"),
        (*EVALUATE, "--plot", "r.toml/plot.png"),
        (*RUN[:-1], "r.toml/frames"),
        ("fit", "fit.toml"),
        (*RELABEL[:-1], "r.toml"),
    ],
    ids=" ".join,
)
def test_an_output_under_a_file_is_one_line_and_code_2(place, lsu, verb) -> None:
    (place / "fit.toml").write_text('output = "r.toml/run"\n[[data]]\ndataset = "data"\n')
    outcome = lsu(*verb)
    assert outcome.code == 2
    assert "is not a folder: choose another" in outcome.line
    assert (place / "r.toml").read_text() == RELATION


def test_names_with_brackets_are_printed_as_they_are(place, lsu) -> None:
    odd = FOREIGN.to_toml().replace('"ground"', '"ground [/wet]"')
    (place / "data/foreign.toml").write_text(odd)
    (place / "r.toml").write_text(RELATION.replace("ground =", '"ground [/wet]" ='))
    outcome = lsu(*RELABEL)
    assert outcome.code == 0
    assert "[/wet]" in outcome.out


def test_an_output_inside_the_bundle_is_refused(place, lsu) -> None:
    outcome = lsu(*RELABEL[:-1], "bundle/out")
    assert outcome.code == 2
    assert "is inside the bundle, which must not change" in outcome.line
    assert lsu("inspect", "bundle").code == 0


def test_a_configuration_with_an_unknown_key_is_one_line_and_code_2(place, lsu) -> None:
    (place / "fit.toml").write_text('output = "run"\n[[data]]\ndataset = "data"\n[fit]\nstep = 3\n')
    outcome = lsu("fit", "fit.toml")
    assert outcome.code == 2
    assert "unknown key 'fit.step'; did you mean 'steps'" in outcome.line
    assert not (place / "run").exists()


def test_a_full_disk_is_one_line_and_code_3(place, lsu, monkeypatch) -> None:
    def full(_: Path, __: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    outcome = lsu(*RELABEL)
    assert outcome.code == 3
    assert "No space left on device" in outcome.line
    assert not list((place / "out").rglob("*.p*"))
    assert not (place / "out/dataset.toml").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_a_disk_that_is_really_full_leaves_whole_files_and_can_be_continued(place, lsu) -> None:
    write_dataset(place / "data", frames=60)
    disk = place / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=96k", "tmpfs", str(disk)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("a small disk cannot be mounted here")
    try:
        outcome = lsu(*RELABEL[:-1], "disk/out")
        assert outcome.code == 3, outcome
        assert "No space left on device" in outcome.line
        written = list((disk / "out/labels").rglob("*.png"))
        assert 0 < len(written) < 60
        assert all(cv2.imread(str(p), cv2.IMREAD_UNCHANGED).shape == (24, 40) for p in written)
        assert not list(disk.rglob("*.part"))
        subprocess.run(["mount", "-o", "remount,size=4m", str(disk)], check=True)
        assert lsu(*RELABEL[:-1], "disk/out").code == 0
        assert len(list((disk / "out/labels").rglob("*.png"))) == 60
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_wrong_option_is_code_2(place, lsu) -> None:
    assert lsu("relabel", "bundle", "--nonsense").code == 2
    assert lsu("nonsense").code == 2


def test_ctrl_c_ends_with_130_and_the_command_can_be_continued(place) -> None:
    write_dataset(place / "data", frames=600, size=(160, 160))
    command = [sys.executable, "-c", "from lsu.runtime.cli import main; main()", *RELABEL]
    process = subprocess.Popen(command, cwd=place, stderr=subprocess.PIPE, text=True)
    journal = place / "out/journal.jsonl"
    while not journal.exists() or journal.read_bytes().count(b"\n") < 20:
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors == "lsu: interrupted\n"
    assert not (place / "out/dataset.toml").exists()
    assert subprocess.run(command, cwd=place, check=False, capture_output=True).returncode == 0
    assert len(list((place / "out/labels/train").glob("*.png"))) == 600


def test_an_interrupted_fit_says_how_to_continue_in_words_that_a_shell_takes(place, lsu, monkeypatch) -> None:
    def interrupted(config, **_) -> None:
        Path(config.output).mkdir()
        (Path(config.output) / "unfinished.safetensors").touch()
        raise KeyboardInterrupt

    monkeypatch.setattr("lsu.training.fit.fit", interrupted)
    (place / "my fit.toml").write_text('output = "fit"\ndata = [{ dataset = "data" }]')
    outcome = lsu("fit", "my fit.toml")
    assert outcome.code == 130
    assert "lsu: continue with: lsu fit 'my fit.toml' --resume\n" in outcome.err


@pytest.mark.parametrize(
    "verb", ["relabel", "evaluate", "run", "inspect", "synth", "fit", ("export", "onnx")], ids=str
)
def test_every_verb_explains_itself_with_an_example(lsu, verb) -> None:
    path = verb if isinstance(verb, tuple) else (verb,)
    outcome = lsu(*path, "--help")
    assert outcome.code == 0
    assert f"Example: lsu {' '.join(path)}" in " ".join(outcome.out.split())


def test_a_reader_that_stops_early_is_no_failure() -> None:
    command = f"{sys.executable} -c 'from lsu.runtime.cli import main; main()' labels show coco_panoptic"
    ran = subprocess.run(
        ["bash", "-c", f"{command} | head -1; exit ${{PIPESTATUS[0]}}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode in (0, 141)  # 0 where the pipe held everything
    assert ran.stderr == ""
