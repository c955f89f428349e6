"""Data sets on disk: a `dataset.toml` names a label space and, per split, where images and labels lie.

    name = "town"
    label_space = "camvid11"              # a catalogue name, a TOML file relative to this one, or a table
    [splits.train]
    images = "images/train/*.jpg"         # globs relative to the root, which is this file's folder
    labels = "labels/train/*_ids.png"     # optional: a split without labels can still be relabelled freely
    encoding = "ids"                      # or "colours", "ids16//N", "polygons": see label_image.py
    frames = "train.txt"                  # optional: use only these frames, one a line
    leave_out = ["f0815", "test_*"]       # optional: patterns of frames to leave out; `only` is its opposite
    count = 367                           # optional: the official number; a difference is noted

An image and a label belong together when the texts that their globs' wildcards matched are equal; these
texts, joined by `/`, are the frame's key. split_table.py lists all keys.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lsu.runtime.errors import InputError, near_names
from lsu.runtime.files import read_bytes, read_toml, refuse_unknown_keys, table_of
from lsu.runtime.image import image_from_bytes
from lsu.runtime.label_space import LabelSpace
from lsu.runtime.lookup import CATALOGUE, catalogue_file

from .frame_files import first_found, keys_in_list, labels_found, refuse_unpaired
from .label_readers import LabelReader, annotated_images, label_reader
from .split_table import SplitTable

_ABOUT = ("name", "label_space", "splits", "note", "source", "licence", "counts_source")


@dataclass(frozen=True)
class Frame:
    """One image and, where there is one, its label file.

    Attributes:
        key: unique within its split; names the frame in journals and in written files.
        image: the image file.
        label: the label file, the folder of tables that label it, or None.
    """

    key: str
    image: Path
    label: Path | None


@dataclass(frozen=True)
class Sample:
    """A decoded frame: image uint8 [H,W,3] RGB, labels uint8 [H,W] dense indices with 255 = void."""

    image: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Split:
    """The frames of one split and how to read them.

    Attributes:
        dataset: the data set's name.
        name: the split's name.
        decoder: how the labels are read; holds the label space.
        frames: all frames, sorted by key.
        image_glob: the absolute glob that found the images.
        count: the official number of frames, None if no source tells it.
        counts_source: who tells it.
    """

    dataset: str
    name: str
    decoder: LabelReader
    frames: tuple[Frame, ...]
    image_glob: str
    count: int | None = None
    counts_source: str = ""

    @property
    def label_space(self) -> LabelSpace:
        """What the labels speak."""
        return self.decoder.label_space

    def count_note(self) -> str | None:
        """A line for the user when the number of frames is not the official one, else None."""
        if self.count in (None, len(self.frames)):
            return None
        source = f" ({self.counts_source})" if self.counts_source else ""
        return (
            f"{self.dataset} split {self.name!r}: {len(self.frames)} frames, officially {self.count}{source}"
        )

    def read_image(self, frame: Frame) -> npt.NDArray[np.uint8]:
        """The image of a frame, uint8 [H,W,3] RGB.

        Raises:
            InputError: the file is missing or damaged, or is not 8-bit RGB.
        """
        return image_from_bytes(read_bytes(frame.image), frame.image)

    def read_labels(self, frame: Frame) -> npt.NDArray[np.uint8]:
        """The labels of a frame, uint8 [H,W] dense indices with 255 = void.

        Raises:
            InputError: a file is missing or damaged, a label is unknown, or the split has no labels.
        """
        if frame.label is None:
            raise InputError(f"{self.dataset} split {self.name!r} has no labels; add `labels` to it")
        return self.decoder.read(frame.image, frame.label)

    def read(self, frame: Frame) -> Sample:
        """Image and labels of a frame.

        Raises:
            InputError: as `read_image` and `read_labels`, or the sizes differ.
        """
        labels = self.read_labels(frame)
        image = self.read_image(frame)
        if image.shape[:2] != labels.shape:
            raise InputError(
                f"{frame.label} is {_size_text(labels)}, its image {frame.image.name} is "
                f"{_size_text(image)}; they must be equal: resize neither, find the right label file"
            )
        return Sample(image, labels)


@dataclass(frozen=True)
class Dataset:
    """A data set's label space and where its splits lie.

    Attributes:
        name: a short name.
        label_space: what its labels speak.
        root: the folder that its globs are relative to.
        splits: split name -> what `dataset.toml` says of it.
        counts_source: where the official numbers of frames come from.
    """

    name: str
    label_space: LabelSpace
    root: Path
    splits: dict[str, SplitTable]
    counts_source: str = ""

    @classmethod
    def load(cls, name_or_path: str | Path, root: Path | None = None) -> "Dataset":
        """The data set that a `dataset.toml`, its folder, or a catalogue name describes.

        Args:
            name_or_path: for a catalogue name, `root` is needed.
            root: where the data lies, if not beside the file.

        Raises:
            InputError: an unknown name or key, or a missing root.
        """
        path = Path(name_or_path) / "dataset.toml"
        if not path.is_file():
            path = catalogue_file("datasets", name_or_path)
        if path.is_dir():
            raise InputError(
                f"{path} holds no dataset.toml: write one, or name a set of the catalogue and give --root"
            )
        if root is None and CATALOGUE in path.parents:
            raise InputError(f"data set {str(name_or_path)!r} needs its folder: add --root DIR")
        table = read_toml(path)
        refuse_unknown_keys(table, set(_ABOUT), str(path))
        missing = [key for key in ("name", "label_space", "splits") if key not in table]
        if missing:
            raise InputError(f"{path}: the key {missing[0]!r} is missing")
        return cls(
            name=str(table["name"]),
            label_space=LabelSpace.load(path),
            root=(root if root is not None else path.parent).absolute(),
            splits={
                name: SplitTable.from_table(path, name, split)
                for name, split in table_of(table["splits"], f"{path}: splits").items()
            },
            counts_source=str(table.get("counts_source", "")),
        )

    def split(self, name: str) -> Split:
        """The frames of one split, found on disk now.

        Raises:
            InputError: no such split, no image, a frame of its list missing, an image without its label, or a
                label without its image.
        """
        if name not in self.splits:
            raise InputError(f"data set {self.name!r} has no split {name!r}; {near_names(name, self.splits)}")
        table, where = self.splits[name], f"data set {self.name!r}, split {name!r}"
        images = first_found(self.root, table.images, "image", where)
        labels = labels_found(self.root, table.labels, where) if table.labels else None
        reader = label_reader(table.encoding, self.label_space, self.root, table.annotations)
        files = images.files
        if table.frames:
            files = {key: files[key] for key in keys_in_list(self.root, table.frames, images, where)}
        annotated = annotated_images(reader, files, where)
        if annotated is not None:
            files, labels = annotated, dict.fromkeys(annotated, self.root / table.annotations)
        files = table.selected(files)
        if labels is not None:
            labels = table.selected(labels)
            if table.frames:
                labels = {key: labels[key] for key in labels.keys() & files.keys()}
            if table.labelled_only:
                files = {key: files[key] for key in files.keys() & labels.keys()}
            refuse_unpaired(files, labels, where)
        if not files:
            raise InputError(f"{where}: none of {len(images.files)} images is left by `only` and `leave_out`")
        frames = tuple(Frame(k, files[k], None if labels is None else labels[k]) for k in sorted(files))
        return Split(self.name, name, reader, frames, images.pattern, table.count, self.counts_source)


def _size_text(pixels: npt.NDArray[np.uint8]) -> str:
    return f"{pixels.shape[1]}x{pixels.shape[0]}"
