"""Where frames come from: images, a video file or a camera, all as uint8 RGB.

Images are decoded as everywhere in lsu: the stored pixels, EXIF rotation ignored. OpenCV turns a video's
frames as the file's rotation tag says.
"""

import glob
import re
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
import numpy.typing as npt

from lsu.runtime.errors import BackendError, InputError
from lsu.runtime.files import read_bytes
from lsu.runtime.image import image_from_bytes

Image = npt.NDArray[np.uint8]
NamedImage = tuple[str, Image]

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".ppm")
_WILDCARDS = ("*", "?", "[")


class Source(Protocol):
    """Frames one after the other."""

    @property
    def total(self) -> int | None:
        """How many frames will come, or None where nobody knows."""

    @property
    def rate(self) -> float | None:
        """Frames a second as recorded, or None for single images."""

    @property
    def endless(self) -> bool:
        """Whether only an interrupt ends it."""

    def frames(self) -> Generator[NamedImage, None, None]:
        """Name and image uint8 [H,W,3] RGB of each frame. Names are unique and fit for file names.

        Raises:
            InputError: a file is damaged, or is not an 8-bit image of three channels.
            BackendError: a camera stopped.
        """


@dataclass(frozen=True)
class ImageSource:
    """Image files in order.

    Attributes:
        files: name -> file; names have no suffix and may hold `/`.
    """

    files: dict[str, Path]
    rate: float | None = None
    endless: bool = False

    @property
    def total(self) -> int | None:
        """The number of files."""
        return len(self.files)

    def frames(self) -> Generator[NamedImage, None, None]:
        """Each file, read and decoded when it is asked for."""
        for name, path in self.files.items():
            yield name, image_from_bytes(read_bytes(path), path)


@dataclass(frozen=True)
class CaptureSource:
    """A video file or a camera, opened.

    Attributes:
        capture: an opened cv2.VideoCapture; it is released when the frames end.
        name: what was opened, for messages.
        endless: a camera.
        total: the container's own count, which may be a guess.
        rate: frames a second as the container or the camera says.
    """

    capture: Any
    name: str
    endless: bool
    total: int | None = None
    rate: float | None = None

    @classmethod
    def of(cls, capture: Any, name: str, *, endless: bool) -> "CaptureSource":
        """The source of an opened capture, which is asked what it knows now, before it is released."""
        count, rate = int(capture.get(cv2.CAP_PROP_FRAME_COUNT)), float(capture.get(cv2.CAP_PROP_FPS))
        return cls(
            capture, name, endless, count if count > 0 and not endless else None, rate if rate > 0 else None
        )

    def frames(self) -> Generator[NamedImage, None, None]:
        """Each frame, named by its number in six figures."""
        number = 0
        try:
            while True:
                came, pixels = self.capture.read()
                if not came:
                    break
                yield f"{number:06d}", cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)
                number += 1
        finally:
            self.capture.release()
        if self.endless:
            raise BackendError(f"{self.name} stopped after {number} frames; is it still connected?")
        if number == 0:
            raise InputError(
                f"{self.name}: no frame of this video can be read; convert it, for example to H.264"
            )


def open_source(text: str) -> Source:
    """The source that a text on the command line means.

    Args:
        text: `camera` or `camera:N`, a folder of images, a glob of images, an image, or a video file.

    Raises:
        InputError: nothing is there, it holds no image, or OpenCV cannot open it.
        BackendError: the camera cannot be opened.
    """
    head, _, number = text.partition(":")
    if head == "camera":
        if not re.fullmatch(r"[0-9]{0,4}", number):
            raise InputError(f"source {text!r}: a camera has a number, such as camera:0")
        return _camera(int(number or 0))
    path = Path(text)
    if path.is_dir():
        files = [p for p in path.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES]
        return _images(files, path, f"folder {path} holds no image ({' '.join(IMAGE_SUFFIXES)})")
    if path.is_file():
        return _images([path], path.parent, "") if path.suffix.lower() in IMAGE_SUFFIXES else _video(path)
    if any(mark in text for mark in _WILDCARDS):
        return _images(_globbed(text), _fixed_folder(path), f"no file matches {text}")
    raise InputError(
        f"source {text!r} is no file, folder, glob or camera; a camera is called camera or camera:N"
    )


def _images(files: list[Path], folder: Path, complaint: str) -> ImageSource:
    """The files in the order of their names; `complaint` is the message when there are none."""
    if not files:
        raise InputError(complaint)
    named: dict[str, Path] = {}
    for path in sorted(files):
        name = path.relative_to(folder).with_suffix("").as_posix()
        if name in named:
            raise InputError(f"{named[name]} and {path} differ only in their suffix; move one of them away")
        named[name] = path
    return ImageSource(named)


def _globbed(pattern: str) -> list[Path]:
    files = [Path(name) for name in glob.glob(pattern, recursive=True)]
    for path in files:
        if path.is_file() and path.suffix.lower() not in IMAGE_SUFFIXES:
            raise InputError(
                f"{path} is no image ({' '.join(IMAGE_SUFFIXES)}); make the glob {pattern} more exact"
            )
    return [path for path in files if path.is_file()]


def _fixed_folder(pattern: Path) -> Path:
    """The part of a glob before its first wildcard."""
    fixed = Path(pattern.anchor)
    for part in pattern.parts[len(fixed.parts) : -1]:
        if any(mark in part for mark in _WILDCARDS):
            break
        fixed /= part
    return fixed


def _video(path: Path) -> CaptureSource:
    capture = cv2.VideoCapture(str(path))
    if not capture.isOpened():
        raise InputError(
            f"{path}: neither an image ({' '.join(IMAGE_SUFFIXES)}) nor a video that OpenCV can open; "
            "convert it, for example to H.264 in .mp4"
        )
    return CaptureSource.of(capture, str(path), endless=False)


def _camera(number: int) -> CaptureSource:
    capture = cv2.VideoCapture(number)
    if not capture.isOpened():
        raise BackendError(f"camera:{number} cannot be opened; is it connected, and may this user read it?")
    return CaptureSource.of(capture, f"camera:{number}", endless=True)
