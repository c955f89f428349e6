"""Where the answers go: PNG files per frame, or one overlay video."""

import contextlib
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from lsu.runtime.errors import BackendError, InputError
from lsu.runtime.files import write_atomically
from lsu.runtime.image import png_from_pixels
from lsu.runtime.overlay import overlay

from .sources import IMAGE_SUFFIXES

Pixels = npt.NDArray[np.uint8]
Write = Callable[[str, Pixels, Pixels], None]
"""Takes a frame's name, image uint8 [H,W,3] RGB and classes uint8 [H,W]."""

CODECS = {".mp4": "mp4v", ".avi": "MJPG"}
_OTHER_FILES = (*IMAGE_SUFFIXES, ".mkv", ".mov", ".webm", ".m4v", ".gif")
_IMAGE_RATE = 10.0
"""Frames a second of a video made from single images."""


def output_for(
    path: Path | None,
    colours: Pixels,
    *,
    overlays: bool = True,
    classes: bool = True,
    rate: float | None = None,
) -> AbstractContextManager[Write]:
    """What writes to `path`; nothing is written before the first frame comes.

    Args:
        path: a folder, an .mp4 or .avi file, or None to write nothing.
        colours: a palette, uint8 [256,3].
        overlays: write overlays; a video holds nothing else.
        classes: write class maps, in a folder only.
        rate: frames a second of a video; 10 if None.

    Raises:
        InputError: the path cannot be an output.
    """
    if path is None:
        return contextlib.nullcontext(_discard)
    suffix = path.suffix.lower()
    if suffix in CODECS:
        if path.is_dir():
            raise InputError(f"{path} is a folder; name a file")
        if not overlays:
            raise InputError(f"{path}: a video holds overlays; drop --no-overlay or name a folder")
        return video_output(path, colours, rate=rate or _IMAGE_RATE)
    if suffix in _OTHER_FILES or path.is_file():
        raise InputError(
            f"{path} cannot be written to; name a folder or a file ending in {' or '.join(CODECS)}"
        )
    if not (overlays or classes):
        raise InputError("with --no-overlay and --no-classes nothing is written; drop one, or --output")
    return folder_output(path, colours, overlays=overlays, classes=classes)


@contextmanager
def folder_output(folder: Path, colours: Pixels, *, overlays: bool, classes: bool) -> Iterator[Write]:
    """Writes `overlay/NAME.png` (RGB) and `classes/NAME.png` (dense indices, 255 = void) in the folder."""

    def write(name: str, image: Pixels, answer: Pixels) -> None:
        if overlays:
            data = png_from_pixels(overlay(image, answer, colours), rgb=True)
            write_atomically(folder / "overlay" / f"{name}.png", data, durable=False)
        if classes:
            write_atomically(folder / "classes" / f"{name}.png", png_from_pixels(answer), durable=False)

    yield write


@contextmanager
def video_output(path: Path, colours: Pixels, *, rate: float) -> Iterator[Write]:
    """Writes overlays to a hidden file beside `path`, which gets its name when all went well.

    Raises:
        InputError: frames differ in size.
        BackendError: the codec is missing, or the file is not whole.
    """
    part = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
    video = _Video(part, path, rate)
    try:
        yield lambda name, image, answer: video.write(name, overlay(image, answer, colours))
        if video.finish():
            part.replace(path)
    except OSError as error:
        raise BackendError(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        video.release()
        with contextlib.suppress(OSError):
            part.unlink()


class _Video:
    """A video file that opens with its first frame and knows whether all of them arrived.

    Args:
        path: the file that is written.
        name: what it is called in messages.
        rate: frames a second.
    """

    def __init__(self, path: Path, name: Path, rate: float) -> None:
        self._path = path
        self._name = name
        self._rate = rate
        self._size: tuple[int, int] | None = None
        self._writer: Any = None
        self._begun = self._written = 0

    def write(self, name: str, picture: Pixels) -> None:
        """Append a picture uint8 [H,W,3] RGB."""
        size = picture.shape[:2]
        if self._size is None:
            self._open(size)
        elif size != self._size:
            raise InputError(
                f"frame {name!r} is {size[1]}x{size[0]}, the video is {self._size[1]}x{self._size[0]}; "
                "frames of several sizes need a folder as output"
            )
        # Codecs halve the colours' resolution and would cut off an odd last row or column.
        even = cv2.copyMakeBorder(picture, 0, size[0] % 2, 0, size[1] % 2, cv2.BORDER_REPLICATE)
        # An interrupt while OpenCV encodes comes before the second count: that frame may be in or not.
        self._begun += 1
        self._writer.write(cv2.cvtColor(even, cv2.COLOR_RGB2BGR))
        self._written += 1

    def release(self) -> None:
        """Let go of the file."""
        if self._writer is not None:
            self._writer.release()
            self._writer = None

    def finish(self) -> bool:
        """Finish the file; whether there is one.

        Raises:
            BackendError: frames are missing in it.
        """
        if self._writer is None:
            return False
        self.release()
        # OpenCV's writer keeps silent when the disk is full: count what can be read back.
        capture = cv2.VideoCapture(str(self._path))
        stored = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        capture.release()
        if not self._written <= stored <= self._begun:
            raise BackendError(f"{self._name}: {stored} of {self._written} frames arrived; is the disk full?")
        return True

    def _open(self, size: tuple[int, int]) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        codec = CODECS[self._path.suffix.lower()]
        sides = (size[1] + size[1] % 2, size[0] + size[0] % 2)
        writer = cv2.VideoWriter(str(self._path), cv2.VideoWriter.fourcc(*codec), self._rate, sides)
        if not writer.isOpened():
            raise BackendError(
                f"{self._name}: OpenCV cannot write {codec} at {self._rate:g} frames a second; try a folder "
                f"or {' or '.join(CODECS)}"
            )
        self._writer, self._size = writer, size


def _discard(name: str, image: Pixels, answer: Pixels) -> None:
    """Write nothing."""
