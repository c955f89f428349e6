"""The relabelling of one split: reading, inference, head and writing overlap, one frame behind another.

Decoding, the network, the head and PNG encoding all release the interpreter's lock, so threads suffice.
Frames are finished in order. What is written depends on the request alone: a run that was killed and
continued leaves the same files as one that was not.
"""

import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lsu.runtime.datasets.dataset import Frame, Sample, Split
from lsu.runtime.errors import InputError
from lsu.runtime.head import Head, Labelling
from lsu.runtime.image import png_from_pixels
from lsu.runtime.model import Engine
from lsu.runtime.relation import Relation
from lsu.runtime.segmenter import Scores, Segmenter

from .journal import Entry
from .output import Output, digest_of_labels
from .summary import Summary
from .views import BASE, View, check_views, merged_scores


@dataclass(frozen=True)
class Request:
    """What to relabel and how.

    Attributes:
        split: the frames; its labels are read where there is a relation.
        relation: from the network's label space to the split's, or None for labels without constraint.
        free: allow every class wherever the relation allows one: the baseline without its knowledge.
        views: see views.py; the base view is the first.
    """

    split: Split
    relation: Relation | None
    free: bool = False
    views: tuple[View, ...] = (BASE,)

    @property
    def applied(self) -> Relation | None:
        """The relation that constrains: with `free` it allows every class wherever it allowed one."""
        return self.relation.unconstrained() if self.relation is not None and self.free else self.relation

    def __post_init__(self) -> None:
        if not self.views or self.views[0] != BASE:
            raise InputError("the first view must be the unscaled one, not mirrored")

    def check(self, engine: Engine) -> None:
        """Raise InputError unless the engine, the relation and the split belong together."""
        check_views(self.views, engine.spec)
        if self.relation is None:
            if not self.free:
                raise InputError("a relation is needed: give --relation FILE, or --free for none")
            return
        name = f"relation {self.relation.name!r}"
        engine.spec.label_space.require_same(self.relation.source, "the bundle", f"the source of {name}")
        self.relation.foreign.require_same(
            self.split.label_space, f"the foreign side of {name}", f"data set {self.split.dataset!r}"
        )
        if any(frame.label is None for frame in self.split.frames):
            raise InputError(
                f"data set {self.split.dataset!r}, split {self.split.name!r} has no labels to be constrained "
                "by; give --free without a relation"
            )

    def header(self, engine: Engine) -> dict[str, Any]:
        """What the journal holds a later run against."""
        return {
            "format": 1,
            "network": engine.identity,
            "label_space": engine.spec.label_space.identity,
            "relation": None if self.relation is None else self.relation.identity,
            "free": self.free,
            "views": [str(view) for view in self.views],
            "data": f"{self.split.dataset}/{self.split.name}",
            "images": self.split.image_glob,
            "labels": digest_of_labels(self.split),
        }


def relabel(
    engine: Engine,
    request: Request,
    out: Path,
    *,
    workers: int | None = None,
    on_frame: Callable[[int], object] = lambda _: None,
) -> Summary:
    """Write pseudo-labels for every frame; `out` becomes a data set in the engine's label space.

    A frame whose files cannot be used is recorded and left out. A second call with the same request
    continues where the first one stopped.

    Args:
        engine: the teacher.
        request: what to relabel and how.
        out: the folder; new, or one that the same request began.
        workers: threads that read, constrain and write, the machine's cores if None.
        on_frame: called with the number of frames that were done, at first for those of an earlier run.

    Raises:
        InputError: engine, relation and split do not belong together, or `out` holds something else.
        BackendError: the engine or the disk failed; what is done stays done.
    """
    request.check(engine)
    split = request.split
    with Output.opened(out, split, request.header(engine)) as output:
        left = output.frames_left()
        on_frame(len(split.frames) - len(left))
        made = _Pipeline(engine, request, output, workers or os.cpu_count() or 1).run(left)
        entries = output.finish(made, on_frame)
        output.make_dataset(f"{split.dataset}-relabelled", engine.spec.label_space, entries)
        return output.summarise(entries, request.applied)


class _Pipeline:
    """Frames to journal entries, in order, with several frames under way."""

    def __init__(self, engine: Engine, request: Request, output: Output, workers: int) -> None:
        self._segmenter = Segmenter(engine, threads=1)
        self._heads = (
            threading.local()
        )  # a head each for the pool's threads: one head answers one call at a time
        self._request = request
        self._output = output
        self._workers = workers
        relation = request.applied
        self._table = None if relation is None else relation.table(engine.spec.void_channel)

    def run(self, frames: Sequence[Frame]) -> Iterator[Entry]:
        """An entry for each frame, in order; the network runs in the caller's thread."""
        ahead = self._workers + 1
        with ThreadPoolExecutor(self._workers) as pool:
            reads: deque[Future[Sample]] = deque(pool.submit(self._read, f) for f in frames[:ahead])
            finishing: deque[Future[Entry]] = deque()
            try:
                for k, frame in enumerate(frames):
                    read = reads.popleft()
                    finishing.append(self._labelled(pool, frame, read))
                    if k + ahead < len(frames):
                        reads.append(pool.submit(self._read, frames[k + ahead]))
                    while len(finishing) > ahead:
                        yield finishing.popleft().result()
                while finishing:
                    yield finishing.popleft().result()
            finally:
                pool.shutdown(cancel_futures=True)

    def _labelled(self, pool: ThreadPoolExecutor, frame: Frame, read: Future[Sample]) -> Future[Entry]:
        try:
            sample = read.result()
            scores = merged_scores(self._segmenter, sample.image, self._request.views)
        except InputError as error:
            skipped: Future[Entry] = Future()
            skipped.set_result(Entry(frame.key, "", {}, str(error)))
            return skipped
        return pool.submit(self._finish, frame, sample.labels, scores)

    def _read(self, frame: Frame) -> Sample:
        if self._request.relation is not None:
            return self._request.split.read(frame)
        image = self._request.split.read_image(frame)
        return Sample(image, np.zeros(image.shape[:2], np.uint8))

    def _finish(self, frame: Frame, labels: npt.NDArray[np.uint8], scores: Scores) -> Entry:
        if not hasattr(self._heads, "own"):
            self._heads.own = Head(1)
        labelling: Labelling = self._heads.own(
            scores.values,
            (labels.shape[0], labels.shape[1]),
            labels=None if self._table is None else labels,
            table=self._table,
            void_channel=self._segmenter.engine.spec.void_channel,
            canvas=scores.canvas,
            agreement=True,
        )
        digest = self._output.write(frame, png_from_pixels(labelling.classes))
        present = np.flatnonzero(labelling.counts[:, :3].any(axis=1))
        counts = {int(label): _row(labelling.counts[label]) for label in present}
        return Entry(frame.key, digest, counts)


def _row(counts: npt.NDArray[np.int64]) -> tuple[int, int, int, int]:
    forced, chosen, void, agreeing = counts.tolist()
    return forced, chosen, void, agreeing
