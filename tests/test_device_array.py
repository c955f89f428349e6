"""Arrays on a CUDA device: what is read of their owners, and what is refused."""

from typing import Any

import numpy as np
import pytest

from lsu.runtime.device_array import DeviceArray
from lsu.runtime.errors import InputError


class OnDevice:
    """What torch and others offer; the memory is numpy's."""

    def __init__(self, array: np.ndarray, **changes: Any) -> None:
        self.array = array
        self.changes = changes

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        told = {
            "shape": self.array.shape,
            "typestr": self.array.dtype.str,
            "data": (self.array.ctypes.data, not self.array.flags.writeable),
            "strides": None if self.array.flags.c_contiguous else self.array.strides,
            "version": 3,
        }
        return {**told, **self.changes}


class FakeOrtValue:
    """The four methods of an OrtValue that are read."""

    def __init__(self, place: str = "cuda", kind: str = "tensor(float)") -> None:
        self.place, self.kind = place, kind

    def device_name(self) -> str:
        return self.place

    def data_type(self) -> str:
        return self.kind

    def shape(self) -> list[int]:
        return [1, 3, 4, 5]

    def data_ptr(self) -> int:
        return 4096


def test_an_array_is_read_from_the_cuda_array_interface() -> None:
    owner = OnDevice(np.zeros((2, 3), np.float32))
    taken = DeviceArray.of(owner)
    assert taken == DeviceArray(owner.array.ctypes.data, (2, 3), np.dtype(np.float32), True)
    owner.array.flags.writeable = False
    assert not DeviceArray.of(owner).writable
    assert DeviceArray.of(taken) is taken


def test_an_array_is_read_from_an_ort_value() -> None:
    assert DeviceArray.of(FakeOrtValue()) == DeviceArray(4096, (1, 3, 4, 5), np.dtype(np.float32))


def test_strides_that_are_those_of_contiguous_rows_are_taken() -> None:
    base = np.zeros((4, 1, 5), np.float32)
    for strides in [(20, 20, 4), (20, 999, 4), None]:
        assert DeviceArray.of(OnDevice(base, strides=strides)).shape == (4, 1, 5)
    empty = np.zeros((0, 5), np.float32)
    assert DeviceArray.of(OnDevice(empty, strides=(1, 1), data=(0, False))).pointer == 0


@pytest.mark.parametrize(
    ("owner", "match"),
    [
        (OnDevice(np.zeros((4, 6), np.float32)[:, ::2]), r"strides \(24, 8\); contiguous memory is allowed"),
        (OnDevice(np.zeros((4, 6), np.float32).T), "contiguous memory is allowed: use .contiguous"),
        (OnDevice(np.zeros((4, 6), np.float32), strides=(4,)), "contiguous memory is allowed"),
        (np.zeros((2, 2)), "a ndarray is no array on a CUDA device; .* move it to the device"),
        (None, "a NoneType is no array"),
        (FakeOrtValue("cpu"), "an OrtValue is on cpu; cuda is allowed"),
        (FakeOrtValue(kind="tensor(double)"), r"an OrtValue is tensor\(double\); .* are allowed"),
        (OnDevice(np.zeros(3, np.uint8), data=(0, False)), "pointer is 0 for an array"),
    ],
)
def test_what_is_no_device_array_is_refused_in_one_line(owner: Any, match: str) -> None:
    with pytest.raises(InputError, match=match) as raised:
        DeviceArray.of(owner)
    assert "\n" not in str(raised.value)


def test_an_owner_that_gives_no_interface_is_told_why() -> None:
    class Stubborn:
        @property
        def __cuda_array_interface__(self) -> dict[str, Any]:
            raise RuntimeError("Can't get it on Variable that requires grad.\nUse detach.")

    with pytest.raises(InputError, match="requires grad.*move or detach it"):
        DeviceArray.of(Stubborn())


@pytest.mark.parametrize(
    ("pointer", "shape"), [(-1, (2,)), (1 << 64, (2,)), (0, (1,)), (8, (-1,)), (8, (1.5,))]
)
def test_impossible_arrays_are_refused(pointer: int, shape: Any) -> None:
    with pytest.raises(InputError, match="allowed"):
        DeviceArray(pointer, shape, np.uint8)
