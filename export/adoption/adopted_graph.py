"""The surgery on an adopted network: uint8 RGB pixels go in as `image`, scores come out as `scores`."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from lsu.runtime.errors import InputError
from lsu.runtime.model import ModelSpec

from .foreign_model import TYPES, ForeignInput, graphs_of
from .foreign_scores import ForeignScores

_PREFIX = "network/"
_LOWEST_IR = 8  # model-local functions, which the head may become, came with it


@dataclass(frozen=True)
class Preparation:
    """How RGB pixels become the input that a network was fitted with: (x / scale - mean) / std per channel.

    Attributes:
        mean: in the order of the network's channels, blue first with `bgr`; None leaves pixels as they are.
        std: likewise.
        scale: what pixels of 0 to 255 are divided by first.
        bgr: the network wants blue, green, red.
    """

    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None
    scale: float = 255.0
    bgr: bool = False

    def __post_init__(self) -> None:
        if (self.mean is None) != (self.std is None):
            raise InputError("--mean and --std belong together: give both, 0 and 1 where nothing is done")
        numbers = (*(self.mean or ()), *(self.std or ()), self.scale)
        if not np.isfinite(numbers).all() or min(*(self.std or (1.0,)), self.scale) <= 0:
            raise InputError("--mean, --std and --scale are numbers, --std and --scale above 0")

    def require_for(self, source: ForeignInput) -> None:
        """Raise InputError unless this is what the input needs: float pixels are normalised by somebody."""
        if source.type == TensorProto.UINT8 and self.mean is not None:
            raise InputError(
                f"input {source.name} is uint8, so its normalisation is inside: leave out --mean and --std"
            )
        if source.type != TensorProto.UINT8 and self.mean is None:
            raise InputError(
                f"input {source.name} is {TYPES[source.type]}: say how pixels become it, as in --mean "
                "0.485,0.456,0.406 --std 0.229,0.224,0.225 (of x / 255; --scale 1 for x itself)"
            )

    def applied(self, batch: npt.NDArray[np.uint8], source: ForeignInput) -> npt.NDArray[np.generic]:
        """What the foreign network is fed for images uint8 [N,H,W,3] RGB; the proof's truth, in numpy."""
        pixels: npt.NDArray[np.generic] = batch[..., ::-1] if self.bgr else batch
        if self.mean is not None and self.std is not None:
            scaled = pixels.astype(np.float64) / self.scale
            normalised = (scaled - np.array(self.mean)) / np.array(self.std)
            kind = np.float16 if source.type == TensorProto.FLOAT16 else np.float32
            pixels = normalised.astype(np.float32).astype(kind)
        return np.ascontiguousarray(pixels.transpose(0, 3, 1, 2) if source.layout == "NCHW" else pixels)


def adopted_graph(
    model: onnx.ModelProto,
    source: ForeignInput,
    preparation: Preparation,
    spec: ModelSpec,
    scores: ForeignScores,
) -> onnx.ModelProto:
    """A model `image` -> `scores` around a copy of the foreign one; all its names get a prefix.

    Args:
        model: the foreign one, whose tensor `scores` is an output or any inner tensor.
        source: its input.
        preparation: what stands between the pixels and its input.
        spec: the contract of the result; a size makes it fixed, for one image.
        scores: what is to come out.

    Returns:
        the model; initialisers that were inputs too are constants in it, so that runtimes can fold them.
    """
    result = onnx.ModelProto()
    result.CopyFrom(model)
    graph = result.graph
    nodes, tensors = _preparation_nodes(source, preparation)
    entry = _PREFIX + source.name if nodes else "image"
    for inner in graphs_of(graph):
        _rename(inner, {source.name: entry})
    if nodes:
        nodes[-1].output[0] = entry
    free = source.batch is None and spec.size is None
    number: int | str = "n" if free else 1
    height, width = spec.size or ("height", "width")
    del graph.input[:], graph.output[:], graph.value_info[:], graph.quantization_annotation[:]
    graph.input.append(helper.make_tensor_value_info("image", TensorProto.UINT8, [number, height, width, 3]))
    graph.initializer.extend(tensors)
    body = [*nodes, *graph.node]
    body.append(helper.make_node("Cast", [_PREFIX + scores.name], ["scores"], to=TensorProto.FLOAT))
    del graph.node[:]
    graph.node.extend(body)
    area = scores.size if spec.size else ("scores_height", "scores_width")
    shape = [number, spec.channels, *area]
    graph.output.append(helper.make_tensor_value_info("scores", TensorProto.FLOAT, shape))
    result.ir_version = max(result.ir_version, _LOWEST_IR)
    result.doc_string = ""
    return result


def _preparation_nodes(
    source: ForeignInput, preparation: Preparation
) -> tuple[list[onnx.NodeProto], list[TensorProto]]:
    """From `image` on.

    TensorRT takes a uint8 input only where the first thing is a cast, as it is here unless the foreign input
    is uint8 itself and has its planes or colours in another order.
    """
    planes = source.layout == "NCHW"
    steps: list[tuple[str, list[str], dict[str, object]]] = []
    tensors = []

    def add(operator: str, *constants: npt.NDArray[np.generic], **attributes: object) -> None:
        names = []
        for value in constants:
            names.append(f"image_{operator.lower()}")
            tensors.append(numpy_helper.from_array(value, names[-1]))
        steps.append((operator, names, attributes))

    if preparation.mean is not None and preparation.std is not None:
        shape = (1, 3, 1, 1) if planes else (1, 1, 1, 3)
        mean, std = (np.array(v, np.float64).reshape(shape) for v in (preparation.mean, preparation.std))
        add("Cast", to=TensorProto.FLOAT)
    if planes:
        add("Transpose", perm=[0, 3, 1, 2])
    if preparation.bgr:
        add("Gather", np.array([2, 1, 0], np.int64), axis=1 if planes else 3)
    if preparation.mean is not None:
        add("Sub", (mean * preparation.scale).astype(np.float32))
        add("Mul", (1 / (std * preparation.scale)).astype(np.float32))
        if source.type == TensorProto.FLOAT16:
            add("Cast", to=TensorProto.FLOAT16)
    names = ["image", *(f"image_{k}" for k in range(len(steps)))]
    nodes = [
        helper.make_node(operator, [names[k], *constants], [names[k + 1]], **attributes)
        for k, (operator, constants, attributes) in enumerate(steps)
    ]
    return nodes, tensors


def _rename(graph: onnx.GraphProto, kept: dict[str, str]) -> None:
    """Give all tensors of one graph the prefix, or the name in `kept`; no name, an absent input, stays so."""

    def renamed(name: str) -> str:
        return kept.get(name) or (name and _PREFIX + name)

    for node in graph.node:
        node.input[:] = [renamed(name) for name in node.input]
        node.output[:] = [renamed(name) for name in node.output]
    for value in (*graph.initializer, *graph.input, *graph.output):
        value.name = renamed(value.name)
    for sparse in graph.sparse_initializer:
        sparse.values.name = renamed(sparse.values.name)
    for value in graph.value_info:
        value.name = renamed(value.name)
