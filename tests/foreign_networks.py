"""Networks of somebody else, in small: planes of floats, other names, whatever comes behind the scores."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from bundles import STRIDE, TOWN, weights
from onnx import TensorProto, helper, numpy_helper

from lsu.export.adoption.adopt import Adoption, adopt
from lsu.export.adoption.adopted_graph import Preparation
from lsu.runtime.bundles.bundle import Bundle
from lsu.runtime.engines import engine_for
from lsu.runtime.segmenter import Segmenter

PLAIN = Preparation((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), 1.0)  # pixels as they are


def foreign(
    channels: int = 3,
    *,
    shape: tuple[Any, ...] = ("batch", 3, "rows", "columns"),
    kind: int = TensorProto.FLOAT,
    tail: tuple[onnx.NodeProto, ...] = (),
    outputs: tuple[tuple[str, int, int], ...] = (("out", TensorProto.FLOAT, 4),),
    opset: int = 13,
) -> onnx.ModelProto:
    """A 1x1 convolution over means of 4x4 pixels, planes first, its input already named `image`."""
    nodes = [
        helper.make_node("AveragePool", ["image"], ["means"], kernel_shape=[4, 4], strides=[STRIDE, STRIDE]),
        helper.make_node("Conv", ["means", "weights"], ["logits" if tail else "out"]),
    ]
    filters = weights(channels)[:, :, None, None].astype(helper.tensor_dtype_to_np_dtype(kind))
    graph = helper.make_graph(
        [*nodes, *tail],
        "foreign",
        [helper.make_tensor_value_info("image", kind, shape)],
        [helper.make_tensor_value_info(n, k, [f"{n}{i}" for i in range(rank)]) for n, k, rank in outputs],
        [numpy_helper.from_array(filters, "weights")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=7)


def save(model: onnx.ModelProto, path: Path) -> Path:
    path.write_bytes(model.SerializeToString())
    return path


def adopted(model: onnx.ModelProto, tmp_path: Path, **choices: Any) -> Bundle:
    about = {"label_space": TOWN, "preparation": PLAIN, "multiple": 8} | choices
    return adopt(save(model, tmp_path / "net.onnx"), tmp_path / "bundle", Adoption(**about))


def scores_of(bundle: Bundle, image: np.ndarray) -> np.ndarray:
    engine = engine_for(bundle, "onnxruntime")
    values = Segmenter(engine).scores(image).values
    engine.close()
    return values
