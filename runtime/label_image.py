"""Label images: a file's ids or colours translated to dense indices; nothing unknown is let through."""

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from .errors import InputError, near_names
from .image import grey_from_bytes, image_from_bytes
from .label_space import VOID, LabelSpace

_UNKNOWN = -1


@dataclass(frozen=True)
class LabelDecoder:
    """Decodes the label files of one data set.

    Attributes:
        label_space: what the files speak.
        encoding: `ids` (8 or 16 bit), `colours` (RGB), or `ids16//N`: a 16-bit value whose quotient by N
            is the id, as the instance files of Mapillary Vistas 1.2 (`ids16//256`) hold it. Cityscapes'
            instance files mix quotients with plain ids: take its labelIds files and `ids` instead.
    """

    label_space: LabelSpace
    encoding: str = "ids"

    def __post_init__(self) -> None:
        if self.encoding in ("ids", "colours") or self._divisor is not None:
            if self.encoding == "colours" and any(c.colour is None for c in self.label_space.classes):
                raise InputError(
                    f'encoding "colours": label space {self.label_space.name!r} lacks some classes\' colours'
                )
            return
        raise InputError(
            f"unknown encoding {self.encoding!r}; "
            f"{near_names(self.encoding, ['ids', 'colours', 'ids16//256'])}"
        )

    @property
    def _divisor(self) -> int | None:
        """The N of `ids16//N`, 1 to 65535, or None for another encoding."""
        matched = re.fullmatch(r"ids16//([0-9]{1,5})", self.encoding)
        number = int(matched.group(1)) if matched else 0
        return number if 1 <= number <= 65535 else None

    def decode(self, data: bytes, path: Path) -> npt.NDArray[np.uint8]:
        """Dense indices uint8 [H,W], 255 = void.

        Args:
            data: the whole label file.
            path: where it came from, for the messages.

        Raises:
            InputError: a damaged file, or an id or colour that the label space does not list.
        """
        values = self._values(data, path)
        dense = self._dense_of_value[values]  # [H,W] int16
        if (dense == _UNKNOWN).any():
            raise InputError(f"{path}: {self._describe_unknown(values[dense == _UNKNOWN])}")
        narrow: npt.NDArray[np.uint8] = dense.astype(np.uint8)
        return narrow

    def _values(self, data: bytes, path: Path) -> npt.NDArray[np.integer]:
        """The file's ids, or its colours as 0xRRGGBB."""
        if self.encoding == "colours":
            rgb = image_from_bytes(data, path)
            rgbx = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGRA)  # bytes B G R 255: little-endian 0xFFRRGGBB
            colours: npt.NDArray[np.uint32] = rgbx.view("<u4")[..., 0] & np.uint32(0xFFFFFF)
            return colours
        grey = grey_from_bytes(data, path)
        if self._divisor is None:
            return grey
        if grey.dtype != np.uint16:
            raise InputError(f'{path}: encoding "{self.encoding}" needs 16 bits a pixel, the file has 8')
        quotients: npt.NDArray[np.uint16] = grey // np.uint16(self._divisor)
        return quotients

    @cached_property
    def _dense_of_value(self) -> npt.NDArray[np.int16]:
        """int16 [65536 or 2^24]: id or colour -> dense index, 255 void, -1 unknown."""
        colours = self.encoding == "colours"
        table = np.full(1 << 24 if colours else 1 << 16, _UNKNOWN, np.int16)
        if not colours:
            table[VOID] = VOID
        for entry in self.label_space.void:
            if colours and entry.colour is not None:
                table[_number_of(entry.colour)] = VOID
            elif not colours and entry.id is not None:
                table[entry.id] = VOID
        for index, entry in enumerate(self.label_space.classes):
            if colours and entry.colour is not None:
                table[_number_of(entry.colour)] = index
            elif not colours:
                table[index if entry.id is None else entry.id] = index
        return table

    def _describe_unknown(self, values: npt.NDArray[np.integer]) -> str:
        found, counts = np.unique(values, return_counts=True)
        worst = int(counts.argmax())
        value = int(found[worst])
        shown = f"id {value}"
        if self.encoding == "colours":
            shown = f"colour {[value >> 16, value >> 8 & 255, value & 255]}"
        more = f" and {len(found) - 1} more values" if len(found) > 1 else ""
        return (
            f"{shown} ({counts[worst]} pixels){more} not in label space {self.label_space.name!r}; "
            "add it there as a class or under void, or correct the file"
        )


def _number_of(colour: tuple[int, int, int]) -> int:
    return colour[0] << 16 | colour[1] << 8 | colour[2]
