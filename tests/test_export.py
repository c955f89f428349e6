"""From checkpoints to bundles: what is written is proven, and what is not proven is not written."""

import json
import subprocess
import sys
from dataclasses import replace
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
import torch
from checkpoints import write_checkpoint
from small_network import FREE, Resizing, deployed, noise
from torch import nn
from typer.testing import CliRunner

from lsu.export import cli, to_onnx
from lsu.export.drawn import drawn_frames
from lsu.export.graph import DeployedNetwork
from lsu.export.head_models import prove_head
from lsu.export.to_onnx import Options, _name_of, export_checkpoint, onnx_from_network
from lsu.runtime.bundles.bundle import Bundle
from lsu.runtime.engines import engine_for
from lsu.runtime.errors import BackendError, InputError
from lsu.runtime.label_space import LabelSpace
from lsu.runtime.model import ModelSpec
from lsu.runtime.segmenter import Segmenter
from lsu.training.checkpoint import Checkpoint
from lsu.training.config import Config


@pytest.fixture(scope="session")
def checkpoint_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("checkpoint") / "town.safetensors"
    write_checkpoint(path)
    return path


@pytest.fixture(scope="session")
def fixed_bundle(checkpoint_path: Path) -> Bundle:
    """The smallest real network at 64x96, with the portable head."""
    options = Options(size=(64, 96), head="function")
    return export_checkpoint(checkpoint_path, checkpoint_path.with_name("fixed"), options)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Checkpoints give the network in small, for tests of what is around the exporter."""
    monkeypatch.setattr(Checkpoint, "network", lambda _: Resizing())


def test_a_bundle_is_named_after_its_checkpoint_or_the_folder_of_one() -> None:
    assert _name_of(Path("runs/town/checkpoint.safetensors")) == "town"
    assert _name_of(Path("runs/town.safetensors")) == "town"


def test_a_real_network_gives_a_bundle_that_equals_torch(fixed_bundle: Bundle, checkpoint_path: Path) -> None:
    checkpoint = Checkpoint.load(checkpoint_path)
    assert fixed_bundle.spec == replace(checkpoint.spec, size=(64, 96), multiple=1)
    assert fixed_bundle.name == "town"
    assert fixed_bundle.provenance["checkpoint"] == checkpoint.digest
    assert fixed_bundle.provenance["config"] == checkpoint.config.model_dump(mode="json")
    assert fixed_bundle.manifest.normalisation["mean"] == list(checkpoint.config.network.mean)
    measured = fixed_bundle.manifest.verification
    assert measured["images"] == 3
    assert measured["largest_score_difference"] < 1e-4
    assert measured["equal_classes"] == 1.0
    assert measured["equal_classes_of_heads"] == 1.0
    engine = engine_for(fixed_bundle)
    image = noise(1, 50, 90)[0]
    padded = np.full((1, 64, 96, 3), checkpoint.spec.pad_value, np.uint8)
    padded[0, :50, :90] = image
    with torch.inference_mode():
        truth = DeployedNetwork(checkpoint.network(), checkpoint.config.network)(torch.from_numpy(padded))
    np.testing.assert_allclose(Segmenter(engine).scores(image).values, truth[0].numpy(), atol=1e-4)
    assert fixed_bundle.self_test(engine).equal == 1.0


def test_a_real_network_of_free_size_equals_torch(tmp_path: Path) -> None:
    checkpoint = write_checkpoint(
        tmp_path / "c.safetensors", encoder="resnet18"
    )  # traced in a third of the time
    bundle = export_checkpoint(tmp_path / "c.safetensors", tmp_path / "b")
    assert bundle.spec == checkpoint.spec
    assert bundle.manifest.verification["images"] == 6
    assert bundle.manifest.verification["largest_difference_of_range"] < 1e-5
    assert bundle.self_test(engine_for(bundle)).equal == 1.0


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("options", "frame"),
    [
        (Options(head="function"), (270, 405)),
        (Options(fit="exact"), (288, 416)),
        (Options(size=(64, 96)), (51, 89)),
        (Options(size=(64, 96), fit="resize"), (51, 89)),
        (Options(size=(64, 96), fit="exact"), (64, 96)),
        (Options(size="dynamic", head="plugin"), (270, 405)),
        (Options(size="dynamic", fit="exact", precision="float16"), (288, 416)),
        (Options(size=(64, 96), precision="float16", head="function"), (51, 89)),
    ],
)
def test_each_fit_is_proven_by_drawn_frames(
    checkpoint_path: Path, tmp_path: Path, options: Options, frame: tuple[int, int]
) -> None:
    bundle = export_checkpoint(checkpoint_path, tmp_path / "b", replace(options, name="other"))
    size = None if options.size == "dynamic" else options.size
    assert (bundle.spec.fit, bundle.spec.size, bundle.name) == (options.fit or "pad", size, "other")
    assert (bundle.precision, bundle.manifest.head) == (options.precision, options.head)
    assert [f.image.shape[:2] for f in bundle.golden_frames()] == [frame, frame]
    assert bundle.self_test(engine_for(bundle)).frames == 2


def test_the_size_is_as_fitted_unless_it_is_named() -> None:
    network = {"input_size": [64, 96]}
    config = Config.from_dict({"output": "x", "network": network, "data": [{"dataset": "none"}]}, "test")
    fitted = Checkpoint(config, LabelSpace.load("camvid11"), 1, {}, {}).spec
    assert to_onnx._spec_for(fitted, Options()) == fitted
    free = to_onnx._spec_for(fitted, Options(size="dynamic"))
    assert (free.size, free.multiple, free.fit) == (None, 32, "pad")
    assert to_onnx._spec_for(FREE, Options(size="dynamic")) == to_onnx._spec_for(FREE, Options()) == FREE
    with pytest.raises(InputError, match="fit 'resize' needs a fixed input size"):
        to_onnx._spec_for(fitted, Options(size="dynamic", fit="resize"))


def test_drawn_frames_differ_in_colours_and_are_the_same_each_time() -> None:
    first, second = drawn_frames(FREE)
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, first[..., ::-1])
    assert np.array_equal(first, drawn_frames(FREE)[0])
    assert first.dtype == np.uint8


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (Options(size=(500, 333)), "size 500x333: H and W must be multiples of 32, such as 512x320"),
        (Options(size=(0, 32)), "such as 32x32"),
        (Options(fit="resize"), "fit 'resize' needs a fixed input size"),
        (Options(size=(64, 96), golden=[noise(1, 70, 96)[0]]), "image is 96x70; the network needs 96x64"),
        (
            Options(fit="exact", golden=[noise(1, 64, 90)[0]]),
            "image is 90x64; the network needs multiples of 32",
        ),
    ],
)
def test_options_that_cannot_be_are_refused_and_nothing_is_written(
    checkpoint_path: Path, tmp_path: Path, options: Options, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(to_onnx, "onnx_from_network", lambda *_: pytest.fail("the exporter was started"))
    with pytest.raises(InputError) as caught:
        export_checkpoint(checkpoint_path, tmp_path / "b", options)
    assert message in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_network_with_an_input_size_keeps_the_rules_of_the_others() -> None:
    """Its own size is no multiple to go by, and its padding is grey like that of a network of free size."""
    network = {"input_size": [64, 96], "mean": [0.5, 0.5, 0.5]}
    config = Config.from_dict({"output": "x", "network": network, "data": [{"dataset": "none"}]}, "test")
    spec = Checkpoint(config, LabelSpace.load("camvid11"), 1, {}, {}).spec
    assert (spec.fit, spec.size, spec.pad_value) == ("resize", (64, 96), 128)
    with pytest.raises(InputError, match="size 250x301: H and W must be multiples of 32"):
        to_onnx._spec_for(spec, Options(size=(250, 301)))


def test_an_existing_target_is_refused_before_the_checkpoint_is_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="choose another name or remove it"):
        export_checkpoint(tmp_path / "missing.safetensors", tmp_path)


@pytest.mark.usefixtures("quick")
def test_an_export_that_gives_other_numbers_is_refused_and_not_written(
    checkpoint_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(network: nn.Module, spec: ModelSpec) -> bytes:
        other = deployed()
        with torch.no_grad():
            other.network.last.bias += torch.linspace(0, 0.1, 11)  # type: ignore[union-attr,operator]
        return onnx_from_network(other, spec)

    monkeypatch.setattr(to_onnx, "onnx_from_network", wrong)
    with pytest.raises(BackendError, match=r"disagree: .*\(0\.1 % are allowed\).*nothing was written"):
        export_checkpoint(checkpoint_path, tmp_path / "b", Options(size=(64, 96)))
    assert list(tmp_path.iterdir()) == []


def test_a_portable_head_that_differs_is_refused(fixed_bundle: Bundle) -> None:
    model = onnx.load_from_string(fixed_bundle.read("model_with_head.onnx"))
    for function in model.functions:
        for node in function.node:
            if node.op_type == "Resize":
                node.attribute[1].s = b"asymmetric"
    with pytest.raises(BackendError, match="nothing was written: export with --head scores"):
        prove_head(model.SerializeToString(), fixed_bundle.spec, drawn_frames(fixed_bundle.spec))


def export(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(cli.application(), ["onnx", *map(str, arguments)])
    return result.exit_code, result.stdout, result.stderr


@pytest.mark.usefixtures("quick")
def test_the_command_prints_one_json_document(checkpoint_path: Path, tmp_path: Path) -> None:
    code, out, _ = export(
        checkpoint_path, "-o", tmp_path / "b", "--size", "64x96", "--name", "mine", "--json"
    )
    assert code == 0
    document = json.loads(out)
    assert document["digest"] == Bundle.open(tmp_path / "b").digest
    assert document["name"] == "mine"
    assert document["verification"]["equal_classes"] == 1.0


@pytest.mark.usefixtures("quick")
def test_the_command_takes_precision_head_size_and_scores(checkpoint_path: Path, tmp_path: Path) -> None:
    scored = {
        "bundle": "ab", "data": "town", "split": "val", "frames": 2, "mean_iou": 0.25,
        "label_space": {"name": "camvid11", "identity": "x"},
        "classes": [{"name": "Road", "iou": 0.25, "boundary_f": 0.5}],
    }  # fmt: skip
    (tmp_path / "scored.json").write_text(json.dumps(scored))
    choices = ("--precision", "fp16", "--head", "plugin", "--size", "dynamic")
    evaluation = ("--evaluation", tmp_path / "scored.json")
    code, out, err = export(checkpoint_path, "-o", tmp_path / "b", *choices, *evaluation)
    assert code == 0, err
    assert "fp16 exported in" in out
    bundle = Bundle.open(tmp_path / "b")
    assert (bundle.precision, bundle.manifest.head, bundle.spec.size) == ("float16", "plugin", None)
    card = bundle.read("README.md").decode()
    assert "| Road | 25.00 | 50.00 |" in card
    assert bundle.provenance["data"] == [{"name": "none", "split": "train", "weight": 1.0}]


@pytest.mark.usefixtures("quick")
def test_golden_frames_come_from_a_data_set(checkpoint_path: Path, tmp_path: Path) -> None:
    for number in range(9):
        image = np.full((40, 50, 3), 10 * number, np.uint8)
        (tmp_path / "images").mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / f"images/{number}.png"), image)
    (tmp_path / "dataset.toml").write_text(
        'name = "d"\nlabel_space = "camvid11"\n[splits.test]\nimages = "images/*.png"\n'
    )
    where = ("--golden", tmp_path / "dataset.toml", "--split")
    code, out, _ = export(checkpoint_path, "-o", tmp_path / "b", "--size", "64x96", *where, "test")
    assert code == 0
    assert "100.00 % of pixels equal" in out
    frames = [frame.image[0, 0, 0] for frame in Bundle.open(tmp_path / "b").golden_frames()]
    assert frames == [0, 20, 50, 80]  # the first, the last and two between
    code, _, err = export(checkpoint_path, "-o", tmp_path / "c", *where, "tset")
    assert (code, "did you mean 'test'" in err) == (2, True)


@pytest.mark.parametrize("size", ["512", "512x", "axb", "-32x32", "64x96x3"])
def test_a_size_that_is_no_size_is_refused(checkpoint_path: Path, tmp_path: Path, size: str) -> None:
    code, out, err = export(checkpoint_path, "-o", tmp_path / "b", f"--size={size}")
    assert (code, out) == (2, "")
    assert err == f"lsu: size {size!r} is not HxW, such as 512x1024\n"


def test_a_missing_checkpoint_ends_with_2(tmp_path: Path) -> None:
    code, _, err = export(tmp_path / "no.safetensors", "-o", tmp_path / "b")
    assert code == 2
    assert "no.safetensors: cannot be read" in err


@pytest.mark.parametrize("missing", ["torch", "onnx"])
def test_onnx_without_its_libraries_says_how_to_install_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str], missing: str
) -> None:
    def find_spec(name: str) -> ModuleSpec | None:
        return None if name == missing else ModuleSpec(name, None)

    monkeypatch.setattr(sys.modules["lsu.export.verbs.onnx"], "find_spec", find_spec)
    with pytest.raises(SystemExit) as caught:
        cli.application()(["onnx", "checkpoint", "-o", str(tmp_path / "b")])
    assert caught.value.code == 3
    assert capsys.readouterr().err == f"lsu: {missing} missing: pip install 'lsu[train,export]'\n"


def test_help_has_an_example_and_loads_nothing_heavy() -> None:
    script = (
        "import sys\n"
        "from lsu.export.cli import main\n"
        "sys.argv = ['lsu-export', 'onnx', '--help']\n"
        "try:\n    main()\n"
        "except SystemExit as end:\n    assert end.code == 0, end.code\n"
        "heavy = {'torch', 'onnx', 'numpy', 'cv2', 'onnxruntime'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "lsu export onnx runs/town" in done.stdout


def test_the_exporter_is_warned_about_nothing(checkpoint_path: Path, tmp_path: Path) -> None:
    """Warnings are errors here; this runs a whole export in a process of its own, imports included."""
    arguments: list[Any] = ["onnx", checkpoint_path, "-o", tmp_path / "b", "--size", "64x96", "--json"]
    argv = ["lsu-export", *map(str, arguments)]
    script = f"import sys; sys.argv = {argv!r}\nfrom lsu.export.cli import main\nmain()"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    json.loads(done.stdout)
