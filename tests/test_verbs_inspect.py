"""`lsu inspect`: everything about a bundle, and whether this machine reproduces it."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import typer
from bundles import SPEC, golden_frame, noise, tiny_bundle
from typer.testing import CliRunner

from lsu.runtime.bundles.golden import GoldenFrame
from lsu.runtime.terminal import ending_well
from lsu.runtime.verbs.inspect import inspect


def call(*arguments: object) -> tuple[int, str, str]:
    app = typer.Typer(pretty_exceptions_enable=False, rich_markup_mode="rich")
    app.command()(ending_well(inspect))
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    return result.exit_code, result.stdout, result.stderr


def wrong_bundle(path: Path) -> Path:
    """A bundle whose golden scores no engine reproduces."""
    frame = golden_frame(noise(21, 27), SPEC)
    swapped = GoldenFrame(frame.image, np.ascontiguousarray(frame.scores[::-1]), frame.classes)
    return tiny_bundle(path / "wrong", golden=(swapped,)).path


def test_json_says_everything(tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "b")
    code, out, err = call(bundle.path, "--json")
    document = json.loads(out)
    assert (code, err) == (0, "")
    assert document["digest"] == bundle.digest
    assert document["label_space"] == {
        "name": "town",
        "identity": bundle.spec.label_space.identity,
        "classes": ["road", "sky", "car"],
    }
    assert document["input"] == {
        "format": "rgb8",
        "fit": "pad",
        "size": None,
        "multiple": 8,
        "pad_value": 100,
    }
    assert document["golden"]["passed"] is True
    assert document["golden"]["equal_classes"] == 1.0
    assert document["files"]["model.onnx"] == {
        "bytes": (bundle.path / "model.onnx").stat().st_size,
        "sha256": bundle.manifest.files["model.onnx"],
        "verified": True,
    }
    assert document["provenance"] == {"lsu": "0", "opset": 18}


def test_text_says_what_a_person_asks(tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "b")
    code, out, _ = call(bundle.path)
    assert code == 0
    for text in (
        bundle.digest,
        "town (3 classes",
        "road, sky, car",
        "fit pad",
        "1 reproduced here: 100.00 %",
    ):
        assert text in out
    assert "model.onnx" in out


def test_no_run_needs_no_backend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = tiny_bundle(tmp_path / "b")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    code, out, _ = call(bundle.path, "--no-run", "--json")
    assert code == 0
    assert json.loads(out)["golden"] == {"frames": 1, "passed": None}
    assert "1, not run" in call(bundle.path, "--no-run")[1]
    code, out, err = call(bundle.path, "--json")
    assert code == 3
    assert json.loads(out)["golden"]["passed"] is None
    assert "pip install 'lsu[cpu]'" in err


def test_golden_frames_that_fail_are_told_after_all_else(tmp_path: Path) -> None:
    path = wrong_bundle(tmp_path)
    code, out, err = call(path, "--json")
    assert code == 3
    assert json.loads(out)["golden"]["passed"] is False
    assert "does not reproduce the golden frames" in err
    assert "1, NOT reproduced here" in call(path)[1]


def test_a_damaged_bundle_ends_with_2_and_shows_nothing(tmp_path: Path) -> None:
    path = tiny_bundle(tmp_path / "b").path
    (path / "model.onnx").write_bytes(b"damaged")
    code, out, err = call(path)
    assert (code, out) == (2, "")
    assert err.startswith("lsu: ")
    assert "model.onnx: damaged" in err


def test_the_module_loads_nothing_heavy() -> None:
    script = (
        "import sys, lsu.runtime.verbs.inspect\n"
        "heavy = {'numpy', 'cv2', 'torch', 'onnx', 'onnxruntime'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
