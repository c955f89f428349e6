"""A confusion matrix as a picture: one row per true class, shares of its pixels by predicted class."""

import numpy as np
import numpy.typing as npt

from .drawing import FAINT, INK, PAPER, paper, put_ink, put_text, text_ink
from .errors import InputError
from .label_space import LabelSpace

_CELL, _GAP, _MARGIN, _TITLE = 34, 10, 20, 40
_EMPTY = (236, 238, 241)
_SCALE = ((0.0, (247, 249, 252)), (0.35, (158, 202, 225)), (0.7, (33, 113, 181)), (1.0, (8, 48, 107)))
"""Near white to dark blue; lightness falls steadily, so it survives grey printing."""


def confusion_picture(
    confusion: npt.NDArray[np.int64], label_space: LabelSpace, *, title: str = ""
) -> npt.NDArray[np.uint8]:
    """The matrix with every row divided by its sum, percentages in the cells, uint8 [H,W,3] RGB.

    Shares that round to 0 % have no figure. A class without true pixels has a grey row.

    Args:
        confusion: int64 [C, C+1], rows are the truth, the last column is predicted void.
        label_space: names the C classes.
        title: stands above.

    Raises:
        InputError: the matrix does not belong to the label space.
    """
    count = len(label_space)
    if confusion.shape != (count, count + 1):
        raise InputError(
            f"confusion is {confusion.shape}; {(count, count + 1)} is needed for {count} classes"
        )
    names = [*label_space.names, "void"]
    side = max(text_ink(name).shape[1] for name in names)
    left, top = _MARGIN + 2 * _GAP + side + _GAP, _MARGIN + _TITLE + 2 * _GAP + side + _GAP
    lefts = [left + k * _CELL + (_GAP if k == count else 0) for k in range(count + 1)]
    right = max(lefts[-1] + _CELL, left + text_ink(title, 13).shape[1])
    picture = paper(top + count * _CELL + _MARGIN, right + _MARGIN)
    put_ink(picture, text_ink(title, 13), (_MARGIN, left))
    put_text(picture, "predicted", (_MARGIN + _TITLE, left + count * _CELL // 2), colour=FAINT)
    _put_turned(picture, "truth", (top + count * _CELL // 2, _MARGIN))
    for k, name in enumerate(names):
        ink = np.rot90(text_ink(name))
        put_ink(picture, ink, (top - _GAP - ink.shape[0], lefts[k] + (_CELL - ink.shape[1]) // 2))
    for row in range(count):
        ink = text_ink(names[row])
        corner = top + row * _CELL
        put_ink(picture, ink, (corner + (_CELL - ink.shape[0]) // 2, left - _GAP - ink.shape[1]))
        _put_row(picture, confusion[row], corner, lefts)
    return picture


def _put_row(
    picture: npt.NDArray[np.uint8], pixels: npt.NDArray[np.int64], top: int, lefts: list[int]
) -> None:
    total = int(pixels.sum())
    for left, count in zip(lefts, pixels, strict=True):
        share = int(count) / total if total else 0.0
        cell = picture[top : top + _CELL - 1, left : left + _CELL - 1]
        cell[:] = _shade(share) if total else _EMPTY
        if share >= 0.005:
            put_text(
                picture,
                f"{100 * share:.0f}",
                (top + _CELL // 2, left + _CELL // 2),
                height=10,
                colour=PAPER if share > 0.5 else INK,
            )


def _put_turned(picture: npt.NDArray[np.uint8], text: str, middle: tuple[int, int]) -> None:
    ink = np.rot90(text_ink(text))
    put_ink(picture, ink, (max(0, middle[0] - ink.shape[0] // 2), middle[1]), FAINT)


def _shade(share: float) -> npt.NDArray[np.uint8]:
    positions = [position for position, _ in _SCALE]
    channels = [np.interp(share, positions, [colour[k] for _, colour in _SCALE]) for k in range(3)]
    return np.rint(channels).astype(np.uint8)
