"""A model repository for Triton: its files, and a configuration that protobuf's own parser takes."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from bundles import SPEC, tiny_bundle, tiny_model
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format
from typer.testing import CliRunner

from lsu.export import cli
from lsu.export.head_plugin import with_plugin
from lsu.export.triton import Serving, config_text, lay_out
from lsu.runtime.bundles.bundle import Bundle
from lsu.runtime.bundles.engine_manifest import EngineManifest, SizeRange
from lsu.runtime.bundles.stored_engine import write_engine
from lsu.runtime.errors import InputError
from lsu.runtime.files import digest_of

# Of triton-inference-server/common, protobuf/model_config.proto: message -> field -> (number, type).
# A field or a type that is not there makes the parser refuse the file.
FIELDS = {
    "ModelParameter": {"string_value": (1, "string")},
    "ModelDynamicBatching": {"preferred_batch_size": (1, "int32*")},
    "ModelInput": {
        "name": (1, "string"),
        "data_type": (2, "DataType"),
        "dims": (4, "int64*"),
        "is_shape_tensor": (6, "bool"),
    },
    "ModelOutput": {"name": (1, "string"), "data_type": (2, "DataType"), "dims": (3, "int64*")},
    "ParametersEntry": {"key": (1, "string"), "value": (2, "ModelParameter")},
    "ModelConfig": {
        "name": (1, "string"),
        "backend": (17, "string"),
        "max_batch_size": (4, "int32"),
        "input": (5, "ModelInput*"),
        "output": (6, "ModelOutput*"),
        "dynamic_batching": (11, "ModelDynamicBatching"),
        "parameters": (14, "ParametersEntry*"),  # a map is written as a list of such entries
    },
}
DATA_TYPES = {
    "TYPE_INVALID": 0,
    "TYPE_BOOL": 1,
    "TYPE_UINT8": 2,
    "TYPE_INT32": 8,
    "TYPE_FP16": 10,
    "TYPE_FP32": 11,
}
SCALARS = {"string": 9, "int32": 5, "int64": 3, "bool": 8}  # FieldDescriptorProto.Type


def schema() -> type:
    """The class of ModelConfig, made of the table above."""
    file = descriptor_pb2.FileDescriptorProto(name="model_config.proto", package="inference", syntax="proto3")
    enum = file.enum_type.add(name="DataType")
    for name, number in DATA_TYPES.items():
        enum.value.add(name=name, number=number)
    for message, fields in FIELDS.items():
        described = file.message_type.add(name=message)
        for name, (number, kind) in fields.items():
            field = described.field.add(name=name, number=number, label=3 if kind.endswith("*") else 1)
            one = kind.rstrip("*")
            field.type = SCALARS.get(one, 14 if one == "DataType" else 11)
            if one not in SCALARS:
                field.type_name = f".inference.{one}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("inference.ModelConfig"))


MODEL_CONFIG = schema()


def parsed(text: str) -> Any:
    return text_format.Parse(text, MODEL_CONFIG())


def tensors(entries: Any) -> dict[str, tuple[int, list[int]]]:
    return {entry.name: (entry.data_type, list(entry.dims)) for entry in entries}


def test_the_parser_refuses_what_is_not_in_the_schema() -> None:
    for text in (
        'nam: "a"',
        "max_batch_size: 1.5",
        "name: a",
        'input { dims: "1" }',
        "input {",
        "input { data_type: 1x }",
    ):
        with pytest.raises(text_format.ParseError):
            parsed(text)


def test_scores_of_any_size_are_served_by_onnxruntime(tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "bundle")
    path = lay_out(bundle, tmp_path / "models", Serving(name="town"))
    assert path == tmp_path / "models" / "town"
    assert sorted(p.relative_to(path).as_posix() for p in path.rglob("*")) == [
        "1",
        "1/model.onnx",
        "config.pbtxt",
    ]
    assert (path / "1/model.onnx").read_bytes() == bundle.read_model()
    config = parsed((path / "config.pbtxt").read_text())
    assert (config.name, config.backend, config.max_batch_size) == ("town", "onnxruntime", 0)
    assert tensors(config.input) == {"image": (DATA_TYPES["TYPE_UINT8"], [-1, -1, -1, 3])}
    assert tensors(config.output) == {"scores": (DATA_TYPES["TYPE_FP32"], [-1, 3, -1, -1])}
    about = {entry.key: entry.value.string_value for entry in config.parameters}
    assert about == {"lsu_bundle": bundle.digest, "lsu_label_space": bundle.spec.label_space.identity}
    assert not config.HasField("dynamic_batching")


def test_the_server_may_put_images_together_where_their_number_is_free(tmp_path: Path) -> None:
    config = parsed(config_text(tiny_bundle(tmp_path / "a"), "a", most=8))
    assert (config.max_batch_size, config.HasField("dynamic_batching")) == (8, True)
    assert tensors(config.input)["image"][1] == [-1, -1, 3]
    assert tensors(config.output)["scores"][1] == [3, -1, -1]
    one = {"model.onnx": tiny_model(batch=1).SerializeToString()}
    with pytest.raises(InputError, match="its number of images is fixed.*use --max-batch 0"):
        config_text(tiny_bundle(tmp_path / "b", models=one), "b", most=8)


def plugin_bundle(path: Path) -> Bundle:
    model = tiny_model().SerializeToString()
    models = {"model.onnx": model, "model_with_plugin.onnx": with_plugin(model)}
    return tiny_bundle(path, replace(SPEC), models=models, head="plugin")


def engine_of(bundle: Bundle, **changes: Any) -> str:
    about: dict[str, Any] = {
        "target": "tensorrt", "library": "10.3.0", "versions": {}, "sms": (87,), "platform": "linux-aarch64",
        "driver": None, "bundle": bundle.digest, "precision": "float32", "head": "plugin", "batch": 1,
        "sizes": SizeRange((8, 8), (8, 8), (8, 8)), "plan": digest_of(b"plan"), "plan_bytes": 4,
        "seconds": 1.0,
    }  # fmt: skip
    return write_engine(bundle, EngineManifest(**about | changes), b"plan").path.name


def test_an_engine_with_the_plugin_is_served_by_tensorrt(tmp_path: Path) -> None:
    bundle = plugin_bundle(tmp_path / "bundle")
    tag = engine_of(bundle)
    path = lay_out(bundle, tmp_path / "models", Serving(engine=tag))
    assert (path / "1/model.plan").read_bytes() == b"plan"
    config = parsed((path / "config.pbtxt").read_text())
    assert (config.backend, config.max_batch_size) == ("tensorrt", 0)
    int32 = DATA_TYPES["TYPE_INT32"]
    assert tensors(config.input) == {
        "image": (DATA_TYPES["TYPE_UINT8"], [-1, -1, -1, 3]),
        "size": (int32, [2]),
        "table": (int32, [256, 2]),
        "labels": (int32, [-1, -1, -1]),
    }
    assert [entry.name for entry in config.input if entry.is_shape_tensor] == ["size"]
    assert tensors(config.output)["classes"] == (int32, [-1, -1, -1])
    with pytest.raises(InputError, match="use --max-batch 0"):
        lay_out(bundle, tmp_path / "models", Serving("other", tag, 4))


def test_an_engine_of_scores_is_served_by_tensorrt(tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "bundle")
    path = lay_out(bundle, tmp_path, Serving("served", engine_of(bundle, head="scores"), 2))
    config = parsed((path / "config.pbtxt").read_text())
    assert (config.backend, [entry.name for entry in config.input]) == ("tensorrt", ["image"])


def test_engines_that_triton_cannot_serve_are_refused(tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "bundle")
    tag = engine_of(bundle, target="tensorrt-rtx", library="1.7.1", head="scores")
    with pytest.raises(InputError, match="is of tensorrt-rtx: Triton needs one of tensorrt"):
        lay_out(bundle, tmp_path / "models", Serving(engine=tag))
    with pytest.raises(InputError, match="has no engine 'x'; known: tensorrt-rtx-1.7"):
        lay_out(bundle, tmp_path / "models", Serving(engine="x"))
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize("name", ["", "a/b", "..", ".hidden", 'a"b', "ä", "a b"])
def test_a_name_that_is_no_folder_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="is no name for a folder and a URL"):
        lay_out(
            tiny_bundle(tmp_path / "bundle", name=name or " "),
            tmp_path / "models",
            Serving(name=name or None),
        )
    assert not (tmp_path / "models").exists()


def test_the_command_refuses_what_exists(tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "bundle")
    command = ["triton", str(bundle.path), "-o", str(tmp_path / "models"), "--json"]
    done = CliRunner().invoke(cli.application(), command)
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout) == {
        "model": str(tmp_path / "models/tiny"), "bundle": bundle.digest,
        "files": ["1/model.onnx", "config.pbtxt"],
    }  # fmt: skip
    again = CliRunner().invoke(cli.application(), command)
    assert (again.exit_code, again.stdout) == (2, "")
    assert "exists: choose another --name, or remove it" in again.stderr
