"""The file of one frame's scores: an uncompressed `.npz` of four small-headed arrays.

    scores       float16 [C,h,w]   finite; logits or probabilities, as scores.json says
    canvas       int32 [2]         the (H, W) that the map covers, in pixels of the image
    size         int32 [2]         the image's own (H, W)
    label_space  text of 16        the identity of the label space

The file may come from anybody. Nothing in it is unpickled or unpacked, and no header's word is taken for how
much memory is needed: that is a few times the bytes that the file really has.
"""

import io
import math
import re
import struct
import zipfile
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lsu.runtime.errors import InputError
from lsu.runtime.files import digest_of, read_limited
from lsu.runtime.head_arguments import MAX_SIDE
from lsu.runtime.model import Size
from lsu.runtime.segmenter import Scores

MOST_BYTES = 1 << 31
"""Of a file: 2 GiB, the scores of 19 classes on a grid of 7,500 x 7,500."""

_MOST_PADDING = 4096
"""By how many pixels a side of a canvas may be longer than the image's, or four times as long."""

_LARGEST = float(np.finfo(np.float16).max)
_ARRAYS = {"scores": "<f2", "canvas": "<i4", "size": "<i4", "label_space": "<U16"}
_NAMES = {"<f2": "float16", "<f4": "float32", "<f8": "float64", "<i4": "int32", "<i8": "int64"}
_HEADER = re.compile(  # numpy.lib.format, version 1.0, as numpy itself writes it
    rb"\x93NUMPY\x01\x00..\{'descr': '([^']{1,16})', 'fortran_order': (True|False), "
    rb"'shape': \(([0-9, ]{0,80})\), \} *\n",
    re.DOTALL,
)
_UNREADABLE = (zipfile.BadZipFile, ValueError, RuntimeError, EOFError, struct.error, OSError)
"""What `zipfile` raises for files that are cut off, damaged or made to harm."""


def bytes_from_scores(scores: Scores, size: Size, identity: str) -> bytes:
    """The file of scores [C,h,w], rounded to float16; what is beyond it becomes the largest finite half.

    Args:
        scores: of one image; the canvas is at least the image.
        size: the image's (H, W).
        identity: of the label space.

    Raises:
        InputError: a score is not finite, or the canvas does not cover the image.
    """
    if not np.isfinite(scores.values).all():
        raise InputError("a score is not finite, so the scores cannot be kept")
    if fault := _fault_of_sides(scores.canvas, size):
        raise InputError(fault)
    buffer = io.BytesIO()
    np.savez(
        buffer,
        scores=np.clip(scores.values, -_LARGEST, _LARGEST).astype(np.float16),
        canvas=np.array(scores.canvas, np.int32),
        size=np.array(size, np.int32),
        label_space=np.array(identity),
    )
    return buffer.getvalue()


def read_scores(path: Path, size: Size, *, channels: int, identity: str) -> Scores:
    """The scores in a file, float32 [C,h,w].

    Args:
        path: the file.
        size: the (H, W) of the image that they must be of.
        channels: C.
        identity: of the label space that they must speak.

    Raises:
        InputError: the file is missing, damaged or foreign, or not of such an image.
    """
    members = _members(read_limited(path, MOST_BYTES), path)
    arrays = {name: _array(data, name, path) for name, data in members.items()}
    for name in ("canvas", "size"):
        if arrays[name].shape != (2,):
            raise InputError(f"{path}: {name} has shape {list(arrays[name].shape)}; (H, W) is needed")
    canvas, written = (_pair(arrays[name]) for name in ("canvas", "size"))
    spoken = arrays["label_space"].tobytes().decode("utf-32-le", "replace")
    if spoken != identity:
        raise InputError(
            f"{path}: the scores speak label space {spoken[:16]!r}; the folder's is {identity!r}"
        )
    if written != size:
        raise InputError(
            f"{path}: the scores are of an image of {written[1]}x{written[0]}; it is {size[1]}x{size[0]}"
        )
    if fault := _fault_of_sides(canvas, size):
        raise InputError(f"{path}: {fault}")
    values = arrays["scores"]
    if (
        values.ndim != 3
        or values.shape[0] != channels
        or not all(0 < side <= MAX_SIDE for side in values.shape)
    ):
        raise InputError(f"{path}: scores have shape {list(values.shape)}; [{channels}, h, w] is needed")
    if not np.isfinite(values).all():
        raise InputError(f"{path}: {int((~np.isfinite(values)).sum()):,} scores are not finite")
    return Scores(values.astype(np.float32), canvas)


