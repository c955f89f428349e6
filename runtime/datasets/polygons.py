"""Labels as polygons in JSON, the form in which Cityscapes is annotated and IDD is shipped.

A file has `imgHeight`, `imgWidth` and `objects` in the order in which they are painted over one another,
each with `label`, `polygon` and perhaps `deleted`; the rules are those of the sets' own scripts
(mcordts/cityscapesScripts and AutoNUE/public-code: json2labelImg.py).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from lsu.runtime.errors import InputError, near_names
from lsu.runtime.files import read_bytes
from lsu.runtime.image_header import size_from_numbers
from lsu.runtime.label_space import VOID, LabelSpace

_NOT_DRAWN = -1
_FARTHEST = 2**31  # of a coordinate: OpenCV's are int32


@dataclass(frozen=True)
class PolygonReader:
    """Paints the polygons of one data set.

    Vertices are cut to whole pixels and a polygon's border belongs to it, as in the sets' own scripts; these
    draw with another library, and single pixels along borders differ. What nothing covers is void.

    Attributes:
        label_space: its class and void names are the labels; where classes have ids, a void name without one
            is not painted (Cityscapes' license plate, whose official id is -1).
        encoding: `polygons`.
    """

    label_space: LabelSpace
    encoding: str = "polygons"

    def read(self, image: Path, label: Path) -> npt.NDArray[np.uint8]:  # noqa: ARG002 - of the protocol
        """Dense indices uint8 [H,W], 255 = void.

        Raises:
            InputError: a damaged file, or a label that the label space does not list.
        """
        try:
            document = json.loads(read_bytes(label))
            size = size_from_numbers(document["imgHeight"], document["imgWidth"])
            dense = np.full(size, VOID, np.uint8)
            for entry in document["objects"]:
                self._paint(dense, entry, label)
        except InputError:
            raise
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise InputError(f"{label}: not a file of polygons: {error!r}") from error
        return dense

    def _paint(self, dense: npt.NDArray[np.uint8], entry: Mapping[str, Any], path: Path) -> None:
        if entry.get("deleted"):
            return
        name = entry["label"]
        value = self._value_of_name.get(name, self._value_of_name.get(name.removesuffix("group")))
        if value is None:
            known = near_names(name, self._value_of_name)
            raise InputError(f"{path}: no label {name!r} in label space {self.label_space.name!r}; {known}")
        corners = np.asarray(entry["polygon"], np.float64).reshape(-1, 2)
        if not (np.abs(corners) < _FARTHEST).all():  # nor NaN
            raise ValueError(f"a corner of {name!r} is no pixel: {corners.tolist()}")
        if value != _NOT_DRAWN and len(corners) >= 3:
            cv2.fillPoly(dense, [np.trunc(corners).astype(np.int32)], value)

    @cached_property
    def _value_of_name(self) -> dict[str, int]:
        """Label -> dense index, 255 void, -1 not drawn."""
        space = self.label_space
        numbered = space.classes[0].id is not None
        values = {e.name: _NOT_DRAWN if numbered and e.id is None else VOID for e in space.void}
        return values | {name: k for k, name in enumerate(space.names)}
