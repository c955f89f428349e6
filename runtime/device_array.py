"""Arrays in a CUDA device's memory, whoever owns them: an address, a shape and a type.

torch, pycuda, numba, cupy and onnxruntime each have a class of their own for such an array. The head needs
the same three things of any of them, and none of these libraries.
"""

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import InputError, first_line
from .head_arguments import Shape, checked_integer

_ORT_DTYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(uint8)": np.uint8,
    "tensor(int64)": np.int64,
    "tensor(uint64)": np.uint64,
}


@dataclass(frozen=True)
class DeviceArray:
    """A contiguous array in a CUDA device's memory that somebody else owns.

    It keeps nothing alive: the owner has to stay until the work on the stream is done.

    Attributes:
        pointer: address of the first element; any number where the array is empty.
        shape: extents, rows first.
        dtype: numpy's name for the elements.
        writable: whether the owner lets it be written.
    """

    pointer: int
    shape: Shape
    dtype: npt.DTypeLike
    writable: bool = True

    def __post_init__(self) -> None:
        """Check the parts and bring them to plain integers and a numpy dtype."""
        shape = tuple(checked_integer("shape", side) for side in self.shape)
        pointer = checked_integer("pointer", self.pointer)
        if any(side < 0 for side in shape):
            raise InputError(f"shape is {shape}; sides of 0 or more are allowed: give the array's extents")
        if not 0 <= pointer < 1 << 64 or (pointer == 0 and prod(shape) > 0):
            raise InputError(
                f"pointer is {pointer} for an array {shape}; an address on the device is allowed:"
                f" give the array's own"
            )
        object.__setattr__(self, "shape", shape)
        object.__setattr__(self, "pointer", pointer)
        object.__setattr__(self, "dtype", np.dtype(self.dtype))

    @classmethod
    def of(cls, owner: Any) -> "DeviceArray":
        """What a CUDA tensor of torch, a pycuda GPUArray, a numba or cupy array or an OrtValue holds.

        Read through `__cuda_array_interface__`, or from an onnxruntime OrtValue on a CUDA device. A stream
        that the interface names is not waited for.

        Raises:
            InputError: the memory is not a CUDA device's, or not contiguous.
        """
        if isinstance(owner, DeviceArray):
            return owner
        try:
            interface = owner.__cuda_array_interface__
        except AttributeError:
            return cls._of_ort_value(owner)
        except Exception as error:  # torch has several types of it: sparse tensors, those that need gradients
            raise InputError(
                f"a {type(owner).__name__} gives no CUDA memory ({first_line(error)}); a detached dense array"
                f" on a CUDA device is allowed: move or detach it"
            ) from error
        shape = tuple(interface["shape"])
        dtype = np.dtype(interface["typestr"])
        pointer, read_only = interface["data"]
        strides = interface.get("strides")
        if strides is not None and not _is_contiguous(shape, tuple(strides), dtype.itemsize):
            raise InputError(
                f"a {type(owner).__name__} {shape} has strides {tuple(strides)}; contiguous memory is"
                f" allowed: use .contiguous() or a copy"
            )
        return cls(pointer or 0, shape, dtype, not read_only)

    @classmethod
    def _of_ort_value(cls, owner: Any) -> "DeviceArray":
        if not all(hasattr(owner, name) for name in ("data_ptr", "device_name", "data_type", "shape")):
            raise InputError(
                f"a {type(owner).__name__} is no array on a CUDA device; one with __cuda_array_interface__ or"
                f" an OrtValue is allowed: move it to the device, or use lsu.runtime.head"
            )
        place = str(owner.device_name()).lower()
        if place != "cuda":
            raise InputError(f"an OrtValue is on {place}; cuda is allowed: bind the output to the device")
        dtype = _ORT_DTYPES.get(owner.data_type())
        if dtype is None:
            raise InputError(
                f"an OrtValue is {owner.data_type()}; {', '.join(_ORT_DTYPES)} are allowed: convert it"
            )
        return cls(owner.data_ptr(), tuple(owner.shape()), dtype)


def _is_contiguous(shape: Shape, strides: Shape, itemsize: int) -> bool:
    """Whether rows follow one another; a side of one element, or an empty array, may have any stride."""
    if len(strides) != len(shape) or 0 in shape:
        return len(strides) == len(shape)
    step = itemsize
    for side, stride in zip(reversed(shape), reversed(strides), strict=True):
        if side > 1 and stride != step:
            return False
        step *= side
    return True
