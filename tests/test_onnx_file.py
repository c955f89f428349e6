"""ONNX files: data outside is found wherever a tensor can lie, as onnx itself would write it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from bundles import tiny_bundle, tiny_draft, tiny_model
from onnx import TensorProto, helper, numpy_helper

from lsu.runtime.bundles.bundle import write_bundle
from lsu.runtime.bundles.onnx_file import _INSIDE, refuse_external_data
from lsu.runtime.errors import InputError


def outside(name: str = "far") -> TensorProto:
    tensor = TensorProto(name=name, dims=[4], data_type=TensorProto.FLOAT)
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "weights.bin"
    return tensor


def node(**attributes: object) -> onnx.NodeProto:
    return helper.make_node("Op", ["a"], ["b"], **attributes)


def graph(*nodes: onnx.NodeProto) -> onnx.GraphProto:
    return helper.make_graph(list(nodes), "g", [], [])


def sparse() -> onnx.SparseTensorProto:
    return onnx.SparseTensorProto(values=outside(), dims=[4])


def sparse_indices() -> onnx.SparseTensorProto:
    return onnx.SparseTensorProto(indices=outside(), dims=[4])


def deep(levels: int) -> onnx.NodeProto:
    inner = node(value=outside())
    for _ in range(levels):
        inner = node(body=graph(inner))
    return inner


PLACES: dict[str, Callable[[onnx.ModelProto], object]] = {
    "an initializer": lambda m: m.graph.initializer.append(outside()),
    "a sparse initializer": lambda m: m.graph.sparse_initializer.append(sparse()),
    "indices": lambda m: m.graph.sparse_initializer.append(sparse_indices()),
    "an attribute": lambda m: m.graph.node.append(node(value=outside())),
    "an attribute of several": lambda m: m.graph.node.append(node(value=[outside("near"), outside()])),
    "a sparse attribute": lambda m: m.graph.node.append(node(value=sparse())),
    "sparse attributes": lambda m: m.graph.node.append(node(value=[sparse()])),
    "a subgraph": lambda m: m.graph.node.append(deep(1)),
    "a deep subgraph": lambda m: m.graph.node.append(deep(9)),
    "subgraphs": lambda m: m.graph.node.append(node(body=[graph(), graph(deep(0))])),
    "a function": lambda m: m.functions.append(onnx.FunctionProto(name="f", node=[deep(0)])),
    "a function's default": lambda m: m.functions.append(
        onnx.FunctionProto(name="f", attribute_proto=[helper.make_attribute("a", outside())])
    ),
    "training": lambda m: m.training_info.append(onnx.TrainingInfoProto(algorithm=graph(deep(0)))),
    "initialization": lambda m: m.training_info.append(onnx.TrainingInfoProto(initialization=graph(deep(0)))),
}


@pytest.mark.parametrize("place", PLACES)
def test_data_outside_are_found(place: str) -> None:
    model = tiny_model()
    refuse_external_data(model.SerializeToString(), "m.onnx")
    PLACES[place](model)
    with pytest.raises(InputError, match="m.onnx: the data of tensor '(far|near)' lie in another file"):
        refuse_external_data(model.SerializeToString(), "m.onnx")


def test_every_field_in_which_onnx_has_a_tensor_is_followed() -> None:
    """By the schema of the installed onnx, whose newer versions may add places."""
    names = {
        "ModelProto": "model", "TrainingInfoProto": "training", "GraphProto": "graph", "NodeProto": "node",
        "FunctionProto": "function", "AttributeProto": "attribute", "SparseTensorProto": "sparse",
    }  # fmt: skip
    reached = {"ModelProto": onnx.ModelProto.DESCRIPTOR}
    fields: set[tuple[str, int, str]] = set()
    for _ in range(20):
        for name, message in list(reached.items()):
            inner = [f for f in message.fields if f.message_type is not None]
            fields |= {(name, f.number, f.message_type.name) for f in inner}
            reached |= {f.message_type.name: f.message_type for f in inner}
    leads = {"TensorProto"}
    for _ in range(20):
        leads |= {name for name, _, inside in fields if inside in leads}
    needed = {(name, number) for name, number, inside in fields if inside in leads}
    assert needed == {(name, number) for name, short in names.items() for number in _INSIDE[short]}


def test_either_sign_of_outside_is_enough() -> None:
    entry_only, location_only, inside = outside(), outside(), outside()
    entry_only.ClearField("data_location")
    location_only.ClearField("external_data")
    inside.ClearField("external_data")
    inside.data_location = TensorProto.DEFAULT
    for tensor, fine in ((entry_only, False), (location_only, False), (inside, True)):
        model = tiny_model()
        model.graph.initializer.append(tensor)
        if fine:
            refuse_external_data(model.SerializeToString(), "m")
        else:
            with pytest.raises(InputError, match="lie in another file"):
                refuse_external_data(model.SerializeToString(), "m")


def hidden(key: bytes) -> bytes:
    """A model whose graph with outside data stands behind a key that is written in an odd way."""
    inner = graph(deep(0)).SerializeToString()
    return tiny_model().SerializeToString() + key + bytes([len(inner) & 127 | 128, len(inner) >> 7]) + inner


@pytest.mark.parametrize(
    "key",
    [
        b"\x3a",  # field 7, as it should be
        b"\xba\x00",  # the same with a byte too many
        b"\xba\x80\x80\x80\x00",
        b"\xba\x80\x80\x80\x10",  # bit 32 is set: dropped by readers of 32 bits
        b"\xba\x80\x80\x80\x80\x80\x80\x80\x80\x01",
    ],
)
def test_a_graph_cannot_hide_behind_its_key(key: bytes) -> None:
    with pytest.raises(InputError, match="lie in another file|not an ONNX file"):
        refuse_external_data(hidden(key), "m")


@pytest.mark.parametrize(
    "data",
    [b"\x00", b"\x3a", b"\x3a\x7f", b"\x3b\x3c", b"\x38\x01", b"\xff" * 11, b"\x3f", b"ORTM" * 40, b"<html>"],
)
def test_what_cannot_be_walked_is_no_onnx_file(data: bytes) -> None:
    with pytest.raises(InputError, match="m: not an ONNX file: ") as caught:
        refuse_external_data(data, "m")
    assert "\n" not in str(caught.value)


def test_random_changes_never_crash_the_walk() -> None:
    model = tiny_model()
    model.graph.node.append(node(body=graph(node(value=numpy_helper.from_array(np.zeros(3))))))
    original = model.SerializeToString()
    generator = np.random.default_rng(2)
    for _ in range(3000):
        data = bytearray(original)
        for position in generator.integers(len(data), size=3):
            data[position] = generator.integers(256)
        try:
            refuse_external_data(bytes(data), "m")
        except InputError as error:
            assert "\n" not in str(error)


def test_endless_nesting_is_refused() -> None:
    data = b""
    for _ in range(30):  # a graph in an attribute in a node, again and again
        for key in (b"\x32", b"\x2a", b"\x0a"):
            data = key + _varint(len(data)) + data
    with pytest.raises(InputError, match="nested more than 64 levels"):
        refuse_external_data(b"\x3a" + _varint(len(data)) + data, "m")


def _varint(number: int) -> bytes:
    low = bytes([number & 127 | 128 * (number > 127)])
    return low + _varint(number >> 7) if number > 127 else low


def test_a_bundle_with_outside_data_is_never_written(tmp_path: Path) -> None:
    model = tiny_model()
    model.graph.initializer.append(outside())
    with pytest.raises(InputError, match=r"model\.onnx: the data of tensor 'far'"):
        write_bundle(tmp_path / "b", tiny_draft(models={"model.onnx": model.SerializeToString()}))
    assert not list(tmp_path.iterdir())


def test_onnxruntime_takes_no_file_of_its_own_format(tmp_path: Path) -> None:
    """Its own format could name files too, and nobody would have looked."""
    import onnxruntime

    from lsu.runtime.engines.ort import OnnxRuntimeEngine
    from lsu.runtime.errors import BackendError

    bundle = tiny_bundle(tmp_path / "b")
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "m.ort")
    options.add_session_config_entry("session.save_model_format", "ORT")
    onnxruntime.InferenceSession(bundle.read_model(), options, providers=["CPUExecutionProvider"])
    own = (tmp_path / "m.ort").read_bytes()
    onnxruntime.InferenceSession(own, providers=["CPUExecutionProvider"])
    with pytest.raises(InputError, match="not an ONNX file"):
        refuse_external_data(own, "m")

    class Changed(type(bundle)):  # type: ignore[misc]
        def read_model(self) -> bytes:
            return own

    with pytest.raises(BackendError, match=r"onnxruntime cannot load model\.onnx"):
        OnnxRuntimeEngine(Changed(bundle.path, bundle.digest, bundle.manifest), threads=1)
