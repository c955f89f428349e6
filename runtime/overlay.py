"""Pictures of class maps: colours for classes, overlays on images, and titled sheets with a legend."""

import colorsys
import math
from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from .drawing import FAINT, paper, put_ink, put_text, text_ink
from .errors import InputError
from .label_space import Colour, LabelSpace

Picture = npt.NDArray[np.uint8]
Legend = Sequence[tuple[str, Colour]]

_GOLDEN = (math.sqrt(5) - 1) / 2
_MARGIN, _GAP, _LINE = 20, 10, 28


def palette(label_space: LabelSpace) -> Picture:
    """RGB of each dense index, uint8 [256,3].

    A class has its label space's colour; where that has none, one of its own that no other class has and
    that depends on the label space alone. Void (255) and indices beyond the classes are black.
    """
    colours = np.zeros((256, 3), np.uint8)
    taken = {c.colour for c in label_space.classes if c.colour is not None} | {(0, 0, 0)}
    candidate = 0
    for index, entry in enumerate(label_space.classes):
        colour = entry.colour
        while colour is None:
            fresh = _generated(candidate)
            candidate += 1
            colour = None if fresh in taken else fresh
        colours[index] = colour
    return colours


def legend(label_space: LabelSpace) -> list[tuple[str, Colour]]:
    """Name and colour of each class in order, and of void."""
    colours = palette(label_space).tolist()
    return [(name, tuple(colours[k])) for k, name in enumerate(label_space.names)] + [("void", (0, 0, 0))]


def colours_from_classes(classes: Picture, colours: Picture) -> Picture:
    """The class map uint8 [H,W] painted with a palette uint8 [256,3]: uint8 [H,W,3] RGB."""
    painted: Picture = cv2.LUT(cv2.merge([classes, classes, classes]), colours[None])
    return painted


def overlay(image: Picture, classes: Picture, colours: Picture, *, opacity: float = 0.5) -> Picture:
    """The image with its class map painted over it, uint8 [H,W,3] RGB; void darkens.

    Args:
        image: uint8 [H,W,3] RGB.
        classes: uint8 [H,W], 255 = void.
        colours: a palette, uint8 [256,3].
        opacity: 0 shows the image alone, 1 the colours alone.

    Raises:
        InputError: sizes differ, or the opacity is outside 0 to 1.
    """
    if image.shape[:2] != classes.shape:
        raise InputError(f"image is {image.shape[:2]} and classes {classes.shape}: give one size")
    if not 0 <= opacity <= 1:
        raise InputError(f"opacity is {opacity}; 0 to 1 is allowed")
    painted = colours_from_classes(classes, colours)
    blended: Picture = cv2.addWeighted(image, 1 - opacity, painted, opacity, 0)
    return blended


def picture_sheet(
    rows: Sequence[Sequence[Picture]],
    titles: Sequence[str],
    *,
    legend: Legend = (),
    cell_width: int = 400,
) -> Picture:
    """A titled grid of pictures with a legend below, uint8 [H,W,3] RGB.

    Args:
        rows: one or more rows of as many pictures as there are titles, uint8 [H,W,3] RGB or grey [H,W].
            They may differ in size; each is fitted into a cell with the first one's proportions.
        titles: one per column.
        legend: names and colours.
        cell_width: of each picture, in pixels.

    Raises:
        InputError: no picture, or a row that has more or fewer pictures than there are titles.
    """
    if not titles or not rows or any(len(row) != len(titles) for row in rows):
        raise InputError(
            f"a sheet needs rows of {len(titles)} pictures; rows hold {[len(row) for row in rows]}"
        )
    height, width = rows[0][0].shape[:2]
    cell = (max(1, round(cell_width * height / width)), cell_width)
    sheet_width = 2 * _MARGIN + len(titles) * (cell_width + _GAP) - _GAP
    key = _legend_picture(legend, sheet_width - 2 * _MARGIN)
    top = _MARGIN + _LINE
    below = top + len(rows) * (cell[0] + _GAP)
    sheet = paper(below + key.shape[0] + _MARGIN - (0 if len(key) else _GAP), sheet_width)
    for column, title in enumerate(titles):
        left = _MARGIN + column * (cell_width + _GAP)
        put_text(sheet, title, (_MARGIN + _LINE // 2 - 4, left + cell_width // 2), height=12)
        for line, row in enumerate(rows):
            corner = top + line * (cell[0] + _GAP)
            sheet[corner : corner + cell[0], left : left + cell_width] = _fitted(row[column], cell)
    sheet[below : below + len(key), _MARGIN : sheet_width - _MARGIN] = key
    return sheet


def _generated(number: int) -> Colour:
    """The number-th of a row of clear colours: hues a golden section of the circle apart, in three shades."""
    saturation, value = ((0.75, 0.9), (0.5, 0.75), (0.9, 0.6))[number // 8 % 3]
    red, green, blue = colorsys.hsv_to_rgb((0.02 + number * _GOLDEN) % 1, saturation, value)
    return (round(255 * red), round(255 * green), round(255 * blue))


def _fitted(picture: Picture, cell: tuple[int, int]) -> Picture:
    """The picture scaled into (height, width), in the middle of paper where the proportions differ."""
    if picture.ndim == 2:
        picture = cv2.merge([picture, picture, picture])
    scale = min(cell[0] / picture.shape[0], cell[1] / picture.shape[1])
    height, width = (max(1, min(c, round(s * scale))) for c, s in zip(cell, picture.shape[:2], strict=True))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST
    fitted = paper(*cell)
    top, left = (cell[0] - height) // 2, (cell[1] - width) // 2
    fitted[top : top + height, left : left + width] = cv2.resize(
        picture, (width, height), interpolation=method
    )
    return fitted


def _legend_picture(entries: Legend, width: int) -> Picture:
    """Swatches with names in lines of equal columns, uint8 [h,width,3]; h = 0 without entries."""
    if not entries:
        return paper(0, width)
    swatch, pad = 16, 8
    column = min(width, max(text_ink(name).shape[1] for name, _ in entries) + swatch + pad + 24)
    per_line = max(1, width // column)
    picture = paper(math.ceil(len(entries) / per_line) * _LINE, width)
    for number, (name, colour) in enumerate(entries):
        top, left = number // per_line * _LINE + (_LINE - swatch) // 2, number % per_line * column
        cv2.rectangle(picture, (left, top), (left + swatch - 1, top + swatch - 1), colour, cv2.FILLED)
        cv2.rectangle(picture, (left, top), (left + swatch - 1, top + swatch - 1), FAINT, 1)
        ink = text_ink(name)
        put_ink(picture, ink, (top + swatch // 2 - ink.shape[0] // 2, left + swatch + pad))
    return picture
