"""Label images: a file's ids or colours translated to dense indices; nothing unknown is let through."""

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lsu.runtime import _native
from lsu.runtime.errors import InputError, near_names
from lsu.runtime.files import read_bytes
from lsu.runtime.image import bgr_from_bytes, grey_from_bytes, red16_from_bytes
from lsu.runtime.label_space import VOID, LabelClass, LabelSpace

_UNKNOWN = 256
ENCODINGS = ("ids", "ids16//256", "ids16-red", "colours", "polygons", "panoptic", "nuimages")
"""All ways in which sets ship labels; label images are decoded here, the rest where label_readers.py says."""


@dataclass(frozen=True)
class LabelDecoder:
    """Decodes the label images of one data set.

    Attributes:
        label_space: what the files speak.
        encoding: `ids` (8 or 16 bit), `colours` (RGB), `ids16-red` (16-bit RGB whose red is the id, as
            SYNTHIA has it), or `ids16//N`: a 16-bit value whose quotient by N is the id, as the instance
            files of Mapillary Vistas 1.2 (`ids16//256`) hold it. Cityscapes' instance files mix quotients
            with plain ids: take its labelIds files and `ids` instead.
    """

    label_space: LabelSpace
    encoding: str = "ids"

    def __post_init__(self) -> None:
        if self.encoding == "colours":
            self._refuse_ambiguous_colours()
        elif self.encoding not in ("ids", "ids16-red") and self._divisor is None:
            raise InputError(f"unknown encoding {self.encoding!r}; {near_names(self.encoding, ENCODINGS)}")

    @property
    def _divisor(self) -> int | None:
        """The N of `ids16//N`, 1 to 65535, or None for another encoding."""
        matched = re.fullmatch(r"ids16//([0-9]{1,5})", self.encoding)
        number = int(matched.group(1)) if matched else 0
        return number if 1 <= number <= 65535 else None

    def _refuse_ambiguous_colours(self) -> None:
        """Void names may share a colour (Cityscapes paints four of them black); classes may share none."""
        space = self.label_space
        if any(c.colour is None for c in space.classes):
            raise InputError(f'encoding "colours": label space {space.name!r} lacks some classes\' colours')
        owner: dict[object, LabelClass] = {}
        for index, entry in enumerate([*space.classes, *space.void]):
            other = owner.setdefault(entry.colour, entry)
            if other is not entry and (index < len(space) or other in space.classes) and entry.colour:
                raise InputError(
                    f'encoding "colours": label space {space.name!r} paints {other.name!r} and '
                    f"{entry.name!r} alike, {list(entry.colour)}: give them different colours, or decode ids"
                )

    def read(self, image: Path, label: Path) -> npt.NDArray[np.uint8]:  # noqa: ARG002 - of the protocol
        """Dense indices uint8 [H,W] of a label file; see `decode`."""
        return self.decode(read_bytes(label), label)

    def decode(self, data: bytes, path: Path) -> npt.NDArray[np.uint8]:
        """Dense indices uint8 [H,W], 255 = void.

        Args:
            data: the whole label file.
            path: where it came from, for the messages.

        Raises:
            InputError: a damaged file, or an id or colour that the label space does not list.
        """
        values = self.values(data, path)
        dense = np.empty(values.shape[:2], np.uint8)
        if self.encoding == "colours":
            known = _native.dense_from_colours(values, *self._dense_of_colour, dense)
        else:
            known = _native.dense_from_ids(values, self._dense_of_id, dense)
        if not known:
            raise InputError(f"{path}: {self._describe_unknown(values)}")
        return dense

    def values(self, data: bytes, path: Path) -> npt.NDArray[Any]:
        """What the file holds: ids uint8 or uint16 [H,W] (undivided), or colours uint8 [H,W,3] BGR."""
        if self.encoding == "colours":
            return bgr_from_bytes(data, path)
        if self.encoding == "ids16-red":
            return red16_from_bytes(data, path)
        grey = grey_from_bytes(data, path)
        if self._divisor is not None and grey.dtype != np.uint16:
            raise InputError(f'{path}: encoding "{self.encoding}" needs 16 bits a pixel, the file has 8')
        return grey

    @cached_property
    def _dense_of_id(self) -> npt.NDArray[np.uint16]:
        """uint16 [65536]: stored value -> dense index, 255 void, 256 unknown."""
        table = np.full(1 << 16, _UNKNOWN, np.uint16)
        table[VOID] = VOID
        for entry in self.label_space.void:
            if entry.id is not None:
                table[entry.id] = VOID
        for index, entry in enumerate(self.label_space.classes):
            table[index if entry.id is None else entry.id] = index
        return table if self._divisor is None else table[np.arange(1 << 16) // self._divisor]

    @cached_property
    def _dense_of_colour(self) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint8]]:
        """Colours 0xRRGGBB uint32 [K] and their dense indices uint8 [K]."""
        dense = {e.colour: VOID for e in self.label_space.void if e.colour is not None}
        dense |= {e.colour: k for k, e in enumerate(self.label_space.classes) if e.colour is not None}
        numbers = [r << 16 | g << 8 | b for r, g, b in dense]
        return np.array(numbers, np.uint32), np.array(list(dense.values()), np.uint8)

    def _describe_unknown(self, values: npt.NDArray[Any]) -> str:
        if self.encoding == "colours":
            numbers = values.astype(np.uint32) @ np.array([1, 1 << 8, 1 << 16], np.uint32)
            unknown = numbers[~np.isin(numbers, self._dense_of_colour[0])]
        else:
            unknown = values[self._dense_of_id[values] == _UNKNOWN] // np.uint16(self._divisor or 1)
        found, counts = np.unique(unknown, return_counts=True)
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
