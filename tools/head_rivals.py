"""What the head is raced against: the ways in which people enlarge scores and take the best class today.

All rivals are spared work that the head does: nobody counts pixels, writes void where nothing is allowed, or
narrows classes to bytes; OpenCV's rivals keep their memory from call to call. Conversions to a rival's memory
layout happen before the clock starts. A constraint is given in two ways: `+mask`, one boolean per pixel and
class that was made before the clock starts, and `+gather`, where the mask is made of labels and table inside.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from head_modes import Constraint

from lsu.runtime.head import Head, Labelling

Sides = tuple[int, int]
Classes = npt.NDArray[np.integer]

LIBRARIES = ("torch", "torch_compile", "onnxruntime", "opencv")
GIVEN = ("mask", "gather")


@dataclass(frozen=True, eq=False)
class Task:
    """One question: scores [C, h, w], the answer's size, and the constraint or None."""

    scores: npt.NDArray[np.float32]
    size: Sides
    constraint: Constraint | None = None

    @property
    def labels(self) -> npt.NDArray[np.uint8]:
        """The labels of a constrained task, uint8 [H, W]."""
        if self.constraint is None:
            raise ValueError("a free task has no labels")
        return self.constraint.labels

    @cached_property
    def forbidden(self) -> npt.NDArray[np.bool_]:
        """Bool [C, 256]: class c is not allowed for label y."""
        if self.constraint is None:
            raise ValueError("a free task forbids nothing")
        return np.ascontiguousarray(~self.constraint.allowed.T)

    @cached_property
    def mask(self) -> npt.NDArray[np.bool_]:
        """Bool [C, H, W]: class c is not allowed at the pixel. Made once for all rivals."""
        return np.ascontiguousarray(self.forbidden[:, self.labels])


@dataclass(frozen=True, eq=False)
class Contender:
    """Something that answers a task.

    Attributes:
        name: what stands in the table.
        run: answers once; what it returns belongs to it and is overwritten by the next call.
        answer: integer [H, W] of what `run` returns; None where it answers nothing (a copy).
    """

    name: str
    run: Callable[[], Any]
    answer: Callable[[Any], Classes] | None


def ours(
    name: str, task: Task, *, threads: int, method: str = "auto", half: bool = False, **extras: bool
) -> Contender:
    """The head, answering into kept arrays; `extras` are margin and agreement."""
    head = Head(threads, method=method)
    scores = task.scores.astype(np.float16) if half else task.scores
    given: dict[str, Any] = dict(extras)
    if task.constraint is not None:
        given |= {"labels": task.constraint.labels, "table": task.constraint.table}
    out = head(scores, task.size, **given)

    def run() -> Labelling:
        return head(scores, task.size, out=out, **given)

    return Contender(name, run, lambda labelling: labelling.classes)


def copies(task: Task) -> list[Contender]:
    """The floor: the answer's bytes copied; all bytes that the head must touch copied once. One thread."""
    answer = np.ones(task.size, np.uint8)
    touched = [task.scores, answer]
    if task.constraint is not None:
        touched.append(task.constraint.labels)
    targets = [np.empty_like(source) for source in touched]

    def copy_touched() -> None:
        for target, source in zip(targets, touched, strict=True):
            np.copyto(target, source)

    return [
        Contender("copy_answer", lambda: np.copyto(targets[1], answer), None),
        Contender("copy_touched", copy_touched, None),
    ]


def _torch_enlarged(size: Sides, scores: Any, *mask: Any) -> Any:  # [1, C, h, w] -> [1, C, H, W]
    import torch
    from torch.nn import functional

    large = functional.interpolate(scores, size=size, mode="bilinear", align_corners=False)
    if not mask:
        return large
    forbidden = mask[0] if len(mask) == 1 else mask[0][:, mask[1].int()][None]
    return large.masked_fill(forbidden, -torch.inf)


def _torch_argmax(size: Sides, *inputs: Any) -> Any:
    return _torch_enlarged(size, *inputs).argmax(1)


def _torch_max(size: Sides, *inputs: Any) -> Any:
    return _torch_enlarged(size, *inputs).max(1).indices


def torch_rivals(task: Task, given: str | None, *, compiled: bool) -> list[Contender]:
    """What torch offers on the CPU; the number of threads is the process's, set by `use_threads`."""
    import torch

    inputs = [torch.from_numpy(task.scores)[None]]
    last = [inputs[0].contiguous(memory_format=torch.channels_last)]
    if given == "mask":
        forbidden = torch.from_numpy(task.mask)[None]
        inputs.append(forbidden)
        last.append(forbidden.contiguous(memory_format=torch.channels_last))
    elif given == "gather":
        rest = [torch.from_numpy(task.forbidden), torch.from_numpy(task.labels)]
        inputs, last = inputs + rest, last + rest
    calls = {"torch_argmax": (_torch_argmax, inputs), "torch_max": (_torch_max, inputs)}
    calls["torch_channels_last"] = (_torch_max, last)
    if compiled:
        calls["torch_compile"] = (torch.compile(_torch_argmax, dynamic=False), inputs)

    def contender(name: str, function: Callable[..., Any], arguments: list[Any]) -> Contender:
        def run() -> Any:
            with torch.inference_mode():
                return function(task.size, *arguments)

        return Contender(_named(name, given), run, lambda classes: classes[0].numpy())

    return [contender(name, *call) for name, call in calls.items()]


