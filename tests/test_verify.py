"""Verification: what differs is counted rightly, who is wrong fails, and who cannot answer is named."""

import csv
import json
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from bundles import SPEC, golden_frame, noise, tiny_bundle, tiny_model, tiny_scores
from engines import stand_in_driver, stored_engine, use_stand_in_library
from onnx import numpy_helper
from pictures import FOREIGN, SOURCE, write_dataset
from typer.testing import CliRunner

from lsu.export import cli
from lsu.export.head_function import with_head
from lsu.export.verification import participants, scores_check
from lsu.export.verification.answers import FREE, EngineBackend, Question
from lsu.export.verification.constraint import Constraint, table_from_allowed
from lsu.export.verification.material import golden_material
from lsu.export.verification.participants import Others
from lsu.export.verification.verify import verify
from lsu.runtime import ModelSpec, cuda_device
from lsu.runtime.bundles.bundle import Bundle
from lsu.runtime.errors import BackendError, InputError
from lsu.runtime.head import constrained_argmax
from lsu.runtime.model import placed

RELATION = """
name = "r"
source = "source.toml"
foreign = "data/foreign.toml"
[allow]
ground = ["road"]
object = ["car", "person"]
above = ["sky", "person"]
"""


def function_bundle(path: Path, spec: ModelSpec = SPEC, *, wrong: bool = False) -> Bundle:
    """A tiny bundle with the portable head; `wrong` mixes up its classes."""
    model = tiny_model(spec.channels)
    other = onnx.ModelProto()
    other.CopyFrom(model)
    if wrong:
        (tensor,) = other.graph.initializer
        swapped = np.roll(numpy_helper.to_array(tensor), 1, axis=0)
        tensor.CopyFrom(numpy_helper.from_array(swapped, tensor.name))
    models = {
        "model.onnx": model.SerializeToString(),
        "model_with_head.onnx": with_head(other.SerializeToString(), void_channel=spec.void_channel),
    }
    return tiny_bundle(path, spec, models=models, head="function")