def checksum_of(file: Path | io.BytesIO) -> str:
    """What tells a score file from others, 16 hexadecimal digits, from the checksums in its directory alone.

    Raises:
        InputError: no such file, or its directory is damaged.
    """
    try:
        if isinstance(file, Path) and file.stat().st_size > MOST_BYTES:
            raise InputError(f"{file}: more than {MOST_BYTES:,} bytes")
        with zipfile.ZipFile(file) as archive:
            members = sorted((i.filename, i.CRC, i.file_size) for i in archive.infolist())
    except _UNREADABLE as error:
        raise InputError(f"{file}: not a .npz file, or damaged: {error}") from error
    return digest_of(repr(members).encode())[:16]


def _members(data: bytes, path: Path) -> dict[str, bytes]:
    """The bytes of each array by its name."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            infos = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            if infos.keys() != _ARRAYS.keys() or len(archive.infolist()) != len(_ARRAYS):
                held = ", ".join(sorted(infos)[:8]) or "nothing"
                raise InputError(f"{path}: the file holds {held}; {', '.join(_ARRAYS)} are needed")
            if any(info.compress_type != zipfile.ZIP_STORED for info in infos.values()):
                raise InputError(f"{path}: the arrays are compressed: write them with numpy.savez")
            return {name: archive.read(info) for name, info in infos.items()}
    except _UNREADABLE as error:
        raise InputError(f"{path}: not a .npz file, or damaged: {error}") from error


def _array(data: bytes, name: str, path: Path) -> npt.NDArray[np.generic]:
    """The array in the bytes of a `.npy` file, which its header must describe to the byte; read-only."""
    header = _HEADER.match(data)
    if header is None or header.end() != 10 + int.from_bytes(data[8:10], "little"):
        raise InputError(f"{path}: {name} is not a .npy array (version 1.0) of numbers")
    kind, order, sides = (group.decode() for group in header.groups())
    shape = tuple(int(side) for side in sides.split(",") if side.strip().isdecimal())
    needed = _ARRAYS[name]
    if kind != needed or order == "True":
        came = f"{_NAMES.get(kind, kind)} {list(shape)}{' in Fortran order' * (order == 'True')}"
        wanted = _NAMES.get(needed, "a text of 16 characters")
        raise InputError(f"{path}: {name} is {came}; {wanted} in C order is needed")
    width = np.dtype(needed).itemsize
    if math.prod(shape) * width != len(data) - header.end():
        raise InputError(
            f"{path}: {name} {list(shape)} needs {math.prod(shape) * width:,} bytes, "
            f"it has {len(data) - header.end():,}"
        )
    if any(side > len(data) for side in shape):  # beside a side of 0
        raise InputError(f"{path}: {name} has shape {list(shape)}; such sides are beyond its bytes")
    return np.frombuffer(data, needed, offset=header.end()).reshape(shape)


def _pair(array: npt.NDArray[np.generic]) -> Size:
    height, width = array.tolist()
    return height, width


def _fault_of_sides(canvas: Size, size: Size) -> str:
    """What is wrong with a canvas for an image of this (H, W), or ""."""
    limits = [min(MAX_SIDE, max(4 * side, side + _MOST_PADDING)) for side in size]
    if all(0 < side <= whole <= most for side, whole, most in zip(size, canvas, limits, strict=True)):
        return ""
    return (
        f"the canvas is {canvas[1]}x{canvas[0]} for an image of {size[1]}x{size[0]}; "
        f"it must cover the image, and be at most {limits[1]}x{limits[0]}"
    )
