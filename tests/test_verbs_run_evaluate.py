"""`lsu evaluate` and `lsu run` with an engine that sees the class in an image's red channel."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import typer
from typer.testing import CliRunner

from lsu.runtime.errors import BackendError
from lsu.runtime.label_space import LabelClass, LabelSpace
from lsu.runtime.model import ModelSpec
from lsu.runtime.terminal import ending_well
from lsu.runtime.verbs.evaluate import evaluate
from lsu.runtime.verbs.run import run

ABC = LabelSpace("abc", (LabelClass("a"), LabelClass("b"), LabelClass("c")))


class RedEngine:
    """Scores 1 for the class that the red channel names, 0 for the others."""

    identity = "red"

    def __init__(self, label_space: LabelSpace = ABC) -> None:
        self.spec = ModelSpec(label_space)
        self.closed = False

    def infer(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Scores [N,C,H,W]."""
        channels = np.arange(self.spec.channels)[None, :, None, None]
        return (images[..., 0][:, None] == channels).astype(np.float32)

    def close(self) -> None:
        """Remember it."""
        self.closed = True


class Bench:
    """The application with these two verbs, over a bundle that is not on disk."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.engine = RedEngine()
        self.self_tests = 0
        self.loaded: list[tuple[str, int | None]] = []
        self.refusal: BackendError | None = None
        bundle = SimpleNamespace(digest="d1", self_test=self._self_test)
        monkeypatch.setattr("lsu.runtime.bundles.bundle.Bundle.open", lambda _, **__: self._described(bundle))
        monkeypatch.setattr("lsu.runtime.engines.engine_for", self._engine_for)
        self.app = typer.Typer(pretty_exceptions_enable=False, rich_markup_mode="rich")
        for verb in (evaluate, run):
            self.app.command()(ending_well(verb))

    def __call__(self, *arguments: object) -> tuple[int, str, str]:
        """Exit code, stdout and stderr of `lsu` with these arguments."""
        result = CliRunner(env={"COLUMNS": "200"}).invoke(self.app, [str(a) for a in arguments])
        return result.exit_code, result.stdout, result.stderr

    def _described(self, bundle: SimpleNamespace) -> SimpleNamespace:
        bundle.spec = self.engine.spec
        return bundle

    def _engine_for(self, bundle: SimpleNamespace, backend: str, *, threads: int | None) -> RedEngine:
        assert bundle.digest == "d1"
        self.loaded.append((backend, threads))
        return self.engine

    def _self_test(self, engine: RedEngine) -> None:
        assert engine is self.engine
        self.self_tests += 1
        if self.refusal is not None:
            raise self.refusal


@pytest.fixture
def lsu(monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(monkeypatch)


@pytest.fixture
def town(tmp_path: Path) -> Path:
    """Two frames of 2x2 pixels; the second one's lower row is void and seen as b."""
    folder = tmp_path / "town"
    (folder / "images").mkdir(parents=True)
    (folder / "labels").mkdir()
    names = ", ".join(f'{{ name = "{c}" }}' for c in ABC.names)
    (folder / "abc.toml").write_text(f'name = "abc"\nclasses = [{names}]\n')
    (folder / "dataset.toml").write_text(
        'name = "town"\nlabel_space = "abc.toml"\n'
        '[splits.val]\nimages = "images/*.png"\nlabels = "labels/*.png"\n'
    )
    for name, seen, truth in (
        ("0", [[0, 1], [1, 1]], [[0, 0], [1, 1]]),
        ("1", [[0, 0], [1, 1]], [[0, 0], [255, 255]]),
    ):
        red = np.array(seen, np.uint8)
        image = cv2.merge([np.zeros_like(red), np.zeros_like(red), red])  # BGR, as OpenCV writes
        assert cv2.imwrite(str(folder / "images" / f"{name}.png"), image)
        assert cv2.imwrite(str(folder / "labels" / f"{name}.png"), np.array(truth, np.uint8))
    return folder


# lsu evaluate


def test_evaluate_prints_one_json_document(lsu: Bench, town: Path) -> None:
    code, out, err = lsu("evaluate", "bundle", "--data", town, "--split", "val", "--json")
    assert (code, err) == (0, "")
    document = json.loads(out)
    assert document["confusion"] == [[3, 1, 0, 0], [0, 2, 0, 0], [0, 0, 0, 0]]
    assert [c["iou"] for c in document["classes"]] == [3 / 4, 2 / 3, None]
    assert (document["bundle"], document["data"], document["split"]) == ("d1", "town", "val")
    assert lsu.engine.closed