def onnxruntime_rival(task: Task, given: str | None, *, threads: int) -> Contender:
    """Resize and ArgMax of onnxruntime, with Where for the constraint and Gather for its mask."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        _onnx_model(task, given), options, providers=["CPUExecutionProvider"]
    )
    inputs = {"scores": task.scores[None]}
    if given == "mask":
        inputs["forbidden"] = task.mask[None]
    elif given == "gather":
        inputs |= {"table": task.forbidden, "labels": task.labels}
    return Contender(
        _named("onnxruntime", given), lambda: session.run(None, inputs), lambda answered: answered[0][0]
    )


def _onnx_model(task: Task, given: str | None) -> bytes:
    from onnx import TensorProto, helper

    classes, (height, width) = len(task.scores), task.size
    sizes = helper.make_tensor("sizes", TensorProto.INT64, [4], [1, classes, height, width])
    lowest = helper.make_tensor("lowest", TensorProto.FLOAT, [], [-np.inf])
    taken = [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, *task.scores.shape])]
    nodes = [
        helper.make_node(
            "Resize",
            ["scores", "", "", "sizes"],
            ["large"],
            mode="linear",
            coordinate_transformation_mode="half_pixel",
        )
    ]
    if given == "mask":
        shape = [1, classes, height, width]
        taken.append(helper.make_tensor_value_info("forbidden", TensorProto.BOOL, shape))
    elif given == "gather":
        taken.append(helper.make_tensor_value_info("table", TensorProto.BOOL, [classes, 256]))
        taken.append(helper.make_tensor_value_info("labels", TensorProto.UINT8, [height, width]))
        nodes.append(helper.make_node("Cast", ["labels"], ["indices"], to=TensorProto.INT32))
        nodes.append(helper.make_node("Gather", ["table", "indices"], ["forbidden"], axis=1))
    if given:
        nodes.append(helper.make_node("Where", ["forbidden", "lowest", "large"], ["limited"]))
    last = "limited" if given else "large"
    nodes.append(helper.make_node("ArgMax", [last], ["classes"], axis=1, keepdims=0))
    made = [helper.make_tensor_value_info("classes", TensorProto.INT64, [1, height, width])]
    graph = helper.make_graph(nodes, "head", taken, made, [sizes, lowest] if given else [sizes])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return bytes(model.SerializeToString())


def opencv_rivals(task: Task, given: str | None) -> list[Contender]:
    """cv2.resize per class, then numpy's argmax over all of them, or a running best in OpenCV and numpy."""
    height, width = task.size
    large = np.empty((len(task.scores), height, width), np.float32)
    best, one = np.empty((2, height, width), np.float32)
    won, classes = np.empty((2, height, width), np.uint8)
    if given:
        bytes_of = np.where(task.forbidden, 0, 255).astype(np.uint8)  # [C, 256], what cv2.LUT takes
        allowed = [np.where(m, 0, 255).astype(np.uint8) for m in task.mask] if given == "mask" else None

    def enlarge(k: int, target: npt.NDArray[np.float32]) -> None:
        cv2.resize(task.scores[k], (width, height), dst=target, interpolation=cv2.INTER_LINEAR)

    def argmax() -> Classes:
        for k in range(len(large)):
            enlarge(k, large[k])
        if given:
            mask = task.mask if given == "mask" else task.forbidden[:, task.labels]
            np.copyto(large, -np.inf, where=mask)
        return large.argmax(0)

    def running() -> Classes:
        best.fill(-np.inf)
        classes.fill(0)
        for k in range(len(large)):
            enlarge(k, one)
            cv2.compare(one, best, cv2.CMP_GT, dst=won)
            if given:
                allowed_here = cv2.LUT(task.labels, bytes_of[k]) if allowed is None else allowed[k]
                cv2.bitwise_and(won, allowed_here, dst=won)
                cv2.copyTo(one, won, best)
            else:
                cv2.max(one, best, dst=best)
            np.minimum(won, k, out=won)  # 255 where it won becomes its id; later ids are larger
            np.maximum(classes, won, out=classes)
        return classes

    calls = {"opencv_argmax": argmax, "opencv_running_best": running}
    return [Contender(_named(name, given), run, lambda answered: answered) for name, run in calls.items()]


def rivals(task: Task, given: str | None, *, threads: int, libraries: tuple[str, ...]) -> list[Contender]:
    """All rivals of a task; `given` says how they get the constraint, None for a free task."""
    found = []
    if "torch" in libraries:
        found += torch_rivals(task, given, compiled="torch_compile" in libraries)
    if "onnxruntime" in libraries:
        found.append(onnxruntime_rival(task, given, threads=threads))
    if "opencv" in libraries:
        found += opencv_rivals(task, given)
    return found


def use_threads(threads: int, libraries: tuple[str, ...]) -> None:
    """Set how many threads this process's libraries compute on; forget what was compiled for others."""
    cv2.setNumThreads(threads)
    if "torch" in libraries:
        import torch

        torch.set_num_threads(threads)
    if "torch_compile" in libraries:
        import torch._inductor.config

        torch._dynamo.reset()
        torch._dynamo.config.fail_on_recompile_limit_hit = True  # else it would quietly race eager code
        torch._inductor.config.cpp.threads = threads  # a part of the key of what is kept on disk


def _named(name: str, given: str | None) -> str:
    return f"{name}+{given}" if given else name
