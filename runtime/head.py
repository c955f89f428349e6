"""The head: from low-resolution scores to one class per pixel, within what each label allows.

Relabelling, evaluation and deployment all need the same step, the best-scoring class of an allowed set at
every pixel, and it must not differ between them by a bit. This is the one Python face of it. The enlarged
scores, a hundred times the size of the answer, are never made: interpolation and argmax are one loop.
"""

import numbers
import operator
import os
from dataclasses import dataclass
from itertools import combinations
from typing import SupportsIndex

import numpy as np
import numpy.typing as npt

from . import _native
from .errors import InputError

VOID = 255
MAX_CLASSES = 255
MAX_SIDE = 1 << 23
LABELS = 256
MAX_THREADS = 1 << 16  # a bound against slips; no machine has more cores

METHODS = {"auto": _native.AUTO, "cells": _native.CELLS, "dense": _native.DENSE}

Sides = tuple[int, int]
Shape = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Labelling:
    """What the head answers. For a batch each array has a first axis N.

    Attributes:
        classes: uint8 [H, W]; a class id, or 255 = void.
        counts: int64 [256, 3], pixels per label (without labels all are under row 0): forced (one class
            allowed and written), chosen (the best of several), void (255 written, for whatever reason). Each
            pixel is in exactly one of them. With agreement [256, 4]: also the pixels, void ones included,
            where the argmax over all classes gives the same byte.
        margin: uint8 [H, W], or None if it was not asked for: the lead of the answer over the best other
            allowed class, 255 = `margin_scale` or more. 255 where no other class could win, 0 where void.
    """

    classes: npt.NDArray[np.uint8]
    counts: npt.NDArray[np.int64]
    margin: npt.NDArray[np.uint8] | None = None

    def __post_init__(self) -> None:
        """Check that the arrays belong together."""
        if self.margin is not None and self.margin.shape != self.classes.shape:
            raise InputError(f"margin is {self.margin.shape} and classes {self.classes.shape}: give one size")


class Head:
    """The constrained argmax with threads and memory that are kept from call to call.

    Calls from several threads wait for one another. After a fork the child's calls compute on one thread; a
    head that was answering at that moment must not be used in the child.

    Args:
        threads: how many to compute on, as many as this process may use if None; 1 starts none.
        method: "cells" interpolates only the classes that can win between four samples, "dense" all of them,
            "auto" takes per tile what is expected to be faster. The answer is the same to the bit.

    Raises:
        InputError: an argument does not fit.
    """

    def __init__(self, threads: int | None = None, *, method: str = "auto") -> None:
        if not isinstance(method, str) or method not in METHODS:
            raise InputError(f"method is {method!r}; {', '.join(METHODS)} are allowed: leave it out")
        self._native = _native.Head(_checked_threads(threads), METHODS[method])

    def __call__(  # noqa: PLR0913 - one operator; its arguments are explained below
        self,
        scores: npt.NDArray[np.float32] | npt.NDArray[np.float16],
        size: Sides,
        *,
        labels: npt.NDArray[np.uint8] | None = None,
        table: npt.NDArray[np.uint64] | None = None,
        void_channel: int | None = None,
        canvas: Sides | None = None,
        offset: Sides = (0, 0),
        margin: bool = False,
        agreement: bool = False,
        margin_scale: float = 1.0,
        out: Labelling | None = None,
    ) -> Labelling:
        """The best-scoring allowed class of every pixel.

        Arguments, answer and errors are those of `constrained_argmax`. Besides, `out` takes the arrays of an
        earlier answer to a call of the same shapes and options: they are overwritten and returned. Calls that
        run at the same time need an `out` each.
        """
        batch, channels = _checked_scores(scores)
        height, width = answer = _checked_sides("size", size)
        whole = answer if canvas is None else _checked_sides("canvas", canvas)
        begin = _checked_sides("offset", offset)
        _check_window(answer, whole, begin)
        _check_labels(labels, table, (*batch, height, width))
        if table is not None:
            _check_table(table, channels, rows=1 if labels is None else LABELS)
        shapes = ((*batch, height, width), (*batch, LABELS, 4 if agreement else 3))
        answered = _empty(shapes, margin=margin) if out is None else _checked_out(out, shapes, margin=margin)
        if out is not None:
            _check_apart(answered, {"scores": scores, "labels": labels, "table": table})
        self._native.answer(
            scores if batch else scores[None],
            labels if batch or labels is None else labels[None],
            table,
            answered.classes if batch else answered.classes[None],
            answered.counts if batch else answered.counts[None],
            answered.margin if batch or answered.margin is None else answered.margin[None],
            size=answer,
            canvas=whole,
            offset=begin,
            void_channel=_checked_void_channel(void_channel, channels),
            margin_scale=_checked_scale(margin_scale),
        )
        return answered


