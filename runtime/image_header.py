"""The size that a PNG or JPEG file claims, read before a decoder makes room for it.

A file of some kilobytes can claim, and after decompression really have, thousands of megapixels. What is
larger than any camera's picture is refused unread. Other formats are left to OpenCV's own limit of 2^30
pixels (CV_IO_MAX_IMAGE_PIXELS).
"""

import struct
from pathlib import Path
from typing import Any

from .errors import InputError

MOST_PIXELS = 1 << 27
"""Of an image, 134 megapixels: at most 1 GiB in any format, 384 MiB as 8-bit RGB."""

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
JPEG_START = b"\xff\xd8"
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""Markers that start a frame, SOF0 to SOF15 (ITU-T T.81, table B.1)."""
_ALONE = frozenset({0x01, *range(0xD0, 0xD9)})
"""Markers without a length: TEM, RST0 to RST7, SOI."""


def size_from_numbers(height: Any, width: Any) -> tuple[int, int]:
    """The (H, W) of an image that a table describes.

    Raises:
        ValueError: not two numbers, or not 1 to `MOST_PIXELS` pixels.
    """
    try:
        size = (int(height), int(width))
    except (TypeError, OverflowError) as error:
        raise ValueError(f"{width!r} x {height!r} is no size of an image") from error
    if min(size) < 1 or size[0] * size[1] > MOST_PIXELS:
        raise ValueError(f"the image is {size[1]}x{size[0]} pixels; 1 to {MOST_PIXELS:,} are read")
    return size


def refuse_large(data: bytes, path: Path) -> None:
    """Raise InputError when a PNG or JPEG file claims more than `MOST_PIXELS`; `path` names it."""
    size = size_from_header(data)
    if size is not None and size[0] * size[1] > MOST_PIXELS:
        raise InputError(
            f"{path}: the image is {size[1]}x{size[0]} pixels by its header; at most {MOST_PIXELS:,} are "
            "read: cut it into tiles"
        )


def size_from_header(data: bytes) -> tuple[int, int] | None:
    """The (H, W) in the header of a PNG or JPEG file; None for other files and where it cannot be found."""
    if data.startswith(PNG_SIGNATURE):
        # IHDR comes first (ISO/IEC 15948, section 5.6), else no decoder takes the file
        width, height = struct.unpack(">II", data[16:24].ljust(8, b"\0"))
        return height, width
    return _size_from_jpeg(data) if data.startswith(JPEG_START) else None


def _size_from_jpeg(data: bytes) -> tuple[int, int] | None:
    """As libjpeg looks for it: between segments, anything up to the next marker is skipped."""
    position = len(JPEG_START)
    while (position := data.find(b"\xff", position)) >= 0:
        while data[position : position + 1] == b"\xff":
            position += 1
        marker = data[position] if position < len(data) else 0
        position += 1
        if marker in _FRAMES and len(data) >= position + 7:
            height, width = struct.unpack(">HH", data[position + 3 : position + 7])
            return height, width
        if marker in (0xD9, 0xDA):  # the end, or pixels before any frame: nothing that can be decoded
            return None
        if marker and marker not in _ALONE:
            position += int.from_bytes(data[position : position + 2], "big")
    return None
