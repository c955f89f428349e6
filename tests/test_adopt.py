"""Anybody's ONNX file becomes a bundle: found, checked, proven, or refused in one line."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from bundles import TOWN, noise, tiny_model, tiny_scores, weights
from foreign_networks import PLAIN, adopted, foreign, save, scores_of
from onnx import TensorProto, helper
from typer.testing import CliRunner

from lsu.export import cli
from lsu.export.adoption.adopt import Adoption, adopt
from lsu.export.adoption.adopted_graph import Preparation
from lsu.runtime.bundles.bundle import Bundle
from lsu.runtime.engines import engine_for
from lsu.runtime.errors import BackendError, InputError
from lsu.runtime.label_space import LabelSpace

MEAN, STD = (0.2, 0.4, 0.6), (0.1, 0.2, 0.3)


def test_planes_of_floats_become_uint8_pixels(tmp_path: Path) -> None:
    bundle = adopted(foreign(), tmp_path)
    assert (bundle.spec.fit, bundle.spec.size, bundle.spec.multiple) == ("pad", None, 8)
    assert (bundle.spec.scores, bundle.precision, bundle.name) == ("logits", "float32", "net")
    image = noise(24, 32)
    np.testing.assert_allclose(scores_of(bundle, image), tiny_scores(image), rtol=1e-4, atol=1e-2)
    assert bundle.manifest.verification["images"] == 6
    assert bundle.manifest.verification["equal_classes"] == 1.0
    (value,) = onnx.load_from_string(bundle.read_model()).graph.input
    assert value.type.tensor_type.elem_type == TensorProto.UINT8
    assert bundle.self_test(engine_for(bundle, "onnxruntime")).frames == 2


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("bgr", [False, True])
def test_normalisation_and_order_are_put_inside(tmp_path: Path, layout: str, bgr: bool) -> None:
    """By hand: one pixel's value of the network's first channel, whatever its layout."""
    model = foreign()
    if layout == "NHWC":
        model = foreign(shape=("b", "h", "w", 3))
        model.graph.node.insert(0, helper.make_node("Transpose", ["image"], ["planes"], perm=[0, 3, 1, 2]))
        model.graph.node[1].input[0] = "planes"
    bundle = adopted(model, tmp_path, preparation=Preparation(MEAN, STD, 255.0, bgr))
    image = np.full((8, 8, 3), (51, 153, 255), np.uint8)  # 0.2, 0.6, 1 of 255
    seen = np.array([0.0, 1.0, 4 / 3]) if not bgr else np.array([8.0, 1.0, -4 / 3])
    np.testing.assert_allclose(scores_of(bundle, image)[:, 0, 0], weights(3) @ seen, atol=1e-4)
    assert bundle.manifest.normalisation["order"] == ("BGR" if bgr else "RGB")


def test_a_uint8_network_keeps_its_own_input(tmp_path: Path) -> None:
    bundle = adopted(tiny_model(), tmp_path, preparation=Preparation())
    nodes = onnx.load_from_string(bundle.read_model()).graph.node
    assert nodes[0].op_type == "Cast"  # TensorRT takes nothing else behind a uint8 input
    image = noise(24, 32)
    np.testing.assert_allclose(scores_of(bundle, image), tiny_scores(image), rtol=1e-4, atol=1e-2)
    with pytest.raises(InputError, match="normalisation is inside: leave out --mean and --std"):
        adopted(tiny_model(), tmp_path / "..", preparation=PLAIN, name="other")


def test_a_float_network_needs_to_be_told_its_normalisation(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is float32: say how pixels become it, as in --mean 0.485"):
        adopted(foreign(), tmp_path, preparation=Preparation())
    with pytest.raises(InputError, match="belong together"):
        Preparation((0.0, 0.0, 0.0))
    for bad in ({"std": (0.0, 1.0, 1.0)}, {"mean": (np.nan, 0.0, 0.0)}, {"scale": 0.0}):
        with pytest.raises(InputError, match="are numbers, --std and --scale above 0"):
            Preparation(**{"mean": MEAN, "std": STD} | bad)


def test_a_fixed_size_is_kept_and_a_free_one_can_be_fixed(tmp_path: Path) -> None:
    fixed = adopted(foreign(shape=(1, 3, 16, 24)), tmp_path)
    assert (fixed.spec.size, fixed.spec.fit, fixed.spec.multiple) == ((16, 24), "resize", 1)
    free = adopt(
        save(foreign(), tmp_path / "f.onnx"), tmp_path / "f", Adoption(TOWN, preparation=PLAIN, size=(16, 24))
    )
    for bundle in (fixed, free):
        graph = onnx.load_from_string(bundle.read_model()).graph
        assert [d.dim_value for d in graph.input[0].type.tensor_type.shape.dim] == [1, 16, 24, 3]
        assert [d.dim_value for d in graph.output[0].type.tensor_type.shape.dim] == [1, 3, 4, 6]
    with pytest.raises(InputError, match="size 32x24: the network takes 16x24 only"):
        adopted(foreign(shape=(1, 3, 16, 24)), tmp_path / "..", size=(32, 24))


def test_half_networks_stay_half_between_their_ends(tmp_path: Path) -> None:
    model = foreign(kind=TensorProto.FLOAT16, outputs=(("out", TensorProto.FLOAT16, 4),))
    bundle = adopted(model, tmp_path)
    graph = onnx.load_from_string(bundle.read_model()).graph
    assert bundle.precision == "float16"
    assert graph.output[0].type.tensor_type.elem_type == TensorProto.FLOAT
    image = noise(24, 32)
    np.testing.assert_allclose(scores_of(bundle, image), tiny_scores(image), rtol=1e-2, atol=2.0)


def test_a_void_channel_is_the_last_one(tmp_path: Path) -> None:
    bundle = adopted(foreign(4), tmp_path, void_channel=True)
    assert (bundle.spec.void_channel, bundle.spec.channels) == (3, 4)


def test_an_adoption_that_changes_the_numbers_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Were the graph to normalise in another way than numpy does, nothing would be written."""
    real = Preparation.applied
    shifted = Preparation((9.0, 0.0, 0.0), (1.0, 1.0, 1.0), 1.0)
    monkeypatch.setattr(Preparation, "applied", lambda _, batch, source: real(shifted, batch, source))
    with pytest.raises(
        BackendError, match="onnxruntime and the adopted file disagree: .*nothing was written"
    ):
        adopted(foreign(), tmp_path)
    assert not (tmp_path / "bundle").exists()


