"""Evaluation of a segmentation against labels: confusion matrix, IoU, accuracy and boundary F.

Everything is counted in whole numbers over all frames and divided once at the end, so the result does not
depend on the order of the frames. Pixels whose truth is void count nowhere. A predicted void is an answer
that is never right: it stands in the last column of the confusion matrix.

A network can also be scored by labels of a foreign label space through a relation, see `foreign_answers`.
"""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .boundary import TOLERANCE, boundary_counts, boundary_f
from .datasets.dataset import Frame, Sample, Split
from .errors import InputError
from .label_space import VOID, LabelSpace
from .relation import Relation

Segment = Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.uint8]]
"""An image uint8 [H,W,3] RGB -> classes uint8 [H,W], 255 = void."""

Shares = tuple[float | None, ...]


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The counts of an evaluation and what follows from them.

    A share is None where it would be 0 / 0: never 0, and never part of a mean.

    Attributes:
        label_space: what rows and columns speak; C classes.
        confusion: pixels, int64 [C, C+1]: rows are the truth, columns the prediction, the last one void.
        boundaries: boundary pixels, int64 [C, 4], see boundary.py.
        frames: how many images were counted.
        tolerance: of the boundary F, a share of the image's diagonal.
        uncounted: names of classes whose pixels were left out because no answer could be right.
    """

    label_space: LabelSpace
    confusion: npt.NDArray[np.int64]
    boundaries: npt.NDArray[np.int64]
    frames: int
    tolerance: float = TOLERANCE
    uncounted: tuple[str, ...] = ()

    @property
    def iou(self) -> Shares:
        """TP / (TP + FP + FN) per class, 0 to 1 (Everingham et al., IJCV 2015).

        FN includes predicted void. None for a class without a pixel in the truth, even if it was predicted.
        """
        hits = self.confusion.diagonal()
        truth = self.confusion.sum(axis=1)
        union = truth + self.confusion[:, :-1].sum(axis=0) - hits
        return tuple(int(h) / int(u) if t else None for h, t, u in zip(hits, truth, union, strict=True))

    @property
    def mean_iou(self) -> float | None:
        """The plain mean of IoU over the classes that occur in the truth."""
        return _mean(self.iou)

    @property
    def pixel_accuracy(self) -> float | None:
        """The share of pixels with a true class whose prediction is that class."""
        total = int(self.confusion.sum())
        return int(self.confusion.trace()) / total if total else None

    @property
    def frequency_weighted_iou(self) -> float | None:
        """IoU weighted by the classes' share of true pixels (Long et al., CVPR 2015)."""
        truth = self.confusion.sum(axis=1)
        total = int(truth.sum())
        weighted = [int(t) * share for t, share in zip(truth, self.iou, strict=True) if share is not None]
        return sum(weighted) / total if total else None

    @property
    def boundary_f(self) -> Shares:
        """Boundary F per class, 0 to 1; None for a class without a boundary in the truth."""
        return boundary_f(self.boundaries)

    @property
    def mean_boundary_f(self) -> float | None:
        """The plain mean of boundary F over the classes that have a boundary in the truth."""
        return _mean(self.boundary_f)

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain JSON types."""
        rows = zip(self.label_space.names, self.confusion.sum(axis=1), self.iou, self.boundary_f, strict=True)
        return {
            "label_space": {"name": self.label_space.name, "identity": self.label_space.identity},
            "frames": self.frames,
            "pixels": int(self.confusion.sum()),
            "mean_iou": self.mean_iou,
            "pixel_accuracy": self.pixel_accuracy,
            "frequency_weighted_iou": self.frequency_weighted_iou,
            "mean_boundary_f": self.mean_boundary_f,
            "boundary_tolerance": self.tolerance,
            "classes": [
                {"name": name, "pixels": int(pixels), "iou": iou, "boundary_f": f}
                for name, pixels, iou, f in rows
            ],
            "uncounted": list(self.uncounted),
            "confusion": self.confusion.tolist(),
        }


def evaluate(  # noqa: PLR0913 - three operands and options
    segment: Segment,
    label_space: LabelSpace,
    split: Split,
    *,
    relation: Relation | None = None,
    tolerance: float = TOLERANCE,
    boundaries: bool = True,
    on_frame: Callable[[], object] = lambda: None,
) -> Evaluation:
    """Segment every frame of the split and compare with its labels.

    Args:
        segment: the network with its head.
        label_space: what `segment` answers in.
        split: a split with labels.
        relation: from `label_space` to the split's label space where they are not the same.
        tolerance: of the boundary F, a share of the image's diagonal.
        boundaries: count boundary F too, which takes several times as long as all the rest.
        on_frame: called after each frame.

    Raises:
        InputError: label spaces do not belong together, the split has no labels, or a file is damaged.
    """
    require_scorable(label_space, split, relation)
    count = len(split.label_space)
    confusion = np.zeros((count, count + 1), np.int64)
    outlines = np.zeros((count, 4), np.int64)
    for frame, sample in _read_ahead(split):
        classes, truth = segment(sample.image), sample.labels
        _require_same_size(frame, truth, classes)
        if relation is not None:
            classes, truth = foreign_answers(classes, truth, relation)
        confusion += confusion_matrix(truth, classes, count)
        if boundaries:
            outlines += boundary_counts(truth, classes, count, tolerance=tolerance)
        on_frame()
    uncounted = () if relation is None else unanswerable(relation)
    return Evaluation(split.label_space, confusion, outlines, len(split.frames), tolerance, uncounted)


def require_scorable(label_space: LabelSpace, split: Split, relation: Relation | None) -> None:
    """Raise InputError unless answers in `label_space` can be compared with the split's labels."""
    dataset = f"data set {split.dataset!r}"
    if relation is None:
        label_space.require_same(split.label_space, "the network", dataset)
    else:
        label_space.require_same(relation.source, "the network", f"the source of relation {relation.name!r}")
        relation.foreign.require_same(
            split.label_space, f"the foreign side of relation {relation.name!r}", dataset
        )
    if any(frame.label is None for frame in split.frames):
        raise InputError(f"{dataset}, split {split.name!r} has no labels to compare with; name another split")


