"""Score maps as numbers: softmax, and one map on the grid of another.

Views of one network and the networks of an ensemble are averaged where their cells lie, so all but the first
are resampled.
"""

import numpy as np
import numpy.typing as npt

from lsu.runtime.model import ScoreKind
from lsu.runtime.segmenter import Scores


def softmax(logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Over the first axis of float32 [C,h,w]."""
    powers = np.exp(logits - logits.max(axis=0))
    result: npt.NDArray[np.float32] = powers / powers.sum(axis=0)
    return result


def probabilities_of(scores: Scores, kind: ScoreKind) -> Scores:
    """The scores as probabilities on their own grid, over all channels, void included."""
    return scores if kind == "probabilities" else Scores(softmax(scores.values), scores.canvas)


def resampled(
    scores: Scores,
    base: Scores,
    *,
    seen: tuple[int, ...] = (1, 1),
    image: tuple[int, ...] = (1, 1),
    flip: bool = False,
) -> npt.NDArray[np.float32]:
    """Scores float32 [C,h,w] on the grid of `base`, bilinear, clamped at the edges.

    Args:
        scores: what is resampled.
        base: whose grid it gets.
        seen: (H, W) of the picture that gave `scores`.
        image: (H, W) of the picture that gave `base`; only the ratio to `seen` counts.
        flip: `scores` are of the mirrored picture; `seen` must then be given in pixels.
    """
    values = scores.values
    for axis, mirrored in ((0, False), (1, flip)):
        cells = base.values.shape[1 + axis]
        # The middles of the base cells in pixels of the image, then of the view, then in cells of the view.
        middles = (np.arange(cells) + 0.5) * base.canvas[axis] / cells * seen[axis] / image[axis]
        if mirrored:
            middles = seen[axis] - middles
        there = values.shape[1 + axis]
        position = np.clip(middles * there / scores.canvas[axis] - 0.5, 0, there - 1)
        low = np.floor(position).astype(np.intp)
        high = np.minimum(low + 1, there - 1)
        share = (position - low).astype(np.float32)
        share = share[:, None] if axis == 0 else share
        values = values.take(low, 1 + axis) * (1 - share) + values.take(high, 1 + axis) * share
    return values
