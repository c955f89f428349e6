"""The head as operators of standard ONNX, for runtimes that know nothing of lsu.

`lsu::ConstrainedArgmax` and `lsu::FreeArgmax` are model-local functions, so any runtime that speaks ONNX
runs them. They make the enlarged scores, a hundred times the size of the answer: for portability and
proof, never the fast path. They equal `lsu.runtime.constrained_argmax` wherever the best score leads by
more than rounding; runtimes compute Resize each in its own order.

What a parser of TensorRT takes decides the types: BOOL and INT32 inside, and the Cast to UINT8 stands at
the end of the main graph, because a function may not hold UINT8.
"""

import onnx
from onnx import TensorProto, helper

from lsu.runtime.errors import InputError

from .head_plugin import DOMAIN, batch_and_channels

LOWEST_OPSET = 13
"""Of the functions: Unsqueeze and ReduceSum take their axes as inputs since then."""
OPSET = 18
"""Of the functions where no model asks for another."""

# ONNX Resize "half_pixel" is torch's align_corners=False for a given size. A sample that is not finite
# makes every pixel in which it has weight NaN or infinite.
_ENLARGE = """
   none = Constant <value = float[0] {}> ()
   zero = Constant <value = int64[1] {0}> ()
   two = Constant <value = int64[1] {2}> ()
   nan = Constant <value = float {nan}> ()
   shape = Shape (scores)
   batch_and_channels = Slice (shape, zero, two)
   sizes = Concat <axis = 0> (batch_and_channels, size)
   wide = Cast <to = 1> (scores)
   infinite = IsInf (wide)
   samples = Where (infinite, nan, wide)
   enlarged = Resize <mode = "linear", coordinate_transformation_mode = "half_pixel">
      (samples, none, none, sizes)
   unknown = IsNaN (enlarged)
   finite = Not (unknown)
"""

# ArgMax gives the first of equals, which is the lowest class. Without a candidate it gives 0, hence `any`.
_CHOOSE = """
   lowest = Constant <value = float {-inf}> ()
   zero_score = Constant <value = float {0}> ()
   void = Constant <value = int32 {255}> ()
   nothing = Constant <value = int32 {0}> ()
   axis = Constant <value = int64[1] {1}> ()
   safe = Where (finite, enlarged, zero_score)
   running = Where (candidate, safe, lowest)
   best = ArgMax <axis = 1, keepdims = 0, select_last_index = 0> (running)
   winner = Cast <to = 6> (best)
   candidates = Cast <to = 6> (candidate)
   number = ReduceSum <keepdims = 0> (candidates, axis)
   any = Greater (number, nothing)
   classes = Where (any, winner, void)
"""

_FREE = f"""FreeArgmax (scores, size) => (classes) {{
   {_ENLARGE}
   candidate = Identity (finite)
   {_CHOOSE}
}}"""

# A label that allows one class gets it whatever the scores, also when they are not finite.
_CONSTRAINED = f"""ConstrainedArgmax (scores, size, allowed, labels) => (classes) {{
   {_ENLARGE}
   one = Constant <value = int32 {{1}}> ()
   last = Constant <value = int64[1] {{1}}> ()
   members = Cast <to = 6> (allowed)
   sizes_of_sets = ReduceSum <keepdims = 0> (members, last)
   forcing = Equal (sizes_of_sets, one)
   set_of_pixel = Gather <axis = 0> (allowed, labels)
   set = Transpose <perm = [0, 3, 1, 2]> (set_of_pixel)
   forced_flat = Gather <axis = 0> (forcing, labels)
   forced = Unsqueeze (forced_flat, last)
   possible = Or (finite, forced)
   candidate = And (set, possible)
   {_CHOOSE}
}}"""


