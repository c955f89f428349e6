"""Verification: what differs is counted rightly, who is wrong fails, and who cannot answer is named."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from bundles import SPEC, function_bundle, golden_frame, noise, tiny_bundle, tiny_model, tiny_scores
from engines import stand_in_driver, stored_engine, use_stand_in_library
from pictures import SOURCE

from lsu.export.verification import participants
from lsu.export.verification.answers import FREE, EngineBackend, Question
from lsu.export.verification.constraint import Constraint, table_from_allowed
from lsu.export.verification.material import golden_material
from lsu.export.verification.participants import Others
from lsu.export.verification.verify import verify
from lsu.runtime import ModelSpec, cuda_device
from lsu.runtime.errors import BackendError, InputError
from lsu.runtime.head import constrained_argmax
from lsu.runtime.model import placed


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


@pytest.mark.parametrize("there", [True, False], ids=["with a GPU", "without"])
def test_a_changed_plan_stops_the_verification_on_any_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    bundle = tiny_bundle(tmp_path / "b")
    plan = stored_engine(bundle).path / "engine.plan"
    driver = str(stand_in_driver(tmp_path)) if there else "libcuda-of-no-machine.so.1"
    monkeypatch.setattr(cuda_device, "_LIBRARY", driver)
    use_stand_in_library(monkeypatch)
    plan.write_bytes(bytes(plan.stat().st_size))
    with pytest.raises(InputError, match=r"engine\.plan: not the plan that engine\.json names"):
        verify(bundle, golden_material(bundle))


def test_an_engine_with_the_plugin_is_named_and_not_compared(tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "b")
    tag = stored_engine(bundle, head="plugin").path.name
    found = verify(bundle, golden_material(bundle))
    assert found.passed
    assert (f"engine {tag}", "it gives classes, and engines that give scores are compared") in [
        (entry.name, entry.reason) for entry in found.absent
    ]


def test_another_bundle_that_is_wrong_is_refused_and_not_passed_over(tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "b")
    wrong = tiny_bundle(tmp_path / "w", models={"model.onnx": tiny_model(5).SerializeToString()})
    with pytest.raises(InputError, match="gives 5 channels"):
        verify(bundle, golden_material(bundle), Others(against=(wrong,)))
