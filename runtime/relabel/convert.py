"""Labels written into another label space without a network, where each label has one answer."""

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from lsu.runtime.datasets.dataset import Frame, Split
from lsu.runtime.errors import InputError
from lsu.runtime.image import png_from_pixels
from lsu.runtime.label_space import VOID
from lsu.runtime.relation import Relation

from .journal import Entry
from .output import Output, digest_of_labels
from .summary import Summary

_SHOWN = 5


@dataclass(frozen=True)
class Conversion:
    """What to convert: n labels to one class each.

    Attributes:
        split: the frames; images are not read.
        relation: from the label space that is wanted to the split's.
        undecided_void: write void for a label that allows several answers, instead of refusing.
    """

    split: Split
    relation: Relation
    undecided_void: bool = False

    def check(self) -> None:
        """Raise InputError unless relation and labels belong together and each label has one answer."""
        split, relation = self.split, self.relation
        relation.foreign.require_same(
            split.label_space,
            f"the foreign side of relation {relation.name!r}",
            f"data set {split.dataset!r}",
        )
        if any(frame.label is None for frame in split.frames):
            raise InputError(f"data set {split.dataset!r}, split {split.name!r} has no labels to convert")
        if not self.undecided_void:
            self._refuse_choices()

    def _refuse_choices(self) -> None:
        choices = [
            f"{label} ({', '.join(self.relation.names_of(members))})"
            for label, members in self._rows()
            if len(members) > 1
        ]
        if choices:
            more = f" and {len(choices) - _SHOWN} more" if len(choices) > _SHOWN else ""
            raise InputError(
                f"relation {self.relation.name!r} leaves a choice, which needs a teacher (lsu relabel), for "
                f"{', '.join(choices[:_SHOWN])}{more}: give --undecided-void to write void there"
            )

    def _rows(self) -> list[tuple[str, frozenset[int]]]:
        relation = self.relation
        return [*zip(relation.foreign.names, relation.allowed, strict=True), ("void", relation.void_allowed)]

    @cached_property
    def answers(self) -> npt.NDArray[np.uint8]:
        """Foreign label -> class, uint8 [256]; void where a label has no one answer."""
        table = np.full(256, VOID, np.uint8)
        for label, members in [*enumerate(self.relation.allowed), (VOID, self.relation.void_allowed)]:
            if len(members) == 1:
                table[label] = next(iter(members))
        return table

    def header(self) -> dict[str, Any]:
        """What the journal holds a later run against."""
        return {
            "format": 1,
            "conversion": self.relation.identity,
            "undecided_void": self.undecided_void,
            "data": f"{self.split.dataset}/{self.split.name}",
            "images": self.split.image_glob,
            "labels": digest_of_labels(self.split),
        }


def convert(
    request: Conversion,
    out: Path,
    *,
    workers: int | None = None,
    on_frame: Callable[[int], object] = lambda _: None,
) -> Summary:
    """Write the labels of every frame in the relation's source label space; `out` becomes a data set.

    A frame whose label file cannot be used is recorded and left out. A second call with the same request
    continues where the first one stopped.

    Args:
        request: what to convert.
        out: the folder; new, or one that the same request began.
        workers: threads, the machine's cores if None.
        on_frame: called with the number of frames that were done, at first for those of an earlier run.

    Raises:
        InputError: a label leaves a choice, relation and split do not belong together, or `out` holds
            something else.
        BackendError: the disk failed; what is done stays done.
    """
    request.check()
    split = request.split
    with Output.opened(out, split, request.header()) as output:
        left = output.frames_left()
        on_frame(len(split.frames) - len(left))
        entries = output.finish(_converted(request, output, left, workers or os.cpu_count() or 1), on_frame)
        space = request.relation.source
        output.make_dataset(f"{split.dataset}-as-{space.name}", space, entries)
        return output.summarise(entries, request.relation)


def _converted(request: Conversion, output: Output, frames: Sequence[Frame], workers: int) -> Iterator[Entry]:
    """An entry for each frame, in order, with a few frames under way."""
    with ThreadPoolExecutor(workers) as pool:
        coming = iter(frames)
        under_way: deque[Future[Entry]] = deque()
        try:
            for frame in coming:
                under_way.append(pool.submit(_entry_of_frame, request, output, frame))
                if len(under_way) > 2 * workers:
                    yield under_way.popleft().result()
            while under_way:
                yield under_way.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


def _entry_of_frame(request: Conversion, output: Output, frame: Frame) -> Entry:
    try:
        labels = request.split.read_labels(frame)
    except InputError as error:
        return Entry(frame.key, "", {}, str(error))
    classes = cv2.LUT(labels, request.answers).astype(np.uint8, copy=False)  # [H,W]
    digest = output.write(frame, png_from_pixels(classes))
    pixels = np.bincount(labels.ravel(), minlength=256)
    counts = {}
    for label in np.flatnonzero(pixels).tolist():
        n = int(pixels[label])
        counts[label] = (0, 0, n, 0) if request.answers[label] == VOID else (n, 0, 0, 0)
    return Entry(frame.key, digest, counts)