def head_functions(opset: int = OPSET) -> list[onnx.FunctionProto]:
    """`lsu::ConstrainedArgmax` and `lsu::FreeArgmax`.

    ConstrainedArgmax(scores FLOAT or FLOAT16 [N,C,h,w], size INT64 [2], allowed BOOL [L,C], labels INT32
    [N,H,W]) gives INT32 [N,H,W]: the best class that row `labels` of `allowed` holds, ties to the lowest
    id, 255 where there is none. `allowed` needs a row for each label that occurs: 256 rows where void
    labels, 255, do. FreeArgmax(scores, size) allows all classes. `size` is (H, W) of what the scores cover.

    Args:
        opset: that of the model, from `LOWEST_OPSET` on: a model and its functions speak the same one.
    """
    about = f'<domain: "{DOMAIN}", opset_import: ["" : {opset}]>\n'
    return [onnx.parser.parse_function(about + text) for text in (_CONSTRAINED, _FREE)]


def with_head(model: bytes, *, void_channel: int | None = None) -> bytes:
    """The model `image` -> `scores` followed by both heads.

    Further inputs: `size` INT64 [2], the (H, W) that the scores cover (of the padded input, or of the image
    before it was resized); `labels` INT32 [N,H,W] of that size; `allowed` BOOL [L,C]. Further outputs:
    `classes` and `free`, UINT8 [N,H,W], 255 = void.

    Args:
        model: a bundle's `model.onnx`.
        void_channel: the channel whose win is written as 255.

    Raises:
        InputError: the model has no output `scores` of known channels, an opset below `LOWEST_OPSET`, or
            functions of the domain `lsu`.
    """
    proto = onnx.load_from_string(model)
    number, channels = batch_and_channels(proto)
    opset = max(entry.version for entry in proto.opset_import if entry.domain in ("", "ai.onnx"))
    if opset < LOWEST_OPSET:
        raise InputError(
            f"the head needs opset {LOWEST_OPSET} or newer, the network has {opset}: export it with "
            f"{LOWEST_OPSET}, or take --head scores or plugin"
        )
    area = [number, "canvas_height", "canvas_width"]
    if any(function.domain == DOMAIN for function in proto.functions):
        raise InputError(f"the network has functions of the domain {DOMAIN} already: take --head scores")
    graph = proto.graph
    graph.input.extend(
        [
            helper.make_tensor_value_info("size", TensorProto.INT64, [2]),
            helper.make_tensor_value_info("labels", TensorProto.INT32, area),
            helper.make_tensor_value_info("allowed", TensorProto.BOOL, ["label", channels]),
        ]
    )
    for function, inputs, output in (
        ("ConstrainedArgmax", ["scores", "size", "allowed", "labels"], "classes"),
        ("FreeArgmax", ["scores", "size"], "free"),
    ):
        graph.node.extend(_head_nodes(function, inputs, output, void_channel))
        graph.output.append(helper.make_tensor_value_info(output, TensorProto.UINT8, area))
    proto.functions.extend(head_functions(opset))
    proto.opset_import.append(helper.make_opsetid(DOMAIN, 1))
    onnx.checker.check_model(proto, full_check=True)
    return bytes(proto.SerializeToString(deterministic=True))


def _head_nodes(
    function: str, inputs: list[str], output: str, void_channel: int | None
) -> list[onnx.NodeProto]:
    answer = f"{output}_int32"
    nodes = [helper.make_node(function, inputs, [answer], name=f"head_{output}", domain=DOMAIN)]
    if void_channel is not None:
        for name, value in (("channel", void_channel), ("void", 255)):
            tensor = helper.make_tensor(f"{output}_{name}", TensorProto.INT32, [], [value])
            nodes.append(helper.make_node("Constant", [], [f"{output}_{name}"], value=tensor))
        nodes.append(helper.make_node("Equal", [answer, f"{output}_channel"], [f"{output}_is_void"]))
        nodes.append(
            helper.make_node("Where", [f"{output}_is_void", f"{output}_void", answer], [f"{output}_known"])
        )
        answer = f"{output}_known"
    nodes.append(helper.make_node("Cast", [answer], [output], to=TensorProto.UINT8))
    return nodes
