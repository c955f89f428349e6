"""Decoding of images and label images: whole files only, RGB, 8 bit.

OpenCV returns a picture for files that were cut off, widens palettes to colours and scales grey values of
fewer than 8 bits. For a label file each of these is a silent change of its meaning, so the container is
checked before OpenCV sees it. EXIF rotation and ICC profiles are ignored, for images and labels alike.
"""

import struct
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from .errors import BackendError, InputError
from .image_header import JPEG_START, PNG_SIGNATURE, refuse_large

JPEG_SCAN, JPEG_END = b"\xff\xda", b"\xff\xd9"
_GREY, _PALETTE = 0, 3  # colour types of PNG, ISO/IEC 15948 table 11.1


def image_from_bytes(data: bytes, path: Path) -> npt.NDArray[np.uint8]:
    """The image in `data`, uint8 [H,W,3] RGB.

    Args:
        data: a whole PNG, JPEG or other file that OpenCV reads.
        path: where it came from, for the messages.

    Raises:
        InputError: cut off, damaged, not 8 bit, or not three channels.
    """
    rgb: npt.NDArray[np.uint8] = cv2.cvtColor(bgr_from_bytes(data, path), cv2.COLOR_BGR2RGB)
    return rgb


def bgr_from_bytes(data: bytes, path: Path) -> npt.NDArray[np.uint8]:
    """As `image_from_bytes`, but in OpenCV's order BGR: for label files, whose colours are only compared."""
    return _three_channels(data, path, np.uint8)


def red16_from_bytes(data: bytes, path: Path) -> npt.NDArray[np.uint16]:
    """The red channel of a 16-bit RGB file, uint16 [H,W]: where SYNTHIA keeps the class.

    Raises:
        InputError: cut off, damaged, not 16 bit, or not three channels.
    """
    return np.ascontiguousarray(_three_channels(data, path, np.uint16)[..., 2])


def grey_from_bytes(data: bytes, path: Path) -> npt.NDArray[np.uint8] | npt.NDArray[np.uint16]:
    """The stored values of a one-channel label image, uint8 or uint16 [H,W]; palette indices stay indices.

    Raises:
        InputError: cut off, damaged, colour, or fewer than 8 bits a pixel.
    """
    if data.startswith(PNG_SIGNATURE):
        data = _index_png(data, path)
    pixels = _decode(data, path)
    if pixels.ndim != 2 or pixels.dtype not in (np.uint8, np.uint16):
        raise InputError(
            f"{path}: the label image has shape {pixels.shape} and {pixels.dtype}; ids need one channel of "
            '8 or 16 bits (for colour-coded labels say encoding = "colours")'
        )
    return pixels


def png_from_pixels(pixels: npt.NDArray[Any], *, rgb: bool = False) -> bytes:
    """A PNG of uint8 [H,W], or of uint8 [H,W,3] in RGB with `rgb=True`.

    Level 1 with the run-length strategy: on label maps half the time of OpenCV's default and smaller.
    """
    array = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR) if rgb else pixels
    options = [cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE]
    done, data = cv2.imencode(".png", array, options if not rgb else options[:2])
    if not done:
        raise BackendError(f"OpenCV could not encode a PNG of shape {pixels.shape} and {pixels.dtype}")
    return data.tobytes()


def _three_channels(data: bytes, path: Path, kind: type[Any]) -> npt.NDArray[Any]:
    """The file's pixels [H,W,3] BGR if they are of that kind."""
    pixels = _decode(data, path)
    if pixels.dtype != kind or pixels.ndim != 3 or pixels.shape[2] != 3:
        channels = 1 if pixels.ndim == 2 else pixels.shape[2]
        needed = np.dtype(kind)
        raise InputError(
            f"{path}: the image has {channels} channels of {pixels.dtype}; 3 channels of {needed} are "
            f"needed: convert it to {8 * needed.itemsize}-bit RGB"
        )
    return pixels


def _decode(data: bytes, path: Path) -> npt.NDArray[Any]:
    _refuse_cut_off(data, path)
    refuse_large(data, path)
    try:
        decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED) if data else None
    except cv2.error as error:
        raise InputError(f"{path}: OpenCV refuses it: {str(error.err).strip()}") from error
    if decoded is None:
        raise InputError(f"{path}: not an image that OpenCV can read, or damaged")
    pixels: npt.NDArray[Any] = decoded
    return pixels


def _refuse_cut_off(data: bytes, path: Path) -> None:
    if data.startswith(PNG_SIGNATURE):
        _png_chunks(data, path)
    elif data.startswith(JPEG_START) and data.rfind(JPEG_END) < data.rfind(JPEG_SCAN):
        raise InputError(f"{path}: the JPEG file is cut off: it has no end marker; copy it again")


def _png_chunks(data: bytes, path: Path) -> list[tuple[bytes, bytes]]:
    """The (type, body) of each chunk up to IEND, every checksum verified."""
    chunks: list[tuple[bytes, bytes]] = []
    position = len(PNG_SIGNATURE)
    while not chunks or chunks[-1][0] != b"IEND":
        header = data[position : position + 8]
        if len(header) < 8:
            raise InputError(f"{path}: the PNG file is cut off after {len(data)} bytes; copy it again")
        length, kind = struct.unpack(">I4s", header)
        end = position + 8 + length
        if end + 4 > len(data):
            raise InputError(f"{path}: the PNG file is cut off after {len(data)} bytes; copy it again")
        if zlib.crc32(data[position + 4 : end]) != struct.unpack(">I", data[end : end + 4])[0]:
            raise InputError(f"{path}: the PNG file is damaged near byte {position}; copy it again")
        chunks.append((kind, data[position + 8 : end]))
        position = end + 4
    return chunks


def _index_png(data: bytes, path: Path) -> bytes:
    """The same PNG with a palette's indices as grey values; depths that OpenCV would scale are refused."""
    chunks = _png_chunks(data, path)
    kind, header = chunks[0]
    if kind != b"IHDR" or len(header) != 13:
        raise InputError(f"{path}: the PNG file does not start with its header")
    depth, colour_type = header[8], header[9]
    if depth < 8:
        raise InputError(f"{path}: the label image has {depth} bits a pixel; ids need 8 or 16: convert it")
    if colour_type != _PALETTE:
        return data
    grey = [(b"IHDR", header[:9] + bytes([_GREY]) + header[10:])]
    grey += [(kind, body) for kind, body in chunks[1:] if kind in (b"IDAT", b"IEND")]
    packed = [
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in grey
    ]
    return PNG_SIGNATURE + b"".join(packed)
