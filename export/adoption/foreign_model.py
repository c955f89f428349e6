"""An ONNX file of somebody else: read with care, and its input understood."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Literal

import onnx
from onnx import TensorProto

from lsu.export.onnx_session import first_line
from lsu.runtime.bundles.onnx_file import refuse_external_data
from lsu.runtime.errors import InputError
from lsu.runtime.files import read_bytes

Layout = Literal["NCHW", "NHWC"]
TYPES = {TensorProto.UINT8: "uint8", TensorProto.FLOAT: "float32", TensorProto.FLOAT16: "float16"}
LOWEST_OPSET = 9
"""The lowest opset of TensorRT's parser (onnx-tensorrt, docs/operators.md: opset 9 and later)."""

_QUANTISING = ("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear")


@dataclass(frozen=True)
class ForeignInput:
    """The one input of a foreign network.

    Attributes:
        name: its name in the file.
        type: of `TYPES`.
        layout: where its three channels stand.
        batch: the fixed number of images, None if it is free.
        height: the fixed height in pixels, None if it is free.
        width: likewise.
    """

    name: str
    type: int
    layout: Layout
    batch: int | None
    height: int | None
    width: int | None

    @classmethod
    def of(cls, model: onnx.ModelProto, layout: Layout | None = None) -> "ForeignInput":
        """The input of a model.

        Args:
            model: as `read_foreign` gave it.
            layout: None finds it by the extent 3.

        Raises:
            InputError: there are several inputs, or the one is no batch of RGB images.
        """
        weights = {tensor.name for tensor in model.graph.initializer}
        inputs = [value for value in model.graph.input if value.name not in weights]
        if len(inputs) != 1:
            names = ", ".join(value.name for value in inputs) or "none"
            raise InputError(f"the network's inputs are {names}; one is needed, a batch of images")
        (value,) = inputs
        kind = value.type.tensor_type.elem_type
        dims = [dim.dim_value or None for dim in value.type.tensor_type.shape.dim]
        shown = f"input {value.name} is {TensorProto.DataType.Name(kind).lower()} [{_shown(dims)}]"
        if kind not in TYPES or len(dims) != 4:
            raise InputError(f"{shown}; uint8, float32 or float16 of four dimensions is needed")
        if dims[0] not in (None, 1):
            raise InputError(f"{shown}: {dims[0]} images at a time; export it for one, or for any number")
        found = layout or _layout_of(dims, shown)
        channels = dims[1] if found == "NCHW" else dims[3]
        if channels not in (None, 3):
            raise InputError(f"{shown}: {channels} channels as {found}; 3 are needed, red, green and blue")
        height, width = dims[2:] if found == "NCHW" else dims[1:3]
        return cls(value.name, kind, found, dims[0], height, width)


def read_foreign(path: Path) -> tuple[onnx.ModelProto, bytes]:
    """The model in a file, checked, and the bytes that were read.

    Raises:
        InputError: it cannot be read, is no valid ONNX model, has weights in other files, or an old opset.
    """
    data = read_bytes(path)
    refuse_external_data(data, str(path))
    try:
        model = onnx.load_from_string(data)
    except Exception as error:  # protobuf's errors share no base below Exception
        raise InputError(f"{path}: not an ONNX file: {first_line(error)}") from error
    if not model.graph.node:
        raise InputError(f"{path}: not an ONNX file: it has no graph")
    opsets = [entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")]
    if not opsets or max(opsets) < LOWEST_OPSET:
        have = max(opsets, default=0)
        raise InputError(f"{path}: opset {have} is too old: export it with {LOWEST_OPSET} or newer")
    try:
        onnx.checker.check_model(model)
    except Exception as error:  # a checker's error, or protobuf's
        raise InputError(f"{path}: not a valid ONNX model: {first_line(error)}") from error
    return model, data


def precision_of(model: onnx.ModelProto) -> Literal["float32", "float16", "int8"]:
    """What most of the weights are, initialisers or constants; `int8` where the graph quantises."""
    nodes = [node for graph in graphs_of(model.graph) for node in graph.node]
    if any(node.op_type in _QUANTISING for node in nodes):
        return "int8"
    constants = (
        a.t for node in nodes if node.op_type == "Constant" for a in node.attribute if a.name == "value"
    )
    sizes = dict.fromkeys(TYPES, 0)
    for tensor in (*model.graph.initializer, *constants):
        if tensor.data_type in sizes:
            sizes[tensor.data_type] += prod(tensor.dims)
    return "float16" if sizes[TensorProto.FLOAT16] > sizes[TensorProto.FLOAT] else "float32"


def graphs_of(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """The graph and all graphs inside its nodes."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (*((attribute.g,) if attribute.HasField("g") else ()), *attribute.graphs):
                yield from graphs_of(inner)


def _layout_of(dims: list[int | None], shown: str) -> Layout:
    if not {3, None} & {dims[1], dims[3]}:
        raise InputError(f"{shown}: none of its extents is 3; red, green and blue are needed")
    if (dims[1] == 3) == (dims[3] == 3):
        raise InputError(f"{shown}: which extent holds the colours is not plain: add --layout NCHW or NHWC")
    return "NCHW" if dims[1] == 3 else "NHWC"


def _shown(dims: list[int | None]) -> str:
    return ", ".join("free" if dim is None else str(dim) for dim in dims)
