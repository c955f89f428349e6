"""Labels as segments: PNG files of segment numbers and one JSON file that gives each segment its category.

The format is COCO's (cocodataset.org, "Panoptic segmentation"): a pixel's number is R + 256 G + 65536 B,
0 is unlabelled, and `annotations` lists per file the segments and their `category_id`.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lsu.runtime import _native
from lsu.runtime.errors import InputError
from lsu.runtime.files import read_bytes
from lsu.runtime.image import bgr_from_bytes
from lsu.runtime.label_space import VOID, LabelSpace


@dataclass(frozen=True)
class PanopticReader:
    """Reads the segment files of one split.

    Attributes:
        label_space: its ids are the categories' ids.
        encoding: `panoptic`.
        segments: label file name -> segment numbers with their bytes in the order 0xRRGGBB, uint32 [S], and
            dense indices uint8 [S]; 0 is void in each.
    """

    label_space: LabelSpace
    segments: dict[str, tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint8]]]
    encoding: str = "panoptic"

    @classmethod
    def load(cls, path: Path, label_space: LabelSpace) -> "PanopticReader":
        """The reader of a split whose JSON file is `path`.

        Raises:
            InputError: it is not such a file, or has a category whose id the label space does not list.
        """
        dense = {entry.id: VOID for entry in label_space.void}
        dense |= {entry.id: k for k, entry in enumerate(label_space.classes)}
        try:
            annotations = json.loads(read_bytes(path))["annotations"]
            segments = {a["file_name"]: _segments_of(a["segments_info"], dense) for a in annotations}
        except KeyError as error:
            if isinstance(error.args[0], int):
                raise InputError(
                    f"{path}: category {error.args[0]} is no id of label space {label_space.name!r}"
                ) from error
            raise InputError(f"{path}: the key {error.args[0]!r} is missing") from error
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            raise InputError(f"{path}: not a file of panoptic annotations: {error!r}") from error
        return cls(label_space, segments)

    def read(self, image: Path, label: Path) -> npt.NDArray[np.uint8]:  # noqa: ARG002 - of the protocol
        """Dense indices uint8 [H,W], 255 = void.

        Raises:
            InputError: a damaged file, one that the JSON file does not list, or an unlisted segment.
        """
        if label.name not in self.segments:
            raise InputError(
                f"{label}: the split's annotations do not list this file; they are of another split"
            )
        numbers, classes = self.segments[label.name]
        pixels = bgr_from_bytes(read_bytes(label), label)
        dense = np.empty(pixels.shape[:2], np.uint8)
        if not _native.dense_from_colours(pixels, numbers, classes, dense):
            found = np.unique(pixels.astype(np.uint32) @ np.array([1, 1 << 8, 1 << 16], np.uint32))
            stray = int(found[~np.isin(found, numbers)][0])
            raise InputError(f"{label}: segment {_swapped(stray)} is not in the split's annotations")
        return dense


def _segments_of(
    infos: list[dict[str, Any]], dense: dict[int | None, int]
) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint8]]:
    stray = [info["id"] for info in infos if not 0 <= int(info["id"]) < 1 << 24]
    if stray:
        raise ValueError(f"segment {stray[0]} is not of 0 to {(1 << 24) - 1}")
    known = {0: VOID} | {_swapped(int(info["id"])): dense[int(info["category_id"])] for info in infos}
    return np.array(list(known), np.uint32), np.array(list(known.values()), np.uint8)


def _swapped(number: int) -> int:
    """R + 256 G + 65536 B as 0xRRGGBB, and back."""
    return (number & 255) << 16 | number & 0xFF00 | number >> 16