def constrained_argmax(  # noqa: PLR0913 - one operator, and all but two of these are options
    scores: npt.NDArray[np.float32] | npt.NDArray[np.float16],
    size: Sides,
    *,
    labels: npt.NDArray[np.uint8] | None = None,
    table: npt.NDArray[np.uint64] | None = None,
    void_channel: int | None = None,
    canvas: Sides | None = None,
    offset: Sides = (0, 0),
    threads: int | None = None,
    margin: bool = False,
    agreement: bool = False,
    margin_scale: float = 1.0,
) -> Labelling:
    """The best-scoring allowed class of every pixel; ties go to the lowest class id.

    Scores are interpolated bilinearly with half-pixel centres, as by torch with `align_corners=False` and a
    given size, in float32. A label that allows one class gets it whatever the scores. A sample that is not
    finite takes its class out of the running wherever it is one of the four neighbours. No class left gives
    void. Who answers many images keeps a `Head`.

    Args:
        scores: float32 or float16 [C, h, w] or a batch [N, C, h, w], contiguous, C from 1 to 255.
        size: (H, W) of the answer; a side may be 0.
        labels: uint8 [H, W], or [N, H, W] for a batch, contiguous, dense indices of a foreign label space,
            255 = void.
        table: uint64 [256, ceil(C / 64)] with labels, [1, ceil(C / 64)] without; bit c of row y, that is
            bit c % 64 of word c // 64, says that label y allows class c. Row 255 is the row of void labels.
            None allows all.
        void_channel: the class that stands for void; where it wins, 255 is written.
        canvas: (H, W) of what the scores cover, `size` if None.
        offset: (y, x) on the canvas where the answer begins.
        threads: how many to compute on, as many as this process may use if None; 1 starts none.
        margin: also answer the margin.
        agreement: also count the agreement with the argmax over all classes.
        margin_scale: the margin that becomes 255, in the unit of the scores, above 0.

    Raises:
        InputError: an argument does not fit; nothing is computed.
        MemoryError: no room for the answer.
    """
    return Head(threads)(
        scores,
        size,
        labels=labels,
        table=table,
        void_channel=void_channel,
        canvas=canvas,
        offset=offset,
        margin=margin,
        agreement=agreement,
        margin_scale=margin_scale,
    )


def _empty(shapes: tuple[Shape, Shape], *, margin: bool) -> Labelling:
    maps, counts = shapes
    lead = np.empty(maps, np.uint8) if margin else None
    return Labelling(np.empty(maps, np.uint8), np.empty(counts, np.int64), lead)


def _checked_out(out: object, shapes: tuple[Shape, Shape], *, margin: bool) -> Labelling:
    maps, counts = shapes
    if not isinstance(out, Labelling):
        raise InputError(
            f"out is a {type(out).__name__}; a Labelling is allowed: reuse the answer of a like call"
        )
    _check_out("out.classes", out.classes, np.uint8, maps)
    _check_out("out.counts", out.counts, np.int64, counts)
    if (out.margin is not None) != margin:
        given = "no margin" if out.margin is None else "a margin"
        raise InputError(f"out has {given}, and margin={margin} was asked: reuse the answer of a like call")
    if out.margin is not None:
        _check_out("out.margin", out.margin, np.uint8, maps)
    return out


