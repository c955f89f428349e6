"""Arrays of float32 as `.npy` files, read without taking a header's word for how much memory is needed.

numpy's own reader allocates what the header claims before it looks for the data, and falls back to guessing
where the header is odd. A bundle's arrays are written here, so one form of header is enough.
"""

import io
import math
import re
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lsu.runtime.errors import InputError

_MAGIC = b"\x93NUMPY\x01\x00"  # version 1.0, numpy.lib.format
_HEADER = re.compile(
    rb"\{'descr': '([^']{1,16})', 'fortran_order': (True|False), 'shape': \(([0-9, ]{0,80})\), \} *\n"
)


def array_from_npy(data: bytes, path: Path) -> npt.NDArray[np.float32]:
    """The float32 array, of any shape, in the bytes of a `.npy` file; `path` names them in errors.

    Raises:
        InputError: not such a file, of another type, or its length is not what its shape needs.
    """
    start = len(_MAGIC) + 2
    end = start + int.from_bytes(data[start - 2 : start], "little")
    header = _HEADER.fullmatch(data[start:end])
    if not data.startswith(_MAGIC) or header is None:
        raise InputError(f"{path}: not a .npy file (version 1.0) of numbers")
    kind, order, sides = (group.decode() for group in header.groups())
    shape = tuple(int(side) for side in sides.split(",") if side.strip().isdecimal())
    if kind.endswith("O"):
        raise InputError(f"{path}: not a .npy file of numbers: it holds pickled objects")
    if kind != "<f4" or order == "True":
        raise InputError(
            f"{path}: the array is {_name_of(kind)} {list(shape)}{' in Fortran order' * (order == 'True')}; "
            "float32 in C order is needed"
        )
    if math.prod(shape) * 4 != len(data) - end:
        raise InputError(
            f"{path}: not a .npy file: {list(shape)} needs {math.prod(shape) * 4:,} bytes, "
            f"it has {len(data) - end:,}"
        )
    return np.frombuffer(data, "<f4", offset=end).reshape(shape).astype(np.float32)  # a copy, writable


def npy_from_array(array: npt.NDArray[np.float32]) -> bytes:
    """The bytes of a `.npy` file."""
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(array), allow_pickle=False)
    return buffer.getvalue()


def _name_of(kind: str) -> str:
    known = {"<f2": "float16", "<f4": "float32", "<f8": "float64", "|u1": "uint8", "<i8": "int64"}
    return known.get(kind, f"of type {kind!r}")
