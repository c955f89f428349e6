"""How close two runs of one network are, and how close they must be before a bundle is written."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lsu.runtime import BackendError, InputError, constrained_argmax
from lsu.runtime.bundles.golden import LEAST_EQUAL
from lsu.runtime.bundles.golden import MOST_DIFFERENCE as MOST_GOLDEN_DIFFERENCE
from lsu.runtime.bundles.manifest import Precision

MOST_DIFFERENCE: dict[Precision, float] = MOST_GOLDEN_DIFFERENCE | {"float32": 1e-3}
"""The largest allowed difference of a score, as a share of the scores' range, by precision. In float32 on one
machine it is narrower than that of golden frames, which travel."""


@dataclass(frozen=True)
class Agreement:
    """How close scores come to the true ones, the worst of all images.

    Attributes:
        images: how many were compared.
        difference: the largest difference of a score.
        share: the same, as a share of the range of that image's scores.
        equal: the share of pixels with the same class.
    """

    images: int = 0
    difference: float = 0.0
    share: float = 0.0
    equal: float = 1.0

    def with_image(
        self,
        scores: npt.NDArray[np.float32],
        truth: npt.NDArray[np.float32],
        size: tuple[int, ...],
        truths: str = "torch",
    ) -> "Agreement":
        """The agreement with one more image in it.

        Args:
            scores: onnxruntime's, float32 [C,h,w].
            truth: what they should be.
            size: (H, W) of the image in pixels.
            truths: whose the true ones are, for errors.

        Raises:
            InputError: the true scores are not finite.
            BackendError: the scores are not finite, or of another shape.
        """
        if scores.shape != truth.shape:
            raise BackendError(
                f"onnxruntime gives scores {list(scores.shape)}, {truths} gives {list(truth.shape)}"
            )
        if not np.isfinite(truth).all():
            raise InputError(
                f"{truths}'s scores are not finite: the network needs other weights or another precision"
            )
        if not np.isfinite(scores).all():
            raise BackendError(
                f"onnxruntime's scores are not finite and {truths}'s are: use fp32, or other versions"
            )
        whole = (size[0], size[1])
        ours, theirs = (constrained_argmax(np.ascontiguousarray(s), whole).classes for s in (scores, truth))
        difference = float(np.abs(scores - truth).max())
        return Agreement(
            images=self.images + 1,
            difference=max(self.difference, difference),
            share=max(self.share, difference / max(float(np.ptp(truth)), 1e-6)),
            equal=min(self.equal, float((ours == theirs).mean())),
        )


def refuse_disagreement(
    agreement: Agreement, precision: Precision = "float32", truths: str = "torch"
) -> None:
    """Raise BackendError when the agreement is below the level of the precision; `truths` names the other."""
    most, least = MOST_DIFFERENCE[precision], LEAST_EQUAL[precision]
    if agreement.share > most or agreement.equal < least:
        repair = "use fp32" if precision != "float32" else "try another version of onnxruntime"
        raise BackendError(
            f"onnxruntime and {truths} disagree: scores differ by {100 * agreement.share:.3g} % of their "
            f"range ({100 * most:g} % are allowed), {100 * agreement.equal:.2f} % of pixels get the same "
            f"class ({100 * least:g} % are needed); nothing was written: {repair}"
        )
