"""Tiny bundles without torch: a network of three operators whose scores numpy can say."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from lsu.export.head_function import with_head
from lsu.runtime.bundles.bundle import Bundle, Draft, write_bundle
from lsu.runtime.bundles.golden import GoldenFrame
from lsu.runtime.files import digest_of
from lsu.runtime.head import constrained_argmax
from lsu.runtime.label_space import LabelClass, LabelSpace
from lsu.runtime.model import ModelSpec, placed

STRIDE = 4
TOWN = LabelSpace(
    "town",
    (LabelClass("road", 7, (128, 64, 128)), LabelClass("sky", 9), LabelClass("car", 12)),
    (LabelClass("ego", 1),),
)
SPEC = ModelSpec(TOWN, fit="pad", multiple=8, pad_value=100)


def weights(channels: int) -> npt.NDArray[np.float32]:
    """The 1x1 convolution, float32 [C,3]."""
    return np.random.default_rng(channels).normal(size=(channels, 3)).astype(np.float32)


def tiny_model(
    channels: int = 3, *, batch: int | str = "n", kind: int = TensorProto.UINT8
) -> onnx.ModelProto:
    """uint8 [N,H,W,3] -> means of 4x4 pixels -> scores [N,C,H/4,W/4]."""
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["image"], ["wide"], to=TensorProto.FLOAT),
            helper.make_node("Transpose", ["wide"], ["planes"], perm=[0, 3, 1, 2]),
            helper.make_node(
                "AveragePool", ["planes"], ["means"], kernel_shape=[STRIDE, STRIDE], strides=[STRIDE, STRIDE]
            ),
            helper.make_node("Conv", ["means", "weights"], ["scores"]),
        ],
        "tiny",
        [helper.make_tensor_value_info("image", kind, [batch, "h", "w", 3])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [batch, channels, "sh", "sw"])],
        [numpy_helper.from_array(weights(channels)[:, :, None, None], "weights")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def tiny_scores(pixels: npt.NDArray[np.uint8], channels: int = 3) -> npt.NDArray[np.float32]:
    """What `tiny_model` gives for one input uint8 [H,W,3]: float32 [C,H/4,W/4]."""
    height, width = (side // STRIDE for side in pixels.shape[:2])
    cells = pixels[: height * STRIDE, : width * STRIDE].reshape(height, STRIDE, width, STRIDE, 3)
    means = cells.astype(np.float64).mean(axis=(1, 3))  # [h, w, 3]
    return np.ascontiguousarray(np.einsum("hwi,ci->chw", means, weights(channels)), np.float32)


def noise(height: int, width: int, seed: int = 0) -> npt.NDArray[np.uint8]:
    """An image uint8 [H,W,3] of 4x4 blocks, so that classes are decided clearly."""
    generator = np.random.default_rng(seed)
    blocks = generator.integers(0, 256, (-(-height // STRIDE), -(-width // STRIDE), 3), np.uint8)
    return np.ascontiguousarray(blocks.repeat(STRIDE, 0).repeat(STRIDE, 1)[:height, :width])


def golden_frame(image: npt.NDArray[np.uint8], spec: ModelSpec) -> GoldenFrame:
    """The frame with the answers that numpy gives."""
    fitted = placed(image, spec)
    scores = tiny_scores(fitted.pixels, spec.channels)
    head = constrained_argmax(scores, image.shape[:2], void_channel=spec.void_channel, canvas=fitted.canvas)
    return GoldenFrame(image, scores, head.classes)


def tiny_draft(spec: ModelSpec = SPEC, **changes: Any) -> Draft:
    """A draft whose one golden frame is 21x27 where the fit allows it."""
    size = spec.size if spec.fit == "exact" and spec.size else (24, 32) if spec.fit == "exact" else (21, 27)
    draft = Draft(
        name="tiny",
        spec=spec,
        models={"model.onnx": tiny_model(spec.channels).SerializeToString()},
        golden=(golden_frame(noise(*size), spec),),
        normalisation={"mean": [0.0, 0.0, 0.0], "std": [1.0, 1.0, 1.0]},
        provenance={"lsu": "0", "opset": 18},
        verification={"equal_classes": 1.0},
    )
    return replace(draft, **changes)


def tiny_bundle(path: Path, spec: ModelSpec = SPEC, **changes: Any) -> Bundle:
    """The draft, written."""
    return write_bundle(path, tiny_draft(spec, **changes))


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


def rewrite(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change a bundle's manifest and vouch for it again, as somebody with intent would."""
    table = json.loads((path / "bundle.json").read_bytes())
    change(table)
    data = json.dumps(table).encode()
    (path / "bundle.json").write_bytes(data)
    (path / "bundle.sha256").write_text(f"{digest_of(data)}  bundle.json\n")
