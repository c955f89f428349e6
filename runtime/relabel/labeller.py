"""Frames to written labels: reading, the teacher, the head and writing overlap, one frame behind another.

Decoding, networks, the head and PNG encoding all release the interpreter's lock, so threads suffice.
"""

import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from lsu.runtime.datasets.dataset import Frame, Sample
from lsu.runtime.errors import InputError
from lsu.runtime.head import Head, Labelling
from lsu.runtime.image import png_from_pixels
from lsu.runtime.segmenter import Scores

from .confidence import class_sums, forced, relative_confidence, sixteen_bits
from .journal import Entry
from .output import CANDIDATES, CONFIDENCE, SCORES, Output
from .request import Request
from .score_grid import probabilities_of
from .score_writer import ScoreWriter, kept_kind, kept_values
from .teachers import Teacher


class Labeller:
    """Frames to journal entries, in order, with several frames under way.

    Args:
        teacher: gives the scores.
        request: what is wanted of them.
        output: where the files go.
        workers: threads that read, constrain and write.
    """

    def __init__(self, teacher: Teacher, request: Request, output: Output, workers: int) -> None:
        self._teacher = teacher
        # A head each for the pool's threads: one head answers one call at a time.
        self._heads = threading.local()
        self._request = request
        self._output = output
        self._workers = workers
        relation = request.applied
        self._table = None if relation is None else relation.table(teacher.void_channel)
        self._writer = _writer(teacher, output) if request.keep_scores else None

    def run(self, frames: Sequence[Frame]) -> Iterator[Entry]:
        """An entry for each frame, in order; the teacher runs in the caller's thread."""
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
            scores = self._teacher.scores(frame, sample.image)
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
        size = (labels.shape[0], labels.shape[1])
        kept = ""
        if self._writer is not None:
            try:
                values = kept_values(scores.values, self._teacher.kind)
                kept = self._writer.write(
                    self._request.split.name, frame.key, values, size, canvas=scores.canvas
                )
            except InputError as error:
                return Entry(frame.key, "", {}, str(error))
        if self._request.confidence is not None:
            return self._finish_confident(frame, labels, probabilities_of(scores, self._teacher.kind), kept)
        labelling = self._answer(labels, scores)
        digest = self._output.write(frame, png_from_pixels(labelling.classes))
        return Entry(frame.key, digest, _counts_of(labelling), scores=kept)

    def _finish_confident(
        self, frame: Frame, labels: npt.NDArray[np.uint8], probabilities: Scores, kept: str
    ) -> Entry:
        labelling = self._answer(labels, probabilities)
        size = (labels.shape[0], labels.shape[1])
        confidence = sixteen_bits(relative_confidence(probabilities, size, labels=labels, table=self._table))
        by_labels = forced(labels, size, self._table, len(probabilities.values))
        return Entry(
            frame.key,
            self._output.write(frame, png_from_pixels(labelling.classes), CANDIDATES),
            _counts_of(labelling),
            scores=kept,
            confidence=self._output.write(frame, png_from_pixels(confidence), CONFIDENCE),
            sums=class_sums(labelling.classes, confidence, by_labels),
        )

    def _answer(self, labels: npt.NDArray[np.uint8], scores: Scores) -> Labelling:
        if not hasattr(self._heads, "own"):
            self._heads.own = Head(1)
        labelling: Labelling = self._heads.own(
            scores.values,
            (labels.shape[0], labels.shape[1]),
            labels=None if self._table is None else labels,
            table=self._table,
            void_channel=self._teacher.void_channel,
            canvas=scores.canvas,
            agreement=True,
        )
        return labelling


def _writer(teacher: Teacher, output: Output) -> ScoreWriter:
    void = teacher.void_channel is not None
    kind = kept_kind(teacher.kind)
    return ScoreWriter(output.folder / SCORES, teacher.label_space, kind=kind, void_channel=void)


def _counts_of(labelling: Labelling) -> dict[int, tuple[int, int, int, int]]:
    present = np.flatnonzero(labelling.counts[:, :3].any(axis=1))
    return {int(label): _row(labelling.counts[label]) for label in present}


def _row(counts: npt.NDArray[np.int64]) -> tuple[int, int, int, int]:
    forced, chosen, void, agreeing = counts.tolist()
    return forced, chosen, void, agreeing
