"""Golden frames: images in a bundle with the answers that every engine built from it must reproduce.

Wrong numbers on another machine are the commonest complaint about deployed networks, and nothing at load
notices them: a runtime of another version, a fast mode that rounds, swapped channels. Running a few frames
at start-up does.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lsu.runtime.errors import BackendError, InputError
from lsu.runtime.image import grey_from_bytes, image_from_bytes
from lsu.runtime.image_header import PNG_SIGNATURE
from lsu.runtime.model import Engine, placed

from .manifest import Precision
from .npy import array_from_npy

LEAST_EQUAL: dict[Precision, float] = {"float32": 0.999, "float16": 0.99, "int8": 0.95}
"""The share of a golden frame's pixels that must get the stored class, by precision of the network."""
MOST_DIFFERENCE: dict[Precision, float] = {"float32": 0.01, "float16": 0.05, "int8": 0.5}
"""The largest allowed difference of a score, as a share of the range of the frame's golden scores."""


@dataclass(frozen=True, eq=False)
class GoldenFrame:
    """An image and the answers for it.

    Attributes:
        image: uint8 [H,W,3] RGB.
        scores: float32 [C,h,w], at the network's own resolution.
        classes: uint8 [H,W], the free head on these scores; 255 = void.
    """

    image: npt.NDArray[np.uint8]
    scores: npt.NDArray[np.float32]
    classes: npt.NDArray[np.uint8]


@dataclass(frozen=True)
class SelfTest:
    """How close an engine comes to the golden frames, the worst of them in each respect.

    Attributes:
        frames: how many were run.
        difference: the largest difference of a score.
        share: the same, as a share of the range of that frame's golden scores.
        equal: the share of pixels with the golden class.
    """

    frames: int = 0
    difference: float = 0.0
    share: float = 0.0
    equal: float = 1.0

    def worse(self, other: "SelfTest") -> "SelfTest":
        """Both together."""
        return SelfTest(
            frames=self.frames + other.frames,
            difference=max(self.difference, other.difference),
            share=max(self.share, other.share),
            equal=min(self.equal, other.equal),
        )


def golden_frame(data: Sequence[bytes], paths: Sequence[Path], *, channels: int) -> GoldenFrame:
    """The frame in the bytes of its image, scores and classes files; `paths` name them in errors.

    Raises:
        InputError: a file cannot be parsed, or the three do not belong together.
    """
    for k in (0, 2):
        if not data[k].startswith(PNG_SIGNATURE):
            raise InputError(f"{paths[k]}: not a PNG file")
    image = image_from_bytes(data[0], paths[0])
    classes = grey_from_bytes(data[2], paths[2])
    scores = array_from_npy(data[1], paths[1])
    if scores.ndim != 3 or scores.shape[0] != channels or not scores.size:
        raise InputError(
            f"{paths[1]}: the scores are float32 {list(scores.shape)}; float32 [{channels}, h, w] is needed"
        )
    if not np.isfinite(scores).all():
        raise InputError(f"{paths[1]}: the scores are not all finite, so they prove nothing")
    if classes.dtype != np.uint8 or classes.shape != image.shape[:2]:
        raise InputError(f"{paths[2]}: not 8 bit, or not of its image's size")
    return GoldenFrame(image, scores, classes.astype(np.uint8, copy=False))


def compared(frame: GoldenFrame, engine: Engine) -> SelfTest:
    """The engine's answer for a frame against the golden one.

    Raises:
        BackendError: the engine failed, or its scores have another shape or are not finite.
    """
    from lsu.runtime.head import constrained_argmax

    fitted = placed(frame.image, engine.spec)
    scores = engine.infer(fitted.pixels[np.newaxis])[0]  # [C, h, w]
    if scores.shape != frame.scores.shape:
        raise BackendError(f"the engine's scores are {scores.shape}, the golden ones {frame.scores.shape}")
    if not np.isfinite(scores).all():
        raise BackendError("the engine's scores for a golden frame are not finite: use another backend")
    size = (frame.image.shape[0], frame.image.shape[1])
    head = constrained_argmax(scores, size, void_channel=engine.spec.void_channel, canvas=fitted.canvas)
    difference = float(np.abs(scores - frame.scores).max())
    extent = max(float(np.ptp(frame.scores)), 1e-6)
    return SelfTest(1, difference, difference / extent, float((head.classes == frame.classes).mean()))


def refuse_difference(result: SelfTest, precision: Precision, path: Path) -> None:
    """Raise BackendError when the result is below the level of the precision; `path` is the bundle's."""
    least, most = LEAST_EQUAL[precision], MOST_DIFFERENCE[precision]
    if not (result.equal >= least and result.share <= most):
        raise BackendError(
            f"{path}: this backend does not reproduce the golden frames: {100 * result.equal:.2f} % of "
            f"pixels agree ({100 * least:g} % are needed), scores differ by {100 * result.share:.3g} % of "
            f"their range ({100 * most:g} % are allowed): use another backend"
        )
