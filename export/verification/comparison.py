"""How far one backend's answers lie from the reference's: pixels, scores, IoU, boundaries, worst images.

Everything is counted over all images and divided once at the end. Classes are scored against the labels
where there are labels; where there are none the reference's own answer is the truth, so its IoU is 1 and a
backend's says how far it is off.
"""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from lsu.runtime.boundary import boundary_counts
from lsu.runtime.evaluate import Evaluation, confusion_matrix
from lsu.runtime.label_space import LabelSpace

from .answers import Answer, Classes
from .scores_check import ScoresCheck

_Worst = tuple[int, int, "WorstImage"]


@dataclass(frozen=True, eq=False)
class WorstImage:
    """An image in which a backend differs, to be looked at.

    Attributes:
        name: the image's.
        image: uint8 [H,W,3] RGB.
        reference: uint8 [H,W], 255 = void.
        other: the backend's, alike.
    """

    name: str
    image: npt.NDArray[np.uint8]
    reference: Classes
    other: Classes

    @property
    def different(self) -> int:
        """How many pixels differ."""
        return int((self.reference != self.other).sum())


@dataclass(frozen=True)
class ImageResult:
    """One image.

    Attributes:
        name: the image's.
        pixels: how many it has.
        different: how many of them got another class.
        largest: the largest difference of a score; infinite where a score is not finite or shapes differ.
        share: the same, as a share of the range of the reference's scores.
    """

    name: str
    pixels: int
    different: int
    largest: float
    share: float

    @property
    def equal(self) -> float:
        """The share of pixels with the same class."""
        return 1 - self.different / self.pixels


@dataclass(frozen=True, eq=False)
class Comparison:
    """One backend in one mode against the reference.

    Attributes:
        backend: its name.
        mode: `free`, or whose constraint.
        least: the asked share of equal pixels.
        images: one result each.
        evaluation: of the backend's classes, or None where the mode is not scored.
        reference: of the reference's classes, on the same truth.
        worst: the images with most different pixels, worst first; none that is equal.
        checks: Polygraphy's verdicts on the scores, one per image; empty where it is not installed.
    """

    backend: str
    mode: str
    least: float
    images: tuple[ImageResult, ...]
    evaluation: Evaluation | None
    reference: Evaluation | None
    worst: tuple[WorstImage, ...] = ()
    checks: tuple[ScoresCheck, ...] = ()

    @property
    def pixels(self) -> int:
        """Of all images."""
        return sum(image.pixels for image in self.images)

    @property
    def different(self) -> int:
        """How many of them got another class."""
        return sum(image.different for image in self.images)

    @property
    def equal(self) -> float:
        """The share of all pixels with the same class."""
        return 1 - self.different / self.pixels

    @property
    def passed(self) -> bool:
        """Whether enough pixels are equal, and all scores finite and of one shape."""
        return self.equal >= self.least and all(np.isfinite(image.largest) for image in self.images)

    def to_dict(self) -> dict[str, Any]:
        """Everything but the pictures as plain JSON types."""
        return {
            "backend": self.backend,
            "mode": self.mode,
            "passed": self.passed,
            "asked": self.least,
            "pixels": self.pixels,
            "different": self.different,
            "equal": self.equal,
            "equal_worst_image": min(image.equal for image in self.images),
            "largest_score_difference": max(image.largest for image in self.images),
            "largest_difference_of_range": max(image.share for image in self.images),
            **_scored(self.evaluation, self.reference),
            "polygraphy": [check.to_dict() for check in self.checks],
            "images": [{**vars(image), "equal": image.equal} for image in self.images],
        }


def _scored(other: Evaluation | None, reference: Evaluation | None) -> dict[str, Any]:
    if other is None or reference is None:
        return {"mean_iou": None, "mean_boundary_f": None, "classes": []}
    rows = zip(
        other.label_space.names, other.iou, reference.iou, other.boundary_f, reference.boundary_f, strict=True
    )
    return {
        "mean_iou": other.mean_iou,
        "mean_iou_difference": _minus(other.mean_iou, reference.mean_iou),
        "mean_boundary_f": other.mean_boundary_f,
        "mean_boundary_f_difference": _minus(other.mean_boundary_f, reference.mean_boundary_f),
        "classes": [
            {
                "name": name,
                "iou": iou,
                "iou_difference": _minus(iou, base),
                "boundary_f": f,
                "boundary_f_difference": _minus(f, base_f),
            }
            for name, iou, base, f, base_f in rows
        ],
    }


def _minus(value: float | None, base: float | None) -> float | None:
    return None if value is None or base is None else value - base


@dataclass
class Tally:
    """The counts of one set of answers while images come in; `evaluation` ends it."""

    label_space: LabelSpace
    confusion: npt.NDArray[np.int64] = field(init=False)
    outlines: npt.NDArray[np.int64] = field(init=False)
    frames: int = 0

    def __post_init__(self) -> None:
        count = len(self.label_space)
        self.confusion = np.zeros((count, count + 1), np.int64)
        self.outlines = np.zeros((count, 4), np.int64)

    def add(self, truth: Classes, classes: Classes) -> None:
        """One more image, uint8 [H,W] each."""
        count = len(self.label_space)
        self.confusion += confusion_matrix(truth, classes, count)
        self.outlines += boundary_counts(truth, classes, count)
        self.frames += 1

    def evaluation(self) -> Evaluation:
        """What follows from the counts."""
        return Evaluation(self.label_space, self.confusion, self.outlines, self.frames)


class Comparing:
    """Collects one backend's answers in one mode."""

    def __init__(self, backend: str, mode: str, *, least: float, worst: int) -> None:
        """Nothing yet; `worst` images are kept with their pixels."""
        self.backend, self.mode = backend, mode
        self._least, self._most_kept = least, worst
        self._images: list[ImageResult] = []
        self._kept: list[_Worst] = []

    def add(self, name: str, image: npt.NDArray[np.uint8], reference: Answer, other: Answer) -> None:
        """One more image uint8 [H,W,3] with both answers, which know this mode."""
        ours, theirs = reference.classes[self.mode], other.classes[self.mode]
        largest = _largest_difference(reference.scores, other.scores)
        extent = max(float(np.ptp(reference.scores)), 1e-6)
        seen = WorstImage(name, image, ours, theirs)
        result = ImageResult(name, ours.size, seen.different, largest, largest / extent)
        self._images.append(result)
        if result.different and self._most_kept:
            heapq.heappush(self._kept, (result.different, -len(self._images), seen))
            if len(self._kept) > self._most_kept:
                heapq.heappop(self._kept)

    def comparison(
        self,
        evaluation: Evaluation | None = None,
        reference: Evaluation | None = None,
        checks: Sequence[ScoresCheck] = (),
    ) -> Comparison:
        """What follows from all images."""
        return Comparison(
            backend=self.backend,
            mode=self.mode,
            least=self._least,
            images=tuple(self._images),
            evaluation=evaluation,
            reference=reference,
            worst=tuple(entry[2] for entry in sorted(self._kept, key=lambda e: e[:2], reverse=True)),
            checks=tuple(checks),
        )


def _largest_difference(ours: npt.NDArray[np.float32], theirs: npt.NDArray[np.float32]) -> float:
    if ours.shape != theirs.shape or not (np.isfinite(ours).all() and np.isfinite(theirs).all()):
        return float("inf")
    return float(np.abs(ours - theirs).max())
