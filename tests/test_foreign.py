"""What is found in foreign files, and what is refused in one line."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from bundles import TOWN, noise, tiny_scores
from foreign_networks import PLAIN, adopted, foreign, scores_of
from onnx import TensorProto, helper, numpy_helper

from lsu.export.adoption.adopt import Adoption, adopt
from lsu.export.adoption.foreign_model import ForeignInput, precision_of
from lsu.export.adoption.foreign_scores import kind_of
from lsu.runtime.errors import BackendError, InputError

ARGMAX = helper.make_node("ArgMax", ["logits"], ["ids"], axis=1, keepdims=0)
SOFTMAX = helper.make_node("Softmax", ["logits"], ["out"], axis=1)
COPY = helper.make_node("Mul", ["logits", "logits"], ["second"])
ALSO = helper.make_node("Identity", ["logits"], ["first"])
LAST = helper.make_node("Transpose", ["logits"], ["out"], perm=[0, 2, 3, 1])
TWICE = helper.make_node("Concat", ["logits", "logits"], ["out"], axis=0)
FIRST = helper.make_node("ReduceMean", ["logits"], ["out"], axes=[0])
FLAT = helper.make_node("Flatten", ["logits"], ["out"])
IDS = (("ids", TensorProto.INT64, 3),)
PAIR = (("first", TensorProto.FLOAT, 4), ("second", TensorProto.FLOAT, 4))


def test_probabilities_are_seen_and_a_wrong_word_is_refused(tmp_path: Path) -> None:
    assert adopted(foreign(tail=(SOFTMAX,)), tmp_path).spec.scores == "probabilities"
    with pytest.raises(InputError, match="--kind logits, but the scores are probabilities"):
        kind_of([np.full((4, 2, 2), 0.25)], "logits")
    with pytest.raises(InputError, match="--kind probabilities, but the scores are logits: they are not all"):
        kind_of([np.full((4, 2, 2), 0.25), np.full((4, 2, 2), 0.3)], "probabilities")


def test_scores_before_an_argmax_can_be_named(tmp_path: Path) -> None:
    model = foreign(tail=(ARGMAX,), outputs=IDS)
    with pytest.raises(InputError, match="output ids is int64 .*: classes already chosen; name the scores"):
        adopted(model, tmp_path)
    bundle = adopted(model, tmp_path, scores="logits")
    image = noise(24, 32)
    np.testing.assert_allclose(scores_of(bundle, image), tiny_scores(image), rtol=1e-4, atol=1e-2)
    assert [o.name for o in onnx.load_from_string(bundle.read_model()).graph.output] == ["scores"]
    with pytest.raises(InputError, match="has no tensor 'logit'; did you mean 'logits'"):
        adopted(model, tmp_path / "..", scores="logit")


def test_of_several_outputs_one_must_be_named(tmp_path: Path) -> None:
    model = foreign(tail=(ALSO, COPY), outputs=PAIR)
    with pytest.raises(
        InputError, match="several outputs could be the scores: add --scores with one of first, second"
    ):
        adopted(model, tmp_path)
    assert adopted(model, tmp_path, scores="second").provenance["adopted_scores"] == "second"


@pytest.mark.parametrize(
    ("model", "choices", "message"),
    [
        (
            foreign(5),
            {},
            r"\[1, 5, .*float \[1, 3, h, w\] is needed: for the 3 classes of town, name another",
        ),
        (foreign(4), {}, "one channel more than classes, if the last one means void, add --void-channel"),
        (
            foreign(3),
            {"void_channel": True},
            r"\[1, 3, .*float \[1, 4, h, w\] is needed: one channel for each class, leave out --void-channel",
        ),
        (foreign(tail=(LAST,)), {}, "the classes come last, export it with them before h and w"),
        (
            foreign(tail=(TWICE,)),
            {},
            r"out is float32 \[2, 3, .*for one image; float \[1, 3, h, w\] is needed",
        ),
        (foreign(tail=(FIRST,)), {}, "gives scores of 1 images for 2: fix its size with --size HxW"),
        (foreign(), {"size": (0, 64)}, "size 0x64: H and W must be above 0"),
        (foreign(opset=12), {"head": "function"}, "the head needs opset 13 or newer, the network has 12"),
        (
            foreign(tail=(FLAT,), outputs=(("out", TensorProto.FLOAT, 2),)),
            {},
            r"float \[1, 3, h, w\] is needed",
        ),
        (foreign(opset=8), {}, "opset 8 is too old: export it with 9 or newer"),
        (foreign(shape=(2, 3, 16, 24)), {}, "2 images at a time; export it for one, or for any number"),
        (
            foreign(shape=("b", "c", "h", "w")),
            {},
            "which extent holds the colours is not plain: add --layout",
        ),
        (foreign(shape=("b", 3, "h", 3)), {}, r"\[free, 3, free, 3\]: which extent holds the colours"),
        (foreign(shape=("b", 4, "h", 8)), {}, "none of its extents is 3; red, green and blue are needed"),
        (foreign(shape=("b", 1, "h", "w")), {"layout": "NCHW"}, "1 channels as NCHW; 3 are needed"),
        (foreign(shape=(1, 3, 16, "w")), {}, r"takes 16xany \(HxW\), half free: fix it with --size HxW"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(
    tmp_path: Path, model: onnx.ModelProto, choices: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message) as caught:
        adopted(model, tmp_path, **choices)
    assert "\n" not in str(caught.value)
    assert [p.name for p in tmp_path.iterdir()] == ["net.onnx"]


def test_scores_that_lie_across_the_image_are_refused(tmp_path: Path) -> None:
    across = helper.make_node("Transpose", ["logits"], ["out"], perm=[0, 1, 3, 2])
    with pytest.raises(InputError, match="h and w do not cover it"):
        adopted(foreign(tail=(across,)), tmp_path)


def test_weights_in_another_file_are_refused(tmp_path: Path) -> None:
    onnx.save(
        foreign(), tmp_path / "net.onnx", save_as_external_data=True, location="w.bin", size_threshold=0
    )
    with pytest.raises(InputError, match="lie in another file, which nothing vouches for"):
        adopt(tmp_path / "net.onnx", tmp_path / "b", Adoption(TOWN, preparation=PLAIN))


@pytest.mark.parametrize("data", [b"", b"not onnx at all", b"\x08\x07"])
def test_what_is_no_onnx_file_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "net.onnx").write_bytes(data)
    with pytest.raises(InputError, match="net.onnx: not an ONNX file"):
        adopt(tmp_path / "net.onnx", tmp_path / "b", Adoption(TOWN, preparation=PLAIN))


def test_two_inputs_are_refused() -> None:
    model = foreign()
    model.graph.input.append(helper.make_tensor_value_info("mask", TensorProto.FLOAT, [1]))
    with pytest.raises(InputError, match="inputs are image, mask; one is needed"):
        ForeignInput.of(model)


def test_the_precision_is_that_of_most_weights() -> None:
    assert precision_of(foreign()) == "float32"
    assert precision_of(foreign(kind=TensorProto.FLOAT16)) == "float16"
    quantised = foreign()
    quantised.graph.node.append(helper.make_node("DequantizeLinear", ["a", "b"], ["c"]))
    assert precision_of(quantised) == "int8"
    quantised.graph.node[-1].op_type = "DynamicQuantizeLinear"
    assert precision_of(quantised) == "int8"


def test_weights_that_are_constants_count_too() -> None:
    model = foreign(kind=TensorProto.FLOAT16)
    weights = model.graph.initializer.pop()
    model.graph.node.insert(0, helper.make_node("Constant", [], [weights.name], value=weights))
    assert precision_of(model) == "float16"


def test_a_network_of_one_hidden_size_is_told_how_to_fix_it(tmp_path: Path) -> None:
    baked = helper.make_node("Add", ["logits", "once"], ["out"])
    model = foreign(tail=(baked,))
    model.graph.initializer.append(numpy_helper.from_array(np.zeros((1, 3, 5, 7), np.float32), "once"))
    with pytest.raises(BackendError, match="cannot run net.onnx .*; if it takes no such size, fix one with"):
        adopted(model, tmp_path)
