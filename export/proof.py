"""The proof of an export: onnxruntime must give what torch gave, and the portable head what ours gives."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from lsu.runtime import BackendError, InputError, ModelSpec, constrained_argmax
from lsu.runtime.model import placed

MOST_DIFFERENCE = 1e-3
"""The largest allowed difference between torch and onnxruntime, as a share of the scores' range."""
LEAST_EQUAL = 0.999
"""The share of pixels that must get the same class from both, and from both heads."""


@dataclass(frozen=True)
class Agreement:
    """How close onnxruntime comes to torch, the worst of all images.

    Attributes:
        images: how many were compared.
        difference: the largest difference of a score.
        share: the same, as a share of the range of that image's scores.
        equal: the share of pixels with the same class.
    """

    images: int
    difference: float
    share: float
    equal: float


def compare(model: bytes, network: nn.Module, batches: Sequence[npt.NDArray[np.uint8]]) -> Agreement:
    """Run the same images uint8 [N,H,W,3] through onnxruntime on the CPU and torch.

    Raises:
        InputError: the network's scores are not finite.
        BackendError: onnxruntime is missing, cannot load or cannot run the model.
    """
    session = _session(model)
    result = Agreement(images=0, difference=0.0, share=0.0, equal=1.0)
    for batch in batches:
        (ours,) = _ran(session, ["scores"], {"image": batch})
        for scores, truth in zip(ours, torch_scores(network, batch), strict=True):
            result = _worse(result, scores, truth, batch.shape[1:3])
    return result


def refuse_disagreement(agreement: Agreement) -> None:
    """Raise BackendError when the agreement is below the stated level."""
    if agreement.share > MOST_DIFFERENCE or agreement.equal < LEAST_EQUAL:
        raise BackendError(
            f"onnxruntime and torch disagree: scores differ by {100 * agreement.share:.3g} % of their "
            f"range ({100 * MOST_DIFFERENCE:g} % are allowed), {100 * agreement.equal:.2f} % of pixels get "
            f"the same class ({100 * LEAST_EQUAL:g} % are needed); nothing was written: try other versions "
            "of torch and onnxruntime"
        )


def prove_head(model: bytes, spec: ModelSpec, images: Sequence[npt.NDArray[np.uint8]]) -> float:
    """Run `model_with_head.onnx` under drawn constraints and compare with our own head.

    Returns:
        the share of pixels with the same class, the worst of all images and of both heads.

    Raises:
        BackendError: below `LEAST_EQUAL`, or onnxruntime cannot run the model.
    """
    session = _session(model)
    generator = np.random.default_rng(0)
    worst = 1.0
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
        scores, classes, free = (answer[0] for answer in _ran(session, ["scores", "classes", "free"], feed))
        low = np.ascontiguousarray(scores, np.float32)
        ours = constrained_argmax(
            low, fitted.canvas, labels=labels, table=_packed(allowed), void_channel=spec.void_channel
        )
        ours_free = constrained_argmax(low, fitted.canvas, void_channel=spec.void_channel)
        pairs = ((ours.classes, classes), (ours_free.classes, free))
        worst = min(worst, *(float((mine == theirs).mean()) for mine, theirs in pairs))
    if worst < LEAST_EQUAL:
        raise BackendError(
            f"the head in model_with_head.onnx agrees with the runtime's on {100 * worst:.2f} % of pixels "
            f"({100 * LEAST_EQUAL:g} % are needed); nothing was written: export with --head scores"
        )
    return worst


def torch_scores(network: nn.Module, batch: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """The scores float32 [N,C,h,w] of images uint8 [N,H,W,3]."""
    with torch.inference_mode():
        scores: npt.NDArray[np.float32] = network(torch.from_numpy(batch)).float().numpy()
    return scores


def first_line(error: BaseException) -> str:
    """The first line of the innermost cause of an error."""
    while error.__cause__ is not None:
        error = error.__cause__
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _session(model: bytes) -> Any:
    try:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = torch.get_num_threads()
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except ImportError as error:
        raise BackendError("onnxruntime proves each export and is missing: pip install 'lsu[cpu]'") from error
    except Exception as error:  # onnxruntime's errors share no base below Exception
        raise BackendError(f"onnxruntime cannot load the exported network: {first_line(error)}") from error


def _ran(session: Any, outputs: list[str], feed: dict[str, npt.NDArray[Any]]) -> list[npt.NDArray[Any]]:
    try:
        answers: list[npt.NDArray[Any]] = session.run(outputs, feed)
    except Exception as error:  # as above
        raise BackendError(
            f"onnxruntime cannot run the exported network on {list(feed['image'].shape)}: {first_line(error)}"
        ) from error
    return answers


def _worse(
    so_far: Agreement, scores: npt.NDArray[np.float32], truth: npt.NDArray[np.float32], size: tuple[int, ...]
) -> Agreement:
    """The agreement with one more image in it; scores and truth float32 [C,h,w]."""
    if scores.shape != truth.shape:
        raise BackendError(f"onnxruntime gives scores {list(scores.shape)}, torch gives {list(truth.shape)}")
    if not np.isfinite(truth).all():
        raise InputError("the network's scores are not finite: fit it again, perhaps in another precision")
    if not np.isfinite(scores).all():
        raise BackendError("onnxruntime's scores are not finite and torch's are: try other versions of both")
    whole = (size[0], size[1])
    ours, theirs = (constrained_argmax(np.ascontiguousarray(s), whole).classes for s in (scores, truth))
    difference = float(np.abs(scores - truth).max())
    return Agreement(
        images=so_far.images + 1,
        difference=max(so_far.difference, difference),
        share=max(so_far.share, difference / max(float(np.ptp(truth)), 1e-6)),
        equal=min(so_far.equal, float((ours == theirs).mean())),
    )


def _packed(allowed: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint64]:
    """A bool table [256,C] as a constraint table uint64 [256, ceil(C/64)]."""
    words = -(-allowed.shape[1] // 64)
    padded = np.zeros((256, 64 * words), bool)
    padded[:, : allowed.shape[1]] = allowed
    return np.ascontiguousarray(np.packbits(padded, axis=1, bitorder="little")).view("<u8").astype(np.uint64)
