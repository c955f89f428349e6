"""Text and plain shapes for the pictures that lsu draws, with OpenCV alone.

OpenCV 5 draws a clean outline font where OpenCV 4 draws strokes, and its measured sizes are not those that
it draws. A text is therefore rendered first and measured by its ink.
"""

from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from .label_space import Colour

INK: Colour = (38, 42, 50)
FAINT: Colour = (128, 134, 144)
PAPER: Colour = (255, 255, 255)

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_CAPITAL = 22.0
"""Pixels of a capital letter at OpenCV's scale 1."""


@lru_cache(maxsize=4096)
def text_ink(text: str, height: int = 11) -> npt.NDArray[np.uint8]:
    """Coverage of a line of text, uint8 [h,w], 0 = paper and 255 = ink; do not change it.

    All texts of one height have the same h = 2 * height and the same baseline, at row 1.5 * height.

    Args:
        text: one line.
        height: of a capital letter, in pixels.
    """
    scale = height / _CAPITAL
    (width, _), _ = cv2.getTextSize(text, _FONT, scale, 1)
    canvas = np.zeros((2 * height, int(1.5 * width) + 4 * height), np.uint8)
    cv2.putText(canvas, text, (height, 3 * height // 2), _FONT, scale, 255, 1, cv2.LINE_AA)
    columns = np.flatnonzero(canvas.any(axis=0))
    return canvas[:, columns[0] : columns[-1] + 1] if columns.size else canvas[:, :1]


def put_ink(
    picture: npt.NDArray[np.uint8],
    ink: npt.NDArray[np.uint8],
    corner: tuple[int, int],
    colour: Colour = INK,
) -> None:
    """Draw coverage uint8 [h,w] into the picture uint8 [H,W,3] RGB, which is changed.

    Args:
        picture: where to; what reaches beyond its right and lower sides is cut off.
        ink: from `text_ink`, possibly turned.
        corner: (y, x) of the ink's top left, both at least 0.
        colour: RGB.
    """
    top, left = corner
    window = picture[top : top + ink.shape[0], left : left + ink.shape[1]]
    share = ink[: window.shape[0], : window.shape[1], None].astype(np.float32) / 255
    window[:] = np.rint(window * (1 - share) + np.array(colour, np.float32) * share)


def put_text(
    picture: npt.NDArray[np.uint8],
    text: str,
    middle: tuple[int, int],
    *,
    height: int = 11,
    colour: Colour = INK,
) -> None:
    """Draw a line of text whose ink is centred on `middle` = (y, x)."""
    ink = text_ink(text, height)
    # Capitals and figures lie between 0.5 and 1.5 heights of the ink's 2: their middle is the ink's.
    put_ink(
        picture, ink, (max(0, middle[0] - ink.shape[0] // 2), max(0, middle[1] - ink.shape[1] // 2)), colour
    )


def paper(height: int, width: int) -> npt.NDArray[np.uint8]:
    """An empty picture, uint8 [height,width,3]."""
    return np.full((height, width, 3), PAPER, np.uint8)
