"""Relative confidence: how far a pixel's best class is ahead, and the level of each class that is kept.

CoRTe (Cuttano et al. 2023, arXiv 2402.13122): RC = p(1) - p(2), the difference of a pixel's two best
probabilities; tau_c = the mean RC over all pixels answered c; a pixel is kept where RC > tau_c, and is void
elsewhere. Ours: the probabilities are those of the classes that the pixel's label allows, renormalised; one
allowed class has RC = 1, which is always kept; and the mean is over the pixels whose label leaves a choice,
else those that labels decide alone would lift the level above all that the teacher decides. RC is rounded to
16 bits before anything is summed, so that all sums are exact.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from lsu.runtime.label_space import VOID, LabelSpace
from lsu.runtime.model import Size
from lsu.runtime.segmenter import Scores

ONE = 65535
"""RC = 1 in 16 bits."""

ClassSums = Mapping[int, tuple[int, int, int]]
"""Class -> pixels that the teacher decided so, the sum of their 16-bit RC, and pixels that labels forced."""


def relative_confidence(
    probabilities: Scores,
    size: Size,
    *,
    labels: npt.NDArray[np.uint8] | None = None,
    table: npt.NDArray[np.uint64] | None = None,
) -> npt.NDArray[np.float32]:
    """RC of every pixel, float32 [H,W] from 0 to 1.

    The probabilities are enlarged class by class, bilinearly with half-pixel centres and clamped edges. RC is
    0 where no class is allowed, where all allowed ones have probability 0, and where one is not finite.

    Args:
        probabilities: [C,h,w] on their own grid.
        size: (H, W) of the image at the top left of their canvas.
        labels: uint8 [H,W], 255 = void; only with a table.
        table: uint64 [256, words]: `Relation.table`; None allows all.
    """
    allowed = _allowed(len(probabilities.values), table)  # [256, C]
    rows = np.zeros(size, np.uint8) if labels is None else labels
    present = np.flatnonzero(np.bincount(rows.ravel(), minlength=256))
    height, width = size
    canvas = (probabilities.canvas[1], probabilities.canvas[0])
    first, second, total = (np.zeros(size, np.float32) for _ in range(3))
    for channel, values in enumerate(probabilities.values):
        if not allowed[present, channel].any():
            continue
        enlarged = cv2.resize(np.ascontiguousarray(values), canvas, interpolation=cv2.INTER_LINEAR)
        share = np.asarray(enlarged[:height, :width], np.float32)
        if not allowed[present, channel].all():
            forbidden = cv2.LUT(rows, (~allowed[:, channel]).astype(np.uint8)).astype(bool)
            np.copyto(share, np.float32(0), where=forbidden)
        np.maximum(second, np.minimum(first, share), out=second)
        np.maximum(first, share, out=first)
        total += share
    with np.errstate(invalid="ignore", divide="ignore"):
        result = np.nan_to_num((first - second) / total, nan=0.0, posinf=0.0, neginf=0.0)
    result = np.where(forced(labels, size, table, len(allowed[0])), np.float32(1), np.clip(result, 0, 1))
    return np.asarray(result, np.float32)


def forced(
    labels: npt.NDArray[np.uint8] | None, size: Size, table: npt.NDArray[np.uint64] | None, channels: int
) -> npt.NDArray[np.bool_]:
    """Where the label allows one channel alone, bool [H,W]; arguments as of `relative_confidence`."""
    single = _allowed(channels, table).sum(axis=1) == 1
    result: npt.NDArray[np.bool_] = single[np.zeros(size, np.uint8) if labels is None else labels]
    return result


def sixteen_bits(confidence: npt.NDArray[np.float32]) -> npt.NDArray[np.uint16]:
    """RC from 0 to 1 as uint16, 65535 = 1, rounded to nearest."""
    return np.rint(confidence.astype(np.float64) * ONE).astype(np.uint16)


def class_sums(
    classes: npt.NDArray[np.uint8],
    confidence: npt.NDArray[np.uint16],
    by_labels: npt.NDArray[np.bool_] | None = None,
) -> ClassSums:
    """The sums over one frame; void is left out.

    Args:
        classes: uint8 [H,W].
        confidence: 16-bit RC uint16 [H,W].
        by_labels: where a label forced the class, bool [H,W]; nowhere if None.
    """
    pixels = np.bincount(classes.ravel(), minlength=256)[:VOID]
    chosen = np.ones(classes.shape, bool) if by_labels is None else ~by_labels
    decided = np.bincount(classes[chosen], minlength=256)[:VOID]
    sums = np.bincount(classes[chosen], confidence[chosen], minlength=256)  # float64, exact below 2^53
    return {
        k: (int(decided[k]), int(sums[k]), int(pixels[k] - decided[k]))
        for k in np.flatnonzero(pixels).tolist()
    }


@dataclass(frozen=True)
class ClassConfidence:
    """A class of a relabelling by relative confidence.

    Attributes:
        name: the class.
        threshold: tau, the mean RC of the pixels that the teacher decided so, 0 to 1; 1 where there is none.
        pixels: how many the teacher decided so.
        kept: how many of them are in the labels; the others are void there.
        forced: how many labels decided so; all of them are in the labels.
    """

    name: str
    threshold: float
    pixels: int
    kept: int
    forced: int


class Thresholds:
    """The level of each class over all frames.

    Args:
        frames: the sums of each frame.
    """

    def __init__(self, frames: Iterable[ClassSums]) -> None:
        totals = np.zeros((256, 3), object)  # Python's integers: exact
        for frame in frames:
            for k, sums in frame.items():
                totals[k] += sums
        self._totals = {k: tuple(totals[k]) for k in range(256) if any(totals[k])}
        self._level = np.full(256, ONE, np.uint16)
        for k, (pixels, summed, _) in self._totals.items():
            if pixels:  # a whole number is above the mean where it is above its floor
                self._level[k] = summed // pixels

    def filtered(
        self, classes: npt.NDArray[np.uint8], confidence: npt.NDArray[np.uint16]
    ) -> npt.NDArray[np.uint8]:
        """The classes uint8 [H,W] where their 16-bit RC [H,W] is above their level or 1; void elsewhere."""
        kept = (confidence > self._level[classes]) | (confidence == ONE)
        return np.where(kept, classes, np.uint8(VOID))

    def rows(self, space: LabelSpace, kept: Sequence[int]) -> tuple[ClassConfidence, ...]:
        """A row for each class that was answered; `kept` holds the pixels in the labels by class index."""
        return tuple(
            ClassConfidence(
                name=space.names[k],
                threshold=summed / pixels / ONE if pixels else 1.0,
                pixels=pixels,
                kept=kept[k] - forced,
                forced=forced,
            )
            for k, (pixels, summed, forced) in sorted(self._totals.items())
        )


def _allowed(channels: int, table: npt.NDArray[np.uint64] | None) -> npt.NDArray[np.bool_]:
    """Whether each label allows each channel, bool [256, channels]."""
    if table is None:
        return np.ones((256, channels), bool)
    numbers = np.arange(channels)
    bits = (table[:, numbers // 64] >> (numbers % 64).astype(np.uint64)) & np.uint64(1)
    return bits.astype(bool)
