"""The head: from low-resolution scores to one class per pixel, within what each label allows.

Relabelling, evaluation and deployment all need the same step, the best-scoring class of an allowed set at
every pixel, and it must not differ between them by a bit. This is the one Python face of it. The enlarged
scores, a hundred times the size of the answer, are never made: interpolation and argmax are one loop.
"""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from . import _native
from .errors import InputError
from .head_arguments import (
    LABELS,
    Shape,
    Sides,
    check_array,
    check_labels,
    check_table,
    checked_scale,
    checked_stack,
    checked_threads,
    checked_void_channel,
    checked_window,
)

METHODS = {"auto": _native.AUTO, "cells": _native.CELLS, "dense": _native.DENSE}


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
        self._native = _native.Head(checked_threads(threads), METHODS[method])

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
        check_array("scores", scores, (np.float32, np.float16))
        batch, channels = checked_stack(scores.shape)
        window, whole, begin = checked_window(size, canvas, offset)
        height, width = window
        check_labels(labels, table, (*batch, height, width))
        if table is not None:
            check_table(table, channels, rows=1 if labels is None else LABELS)
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
            size=window,
            canvas=whole,
            offset=begin,
            void_channel=checked_void_channel(void_channel, channels),
            margin_scale=checked_scale(margin_scale),
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
    check_array(name, array, (dtype,))
    if array.shape != shape:
        raise InputError(f"{name} is {array.shape}; {shape} is needed: reuse the answer of a like call")
    if not array.flags.writeable:
        raise InputError(f"{name} is read-only; it is to be overwritten: give writable memory")