def test_names_inside_branches_follow(tmp_path: Path) -> None:
    """A tensor of the outer graph that a branch uses has the prefix there too."""
    branches = [
        helper.make_graph(
            [helper.make_node("Identity", ["logits"], [f"b{k}"])],
            f"branch{k}",
            [],
            [helper.make_tensor_value_info(f"b{k}", TensorProto.FLOAT, ["n", "c", "h", "w"])],
        )
        for k in range(2)
    ]
    tail = (
        helper.make_node(
            "Constant", [], ["yes"], value=helper.make_tensor("y", TensorProto.BOOL, [], [True])
        ),
        helper.make_node("If", ["yes"], ["out"], then_branch=branches[0], else_branch=branches[1]),
    )
    image = noise(24, 32)
    bundle = adopted(foreign(tail=tail), tmp_path)
    np.testing.assert_allclose(scores_of(bundle, image), tiny_scores(image), rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize("head", ["function", "plugin"])
def test_an_adopted_network_takes_a_head_too(tmp_path: Path, head: str) -> None:
    bundle = adopted(foreign(opset=18), tmp_path, head=head)
    assert bundle.manifest.head == head
    assert ("model_with_head.onnx" in bundle.manifest.files) == (head == "function")


@pytest.mark.parametrize("opset", [13, 17, 20, 21])
def test_the_head_speaks_the_opset_of_the_network(tmp_path: Path, opset: int) -> None:
    bundle = adopted(foreign(opset=opset), tmp_path, head="function")
    assert bundle.manifest.verification["equal_classes_of_heads"] == 1.0
    proto = onnx.load_from_string(bundle.read("model_with_head.onnx"))
    assert {entry.version for f in proto.functions for entry in f.opset_import} == {opset}


def test_functions_of_the_network_stay_and_never_meet_the_heads(tmp_path: Path) -> None:
    model, image = foreign(opset=18), noise(24, 32)
    model.functions.append(
        onnx.parser.parse_function(
            '<domain: "own", opset_import: ["": 18]> Same (x) => (y) {y = Identity (x)}'
        )
    )
    model.opset_import.append(helper.make_opsetid("own", 1))
    model.graph.node.append(helper.make_node("Same", ["out"], ["again"], domain="own"))
    model.graph.output[0].name = "again"
    bundle = adopted(model, tmp_path, head="function")
    np.testing.assert_allclose(scores_of(bundle, image), tiny_scores(image), rtol=1e-4, atol=1e-2)
    (second := tmp_path / "second").mkdir()
    model.functions[0].domain = model.opset_import[-1].domain = model.graph.node[-1].domain = "lsu"
    with pytest.raises(InputError, match="functions of the domain lsu already: take --head scores"):
        adopted(model, second, head="function")


def test_weights_that_are_inputs_too_become_constants(tmp_path: Path) -> None:
    model, image = foreign(), noise(24, 32)
    (filters,) = model.graph.initializer
    model.graph.input.append(helper.make_tensor_value_info(filters.name, TensorProto.FLOAT, filters.dims))
    bundle = adopted(model, tmp_path)
    np.testing.assert_allclose(scores_of(bundle, image), tiny_scores(image), rtol=1e-4, atol=1e-2)
    assert [value.name for value in onnx.load_from_string(bundle.read_model()).graph.input] == ["image"]


def test_the_command_says_what_was_found(tmp_path: Path) -> None:
    path = save(foreign(11), tmp_path / "net.onnx")
    common = [str(path), "-o", str(tmp_path / "b"), "--label-space", "camvid11"]
    command = ["adopt", *common, "--mean", "0.5", "--std", "0.25,0.25,0.25", "--multiple", "8", "--json"]
    done = CliRunner().invoke(cli.application(), command)
    assert done.exit_code == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["digest"] == Bundle.open(tmp_path / "b").digest
    assert "input image: float32 NCHW, scores out: logits" in done.stderr
    assert Bundle.open(tmp_path / "b").spec.pad_value == 128
    assert Bundle.open(tmp_path / "b").spec.label_space == LabelSpace.load("camvid11")


@pytest.mark.parametrize("text", ["a", "1,2", "1,2,3,4", ""])
def test_numbers_that_are_none_are_refused(tmp_path: Path, text: str) -> None:
    path = save(foreign(11), tmp_path / "net.onnx")
    command = ["adopt", str(path), "-o", str(tmp_path / "b"), "--label-space", "camvid11", f"--mean={text}"]
    done = CliRunner().invoke(cli.application(), command)
    assert (done.exit_code, done.stdout) == (2, "")
    assert (
        done.stderr == f"lsu: --mean {text!r}: one number or three with commas, such as 0.485,0.456,0.406\n"
    )


def test_adopting_and_serving_need_no_torch(tmp_path: Path) -> None:
    path = save(foreign(), tmp_path / "net.onnx")
    space = tmp_path / "town.toml"
    space.write_text(TOWN.to_toml())
    adoption = [
        "adopt",
        str(path),
        "-o",
        str(tmp_path / "b"),
        f"--label-space={space}",
        "--mean=0",
        "--std=1",
    ]
    serving = ["triton", str(tmp_path / "b"), "-o", str(tmp_path / "models")]
    script = f"""
import sys
sys.modules["torch"] = None
from lsu.export.cli import application
for command in ({adoption!r}, {serving!r}):
    application()(command, standalone_mode=False)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "models/net/config.pbtxt").is_file()


@pytest.mark.parametrize("verb", ["adopt", "triton"])
def test_help_has_an_example_and_loads_nothing_heavy(verb: str) -> None:
    script = f"""
import sys
from lsu.export.cli import application
try:
    application()(["{verb}", "--help"])
except SystemExit as end:
    assert end.code == 0, end.code
heavy = {{"torch", "onnx", "numpy", "cv2", "onnxruntime"}} & set(sys.modules)
assert not heavy, heavy
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"lsu export {verb}" in done.stdout


def test_a_network_for_one_image_of_any_size_is_run_one_by_one(tmp_path: Path) -> None:
    bundle = adopted(foreign(shape=(1, 3, "h", "w")), tmp_path)
    assert bundle.spec.size is None
    assert bundle.manifest.verification["images"] == 5  # two drawn, three of noise
    engine = engine_for(bundle, "onnxruntime")
    assert engine.infer(np.stack([noise(24, 32, seed) for seed in range(2)])).shape == (2, 3, 6, 8)
    engine.close()
