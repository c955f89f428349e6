"""The head as a plugin of TensorRT, `lsu::ConstrainedArgmaxPacked`: the fast path inside one engine.

Nothing but TensorRT with `liblsu_tensorrt.so` loaded runs such a file; on a CPU only its form is checked.
docs/tensorrt_plugin.md describes the plugin's tensors and attributes.
"""

import onnx
from onnx import TensorProto, helper

from lsu.runtime.errors import InputError

DOMAIN = "lsu"
OPERATOR = "ConstrainedArgmaxPacked"
LABELS = 256
"""Rows of the constraint table: one for each uint8 label."""


def with_plugin(model: bytes, *, void_channel: int | None = None) -> bytes:
    """The model `image` -> `scores` followed by the plugin.

    Further inputs: `size` INT32 [2], the (H, W) that the scores cover, a shape input; `table` INT32
    [256, 2 * ceil(C / 64)], the bytes of the uint64 constraint table; `labels` INT32 [N, H, ceil(W / 4)], a
    uint8 map with padded rows. A further output: `classes` INT32, packed as the labels are, 255 = void.
    `size` is INT32 because Triton took no other shape input until June 2024
    (triton-inference-server/tensorrt_backend#91); the plugin takes INT64 too.

    Args:
        model: a bundle's `model.onnx`.
        void_channel: the channel whose win is written as 255.

    Raises:
        InputError: the model has no output `scores` of known channels.
    """
    proto = onnx.load_from_string(model)
    batch, channels = batch_and_channels(proto)
    area = [batch, "canvas_height", "packed_width"]
    graph = proto.graph
    graph.input.extend(
        [
            helper.make_tensor_value_info("size", TensorProto.INT32, [2]),
            helper.make_tensor_value_info("table", TensorProto.INT32, [LABELS, 2 * -(-channels // 64)]),
            helper.make_tensor_value_info("labels", TensorProto.INT32, area),
        ]
    )
    attributes = {} if void_channel is None else {"void_channel": void_channel}
    graph.node.append(
        helper.make_node(
            OPERATOR,
            ["scores", "size", "table", "labels"],
            ["classes"],
            name="head",
            domain=DOMAIN,
            plugin_namespace=DOMAIN,
            plugin_version="1",
            tensorrt_plugin_shape_input_indices=[1],
            **attributes,
        )
    )
    graph.output.append(helper.make_tensor_value_info("classes", TensorProto.INT32, area))
    proto.opset_import.append(helper.make_opsetid(DOMAIN, 1))
    onnx.checker.check_model(proto)  # of an unknown domain it checks the form; shapes end before the plugin
    return bytes(proto.SerializeToString(deterministic=True))


def batch_and_channels(proto: onnx.ModelProto) -> tuple[int | str, int]:
    """The first two extents of the output `scores`; a free batch has a name.

    Raises:
        InputError: there is no output `scores` of four dimensions and known channels.
    """
    scores = {output.name: output for output in proto.graph.output}.get("scores")
    if scores is None or len(scores.type.tensor_type.shape.dim) != 4:
        raise InputError("the head needs a model with an output `scores` of four dimensions")
    batch, channels = list(scores.type.tensor_type.shape.dim)[:2]
    if not channels.dim_value:
        raise InputError("the head needs a model whose scores have a fixed number of channels")
    return batch.dim_value or batch.dim_param, channels.dim_value
