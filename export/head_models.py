"""The other ONNX files of a bundle: its network followed by a head, for the runtimes that want one inside."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from lsu.runtime import BackendError, ModelSpec, constrained_argmax
from lsu.runtime.bundles.golden import LEAST_EQUAL
from lsu.runtime.bundles.manifest import MODEL, MODEL_WITH_HEAD, MODEL_WITH_PLUGIN, Head
from lsu.runtime.model import placed

from .head_function import with_head
from .head_plugin import with_plugin
from .onnx_session import outputs_of, session_from_model
from .verification.constraint import table_from_allowed


def head_models(
    model: bytes, spec: ModelSpec, head: Head, images: Sequence[npt.NDArray[np.uint8]]
) -> tuple[dict[str, bytes], dict[str, Any]]:
    """All ONNX files of a bundle by name, and what was measured about the head.

    Args:
        model: `model.onnx`, image -> scores.
        spec: the network's contract.
        head: which head follows it in a second file.
        images: uint8 [H,W,3] RGB, for the proof.

    Raises:
        InputError: the head does not fit the scores.
        BackendError: the function gives other classes than our own head.
    """
    if head == "scores":
        return {MODEL: model}, {}
    if head == "plugin":
        second = with_plugin(model, void_channel=spec.void_channel)
        return {MODEL: model, MODEL_WITH_PLUGIN: second}, {"head_was_run": False}
    second = with_head(model, void_channel=spec.void_channel)
    return {MODEL: model, MODEL_WITH_HEAD: second}, {
        "equal_classes_of_heads": prove_head(second, spec, images)
    }


def prove_head(model: bytes, spec: ModelSpec, images: Sequence[npt.NDArray[np.uint8]]) -> float:
    """Run `model_with_head.onnx` under drawn constraints and compare with our own head.

    Returns:
        the share of pixels with the same class, the worst of all images and of both heads.

    Raises:
        BackendError: below golden frames' `LEAST_EQUAL` of float32, or onnxruntime cannot run the model.
    """
    session = session_from_model(model)
    generator = np.random.default_rng(0)
    worst, least = 1.0, LEAST_EQUAL["float32"]  # the scores are given: only the heads differ
    for image in images:
        fitted = placed(image, spec)
        labels = generator.integers(0, 256, fitted.canvas, np.uint8)
        allowed = generator.random((256, spec.channels)) < 0.3
        feed: dict[str, npt.NDArray[Any]] = {
            "image": fitted.pixels[np.newaxis],
            "size": np.array(fitted.canvas, np.int64),
            "labels": labels[np.newaxis].astype(np.int32),
            "allowed": allowed,
        }
        answers = outputs_of(session, ["scores", "classes", "free"], feed)
        scores, classes, free = (answer[0] for answer in answers)
        low = np.ascontiguousarray(scores, np.float32)
        ours = constrained_argmax(
            low,
            fitted.canvas,
            labels=labels,
            table=table_from_allowed(allowed),
            void_channel=spec.void_channel,
        )
        ours_free = constrained_argmax(low, fitted.canvas, void_channel=spec.void_channel)
        pairs = ((ours.classes, classes), (ours_free.classes, free))
        worst = min(worst, *(float((mine == theirs).mean()) for mine, theirs in pairs))
    if worst < least:
        raise BackendError(
            f"the head in model_with_head.onnx agrees with the runtime's on {100 * worst:.2f} % of pixels "
            f"({100 * least:g} % are needed); nothing was written: export with --head scores"
        )
    return worst