def confusion_matrix(
    truth: npt.NDArray[np.uint8], classes: npt.NDArray[np.uint8], count: int
) -> npt.NDArray[np.int64]:
    """Pixels by truth and prediction, int64 [count, count + 1]; the last column is predicted void.

    Args:
        truth: uint8 [H,W], dense indices; 255 = void is not counted.
        classes: the prediction, uint8 [H,W] alike.
        count: the number of classes.

    Raises:
        InputError: a value is neither a class nor void.
    """
    _refuse_unknown(truth, count, "the truth")
    _refuse_unknown(classes, count, "the prediction")
    pairs = truth.astype(np.uint16) << np.uint16(8) | classes
    joint = np.bincount(pairs.ravel(), minlength=1 << 16).reshape(256, 256)
    return joint[:count, [*range(count), VOID]].astype(np.int64)


def foreign_answers(
    classes: npt.NDArray[np.uint8], labels: npt.NDArray[np.uint8], relation: Relation
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Prediction and truth in the foreign label space, uint8 [H,W] each, so that they can be compared.

    A relation may overlap: a class can belong to several labels. The prediction c at a pixel of label y is

    - y, if y allows c: it has the benefit of the doubt;
    - else the first label, in the order of the foreign label space, that allows c;
    - void, if no label allows c, or if c is void: void is never right, even where y allows it.

    A label that allows no class at all cannot be answered rightly; its pixels become void in the truth.
    Overlap only ever helps: pixel accuracy is at least that of any fixed map of classes to labels within the
    relation. IoU has no such bound, because wrong pixels all burden the first label that allows their class.

    Args:
        classes: uint8 [H,W], dense indices of `relation.source`, 255 = void.
        labels: uint8 [H,W], dense indices of `relation.foreign`, 255 = void.
        relation: which classes each label allows.

    Raises:
        InputError: a value is neither a class nor void.
    """
    _refuse_unknown(classes, len(relation.source), "the prediction")
    _refuse_unknown(labels, len(relation.foreign), "the truth")
    answer = np.full((256, 256), VOID, np.uint8)  # [label, class]
    for label in reversed(range(len(relation.foreign))):
        answer[:, sorted(relation.allowed[label] - {VOID})] = label
    kept = np.full(256, VOID, np.uint8)
    for label, members in enumerate(relation.allowed):
        answer[label, sorted(members - {VOID})] = label
        kept[label] = label if members - {VOID} else VOID
    return answer[labels, classes], kept[labels]


def unanswerable(relation: Relation) -> tuple[str, ...]:
    """Foreign labels that allow no class, so that no answer is right there."""
    rows = zip(relation.foreign.names, relation.allowed, strict=True)
    return tuple(name for name, members in rows if not members - {VOID})


def _mean(shares: Shares) -> float | None:
    known = [share for share in shares if share is not None]
    return sum(known) / len(known) if known else None


def _read_ahead(split: Split, depth: int = 2) -> Iterator[tuple[Frame, Sample]]:
    """The frames in order, decoded while the network is busy; `depth` of them wait at most."""
    waiting: deque[tuple[Frame, Future[Sample]]] = deque()
    with ThreadPoolExecutor(1) as pool:
        for frame in split.frames:
            waiting.append((frame, pool.submit(split.read, frame)))
            if len(waiting) > depth:
                ready, future = waiting.popleft()
                yield ready, future.result()
        for ready, future in waiting:
            yield ready, future.result()


def _require_same_size(frame: Frame, truth: npt.NDArray[np.uint8], classes: npt.NDArray[np.uint8]) -> None:
    if classes.dtype != np.uint8 or classes.shape != truth.shape:
        raise InputError(
            f"frame {frame.key!r}: the prediction is {classes.dtype} {classes.shape}; "
            f"uint8 {truth.shape} is needed, the size of the labels"
        )


def _refuse_unknown(values: npt.NDArray[np.uint8], count: int, what: str) -> None:
    found = np.bincount(values.ravel(), minlength=256)
    unknown = np.flatnonzero(found[count:VOID])
    if unknown.size:
        raise InputError(
            f"{what} holds the value {count + int(unknown[0])}; 0 to {count - 1} and 255 = void are possible"
        )
