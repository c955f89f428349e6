"""Scores and labels to measure the head on: a fitted student's maps of real frames, made as large as asked.

How fast the head is depends on its scores: a cell between four samples whose best classes are one class costs
far less than a mixed one. So nothing is resampled, which would smooth the borders away. A map is continued by
its own mirror images, the labels in step with it, and the share of mixed cells is kept and checked.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from lsu.runtime import VOID, Dataset, InputError, Segmenter
from lsu.runtime.bundles.bundle import Bundle
from lsu.runtime.engines import engine_for
from lsu.runtime.mixed_cells import mixed_share, mixed_share_of_classes

Scores = npt.NDArray[np.float32]
Labels = npt.NDArray[np.uint8]
Sides = tuple[int, int]

TOLERANCE = 0.02  # of the share of mixed cells, against that of the map before it was tiled
SHARE_TOLERANCE = 0.01  # of a share that was asked for
LOWERING = 0.25  # the step by which added classes are lowered
SHIFTS = (0, 7, 14, 21, 28, 35)  # samples by which a tiled map may begin inside the pattern, in y and x


@dataclass(frozen=True, eq=False)
class StudentFrame:
    """What the student says of one frame.

    Attributes:
        key: the frame's.
        scores: float32 [11, h, w], at the network's own resolution.
        labels: uint8 [H, W], the true labels, 255 = void; the scores cover exactly this picture.
    """

    key: str
    scores: Scores
    labels: Labels

    @property
    def mixed_share(self) -> float:
        """The share of mixed cells of its map."""
        return mixed_share(self.scores)


def student_frames(bundle: Path, data: Path, split: str) -> list[StudentFrame]:
    """All frames of a split of camvid11, run through the bundle's network.

    Raises:
        InputError: the bundle or the data cannot be used.
    """
    frames = Dataset.load("camvid11", data).split(split)
    opened = Bundle.open(bundle)
    if (
        opened.spec.label_space.identity != frames.label_space.identity
        or opened.spec.void_channel is not None
    ):
        raise InputError(f"{bundle}: it does not speak camvid11 without void: give a student of camvid11")
    engine = engine_for(opened, threads=1)
    segmenter = Segmenter(engine, threads=1)
    answered = []
    for frame in frames.frames:
        sample = frames.read(frame)
        scores = segmenter.scores(sample.image)
        if scores.canvas != sample.labels.shape:
            raise InputError(
                f"{bundle}: its scores cover {scores.canvas}, the picture is {sample.labels.shape}:"
                ' give a network with fit = "stretch"'
            )
        answered.append(StudentFrame(frame.key, scores.values, sample.labels))
    engine.close()
    return answered


def made_up_frames(count: int, rng: np.random.Generator) -> list[StudentFrame]:
    """Smooth noise, for tests without a student: 11 classes, maps of 48x64 for pictures of 360x480."""
    frames = []
    for k in range(count):
        noise = rng.normal(size=(48, 64, 11)).astype(np.float32)
        smooth = np.ascontiguousarray(cv2.GaussianBlur(noise, (0, 0), 5).transpose(2, 0, 1)) * 20
        labels = cv2.resize(smooth.argmax(0).astype(np.uint8), (480, 360), interpolation=cv2.INTER_NEAREST)
        labels[:20, :20] = VOID
        frames.append(StudentFrame(f"made up {k}", smooth, labels))
    return frames


def middle_first(frames: Sequence[StudentFrame]) -> list[StudentFrame]:
    """First the frame with the median share of mixed cells, then others evenly spaced over the split.

    The first one's map is what is measured; it is chosen by rule, so that nobody can choose a kind one.
    """
    ranked = sorted(frames, key=lambda frame: (frame.mixed_share, frame.key))
    middle = ranked[(len(ranked) - 1) // 2]
    others = [frame for frame in frames if frame is not middle]
    return [middle, *others[:: max(1, len(others) // 6)]]


def mirrored(positions: npt.NDArray[np.float64], length: int) -> npt.NDArray[np.float64]:
    """Places in 0 to length - 1 of positions on a row of samples that is continued by its mirror images.

    The samples at the ends are not repeated: 0 1 2 1 0 1 2. So every cell of the pattern is one of the map.
    """
    period = 2 * (length - 1)
    if period == 0:
        return np.zeros_like(positions)
    within = np.mod(positions, period)
    return np.minimum(within, period - within)


def mirror_tiled(scores: Scores, sides: Sides, shift: Sides = (0, 0)) -> Scores:
    """The map continued by its mirror images, [C, *sides], beginning `shift` samples into the pattern."""
    rows, columns = (
        mirrored(np.arange(side, dtype=np.float64) + first, length).astype(np.int64)
        for side, first, length in zip(sides, shift, scores.shape[1:], strict=True)
    )
    return np.ascontiguousarray(scores[:, rows[:, None], columns])


def tiled_labels(frame: StudentFrame, size: Sides, stride: int, shift: Sides = (0, 0)) -> Labels:
    """The true labels at every pixel of an answer of `size`, in step with `mirror_tiled` scores.

    A pixel's place among the samples is the head's own, (x + 0.5) / stride - 0.5 with half-pixel centres. It
    is mirrored as the samples are, and the label there is taken, nearest neighbour.
    """
    indices = []
    for axis, side in enumerate(size):
        length, pixels = frame.scores.shape[axis + 1], frame.labels.shape[axis]
        positions = (np.arange(side) + 0.5) / stride - 0.5 + shift[axis]
        place = (mirrored(positions, length) + 0.5) * (pixels / length)
        indices.append(np.minimum(place.astype(np.int64), pixels - 1))
    return np.ascontiguousarray(frame.labels[indices[0][:, None], indices[1]])


def nearest_shift(scores: Scores, sides: Sides, share: float) -> Sides:
    """Where a tiled map has to begin for a share of mixed cells nearest to `share`; the first at ties."""
    best = scores.argmax(0)[None].astype(np.float32)

    def distance(shift: Sides) -> float:
        return abs(mixed_share_of_classes(mirror_tiled(best, sides, shift)[0].astype(np.int64)) - share)

    return min(product(SHIFTS, repeat=2), key=distance)


def with_classes(frames: Sequence[StudentFrame], classes: int) -> Scores:
    """The first frame's map with the maps of the others as added classes, [classes, h, w].

    Added class k is class k % 11 of another frame. The added maps are lowered by the least multiple of
    `LOWERING` for which the share of mixed cells stays within 1 point of the first frame's.
    """
    first = frames[0]
    own = len(first.scores)
    needed = -(-classes // own)
    if needed > len(frames):
        raise InputError(f"{classes} classes need {needed} frames, the split has {len(frames)}: take another")
    if classes <= own:
        return first.scores[:classes]
    added = np.concatenate([frame.scores for frame in frames[1:needed]])[: classes - own]
    for step in range(1000):
        scores = np.concatenate([first.scores, added - np.float32(step * LOWERING)])
        if abs(mixed_share(scores) - first.mixed_share) <= TOLERANCE / 2:
            return scores
    raise InputError(f"the added maps of {first.key} cannot be lowered enough: their scores are too large")


def with_share(scores: Scores, share: float, rng: np.random.Generator) -> Scores:
    """The map with a share of mixed cells that is `share` or up to 1 point less.

    Too many mixed cells: each class is blurred by a Gaussian, its sigma found by halving. Too few: white
    noise is added, its height found by halving. A share of 1 is noise alone.

    Raises:
        InputError: no sigma and no height give the share.
    """
    noise = rng.normal(size=scores.shape).astype(np.float32)
    if share == 1:
        return noise
    blurs = mixed_share(scores) > share
    low, high = (0.05, 30.0) if blurs else (0.0, 20 * float(scores.std()))
    best, found = scores, mixed_share(scores)
    for _ in range(30):
        middle = (low + high) / 2
        changed = _blurred(scores, middle) if blurs else scores + np.float32(middle) * noise
        now = mixed_share(changed)
        if now <= share and abs(now - share) < abs(found - share):
            best, found = changed, now
        if 0 <= share - now <= SHARE_TOLERANCE / 4:
            break
        if (now > share) == blurs:
            low = middle
        else:
            high = middle
    if 0 <= share - found <= SHARE_TOLERANCE:
        return best
    raise InputError(
        f"a share of {share:.0%} mixed cells cannot be made of this map: it stays at {found:.1%}"
    )


def _blurred(scores: Scores, sigma: float) -> Scores:
    planes = [cv2.GaussianBlur(plane, (0, 0), sigma, borderType=cv2.BORDER_REFLECT_101) for plane in scores]
    return np.stack(planes)


def refuse_share(scores: Scores, expected: float, what: str, tolerance: float = TOLERANCE) -> float:
    """The share of mixed cells, if it is near the expected one.

    Raises:
        InputError: it is not.
    """
    found = mixed_share(scores)
    if abs(found - expected) > tolerance:
        raise InputError(
            f"{what}: {found:.1%} mixed cells where {expected:.1%} +- {tolerance:.0%} are allowed:"
            " take another split or bundle"
        )
    return found