def _check_apart(out: Labelling, inputs: dict[str, object]) -> None:
    """Refuse an output that shares memory with an input or with another output."""
    outputs = {"out.classes": out.classes, "out.counts": out.counts, "out.margin": out.margin}
    given = {name: array for name, array in (outputs | inputs).items() if isinstance(array, np.ndarray)}
    for one, other in combinations(given, 2):
        if one in outputs and np.may_share_memory(given[one], given[other]):
            raise InputError(f"{one} shares memory with {other}; each needs its own: give it a copy")


def _check_out(name: str, array: npt.NDArray[np.generic], dtype: type[np.generic], shape: Shape) -> None:
    _check_array(name, array, (dtype,))
    if array.shape != shape:
        raise InputError(f"{name} is {array.shape}; {shape} is needed: reuse the answer of a like call")
    if not array.flags.writeable:
        raise InputError(f"{name} is read-only; it is to be overwritten: give writable memory")


def _checked_scores(scores: npt.NDArray[np.generic]) -> tuple[Shape, int]:
    """The batch, (N,) or nothing, and the number of classes."""
    _check_array("scores", scores, (np.float32, np.float16))
    if scores.ndim not in (3, 4):
        raise InputError(
            f"scores have shape {scores.shape}; [C, h, w] or [N, C, h, w] is allowed: add or drop dimensions"
        )
    *batch, channels, height, width = scores.shape
    if not 1 <= channels <= MAX_CLASSES:
        raise InputError(
            f"scores have {channels} classes; 1 to {MAX_CLASSES} are allowed: bring them as [C, h, w]"
        )
    if not all(1 <= side <= MAX_SIDE for side in (height, width)):
        raise InputError(
            f"scores are {height}x{width}; a side of 1 to {MAX_SIDE} is allowed: crop or tile them"
        )
    return tuple(batch), channels


def _check_array(name: str, array: object, dtypes: tuple[type[np.generic], ...]) -> None:
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


def _check_window(size: Sides, canvas: Sides, offset: Sides) -> None:
    if any(begin + side > whole for begin, side, whole in zip(offset, size, canvas, strict=True)):
        raise InputError(
            f"the window {size[0]}x{size[1]} at {offset} reaches outside the canvas {canvas[0]}x{canvas[1]}:"
            f" shrink size or give a canvas of at least {offset[0] + size[0]}x{offset[1] + size[1]}"
        )


def _check_labels(labels: npt.NDArray[np.uint8] | None, table: object, shape: Shape) -> None:
    if labels is None:
        return
    _check_array("labels", labels, (np.uint8,))
    if labels.shape != shape:
        raise InputError(f"labels are {labels.shape}; {shape} is allowed: crop, pad or tile them alike")
    if table is None:
        raise InputError(
            "labels came without a table; both or neither are allowed: give the relation's table"
        )


def _check_table(table: npt.NDArray[np.uint64], channels: int, *, rows: int) -> None:
    _check_array("table", table, (np.uint64,))
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


def _checked_void_channel(void_channel: int | None, channels: int) -> int:
    if void_channel is None:
        return -1
    channel = _checked_integer("void_channel", void_channel)
    if not 0 <= channel < channels:
        raise InputError(
            f"void_channel is {channel}; 0 to {channels - 1} is allowed: give None if no class stands for it"
        )
    return channel


def _checked_integer(name: str, value: object) -> int:
    if not isinstance(value, SupportsIndex):
        raise InputError(f"{name} is {value!r}; an integer is allowed: use int()")
    return operator.index(value)


def _checked_scale(margin_scale: object) -> float:
    if not isinstance(margin_scale, numbers.Real):
        raise InputError(f"margin_scale is {margin_scale!r}; a number above 0 is allowed: use float()")
    limits, scale = np.finfo(np.float32), float(margin_scale)
    if not limits.tiny <= scale <= limits.max:
        raise InputError(
            f"margin_scale is {margin_scale}; a finite float32 above 0 is allowed:"
            f" give the lead that counts as clear"
        )
    return scale


def _checked_threads(threads: int | None) -> int:
    if threads is None:
        return len(os.sched_getaffinity(0))
    count = _checked_integer("threads", threads)
    if count < 1:
        raise InputError(f"threads is {count}; 1 or more is allowed: give None for all that are free")
    return min(count, MAX_THREADS)
