"""The ways in which sets ship labels, behind one protocol: each gives dense indices for a frame."""

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from lsu.runtime.errors import InputError
from lsu.runtime.label_space import LabelSpace

from .label_image import LabelDecoder
from .nuimages import NuImagesReader
from .panoptic import PanopticReader
from .polygons import PolygonReader

_ANNOTATED = ("panoptic", "nuimages")


class LabelReader(Protocol):
    """Reads the labels of one split; big tables are read once, when it is made."""

    @property
    def label_space(self) -> LabelSpace:
        """What the labels speak."""

    @property
    def encoding(self) -> str:
        """The name of the way, as `dataset.toml` says it."""

    def read(self, image: Path, label: Path) -> npt.NDArray[np.uint8]:
        """Dense indices uint8 [H,W], 255 = void.

        Raises:
            InputError: a file is missing or damaged, or holds a label that the label space does not list.
        """


def label_reader(encoding: str, label_space: LabelSpace, root: Path, annotations: str) -> LabelReader:
    """The reader of an encoding.

    Args:
        encoding: one of label_image.ENCODINGS.
        label_space: what the labels speak.
        root: the data set's folder.
        annotations: relative to it, the JSON file of `panoptic` or the folder of tables of `nuimages`.

    Raises:
        InputError: an unknown encoding, `annotations` missing or too much, or files that cannot be used.
    """
    if encoding in _ANNOTATED and not annotations:
        raise InputError(f'encoding "{encoding}" needs `annotations`, a path relative to the root')
    if encoding not in _ANNOTATED and annotations:
        raise InputError(f'encoding "{encoding}" has no use for `annotations`')
    if encoding == "polygons":
        return PolygonReader(label_space)
    if encoding == "panoptic":
        return PanopticReader.load(root / annotations, label_space)
    if encoding == "nuimages":
        return NuImagesReader.load(root / annotations, root, label_space)
    return LabelDecoder(label_space, encoding)


def annotated_images(reader: LabelReader, images: Mapping[str, Path], where: str) -> dict[str, Path] | None:
    """The images that the reader's own tables list, by key; None if it has no such tables.

    Raises:
        InputError: a listed image is not there.
    """
    if not isinstance(reader, NuImagesReader):
        return None
    key_of_path = {path: key for key, path in images.items()}
    listed = [reader.root / name for name in reader.frames]
    missing = [path for path in listed if path not in key_of_path]
    if missing:
        raise InputError(
            f"{where}: {len(missing)} of {len(listed)} key frames of its tables are not there, first "
            f"{missing[0]}"
        )
    return {key_of_path[path]: path for path in listed}
