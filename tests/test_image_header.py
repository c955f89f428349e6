"""Image headers: the claimed size is read as the decoders read it, and nothing vast is given to them."""

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from lsu.runtime.errors import InputError
from lsu.runtime.image import bgr_from_bytes, grey_from_bytes, image_from_bytes, red16_from_bytes
from lsu.runtime.image_header import MOST_PIXELS, refuse_large, size_from_header

PATH = Path("f.png")


def encoded(end: str, height: int, width: int, *options: int) -> bytes:
    noise = np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)
    return bytes(cv2.imencode(end, noise, options)[1].tobytes())


def png_claiming(width: int, height: int, *, depth: int = 8, kind: int = 2) -> bytes:
    """A PNG with right checksums and next to no pixels."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(bytes(100)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + pixels + chunk(b"IEND", b"")


@pytest.mark.parametrize("size", [(1, 1), (24, 40), (257, 300)])
def test_the_size_is_the_one_that_opencv_finds(size: tuple[int, int]) -> None:
    for data in (
        encoded(".png", *size),
        encoded(".jpg", *size),
        encoded(".jpg", *size, cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
        encoded(".jpg", *size, cv2.IMWRITE_JPEG_RST_INTERVAL, 1),
    ):
        assert size_from_header(data) == size == cv2.imdecode(np.frombuffer(data, np.uint8), 1).shape[:2]


@pytest.mark.parametrize(
    "between",
    [
        b"\xff\xe1\x00\x08\xff\xc0\x00\x11\x08\xff",  # a segment that holds what looks like a frame
        b"\xff\xc4\x00\x08\x00\x01\x00\x01\x00\x01",  # tables, whose marker lies among those of frames
        b"\xff\xff\xff\xe0\x00\x04ab",  # fill bytes before a marker
        b"rubbish\xff\x00rubbish",  # what libjpeg skips
        b"\xff\xd0\xff\x01",  # markers without a length
    ],
)
def test_what_stands_before_the_frame_is_skipped_as_libjpeg_does(between: bytes) -> None:
    data = encoded(".jpg", 24, 40)
    odd = data[:2] + between + data[2:]
    assert size_from_header(odd) == (24, 40)
    decoded = cv2.imdecode(np.frombuffer(odd, np.uint8), 1)
    assert decoded is None or decoded.shape == (24, 40, 3)


@pytest.mark.parametrize(
    "data",
    [b"", b"BM", b"\xff\xd8", b"\xff\xd8\xff", b"\xff\xd8\xff\xc0\x00", b"\xff\xd8\xff\xda\xff\xc0" * 9],
)
def test_where_there_is_no_size_none_is_said(data: bytes) -> None:
    assert size_from_header(data) is None
    refuse_large(data, PATH)


def test_a_cut_png_header_says_nothing_vast() -> None:
    refuse_large(b"\x89PNG\r\n\x1a\n\0\0", PATH)


@pytest.mark.parametrize("decode", [image_from_bytes, bgr_from_bytes, red16_from_bytes, grey_from_bytes])
def test_a_vast_png_is_refused_by_every_reader(decode) -> None:
    for width, height in ((MOST_PIXELS + 1, 1), (1, MOST_PIXELS + 1), (30000, 30000), (2**31 - 1, 2**31 - 1)):
        for kind in (0, 2, 3):
            with pytest.raises(
                InputError, match=f"f.png: the image is {width}x{height} pixels by its header"
            ):
                decode(png_claiming(width, height, kind=kind), PATH)


def test_a_vast_jpeg_is_refused() -> None:
    data = bytearray(encoded(".jpg", 24, 40))
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 9] = struct.pack(">HH", 65500, 65500)
    with pytest.raises(InputError, match="65500x65500 pixels by its header"):
        image_from_bytes(bytes(data), Path("f.jpg"))


def test_the_largest_picture_is_not_refused() -> None:
    refuse_large(png_claiming(16384, 8192), PATH)
    assert MOST_PIXELS == 16384 * 8192
