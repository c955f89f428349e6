"""Which output of a foreign network holds its scores, found by looking at what it really gives."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from lsu.runtime.errors import InputError, near_names
from lsu.runtime.model import ModelSpec, ScoreKind, Size

Outputs = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class ForeignScores:
    """The scores among a network's tensors.

    Attributes:
        name: of the tensor, an output or an inner one.
        size: (h, w) that was seen.
    """

    name: str
    size: Size

    @classmethod
    def among(
        cls, outputs: Outputs, spec: ModelSpec, image: Size, name: str | None = None
    ) -> "ForeignScores":
        """The scores among the outputs of one run.

        Args:
            outputs: what the network gave for one image, by name.
            spec: the contract; its channels are looked for.
            image: (H, W) of that image in pixels.
            name: the output that the user named, or None.

        Raises:
            InputError: none or several could be it, or the named one is not.
        """
        faults = {
            key: fault for key, value in outputs.items() if (fault := _fault_of(key, value, spec, image))
        }
        fitting = [key for key in outputs if key not in faults]
        if name is None and len(fitting) > 1:
            raise InputError(
                f"several outputs could be the scores: add --scores with one of {', '.join(fitting)}"
            )
        if name is None and not fitting:
            raise InputError("; ".join(faults.values()))
        chosen = name or fitting[0]
        if chosen in faults:
            raise InputError(faults[chosen])
        return cls(chosen, (outputs[chosen].shape[2], outputs[chosen].shape[3]))


def with_output(model: onnx.ModelProto, name: str) -> onnx.ModelProto:
    """The model with its tensor `name` among its outputs, so that scores before an ArgMax can be had.

    Raises:
        InputError: it has no such tensor.
    """
    if any(value.name == name for value in model.graph.output):
        return model
    inferred = onnx.shape_inference.infer_shapes(model)
    inner = {value.name: value for value in inferred.graph.value_info}
    if name not in inner:
        known = [*(value.name for value in model.graph.output), *inner]
        raise InputError(f"the network has no tensor {name!r}; {near_names(name, known)}")
    result = onnx.ModelProto()
    result.CopyFrom(model)
    result.graph.output.append(inner[name])
    return result


def kind_of(samples: Sequence[npt.NDArray[Any]], asked: ScoreKind | None) -> ScoreKind:
    """Logits or probabilities, seen from scores [C,h,w] of several images.

    Raises:
        InputError: the user says something else than the numbers do.
    """
    likely = all(
        bool((scores >= -1e-3).all())
        and bool((np.abs(scores.astype(np.float64).sum(axis=0) - 1) < 0.01).all())
        for scores in samples
    )
    found: ScoreKind = "probabilities" if likely else "logits"
    if asked not in (None, found):
        raise InputError(
            f"--kind {asked}, but the scores are {found}: they "
            f"{'all are' if likely else 'are not all'} of 0 to 1 with a sum of 1 at each pixel"
        )
    return found


def _fault_of(name: str, value: npt.NDArray[Any], spec: ModelSpec, image: Size) -> str:
    """Why an output is not the scores, empty if it can be."""
    shown = f"output {name} is {value.dtype} {list(value.shape)}"
    needed = f"float [1, {spec.channels}, h, w] is needed"
    if value.dtype.kind in "iub":
        return f"{shown}: classes already chosen; name the scores before the ArgMax with --scores TENSOR"
    if value.ndim != 4 or value.shape[0] != 1:
        return f"{shown} for one image; {needed}"
    if value.shape[1] != spec.channels:
        return f"{shown}; {needed}: {_repair_of(value.shape, spec)}"
    tall, wide = value.shape[2] / image[0], value.shape[3] / image[1]
    if abs(tall - wide) > 0.1 * max(tall, wide):
        return f"{shown} for an image of {image[0]}x{image[1]} (HxW): h and w do not cover it; {needed}"
    return ""


def _repair_of(shape: tuple[int, ...], spec: ModelSpec) -> str:
    """What to do about scores of another number of channels."""
    channels, classes = shape[1], len(spec.label_space)
    if shape[3] == spec.channels:
        return "the classes come last, export it with them before h and w"
    if channels == classes:
        return "one channel for each class, leave out --void-channel"
    if channels == classes + 1:
        return "one channel more than classes, if the last one means void, add --void-channel"
    return f"for the {classes} classes of {spec.label_space.name}, name another --label-space"
