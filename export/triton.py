"""A folder that Triton, NVIDIA's inference server, serves: the bundle's network and its `config.pbtxt`.

A bundle is never changed, so this lies beside it: <repository>/<name>/config.pbtxt and <name>/1/model.onnx or
model.plan. Fields are those of ModelConfig in triton-inference-server/common, protobuf/model_config.proto.
Extents are read from the ONNX file, since Triton compares them with the model's: -1 where those are free.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx
from onnx import TensorProto

from lsu.runtime.bundles.bundle import Bundle
from lsu.runtime.bundles.manifest import MODEL, MODEL_WITH_PLUGIN
from lsu.runtime.bundles.stored_engine import StoredEngine, engines_of
from lsu.runtime.errors import InputError, near_names
from lsu.runtime.files import refuse_blocked, write_folder

CONFIG = "config.pbtxt"
SHAPE_INPUT = "size"
"""The one input of the plugin whose values are a shape."""

_TYPES = {
    TensorProto.UINT8: "TYPE_UINT8",
    TensorProto.FLOAT: "TYPE_FP32",
    TensorProto.FLOAT16: "TYPE_FP16",
    TensorProto.INT32: "TYPE_INT32",
}


class Symbol(str):
    """The name of an enum's value or a boolean, written without quotes."""

    __slots__ = ()


Value = str | int | Symbol | Sequence[int] | Sequence[tuple[str, "Value"]]
Fields = Sequence[tuple[str, Value]]


@dataclass(frozen=True)
class Serving:
    """What a user may choose about a served model.

    Attributes:
        name: the model's name for clients, None for the bundle's.
        engine: the tag of an engine of the bundle, for the TensorRT backend; None serves the ONNX file.
        most: the most images that the server may put together from several requests; 0 leaves batches to
            clients.
    """

    name: str | None = None
    engine: str | None = None
    most: int = 0


def lay_out(bundle: Bundle, repository: Path, serving: Serving | None = None) -> Path:
    """Write a model's folder into a Triton model repository, all of it or nothing, and return it.

    Raises:
        InputError: the name cannot be one, is taken, there is no such engine, or it cannot be batched.
        BackendError: the disk refused it.
    """
    serving = serving or Serving()
    name = serving.name or bundle.name
    if not re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*", name):
        raise InputError(f"{name!r} is no name for a folder and a URL: give --name of letters, digits, _ - .")
    path = repository / name
    refuse_blocked(path)
    if path.exists() or path.is_symlink():
        raise InputError(f"{path} exists: choose another --name, or remove it")
    engine = None if serving.engine is None else _engine(bundle, serving.engine)
    plugin = engine is not None and engine.manifest.head == "plugin"
    config = config_text(bundle, name, most=serving.most, plugin=plugin, plan=engine is not None)
    file, data = (
        ("1/model.onnx", bundle.read(MODEL)) if engine is None else ("1/model.plan", engine.read_plan())
    )
    write_folder(path, {CONFIG: config.encode(), file: data})
    return path


def config_text(bundle: Bundle, name: str, *, most: int = 0, plugin: bool = False, plan: bool = False) -> str:
    """The text of `config.pbtxt`.

    Args:
        bundle: what is served.
        name: the model's name.
        most: `max_batch_size`; 0 for a model that takes the batch as it comes.
        plugin: the model is the network with the plugin.
        plan: it is a plan of TensorRT, else an ONNX file.

    Raises:
        InputError: `most` is above 0 and not every tensor has a free number of images.
    """
    graph = onnx.load_from_string(bundle.read(MODEL_WITH_PLUGIN if plugin else MODEL)).graph
    weights = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in weights]
    fields: list[tuple[str, Value]] = [
        ("name", name),
        ("backend", "tensorrt" if plan else "onnxruntime"),
        ("max_batch_size", most),
        *(("input", _tensor(value, most)) for value in inputs),
        *(("output", _tensor(value, most)) for value in graph.output),
    ]
    if most:
        fields.append(("dynamic_batching", ()))
    about = {"lsu_bundle": bundle.digest, "lsu_label_space": bundle.spec.label_space.identity}
    fields += [
        ("parameters", (("key", key), ("value", (("string_value", value),)))) for key, value in about.items()
    ]
    return "\n".join(_lines(fields)) + "\n"


def _engine(bundle: Bundle, tag: str) -> StoredEngine:
    engines = {engine.path.name: engine for engine in engines_of(bundle)}
    if tag not in engines:
        raise InputError(
            f"{bundle.path} has no engine {tag!r}; {near_names(tag, engines)} (lsu export build)"
        )
    if engines[tag].manifest.target != "tensorrt":
        raise InputError(f"engine {tag} is of tensorrt-rtx: Triton needs one of tensorrt")
    return engines[tag]


def _tensor(value: onnx.ValueInfoProto, most: int) -> Fields:
    tensor = value.type.tensor_type
    dims = [dim.dim_value or -1 for dim in tensor.shape.dim]
    if most:
        if dims[0] != -1:
            raise InputError(
                f"{value.name} is {dims}: its number of images is fixed, so the server cannot put requests "
                "together: use --max-batch 0"
            )
        dims = dims[1:]
    fields: list[tuple[str, Value]] = [
        ("name", value.name),
        ("data_type", Symbol(_TYPES[tensor.elem_type])),
        ("dims", dims),
    ]
    if value.name == SHAPE_INPUT:
        fields.append(("is_shape_tensor", Symbol("true")))
    return fields


def _lines(fields: Iterable[tuple[str, Value]], indent: str = "") -> Iterable[str]:
    """Protobuf's text format: one field to a line, messages in braces, lists of numbers in brackets."""
    for key, value in fields:
        if isinstance(value, Symbol):
            yield f"{indent}{key}: {value}"
        elif isinstance(value, str):
            yield f'{indent}{key}: "{value}"'  # names and digests: no letter needs escaping
        elif isinstance(value, int):
            yield f"{indent}{key}: {value}"
        elif key == "dims":
            yield f"{indent}{key}: [ {', '.join(map(str, value))} ]"
        else:
            yield f"{indent}{key} {{"
            yield from _lines(value, indent + "  ")  # type: ignore[arg-type]
            yield f"{indent}}}"
