"""The plugin in an ONNX file: what the plugin's own source expects of its node."""

import re
from pathlib import Path

import onnx
import pytest
from bundles import tiny_draft, tiny_model
from onnx import TensorProto, helper

from lsu.export.head_models import head_models
from lsu.export.head_plugin import with_plugin
from lsu.export.onnx_session import session_from_model
from lsu.runtime.bundles.bundle import write_bundle
from lsu.runtime.errors import BackendError, InputError

PLUGIN = Path(__file__).parent.parent / "cuda_kernels" / "plugin"


def graph_with_plugin(channels: int = 3, **options: int) -> onnx.GraphProto:
    return onnx.load_from_string(with_plugin(tiny_model(channels).SerializeToString(), **options)).graph


def attributes(graph: onnx.GraphProto) -> dict[str, object]:
    return {a.name: helper.get_attribute_value(a) for a in graph.node[-1].attribute}


def test_the_node_is_the_one_that_the_plugin_answers_to() -> None:
    graph = graph_with_plugin(void_channel=2)
    node, source = (
        graph.node[-1],
        "".join(p.read_text() for p in sorted(PLUGIN.iterdir()) if p.suffix in (".h", ".cpp")),
    )
    for text in (node.op_type, "lsu", "1"):
        assert f'"{text}"' in source
    assert attributes(graph) == {
        "plugin_namespace": b"lsu",
        "plugin_version": b"1",
        "tensorrt_plugin_shape_input_indices": [1],
        "void_channel": 2,
    }
    assert re.search(r'kVoidChannelField = "void_channel"', source)  # the one field that its creator takes
    assert (list(node.input), list(node.output)) == (["scores", "size", "table", "labels"], ["classes"])


def test_without_a_void_channel_there_is_no_field() -> None:
    assert "void_channel" not in attributes(graph_with_plugin())


@pytest.mark.parametrize(("channels", "columns"), [(1, 2), (64, 2), (65, 4), (255, 8)])
def test_the_tensors_are_those_of_the_plugin(channels: int, columns: int) -> None:
    """By hand from its documentation: no BOOL, no UINT8, a row for each label, two INT32 per 64 classes."""
    graph = graph_with_plugin(channels)
    shapes = {
        value.name: [dim.dim_value or dim.dim_param for dim in value.type.tensor_type.shape.dim]
        for value in (*graph.input, *graph.output)
    }
    assert shapes["size"] == [2]
    assert shapes["table"] == [256, columns]
    assert shapes["labels"] == shapes["classes"] == ["n", "canvas_height", "packed_width"]
    assert [o.name for o in graph.output] == ["scores", "classes"]  # golden frames need the scores
    kinds = {value.name: value.type.tensor_type.elem_type for value in (*graph.input[1:], graph.output[1])}
    assert set(kinds.values()) == {TensorProto.INT32}


def test_a_model_without_scores_has_no_head() -> None:
    model = tiny_model()
    model.graph.output[0].name = "out"
    with pytest.raises(InputError, match="an output `scores` of four dimensions"):
        with_plugin(model.SerializeToString())


def test_no_cpu_runs_it_and_the_bundle_says_so(tmp_path: Path) -> None:
    draft = tiny_draft()
    model = tiny_model().SerializeToString()
    models, measured = head_models(model, draft.spec, "plugin", [])
    with pytest.raises(BackendError, match="onnxruntime cannot load the exported network: .*lsu"):
        session_from_model(models["model_with_plugin.onnx"])
    assert measured == {"head_was_run": False}
    bundle = write_bundle(tmp_path / "b", tiny_draft(models=models, head="plugin", verification=measured))
    assert bundle.read("model.onnx") == model
    with pytest.raises(InputError, match="model_with_plugin.onnx is not listed under files"):
        write_bundle(tmp_path / "c", tiny_draft(head="plugin"))
