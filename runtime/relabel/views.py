"""Views: the same image mirrored and at other scales, their scores merged (test-time augmentation).

Merged scores are the mean of the views' softmax over all classes on the base view's score grid, before any
constraint (Backhaus et al. 2025, arXiv 2502.19177: flip and scales, mean of class scores).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from lsu.runtime.errors import InputError
from lsu.runtime.model import ModelSpec
from lsu.runtime.segmenter import Scores, Segmenter

from .score_grid import resampled, softmax


@dataclass(frozen=True)
class View:
    """One way to look at an image: its sides times `scale`, then mirrored left to right if `flip`."""

    scale: float = 1.0
    flip: bool = False

    def __str__(self) -> str:
        return f"{self.scale:g}{' flipped' if self.flip else ''}"


BASE = View()


def views_from_text(text: str) -> tuple[View, ...]:
    """The views that a list such as `flip,0.75,1.25` asks for.

    The unscaled view is always the first. Each scale adds a view; `flip` adds the mirror image of every
    view, so the example gives six.

    Raises:
        InputError: a part is neither `flip` nor a scale from 0.1 to 10.
    """
    scales, flips = [1.0], [False]
    for part in filter(None, (p.strip() for p in text.split(","))):
        if part == "flip":
            flips = [False, True]
            continue
        try:
            scale = float(part)
        except ValueError:
            scale = 0.0
        if not 0.1 <= scale <= 10:
            raise InputError(f"view {part!r} is neither 'flip' nor a scale from 0.1 to 10, such as 0.75")
        if scale not in scales:
            scales.append(scale)
    return tuple(View(scale, flip) for scale in scales for flip in flips)


def check_views(views: Sequence[View], spec: ModelSpec) -> None:
    """Raise InputError when the network cannot take all views: scales need an input of free size."""
    scaled = [v for v in views if v.scale != 1]
    if scaled and (spec.size is not None or spec.fit == "exact"):
        wants = f"{spec.size[1]}x{spec.size[0]} only" if spec.size else "exact multiples only"
        raise InputError(
            f"view {scaled[0]} needs a bundle that takes any size, this one takes {wants}: "
            "use no scales, or export it without --size and with --fit pad"
        )


def merged_scores(
    segmenter: Segmenter, image: npt.NDArray[np.uint8], views: Sequence[View] = (BASE,)
) -> Scores:
    """The scores of an image uint8 [H,W,3], merged over the views.

    With the base view alone they are the network's own; else probabilities float32 [C,h,w] on the grid of
    the base view, which must be the first.
    """
    base = segmenter.scores(image)
    if tuple(views) == (BASE,):
        return base
    is_logits = segmenter.engine.spec.scores == "logits"
    total = softmax(base.values) if is_logits else base.values.copy()
    for view in views[1:]:
        seen = _seen(image, view)
        scores = segmenter.scores(seen)
        on_base = resampled(scores, base, seen=seen.shape[:2], image=image.shape[:2], flip=view.flip)
        total += softmax(on_base) if is_logits else on_base
    return Scores(total / np.float32(len(views)), base.canvas)


def _seen(image: npt.NDArray[np.uint8], view: View) -> npt.NDArray[np.uint8]:
    """The image as the view sees it, uint8 [H',W',3]."""
    if view.scale != 1:
        height, width = (max(1, round(side * view.scale)) for side in image.shape[:2])
        kind = cv2.INTER_AREA if view.scale < 1 else cv2.INTER_LINEAR
        image = np.asarray(cv2.resize(image, (width, height), interpolation=kind), np.uint8)
    return np.ascontiguousarray(image[:, ::-1]) if view.flip else image
