"""What the arguments of the head have to be, on the CPU and on a device: one sentence for each fault.

The compiled head checks them again and tells a fault by a number; here is who says what came, what is
allowed and how to mend it.
"""

import numbers
import operator
import os
from typing import SupportsIndex

import numpy as np
import numpy.typing as npt

from .errors import InputError

MAX_CLASSES = 255
MAX_SIDE = 1 << 23
LABELS = 256
MAX_THREADS = 1 << 16  # a bound against slips; no machine has more cores

Sides = tuple[int, int]
Shape = tuple[int, ...]


def check_array(name: str, array: object, dtypes: tuple[type[np.generic], ...]) -> None:
    """A numpy array of one of these types, contiguous and aligned."""
    allowed = " or ".join(dtype.__name__ for dtype in dtypes)
    if not isinstance(array, np.ndarray):
        raise InputError(
            f"{name} is a {type(array).__name__}; a numpy array of {allowed} is allowed: convert it"
        )
    if array.dtype not in [np.dtype(dtype) for dtype in dtypes]:
        raise InputError(
            f"{name} is {array.dtype!s}; {allowed} is allowed: use .astype(np.{dtypes[0].__name__})"
        )
    if not (array.flags.c_contiguous and array.flags.aligned):
        raise InputError(
            f"{name} {array.shape} has strides {array.strides}; contiguous, aligned memory is allowed:"
            f" use np.ascontiguousarray, or .copy() if it is misaligned"
        )


def checked_stack(shape: Shape) -> tuple[Shape, int]:
    """From the scores' shape: the batch, (N,) or nothing, and the number of classes."""
    if len(shape) not in (3, 4):
        raise InputError(
            f"scores have shape {shape}; [C, h, w] or [N, C, h, w] is allowed: add or drop dimensions"
        )
    *batch, channels, height, width = shape
    if not 1 <= channels <= MAX_CLASSES:
        raise InputError(
            f"scores have {channels} classes; 1 to {MAX_CLASSES} are allowed: bring them as [C, h, w]"
        )
    if not all(1 <= side <= MAX_SIDE for side in (height, width)):
        raise InputError(
            f"scores are {height}x{width}; a side of 1 to {MAX_SIDE} is allowed: crop or tile them"
        )
    return tuple(batch), channels


def checked_window(size: Sides, canvas: Sides | None, offset: Sides) -> tuple[Sides, Sides, Sides]:
    """The size, the canvas (`size` if None) and the offset, the window inside the canvas."""
    answer = _checked_sides("size", size)
    whole = answer if canvas is None else _checked_sides("canvas", canvas)
    begin = _checked_sides("offset", offset)
    if any(first + side > room for first, side, room in zip(begin, answer, whole, strict=True)):
        raise InputError(
            f"the window {answer[0]}x{answer[1]} at {begin} reaches outside the canvas"
            f" {whole[0]}x{whole[1]}: shrink size or give a canvas of at least"
            f" {begin[0] + answer[0]}x{begin[1] + answer[1]}"
        )
    return answer, whole, begin


def check_company(labels: object, table: object) -> None:
    """Labels mean nothing without a table."""
    if labels is not None and table is None:
        raise InputError(
            "labels came without a table; both or neither are allowed: give the relation's table"
        )


def _checked_sides(name: str, sides: Sides) -> Sides:
    try:
        first, second = (operator.index(side) for side in sides)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{name} is {sides!r}; two integers (y, x) are allowed: give (height, width) or (y, x)"
        ) from error
    if not (0 <= first <= MAX_SIDE and 0 <= second <= MAX_SIDE):
        raise InputError(f"{name} is {first}x{second}; 0 to {MAX_SIDE} is allowed for each: crop or tile")
    return first, second


def check_labels(labels: npt.NDArray[np.uint8] | None, table: object, shape: Shape) -> None:
    """A map of bytes of the answer's shape, and a table beside it."""
    if labels is None:
        return
    check_array("labels", labels, (np.uint8,))
    if labels.shape != shape:
        raise InputError(f"labels are {labels.shape}; {shape} is allowed: crop, pad or tile them alike")
    check_company(labels, table)


def check_table(table: npt.NDArray[np.uint64], channels: int, *, rows: int) -> None:
    """So many rows of whole words, no bit at or beyond the number of classes."""
    check_array("table", table, (np.uint64,))
    shape = (rows, -(-channels // 64))
    if table.shape != shape:
        labels = "without labels" if rows == 1 else "with labels"
        raise InputError(
            f"table is {table.shape}; {shape} is allowed for {channels} classes {labels}:"
            f" use the relation of this label space"
        )
    if channels % 64 and np.any(table[:, -1] >> np.uint64(channels % 64)):
        row = int(np.flatnonzero(table[:, -1] >> np.uint64(channels % 64))[0])
        raise InputError(
            f"table row {row} has a bit at or beyond class {channels}; classes below it are allowed:"
            f" use the relation of this label space"
        )


def checked_void_channel(void_channel: int | None, channels: int) -> int:
    """A class, or -1 for none."""
    if void_channel is None:
        return -1
    channel = checked_integer("void_channel", void_channel)
    if not 0 <= channel < channels:
        raise InputError(
            f"void_channel is {channel}; 0 to {channels - 1} is allowed: give None if no class stands for it"
        )
    return channel


def checked_integer(name: str, value: object) -> int:
    """Anything that counts as an integer, numpy's included."""
    if not isinstance(value, SupportsIndex):
        raise InputError(f"{name} is {value!r}; an integer is allowed: use int()")
    return operator.index(value)


def checked_scale(margin_scale: object) -> float:
    """A number above 0 that is normal in float32."""
    if not isinstance(margin_scale, numbers.Real):
        raise InputError(f"margin_scale is {margin_scale!r}; a number above 0 is allowed: use float()")
    limits, scale = np.finfo(np.float32), float(margin_scale)
    if not limits.tiny <= scale <= limits.max:
        raise InputError(
            f"margin_scale is {margin_scale}; a finite float32 above 0 is allowed:"
            f" give the lead that counts as clear"
        )
    return scale


def checked_threads(threads: int | None) -> int:
    """How many threads to compute on."""
    if threads is None:
        return len(os.sched_getaffinity(0))
    count = checked_integer("threads", threads)
    if count < 1:
        raise InputError(f"threads is {count}; 1 or more is allowed: give None for all that are free")
    return min(count, MAX_THREADS)
