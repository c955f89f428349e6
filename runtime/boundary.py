"""Boundary F: how well a segmentation's outlines lie on the true ones.

IoU is blind to outlines, because most pixels lie inside regions. The contour score of Csurka, Larlus and
Perronnin ("What is a good evaluation measure for semantic segmentation?", BMVC 2013) compares outlines only:
precision is the share of predicted boundary pixels near a true one of the same class, recall the share of
true ones near a predicted one, and F their harmonic mean. There the score is averaged over images. Here the
pixels are counted over all images first, as for IoU, so that an image with three boundary pixels of a class
does not weigh as much as one with a thousand, and so that counts of shards can be added.
"""

import math

import cv2
import numpy as np
import numpy.typing as npt

from .errors import InputError
from .label_space import VOID

TOLERANCE = 0.0075
"""The distance that still counts as near, as a share of the image's diagonal (Csurka et al. 2013)."""

PREDICTED, PREDICTED_NEAR, TRUE, TRUE_NEAR = range(4)
"""Columns of the counts: boundary pixels of the prediction and those near, then the same of the truth."""


def boundary_counts(
    truth: npt.NDArray[np.uint8], classes: npt.NDArray[np.uint8], count: int, *, tolerance: float = TOLERANCE
) -> npt.NDArray[np.int64]:
    """Boundary pixels of one image, int64 [count, 4], columns as `PREDICTED` and its neighbours say.

    A pixel is a boundary pixel of its class when one of its four neighbours has another value; void is a
    value like any other in the prediction. Where the truth is void nothing is known: such pixels are neither
    boundary pixels nor neighbours, in both maps, so the edge of an unlabelled region is no outline. The
    image's border is none either. Near means an Euclidean distance between pixel centres of at most
    `tolerance` times the diagonal sqrt(H^2 + W^2).

    Args:
        truth: uint8 [H,W], dense indices, 255 = void.
        classes: the prediction, uint8 [H,W] alike.
        count: the number of classes.
        tolerance: a share of the diagonal, at least 0; 0 asks for the same pixel.

    Raises:
        InputError: the tolerance is negative or not finite.
    """
    if not (math.isfinite(tolerance) and tolerance >= 0):
        raise InputError(
            f"boundary tolerance is {tolerance}; give a share of the diagonal, such as {TOLERANCE}"
        )
    radius = tolerance * math.hypot(*truth.shape)
    known = truth != VOID
    outlines = [np.where(_edges(side, known), side, VOID) for side in (classes, truth)]
    present = np.bincount(np.concatenate(outlines, axis=None), minlength=256)
    counts = np.zeros((count, 4), np.int64)
    for index in np.flatnonzero(present[:count]):
        counts[index] = _near_counts(outlines[0] == index, outlines[1] == index, radius)
    return counts


def boundary_f(counts: npt.NDArray[np.int64]) -> tuple[float | None, ...]:
    """F per class, 0 to 1, from int64 [C, 4]: 2PR / (P + R).

    None for a class without a boundary pixel in the truth; 0 for one that has some and none is matched.
    """
    return tuple(_f_of(*(int(n) for n in row)) for row in counts)


def _f_of(predicted: int, predicted_near: int, true: int, true_near: int) -> float | None:
    if true == 0:
        return None
    if predicted_near == 0 or true_near == 0:
        return 0.0
    precision, recall = predicted_near / predicted, true_near / true
    return 2 * precision * recall / (precision + recall)


def _edges(values: npt.NDArray[np.uint8], known: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Bool [H,W]: known pixels with a known neighbour of another value above, below, left or right."""
    edges = np.zeros(values.shape, np.bool_)
    for first, second in ((np.s_[:-1], np.s_[1:]), (np.s_[:, :-1], np.s_[:, 1:])):
        differs = (values[first] != values[second]) & known[first] & known[second]
        edges[first] |= differs
        edges[second] |= differs
    return edges


def _near_counts(
    predicted: npt.NDArray[np.bool_], true: npt.NDArray[np.bool_], radius: float
) -> tuple[int, int, int, int]:
    left, top, width, height = cv2.boundingRect((predicted | true).view(np.uint8))
    window = np.s_[top : top + height, left : left + width]  # distances within it need nothing outside
    predicted, true = predicted[window], true[window]
    return (
        int(predicted.sum()),
        _near(predicted, true, radius),
        int(true.sum()),
        _near(true, predicted, radius),
    )


def _near(ours: npt.NDArray[np.bool_], theirs: npt.NDArray[np.bool_], radius: float) -> int:
    """How many of our pixels have one of theirs within the radius."""
    if not (ours.any() and theirs.any()):
        return 0
    distance = cv2.distanceTransform((~theirs).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return int((distance[ours] <= radius).sum())