def test_evaluate_notes_another_number_of_frames_than_the_official_one(lsu: Bench, town: Path) -> None:
    with (town / "dataset.toml").open("a") as file:
        file.write("count = 3\n")
    code, out, err = lsu("evaluate", "bundle", "--data", town, "--split", "val", "--json")
    assert (code, err) == (0, "lsu: town split 'val': 2 frames, officially 3\n")
    assert (json.loads(out)["frames"], json.loads(out)["official_frames"]) == (2, 3)


def test_evaluate_prints_a_table_for_people(lsu: Bench, town: Path) -> None:
    code, out, _ = lsu("evaluate", "student", "--data", town, "--split", "val")
    assert code == 0
    assert "student on town val, 2 frames" in out
    rows = {line.split()[1]: line.split()[3::2] for line in out.splitlines() if line.startswith("│")}
    assert rows["a"][:2] == ["4", "75.00"]
    assert rows["c"] == ["0", "-", "-"]
    assert rows["mean"][1] == "70.83"
    assert "pixel accuracy 83.33 %" in out


def test_evaluate_draws_the_confusion_matrix(lsu: Bench, town: Path, tmp_path: Path) -> None:
    plot = tmp_path / "new" / "confusion.png"
    code, _, err = lsu("evaluate", "bundle", "--data", town, "--split", "val", "--plot", plot)
    assert code == 0
    assert f"confusion matrix: {plot}" in err
    assert cv2.imread(str(plot)).shape[2] == 3


def test_evaluate_scores_through_a_relation(lsu: Bench, town: Path, tmp_path: Path) -> None:
    lsu.engine = RedEngine(LabelSpace("xy", (LabelClass("x"), LabelClass("y"))))
    (tmp_path / "xy.toml").write_text('name = "xy"\nclasses = [{ name = "x" }, { name = "y" }]\n')
    (tmp_path / "r.toml").write_text(
        'name = "r"\nsource = "xy.toml"\nforeign = "town/abc.toml"\n'
        '[allow]\na = ["x", "y"]\nb = ["y"]\nc = []\n'
    )
    arguments = ("evaluate", "bundle", "--data", town, "--split", "val", "--relation", tmp_path / "r.toml")
    code, out, _ = lsu(*arguments, "--json")
    assert code == 0
    assert json.loads(out)["confusion"] == [[4, 0, 0, 0], [0, 2, 0, 0], [0, 0, 0, 0]]
    assert "not counted, because they allow no class: c" in lsu(*arguments)[2]


def test_evaluate_refuses_another_label_space_before_an_engine_is_loaded(
    lsu: Bench, town: Path, tmp_path: Path
) -> None:
    lsu.engine = RedEngine(LabelSpace("xy", (LabelClass("x"), LabelClass("y"))))
    plot = tmp_path / "p.png"
    code, out, err = lsu("evaluate", "bundle", "--data", town, "--split", "val", "--plot", plot)
    assert (code, out, lsu.loaded) == (2, "", [])
    assert err.startswith("lsu: label spaces differ: the network speaks 'xy'")
    assert not plot.exists()


def test_evaluate_refuses_a_plot_that_is_no_png(lsu: Bench, town: Path, tmp_path: Path) -> None:
    for plot, message in (
        (tmp_path / "p.svg", "name it"),
        (tmp_path / "d.png", "is a folder; name a file"),
        (Path(), "is a folder; name a file"),
    ):
        (tmp_path / "d.png").mkdir(exist_ok=True)
        code, _, err = lsu("evaluate", "bundle", "--data", town, "--split", "val", "--plot", plot)
        assert (code, lsu.loaded) == (2, [])
        assert message in err


def test_evaluate_writes_nothing_when_a_label_file_is_damaged(lsu: Bench, town: Path, tmp_path: Path) -> None:
    (town / "labels" / "1.png").write_bytes((town / "labels" / "1.png").read_bytes()[:-5])
    plot = tmp_path / "p.png"
    code, out, err = lsu("evaluate", "bundle", "--data", town, "--split", "val", "--plot", plot)
    assert (code, out) == (2, "")
    assert "cut off" in err
    assert not plot.exists()
    assert lsu.engine.closed


# lsu run


