"""`.npy` files: the shape in a header is held against the data before room is made for it."""

import io
import struct
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lsu.runtime.bundles.npy import array_from_npy, npy_from_array
from lsu.runtime.errors import InputError

PATH = Path("scores.npy")


def saved(array: Any, *, version: tuple[int, int] | None = None, pickled: bool = False) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of versions after 1.0
        np.lib.format.write_array(buffer, array, version=version, allow_pickle=pickled)
    return buffer.getvalue()


def with_header(text: bytes, data: bytes = b"") -> bytes:
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + data


def refusal(data: bytes) -> str:
    with pytest.raises(InputError) as caught:
        array_from_npy(data, PATH)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("shape", [(0,), (7,), (2, 3), (3, 6, 7), (2, 1, 3, 1, 5)])
def test_what_was_written_is_read_again(shape: tuple[int, ...]) -> None:
    array = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    data = npy_from_array(array)
    read = array_from_npy(data, PATH)
    assert read.dtype == np.float32
    assert read.flags.writeable
    assert np.array_equal(read, array)
    assert np.array_equal(np.load(io.BytesIO(data)), array)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not a .npy file"),
        (b"\x93NUMPY", "not a .npy file"),
        (b"\x94" + npy_from_array(np.zeros(3, np.float32))[1:], "not a .npy file"),
        (npy_from_array(np.zeros(3, np.float32))[:-1], "[3] needs 12 bytes, it has 11"),
        (npy_from_array(np.zeros(3, np.float32)) + b"x", "[3] needs 12 bytes, it has 13"),
        (saved(np.zeros(3)), "float64 [3]; float32 in C order is needed"),
        (saved(np.zeros(3, ">f4")), "of type '>f4'"),
        (saved(np.zeros((2, 3), np.float32, order="F")), "[2, 3] in Fortran order; float32 in C order"),
        (saved(np.zeros(3, np.float32), version=(2, 0)), "not a .npy file (version 1.0)"),
        (saved(np.array([{}], object), pickled=True), "it holds pickled objects"),
        (saved(np.zeros(3, [("a", "<f4")])), "not a .npy file"),
    ],
)
def test_other_files_are_refused_by_what_they_are(data: bytes, message: str) -> None:
    assert message in refusal(data)


@pytest.mark.parametrize(
    "shape", ["(99999999999999999999, )", "(3, 1000000, 1000000)", "(-1, 4)", "(1e3,)", "(" * 60, "([3],)"]
)
def test_a_header_that_lies_makes_no_room(shape: str) -> None:
    text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    assert "not a .npy file" in refusal(with_header(text))


def test_a_header_is_never_evaluated() -> None:
    text = b"{'descr': '<f4', 'fortran_order': False, 'shape': (2**9**9**9,), }\n"
    assert "not a .npy file" in refusal(with_header(text))
