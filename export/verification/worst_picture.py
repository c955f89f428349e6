"""An image in which two backends differ, as one strip: image, reference, the other one, where they differ."""

import cv2
import numpy as np
import numpy.typing as npt

from lsu.runtime.label_space import LabelSpace
from lsu.runtime.overlay import colours_from_classes, legend, palette, picture_sheet

from .comparison import WorstImage

DIFFERENT = (255, 0, 200)
"""RGB of a pixel that differs: no class of a known label space has it."""
_CELL = 360  # pixels, the width of each of the four
_SEEN = 3  # pixels of a cell that a single pixel is widened to


def strip(worst: WorstImage, label_space: LabelSpace) -> npt.NDArray[np.uint8]:
    """The strip with a legend of the classes that occur, uint8 [H,W,3] RGB."""
    colours = palette(label_space)
    maps = (worst.reference, worst.other)
    painted = [colours_from_classes(np.ascontiguousarray(classes), colours) for classes in maps]
    occurring = {int(value) for classes in maps for value in np.unique(classes)}
    entries = [
        entry
        for index, entry in zip([*range(len(label_space)), 255], legend(label_space), strict=True)
        if index in occurring
    ]
    titles = ("image", "reference", "the other one", f"different: {worst.different:,} pixels")
    return picture_sheet(
        [[worst.image, *painted, difference_picture(worst)]],
        titles,
        legend=[*entries, ("different", DIFFERENT)],
        cell_width=_CELL,
    )


def difference_picture(worst: WorstImage) -> npt.NDArray[np.uint8]:
    """The image in faint grey, uint8 [H,W,3], with the pixels that differ in `DIFFERENT`.

    Each is widened to about three pixels of the strip: in a large image a single one would not be seen.
    """
    grey = cv2.cvtColor(worst.image, cv2.COLOR_RGB2GRAY)
    faint = cv2.cvtColor((128 + grey // 3).astype(np.uint8), cv2.COLOR_GRAY2RGB)
    side = max(1, round(_SEEN * worst.image.shape[1] / _CELL)) | 1  # odd: it stays centred
    differs = (worst.reference != worst.other).astype(np.uint8)
    wide = cv2.dilate(differs, np.ones((side, side), np.uint8)).astype(bool)
    faint[wide] = DIFFERENT
    return np.ascontiguousarray(faint, np.uint8)
