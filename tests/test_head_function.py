"""The portable head: the same answers as ours, in onnxruntime and in the reference of onnx."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
from bundles import TOWN, noise, tiny_model
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

from lsu.export.head_function import DOMAIN, head_functions, with_head
from lsu.export.head_models import prove_head
from lsu.runtime.errors import InputError
from lsu.runtime.head import constrained_argmax
from lsu.runtime.model import ModelSpec

Arrays = dict[str, npt.NDArray[Any]]
NAN, INF = float("nan"), float("inf")


def head_alone(kind: int = TensorProto.FLOAT) -> onnx.ModelProto:
    """Both functions on given scores."""
    graph = helper.make_graph(
        [
            helper.make_node(
                "ConstrainedArgmax", ["scores", "size", "allowed", "labels"], ["classes"], domain=DOMAIN
            ),
            helper.make_node("FreeArgmax", ["scores", "size"], ["free"], domain=DOMAIN),
        ],
        "head",
        [
            helper.make_tensor_value_info("scores", kind, ["n", "c", "h", "w"]),
            helper.make_tensor_value_info("size", TensorProto.INT64, [2]),
            helper.make_tensor_value_info("allowed", TensorProto.BOOL, ["l", "c"]),
            helper.make_tensor_value_info("labels", TensorProto.INT32, ["n", "H", "W"]),
        ],
        [
            helper.make_tensor_value_info(name, TensorProto.INT32, ["n", "H", "W"])
            for name in ("classes", "free")
        ],
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid(DOMAIN, 1)]
    model = helper.make_model(graph, opset_imports=opsets, functions=head_functions(), ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    return model


def by_onnxruntime(model: onnx.ModelProto, feed: Arrays) -> list[npt.NDArray[Any]]:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return list(session.run(["classes", "free"], feed))


def by_reference(model: onnx.ModelProto, feed: Arrays) -> list[npt.NDArray[Any]]:
    return list(ReferenceEvaluator(model).run(["classes", "free"], feed))


RUNNERS = pytest.mark.parametrize("run", [by_onnxruntime, by_reference])
Run = Callable[[onnx.ModelProto, Arrays], list[npt.NDArray[Any]]]


def feed_of(scores: Any, labels: Any, allowed: Any) -> Arrays:
    """One image whose scores are at the size of the answer: scores [C,h,w], labels [h,w], allowed [256,C]."""
    labels = np.array(labels, np.int32)[np.newaxis]
    return {
        "scores": np.array(scores, np.float32)[np.newaxis],
        "size": np.array(labels.shape[1:], np.int64),
        "labels": labels,
        "allowed": np.array(allowed, bool),
    }


def table_of(**rows: list[int]) -> npt.NDArray[np.bool_]:
    """A table [256,3]: `y7=[0, 2]` allows 0 and 2 for label 7."""
    allowed = np.zeros((256, 3), bool)
    for name, members in rows.items():
        allowed[int(name[1:]), members] = True
    return allowed


def packed(allowed: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint64]:
    table = np.zeros((len(allowed), -(-allowed.shape[1] // 64)), np.uint64)
    for row, column in np.argwhere(allowed):
        table[row, column // 64] |= np.uint64(1 << (int(column) % 64))
    return table


@RUNNERS
def test_the_best_allowed_class_wins_by_hand(run: Run) -> None:
    scores = [[[5, 5, 5, 5, 5]], [[9, 9, 9, 9, 9]], [[7, 7, 7, 7, 7]]]
    allowed = table_of(y0=[0, 1, 2], y1=[0, 2], y2=[0], y255=[2])
    classes, free = run(head_alone(), feed_of(scores, [[0, 1, 2, 3, 255]], allowed))
    assert classes.tolist() == [[[1, 2, 0, 255, 2]]]
    assert free.tolist() == [[[1] * 5]]
    assert classes.dtype == np.int32


@RUNNERS
def test_ties_go_to_the_lowest_allowed_class(run: Run) -> None:
    scores = [[[-1, -1]], [[-1, -1]], [[-1, -1]]]
    classes, free = run(head_alone(), feed_of(scores, [[0, 1]], table_of(y0=[0, 1, 2], y1=[1, 2])))
    assert classes.tolist() == [[[0, 1]]]
    assert free.tolist() == [[[0, 0]]]


@RUNNERS
@pytest.mark.parametrize("bad", [NAN, INF, -INF])
def test_a_score_that_is_not_finite_cannot_win_unless_it_is_forced(run: Run, bad: float) -> None:
    scores = [[[1, 1, 1, bad]], [[bad, bad, bad, bad]], [[0, 0, 0, bad]]]
    allowed = table_of(y0=[0, 1, 2], y1=[1, 2], y2=[1], y3=[0, 1, 2])
    classes, free = run(head_alone(), feed_of(scores, [[0, 1, 2, 3]], allowed))
    assert classes.tolist() == [[[0, 2, 1, 255]]]
    assert free.tolist() == [[[0, 0, 0, 255]]]


@RUNNERS
def test_the_lowest_finite_scores_beat_what_is_not_allowed(run: Run) -> None:
    lowest = float(np.finfo(np.float32).min)
    scores = [[[lowest]], [[lowest]], [[lowest]]]
    classes, free = run(head_alone(), feed_of(scores, [[0]], table_of(y0=[1, 2])))
    assert (classes.tolist(), free.tolist()) == ([[[1]]], [[[0]]])


@RUNNERS
@pytest.mark.parametrize("size", [(16, 24), (13, 7), (3, 4), (1, 1)])
@pytest.mark.parametrize("half", [False, True])
def test_enlarged_and_reduced_scores_give_what_our_head_gives(
    run: Run, size: tuple[int, int], half: bool
) -> None:
    generator = np.random.default_rng(size[0])
    scores = generator.normal(size=(2, 70, 4, 6)).astype(np.float16 if half else np.float32)
    labels = generator.integers(0, 256, (2, *size), np.uint8)
    allowed = generator.random((256, 70)) < 0.1
    feed = {
        "scores": scores,
        "size": np.array(size, np.int64),
        "labels": labels.astype(np.int32),
        "allowed": allowed,
    }
    model = head_alone(TensorProto.FLOAT16 if half else TensorProto.FLOAT)
    classes, free = run(model, feed)
    for number in range(2):
        ours = constrained_argmax(scores[number], size, labels=labels[number], table=packed(allowed)).classes
        assert np.array_equal(classes[number], ours)
        assert np.array_equal(free[number], constrained_argmax(scores[number], size).classes)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    channels=st.integers(1, 66),
    low=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    size=st.tuples(st.integers(1, 12), st.integers(1, 12)),
)
def test_clear_margins_give_equal_answers(
    seed: int, channels: int, low: tuple[int, int], size: tuple[int, int]
) -> None:
    generator = np.random.default_rng(seed)
    scores = generator.normal(size=(channels, *low)).astype(np.float32)
    labels = generator.integers(0, 4, size, np.uint8)
    allowed = np.zeros((256, channels), bool)
    allowed[:4] = generator.random((4, channels)) < 0.5
    ours = constrained_argmax(
        scores, size, labels=labels, table=packed(allowed), margin=True, margin_scale=255e-5
    )
    feed = feed_of(scores, labels, allowed) | {"size": np.array(size, np.int64)}
    classes, _ = by_onnxruntime(head_alone(), feed)
    assert ours.margin is not None
    clear = (ours.margin > 1) | (ours.classes == 255)
    assert np.array_equal(classes[0][clear], ours.classes[clear])


@pytest.mark.parametrize(
    "spec",
    [
        ModelSpec(TOWN, fit="pad", multiple=8),
        ModelSpec(TOWN, fit="pad", multiple=8, void_channel=3),
        ModelSpec(TOWN, fit="resize", size=(16, 24)),
    ],
)
def test_a_whole_network_with_its_head_is_proven(spec: ModelSpec) -> None:
    model = with_head(tiny_model(spec.channels).SerializeToString(), void_channel=spec.void_channel)
    assert prove_head(model, spec, [noise(50, 70, seed) for seed in range(3)]) > 0.9999


def test_the_void_channel_is_written_as_255() -> None:
    proto = onnx.load_from_string(with_head(tiny_model(4).SerializeToString(), void_channel=3))
    image = noise(16, 16)[np.newaxis]
    feed = {
        "image": image,
        "size": np.array([16, 16], np.int64),
        "labels": np.zeros((1, 16, 16), np.int32),
        "allowed": np.array([[False, False, False, True]]),
    }
    classes, free = by_onnxruntime(proto, feed)
    assert (classes == 255).all()
    assert 3 not in free
    assert classes.dtype == free.dtype == np.uint8


def test_types_are_those_that_tensorrt_parses() -> None:
    """No UINT8 inside a function; the cast to UINT8 is what gives each output of the main graph."""
    proto = onnx.load_from_string(with_head(tiny_model().SerializeToString()))
    for function in proto.functions:
        casts = [node.attribute[0].i for node in function.node if node.op_type == "Cast"]
        assert TensorProto.UINT8 not in casts
        assert not {"BitShift", "BitwiseAnd"} & {node.op_type for node in function.node}
        assert {opset.domain for opset in function.opset_import} == {""}
    last = {output: node.op_type for node in proto.graph.node for output in node.output}
    assert (last["classes"], last["free"]) == ("Cast", "Cast")
    assert [i.name for i in proto.graph.input] == ["image", "size", "labels", "allowed"]
    assert [o.name for o in proto.graph.output] == ["scores", "classes", "free"]


def test_a_model_without_scores_is_refused() -> None:
    model = tiny_model()
    model.graph.output[0].name = "logits"
    model.graph.node[-1].output[0] = "logits"
    with pytest.raises(InputError, match="an output `scores`"):
        with_head(model.SerializeToString())
    free = tiny_model()
    free.graph.output[0].type.tensor_type.shape.dim[1].dim_param = "c"
    with pytest.raises(InputError, match="fixed number of channels"):
        with_head(free.SerializeToString())
