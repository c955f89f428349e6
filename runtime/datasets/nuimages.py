"""Labels as database tables: nuImages' JSON files with one run-length coded mask for each annotation.

The tables are described in nutonomy/nuscenes-devkit, docs/schema_nuimages.md. Only key frames are annotated.
Surfaces are painted first, in the table's order, then objects in the order of their tokens, later ones over
earlier ones, as that devkit's `get_segmentation` does.
"""

import base64
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lsu.runtime.errors import InputError
from lsu.runtime.files import read_bytes
from lsu.runtime.image_header import size_from_numbers
from lsu.runtime.label_space import VOID, LabelSpace


@dataclass(frozen=True)
class Annotation:
    """One mask: its class (255 = void), its size (H, W) and its runs as COCO's text in base64."""

    value: int
    size: tuple[int, int]
    runs: str


@dataclass(frozen=True)
class KeyFrame:
    """An annotated image: its size (H, W) and what is painted on it, in order."""

    size: tuple[int, int]
    annotations: tuple[Annotation, ...]


@dataclass(frozen=True)
class NuImagesReader:
    """Paints the masks of one split.

    Attributes:
        label_space: its names are the categories' names.
        root: the folder that the tables' file names are relative to.
        frames: image file, relative to the root -> what is on it.
        encoding: `nuimages`.
    """

    label_space: LabelSpace
    root: Path
    frames: dict[str, KeyFrame]
    encoding: str = "nuimages"

    @classmethod
    def load(cls, folder: Path, root: Path, label_space: LabelSpace) -> "NuImagesReader":
        """The reader of the split whose tables lie in `folder`.

        Raises:
            InputError: a table is missing or damaged, or a category is not in the label space.
        """
        try:
            values = {c["token"]: label_space.index(c["name"]) for c in _table(folder, "category")}
            painted: dict[str, list[Annotation]] = {}
            objects = sorted(_table(folder, "object_ann"), key=lambda entry: str(entry["token"]))
            for entry in [*_table(folder, "surface_ann"), *objects]:
                if entry["mask"] is not None:
                    painted.setdefault(entry["sample_data_token"], []).append(_annotation(entry, values))
            frames = {
                str(d["filename"]): KeyFrame(
                    size_from_numbers(d["height"], d["width"]), tuple(painted.get(d["token"], ()))
                )
                for d in _table(folder, "sample_data")
                if d["is_key_frame"]
            }
        except KeyError as error:
            raise InputError(f"{folder}: the tables lack {error.args[0]!r}") from error
        except (ValueError, TypeError) as error:
            raise InputError(f"{folder}: not the tables of nuImages: {error!r}") from error
        return cls(label_space, root, frames)

    def read(self, image: Path, label: Path) -> npt.NDArray[np.uint8]:
        """Dense indices uint8 [H,W], 255 = void: what no mask covers.

        Raises:
            InputError: a mask is damaged or of another size.
        """
        frame = self.frames[str(image.relative_to(self.root))]
        dense = np.full(frame.size, VOID, np.uint8)
        for annotation in frame.annotations:
            if annotation.size != frame.size:
                sizes = f"{annotation.size} (H, W), the image {frame.size}"
                raise InputError(f"{label}: a mask of {image.name} is {sizes}; they must be equal")
            try:
                mask = mask_from_runs(base64.b64decode(annotation.runs), annotation.size)
            except ValueError as error:
                raise InputError(f"{label}: a mask of {image.name} is damaged: {error}") from error
            dense[mask] = annotation.value
        return dense


def mask_from_runs(text: bytes, size: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """The mask bool [H,W] in COCO's compressed run lengths.

    Runs go down the columns and alternate between 0 and 1, 0 first. Each length stands in groups of five
    bits, lowest first, as characters from `0` on; bit 5 says that another group follows. From the fourth
    length on it is the difference to the last but one (pycocotools, maskApi.c: rleFrString).

    Raises:
        ValueError: the runs do not fill the size.
    """
    lengths: list[int] = []
    value = shift = 0
    for character in text:
        group = character - 48
        value |= (group & 31) << shift
        shift += 5
        if group & 32:
            continue
        if group & 16:
            value -= 1 << shift
        lengths.append(value + lengths[-2] if len(lengths) > 2 else value)
        value = shift = 0
    if shift or min(lengths, default=0) < 0 or sum(lengths) != size[0] * size[1]:
        raise ValueError(f"its runs do not fill {size[1]}x{size[0]} pixels")
    ones = np.arange(len(lengths)) % 2 == 1
    return np.repeat(ones, lengths).reshape(size[1], size[0]).T


def _table(folder: Path, name: str) -> Iterable[dict[str, Any]]:
    path = folder / f"{name}.json"
    try:
        table: Iterable[dict[str, Any]] = json.loads(read_bytes(path))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not JSON: {error}") from error
    return table


def _annotation(entry: dict[str, Any], values: dict[str, int]) -> Annotation:
    size = size_from_numbers(*entry["mask"]["size"])
    return Annotation(values[entry["category_token"]], size, str(entry["mask"]["counts"]))
