"""Data sets on disk: a `dataset.toml` names a label space and, per split, where images and labels lie.

    name = "town"
    label_space = "camvid11"              # a catalogue name, or a TOML file relative to this one
    [splits.train]
    images = "images/train/*.jpg"         # globs relative to the root, which is this file's folder
    labels = "labels/train/*_ids.png"     # optional: a split without labels can still be relabelled freely
    encoding = "ids"                      # "ids" | "colours" | "ids16//N"
    frames = "train.txt"                  # optional: use only these keys, one a line

An image and a label belong together when the texts that their globs' wildcards matched are equal; these
texts, joined by `/`, are the frame's key.
"""

import glob
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import InputError, near_names
from .files import read_bytes, read_toml, refuse_unknown_keys, table_of
from .image import image_from_bytes
from .label_image import LabelDecoder
from .label_space import CATALOGUE, LabelSpace, catalogue_file

_WILDCARD = re.compile(r"\*\*/|\*\*|\*|\?|\[!?\]?[^\]]*\]")


@dataclass(frozen=True)
class Frame:
    """One image and, where there is one, its label file.

    Attributes:
        key: unique within its split; names the frame in journals and in written files.
        image: the image file.
        label: the label file, or None.
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
        decoder: how the label files are read; holds the label space.
        frames: all frames, sorted by key.
        image_glob: the absolute glob that found the images.
    """

    dataset: str
    name: str
    decoder: LabelDecoder
    frames: tuple[Frame, ...]
    image_glob: str

    @property
    def label_space(self) -> LabelSpace:
        """What the labels speak."""
        return self.decoder.label_space

    def read_image(self, frame: Frame) -> npt.NDArray[np.uint8]:
        """The image of a frame, uint8 [H,W,3] RGB.

        Raises:
            InputError: the file is missing or damaged, or is not 8-bit RGB.
        """
        return image_from_bytes(read_bytes(frame.image), frame.image)

    def read(self, frame: Frame) -> Sample:
        """Image and labels of a frame.

        Raises:
            InputError: a file is missing or damaged, the sizes differ, a label is unknown, or the split
                has no labels.
        """
        if frame.label is None:
            raise InputError(f"{self.dataset} split {self.name!r} has no labels; add `labels` to it")
        image = self.read_image(frame)
        labels = self.decoder.decode(read_bytes(frame.label), frame.label)
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
        splits: split name -> the split's table in `dataset.toml`.
    """

    name: str
    label_space: LabelSpace
    root: Path
    splits: dict[str, dict[str, str]]

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
        if root is None and CATALOGUE in path.parents:
            raise InputError(f"data set {str(name_or_path)!r} needs its folder: add --root DIR")
        table = read_toml(path)
        refuse_unknown_keys(table, {"name", "label_space", "splits", "note", "source", "licence"}, str(path))
        try:
            return cls(
                name=str(table["name"]),
                label_space=LabelSpace.load(str(table["label_space"]), beside=path),
                root=(root if root is not None else path.parent).absolute(),
                splits={
                    name: _checked_split(path, name, split)
                    for name, split in table_of(table["splits"], f"{path}: splits").items()
                },
            )
        except KeyError as error:
            raise InputError(f"{path}: the key {error.args[0]!r} is missing") from error

    def split(self, name: str) -> Split:
        """The frames of one split, found on disk now.

        Raises:
            InputError: no such split, no image, an image without its label, or a label without its image.
        """
        if name not in self.splits:
            raise InputError(f"data set {self.name!r} has no split {name!r}; {near_names(name, self.splits)}")
        table = self.splits[name]
        image_glob = _absolute_glob(self.root, table["images"])
        images = _files_by_key(image_glob)
        labels = None
        if "labels" in table:
            labels = _files_by_key(_absolute_glob(self.root, table["labels"]))
        if "frames" in table:
            keys = _keys_of(self.root / table["frames"])
            images, labels = (
                _only(keys, images, table["images"]),
                labels and _only(keys, labels, table["labels"]),
            )
        if not images:
            raise InputError(
                f"data set {self.name!r}, split {name!r}: no image matches {self.root / table['images']}"
            )
        if labels is not None:
            _refuse_unpaired(self.name, name, images, labels)
        frames = tuple(Frame(k, images[k], labels[k] if labels is not None else None) for k in sorted(images))
        decoder = LabelDecoder(self.label_space, table.get("encoding", "ids"))
        return Split(self.name, name, decoder, frames, image_glob)


def wildcards_of(pattern: str) -> list[str]:
    """The wildcards of a glob that take part in keys, in order: `*`, `**` or `?` each."""
    return [w.rstrip("/") for w in _WILDCARD.findall(pattern) if not w.startswith("[")]


def _checked_split(path: Path, name: str, table: Any) -> dict[str, str]:
    where = f"{path}, split {name!r}"
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise InputError(f"{where}: a split's name has letters, digits, '_', '.' and '-' only")
    table = table_of(table, where)
    refuse_unknown_keys(table, {"images", "labels", "encoding", "frames"}, where)
    if "images" not in table:
        raise InputError(f"{where}: the key 'images' is missing")
    for key, value in table.items():
        if not isinstance(value, str):
            raise InputError(f"{where}: {key} is {value!r}, not a text")
        if key in ("images", "labels") and not wildcards_of(value):
            raise InputError(f"{where}: {key} = {value!r} has no wildcard such as * to tell frames apart")
    checked: dict[str, str] = table
    return checked


def _absolute_glob(root: Path, pattern: str) -> str:
    return pattern if pattern.startswith("/") else f"{glob.escape(str(root))}/{pattern}"


def _files_by_key(pattern: str) -> dict[str, Path]:
    """The files that an absolute glob matches, by the texts that its wildcards matched."""
    expression, position = "", 0
    for match in _WILDCARD.finditer(pattern):
        expression += re.escape(pattern[position : match.start()])
        wildcard, position = match.group(), match.end()
        one = {"**/": "(?:(.*)/)?", "**": "(.*)", "*": "([^/]*)", "?": "([^/])"}
        expression += one[wildcard] if wildcard in one else _set_expression(wildcard)
    compiled = re.compile(expression + re.escape(pattern[position:]))
    files: dict[str, Path] = {}
    for name in glob.glob(pattern, recursive=True):
        matched = compiled.fullmatch(name)
        if matched is None:
            continue
        key = "/".join(g for g in matched.groups() if g is not None)
        _refuse_key(key, name)
        if key in files:
            raise InputError(f"{name} and {files[key]} have the same key {key!r}; make the glob more exact")
        files[key] = Path(name)
    return files


def _set_expression(wildcard: str) -> str:
    """A set such as `[ab0-9]` or `[!ab]` of a glob as a regular expression."""
    negated, members = wildcard[1] == "!", wildcard[1:-1].removeprefix("!")
    escaped = re.sub(r"([\\^\[\]&~|])", r"\\\1", members)
    return f"[{'^' if negated else ''}{escaped}]"


def _refuse_key(key: str, name: str) -> None:
    """Keys name files and stand in lists, one a line: refuse those that would not survive it."""
    if not key.isprintable() or any(not part or part.startswith(".") for part in key.split("/")):
        raise InputError(
            f"{name!r}: the wildcards match {key!r}; a match must not be empty, start with '.' or hold "
            "unprintable characters: rename the file or make the glob more exact"
        )


def _keys_of(path: Path) -> list[str]:
    try:
        lines = read_bytes(path).decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text: {error}") from error
    return [line for line in lines if line.strip()]


def _only(keys: list[str], files: dict[str, Path], pattern: str) -> dict[str, Path]:
    repeated = [k for k, n in Counter(keys).items() if n > 1]
    missing = [k for k in keys if k not in files]
    if repeated or missing:
        raise InputError(
            f"frame {(repeated or missing)[0]!r} of the frames file "
            + ("stands twice" if repeated else f"is matched by no file of {pattern}")
        )
    return {k: files[k] for k in keys}


def _refuse_unpaired(dataset: str, split: str, images: dict[str, Path], labels: dict[str, Path]) -> None:
    for what, other, having, lacking in (
        ("image", "label", images, labels),
        ("label", "image", labels, images),
    ):
        alone = sorted(having.keys() - lacking.keys())
        if alone:
            raise InputError(
                f"data set {dataset!r}, split {split!r}: {len(alone)} of {len(having)} {what}s have no "
                f"{other}, first {having[alone[0]]}"
            )


def _size_text(pixels: npt.NDArray[np.uint8]) -> str:
    return f"{pixels.shape[1]}x{pixels.shape[0]}"