def call(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(cli.application(), ["verify", *map(str, arguments)])
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bundle of SOURCE with the portable head, data of FOREIGN and a relation, in the working folder."""
    function_bundle(tmp_path / "bundle", ModelSpec(SOURCE, fit="pad", multiple=8))
    write_dataset(tmp_path / "data")
    (tmp_path / "source.toml").write_text(SOURCE.to_toml())
    (tmp_path / "r.toml").write_text(RELATION)
    monkeypatch.chdir(tmp_path)
    return tmp_path


DATA = ("--data", "data", "--split", "train", "--relation", "r.toml")


def test_an_engine_answers_free_and_within_each_constraint(tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "b")

    class Engine:
        spec, identity = bundle.spec, "numpy"

        def infer(self, images: np.ndarray) -> np.ndarray:
            return np.stack([tiny_scores(image) for image in images])

        def close(self) -> None:
            pass

    image = noise(13, 22)
    labels = np.random.default_rng(0).integers(0, 2, (13, 22), np.uint8)
    allowed = np.zeros((256, 3), bool)
    allowed[0, 2], allowed[1, :2] = True, True
    given = Constraint("two", labels, table_from_allowed(allowed))
    said = EngineBackend("numpy", Engine(), threads=1).answer(Question("q", image, (given,)))
    fitted = placed(image, SPEC)
    low = tiny_scores(fitted.pixels)
    assert np.array_equal(said.classes[FREE], constrained_argmax(low, (13, 22), canvas=fitted.canvas).classes)
    assert (said.classes["two"][labels == 0] == 2).all()
    assert (said.classes["two"][labels == 1] < 2).all()


def test_everybody_agrees_on_a_right_bundle(tmp_path: Path) -> None:
    bundle = function_bundle(tmp_path / "b")
    found = verify(bundle, golden_material(bundle))
    assert [(c.backend, c.mode) for c in found.comparisons] == [
        ("stored in the bundle", "free"),
        ("model_with_head.onnx", "free"),
        ("model_with_head.onnx", "drawn"),
    ]
    assert all(c.equal == 1.0 for c in found.comparisons)
    assert found.passed
    assert 0 < found.mixed_share <= 1


def test_a_wrong_head_fails_in_both_modes(tmp_path: Path) -> None:
    bundle = function_bundle(tmp_path / "b", wrong=True)
    found = {(c.backend, c.mode): c for c in verify(bundle, golden_material(bundle)).comparisons}
    assert found["stored in the bundle", "free"].passed
    assert not found["model_with_head.onnx", "free"].passed
    assert not found["model_with_head.onnx", "drawn"].passed
    scored = found["model_with_head.onnx", "free"].to_dict()
    assert scored["mean_iou_difference"] < -0.1  # the reference's own answer is the truth


def test_stored_answers_that_nobody_gives_fail(tmp_path: Path) -> None:
    frame = golden_frame(noise(21, 27), SPEC)
    turned = replace(frame, classes=np.ascontiguousarray(frame.classes[::-1]))
    bundle = tiny_bundle(tmp_path / "b", golden=(turned,))
    assert not verify(bundle, golden_material(bundle)).passed


def test_a_void_channel_and_a_resized_input_agree_too(tmp_path: Path) -> None:
    for number, spec in enumerate(
        (replace(SPEC, void_channel=3), replace(SPEC, fit="resize", size=(24, 32), multiple=1))
    ):
        bundle = function_bundle(tmp_path / str(number), spec)
        assert verify(bundle, golden_material(bundle)).passed


def test_another_bundle_is_compared_and_the_lower_precision_decides(tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "b")
    half = tiny_bundle(tmp_path / "half", precision="float16", name="half")
    stored, free, drawn = verify(bundle, golden_material(bundle), Others(against=(half,))).comparisons
    assert (stored.least, free.least, drawn.least) == (0.9999, 0.995, 0.995)
    assert free.backend == drawn.backend == f"bundle half ({half.digest[:8]})"
    with pytest.raises(InputError, match="label spaces differ"):
        stranger = tiny_bundle(tmp_path / "s", ModelSpec(SOURCE, fit="pad", multiple=8))
        verify(bundle, golden_material(bundle), Others(against=(stranger,)))


def test_who_fails_on_an_image_is_named_and_nothing_passes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = function_bundle(tmp_path / "b")

    def fail(*_: object) -> None:
        raise BackendError("the device is gone")

    monkeypatch.setattr(participants.FunctionBackend, "answer", fail)
    found = verify(bundle, golden_material(bundle))
    assert not found.passed
    (entry,) = [entry for entry in found.absent if entry.failed]
    assert entry.name == "model_with_head.onnx"
    assert entry.reason == "failed on golden 0: the device is gone"


def test_who_cannot_run_here_is_named_and_the_others_decide(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = function_bundle(tmp_path / "b")

    def missing(*_: object) -> None:
        raise BackendError("no such library")

    monkeypatch.setattr(participants, "FunctionBackend", missing)
    found = verify(bundle, golden_material(bundle))
    assert found.passed
    assert ("model_with_head.onnx", "no such library") in [(e.name, e.reason) for e in found.absent]


def test_nobody_to_compare_is_refused(tmp_path: Path, place: Path) -> None:
    plain = tiny_bundle(tmp_path / "plain", ModelSpec(SOURCE, fit="pad", multiple=8))
    code, out, err = call(plain.path, *DATA)
    assert (code, out) == (2, "")
    assert "nobody to compare with the reference: give --checkpoint or --against" in err


def test_labels_and_a_relation_score_in_the_foreign_label_space(place: Path) -> None:
    code, out, _ = call("bundle", *DATA, "--frames", 3, "--json")
    document = json.loads(out)
    assert code == 0
    assert document["images"]["count"] == 3
    assert (document["images"]["truth"], document["images"]["label_space"]) == ("labels", FOREIGN.name)
    modes = {entry["mode"]: entry for entry in document["comparisons"]}
    assert set(modes) == {"free", "drawn", "relation"}
    assert [row["name"] for row in modes["free"]["classes"]] == list(FOREIGN.names)
    assert modes["free"]["mean_iou_difference"] == 0.0
    assert 0 < modes["free"]["mean_iou"] < 1
    assert "onnxruntime CUDA" in [entry["name"] for entry in document["absent"]]


def test_the_report_is_a_folder_with_a_page_that_needs_nothing_else(place: Path) -> None:
    function_bundle(place / "wrong", ModelSpec(SOURCE, fit="pad", multiple=8), wrong=True)
    code, _, err = call("wrong", *DATA, "-o", "report", "--worst", 1)
    assert code == 1
    assert "report: report/report.html" in err
    document = json.loads((place / "report/report.json").read_text())
    assert document["passed"] is False
    pictures = sorted(p.name for p in (place / "report/worst").iterdir())
    assert pictures == [f"model_with_head.onnx-{mode}-1.png" for mode in ("drawn", "free", "relation")]
    assert cv2.imread(str(place / "report/worst" / pictures[1])).shape[1] > 4 * 360

    class Reader(HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.open_tags: list[str] = []
            self.sources: list[str] = []

        def handle_starttag(self, tag: str, attributes: list) -> None:
            if tag not in ("meta", "img"):
                self.open_tags.append(tag)
            self.sources += [value for name, value in attributes if name in ("src", "href")]

        def handle_endtag(self, tag: str) -> None:
            assert self.open_tags.pop() == tag

    text = (place / "report/report.html").read_text()
    reader = Reader()
    reader.feed(text)
    assert reader.open_tags == []
    assert len(reader.sources) == 3
    assert all(source.startswith("data:image/png;base64,") for source in reader.sources)
    assert not re.search(r"https?://", text)
    assert "prefers-color-scheme: dark" in text
    assert 'name="viewport"' in text


def test_names_from_files_are_escaped_in_the_page(tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "b", name="<script>alert(1)</script>")
    assert call(bundle.path, "-o", tmp_path / "report")[0] == 0
    text = (tmp_path / "report/report.html").read_text()
    assert "<script" not in text
    assert "&lt;script&gt;" in text


def test_an_existing_report_is_refused_before_the_work(place: Path) -> None:
    (place / "report").mkdir()
    code, _, err = call("bundle", "-o", "report")
    assert code == 2
    assert "report exists: choose another name or remove it" in err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--agreement", "99"), "agreement is 99.0; a share from 0 to 1 is needed"),
        (("--rtol", "-1"), "rtol is -1.0; 0 or more is needed"),
        (("--relation", "r.toml"), "--relation belongs to --data, which is not given"),
        (("--frames", "2"), "--frames belongs to --data"),
        (("--data", "data", "--split", "train"), "label spaces differ"),
    ],
)
def test_options_that_cannot_be_are_one_line_and_code_2(place: Path, options: tuple, message: str) -> None:
    code, out, err = call("bundle", *options)
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1


def test_an_asked_agreement_decides(place: Path) -> None:
    function_bundle(place / "wrong", ModelSpec(SOURCE, fit="pad", multiple=8), wrong=True)
    assert call("wrong")[0] == 1
    assert call("wrong", "--agreement", "0")[0] == 0


def test_a_checkpoint_of_another_network_is_refused_and_the_right_one_agrees(tmp_path: Path) -> None:
    from checkpoints import write_checkpoint

    from lsu.export.to_onnx import Options as ExportOptions
    from lsu.export.to_onnx import export_checkpoint

    right = tmp_path / "right.safetensors"
    write_checkpoint(right)
    bundle = export_checkpoint(right, tmp_path / "b", ExportOptions(size=(64, 96)))
    code, out, _ = call(bundle.path, "--checkpoint", right, "--json")
    assert code == 0
    torch = [entry for entry in json.loads(out)["comparisons"] if entry["backend"] == "torch CPU"]
    assert {entry["mode"]: entry["equal"] for entry in torch} == {"free": 1.0, "drawn": 1.0}
    write_checkpoint(tmp_path / "other.safetensors", decoder_channels=8)
    code, _, err = call(bundle.path, "--checkpoint", tmp_path / "other.safetensors")
    assert code == 2
    assert "give the checkpoint that it was exported from" in err


def test_without_polygraphy_the_rest_is_done_and_that_is_said(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scores_check, "find_spec", lambda _: None)
    code, out, err = call("bundle")
    assert code == 0
    assert "Polygraphy is missing" in err
    code, out, _ = call("bundle", "--json")
    assert json.loads(out)["polygraphy"] is None


def test_without_torch_onnx_and_polygraphy_a_bundle_is_verified(tmp_path: Path) -> None:
    bundle = function_bundle(tmp_path / "b")
    script = (
        "import sys\n"
        "class Block:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in {'torch', 'onnx', 'polygraphy', 'timm', 'pydantic'}:\n"
        "            raise ImportError('blocked: ' + name)\n"
        "sys.meta_path.insert(0, Block())\n"
        "import lsu.export.verification.scores_check as checks\n"
        "checks.find_spec = lambda name: None\n"
        "import lsu.export.verification.participants as people\n"
        "people.find_spec = lambda name: None\n"
        "from pathlib import Path\n"
        "from lsu.export.verification.material import golden_material\n"
        "from lsu.export.verification.participants import Others\n"
        "from lsu.export.verification.verify import verify\n"
        "from lsu.runtime.bundles.bundle import Bundle\n"
        f"bundle = Bundle.open(Path({str(bundle.path)!r}))\n"
        "found = verify(bundle, golden_material(bundle), Others(checkpoint=Path('any')))\n"
        "assert found.passed\n"
        "assert {e.name for e in found.absent} >= {'torch CPU'}, found.absent\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_an_engine_without_its_gpu_is_named_and_with_one_it_is_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The GPU is the host's memory behind a stand-in for the driver, the library one that uses numpy."""
    bundle = tiny_bundle(tmp_path / "b")
    tag = stored_engine(bundle).path.name
    monkeypatch.setattr(cuda_device, "_LIBRARY", "libcuda-of-no-machine.so.1")
    found = verify(bundle, golden_material(bundle))
    assert found.passed
    (reason,) = [entry.reason for entry in found.absent if entry.name == f"engine {tag}"]
    assert "needs a GPU of SM" in reason
    assert "\n" not in reason
    monkeypatch.setattr(cuda_device, "_LIBRARY", str(stand_in_driver(tmp_path)))
    use_stand_in_library(monkeypatch)
    found = verify(bundle, golden_material(bundle))
    engine = {entry.mode: entry.equal for entry in found.comparisons if entry.backend == f"engine {tag}"}
    assert engine == {"free": 1.0, "drawn": 1.0}


def test_the_figures_are_added_to_a_table(place: Path) -> None:
    for _ in range(2):
        assert call("bundle", *DATA, "--csv", "t.csv")[0] == 0
    rows = list(csv.DictReader((place / "t.csv").read_text().splitlines()))
    assert [row["mode"] for row in rows] == 2 * ["free", "drawn", "relation"]
    assert {(row["equal"], row["asked"], row["passed"]) for row in rows} == {("100.0", "99.99", "True")}
    assert rows[0]["mean_iou_difference"] == "0.0"
    assert rows[1]["mean_iou"] == ""
    assert all(row["device"] and row["versions"] and row["command"] and row["mixed_share"] for row in rows)


def test_a_changed_engine_folder_stops_the_verification(tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "b")
    (bundle.path / "engines/odd").mkdir(parents=True)
    (bundle.path / "engines/odd/engine.json").write_text("{}")
    code, out, err = call(bundle.path)
    assert (code, out) == (2, "")
    assert "engines/odd" in err


@pytest.mark.parametrize("verb", ["verify", "bench"])
def test_an_unsigned_bundle_is_refused_where_a_key_is_given(tmp_path: Path, verb: str) -> None:
    bundle, key = tiny_bundle(tmp_path / "b").path, tmp_path / "key"
    assert CliRunner().invoke(cli.application(), ["keygen", str(key)]).exit_code == 0
    refused = CliRunner().invoke(cli.application(), [verb, str(bundle), "--trust", f"{key}.pub"])
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "sign" in refused.stderr


@pytest.mark.parametrize("verb", ["verify", "bench"])
def test_both_verbs_explain_themselves_with_an_example(verb: str) -> None:
    said = CliRunner().invoke(cli.application(), [verb, "--help"]).stdout
    assert f"Example: lsu export {verb}" in " ".join(said.split())
