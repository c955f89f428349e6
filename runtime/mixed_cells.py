"""The share of mixed cells: how much of a map of scores is borders, which is what the head's work goes to.

A cell lies between four neighbouring samples. Where their best classes are one class it is filled; any
other is mixed. Two engines can only differ in mixed cells or near them, and the head's time follows them,
so every measurement says this share.
"""

from typing import Any

import numpy as np
import numpy.typing as npt


def mixed_share(scores: npt.NDArray[np.float32]) -> float:
    """The share of cells, 0 to 1, of scores float [C,h,w] whose four samples have not one best class."""
    return mixed_share_of_classes(scores.argmax(0))


def mixed_share_of_classes(best: npt.NDArray[Any]) -> float:
    """The same for the best class of each sample, whole numbers [h,w]; 0 for a map without a cell."""
    if min(best.shape) < 2:
        return 0.0
    corners = np.stack([best[:-1, :-1], best[:-1, 1:], best[1:, :-1], best[1:, 1:]])
    return float((corners != corners[0]).any(0).mean())