def test_run_writes_overlays_and_class_maps_of_a_folder(lsu: Bench, town: Path, tmp_path: Path) -> None:
    code, out, err = lsu("run", "bundle", "--source", town / "images", "--output", tmp_path / "out")
    assert code == 0
    stored = cv2.imread(str(tmp_path / "out/classes/0.png"), cv2.IMREAD_UNCHANGED)
    assert stored.tolist() == [[0, 1], [1, 1]]
    assert sorted(p.name for p in (tmp_path / "out/overlay").iterdir()) == ["0.png", "1.png"]
    assert "2 frames" in out
    assert "5 warm-up runs on the first frame are not counted" in err
    assert (lsu.self_tests, lsu.engine.closed) == (1, True)


def test_run_without_output_measures_and_writes_nothing(lsu: Bench, town: Path, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    code, out, err = lsu("run", "bundle", "--source", town / "images", "--frames", "1", "--json")
    assert (code, err) == (0, "")
    document = json.loads(out)
    assert (document["frames"], document["warm_up"], document["bundle"]) == (1, 5, "d1")
    assert set(document["milliseconds"]) == {"read", "network", "head", "write", "answer", "total"}
    assert sorted(tmp_path.rglob("*")) == before


def test_run_counts_missed_deadlines_and_fails_only_when_told(lsu: Bench, town: Path) -> None:
    arguments = ("run", "bundle", "--source", town / "images", "--deadline-ms", "0.000001")
    code, out, _ = lsu(*arguments)
    assert code == 0
    assert "2 answers (100.0%) took longer than 1e-06 ms" in out
    assert lsu(*arguments, "--allow-misses", "0.5")[0] == 1
    assert (
        lsu("run", "bundle", "--source", town / "images", "--deadline-ms", "1e6", "--allow-misses", "0")[0]
        == 0
    )


def test_run_stops_when_the_self_test_fails(lsu: Bench, town: Path, tmp_path: Path) -> None:
    lsu.refusal = BackendError("golden frames differ")
    arguments = ("run", "bundle", "--source", town / "images", "--output", tmp_path / "out")
    code, out, err = lsu(*arguments)
    assert (code, out, err) == (3, "", "lsu: golden frames differ\n")
    assert not (tmp_path / "out").exists()
    assert lsu.engine.closed
    assert lsu(*arguments, "--no-self-test")[0] == 0
    assert lsu.self_tests == 1


@pytest.mark.parametrize("verb", [("evaluate", "--split", "val", "--data"), ("run", "--source")])
def test_backend_and_threads_reach_the_engine(lsu: Bench, town: Path, verb: tuple[str, ...]) -> None:
    name, *options = verb
    data = town if name == "evaluate" else town / "images"
    assert lsu(name, "bundle", *options, data, "--backend", "onnxruntime", "--threads", "1")[0] == 0
    assert lsu(name, "bundle", *options, data)[0] == 0
    assert lsu.loaded == [("onnxruntime", 1), ("auto", None)]


def test_run_refuses_to_write_over_its_source(lsu: Bench, tmp_path: Path) -> None:
    (tmp_path / "v.mp4").write_bytes(b"a video")
    code, _, err = lsu("run", "bundle", "--source", tmp_path / "v.mp4", "--output", tmp_path / "v.mp4")
    assert (code, lsu.loaded) == (2, [])
    assert "is the source itself" in err
    assert (tmp_path / "v.mp4").read_bytes() == b"a video"


def test_run_refuses_a_bad_source_or_output_before_an_engine_is_loaded(
    lsu: Bench, town: Path, tmp_path: Path
) -> None:
    assert lsu("run", "bundle", "--source", tmp_path / "nowhere")[0] == 2
    code, _, err = lsu("run", "bundle", "--source", town / "images", "--output", tmp_path / "o.mkv")
    assert (code, lsu.loaded) == (2, [])
    assert "o.mkv cannot be written to" in err


@pytest.mark.parametrize("verb", ["evaluate", "run"])
def test_help_shows_an_example(lsu: Bench, verb: str) -> None:
    code, out, _ = lsu(verb, "--help")
    assert code == 0
    assert f"Example: lsu {verb} student/ --" in out


def test_the_verbs_load_neither_numpy_nor_opencv_for_help() -> None:
    program = (
        "import sys, lsu.runtime.verbs.evaluate, lsu.runtime.verbs.run;"
        "print(sorted({'numpy', 'cv2', 'torch', 'onnxruntime'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
