"""Which frame is drawn when: a pure function of the seed and the sample's number.

Nothing is remembered between samples, so a fit that was interrupted continues with exactly the samples
that it would have seen, on any number of worker processes and devices.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from lsu.runtime import InputError

from .centroids import Centroids

_EPOCH, _AUGMENT, _PASS = 0, 1, 2  # independent streams of one seed


@dataclass(frozen=True)
class Draw:
    """One sample: the data entry, the frame's position in it, and the generator for its augmentation.

    `focus` is the (y, x) in the frame that its crop has to contain, None where any crop will do.
    """

    entry: int
    frame: int
    generator: np.random.Generator
    focus: tuple[float, float] | None = None


@dataclass(frozen=True)
class ClassShare:
    """The share of an epoch that is drawn class by class, around centroids.

    Of an epoch of n samples each of C classes gets int(share n / C) times its boost, shuffled passes over
    its centroids; a class without any leaves its part to the other frames.

    Attributes:
        centroids: where the classes are.
        share: 0 to 1; 0.5 in the authors' code.
        boosts: a factor for each class.
    """

    centroids: Centroids
    share: float
    boosts: tuple[float, ...]

    def count(self, dense: int, samples: int) -> int:
        """How many samples of an epoch a class gets."""
        return int(self.boosts[dense] * int(self.share * samples / len(self.boosts)))


@dataclass(frozen=True)
class SamplePlan:
    """Draws frames of several data entries, in shuffled epochs.

    An epoch has as many samples as there are frames. Each entry fills its share of it with as many
    shuffled passes over its own frames as that takes; then the epoch is shuffled as a whole. With equal
    weights this is the plain concatenation of all entries, shuffled.

    Attributes:
        frames: the number of frames of each entry.
        weights: how often a frame of each entry is drawn, relative to the others; above 0.
        seed: of order and augmentation.
        ends: the number of the sample from which on an entry is drawn no more; None is never, for all.
        by_class: what is drawn class by class, or None.
    """

    frames: tuple[int, ...]
    weights: tuple[float, ...]
    seed: int
    ends: tuple[int | None, ...] | None = None
    by_class: ClassShare | None = None

    def __post_init__(self) -> None:
        if not self.frames or min(self.frames) < 1 or len(self.frames) != len(self.weights):
            raise InputError(f"a sample plan needs frames and a weight for each entry, got {self}")
        if min(self.quotas()) < 1:
            never = self.quotas().index(0)
            raise InputError(
                f"data.{never}.weight {self.weights[never]:g} is so small that it is never drawn"
            )
        if self.by_class is not None:
            self._check_classes(self.by_class)

    def draw(self, number: int) -> Draw:
        """Sample `number`, counted from 0 over the whole fit."""
        epoch, position = divmod(number, sum(self.frames))
        ends = self.ends or (None,) * len(self.frames)
        drawn = tuple(end is None or number < end for end in ends)
        entry, frame, centroid = _epoch_order(self, epoch, drawn)[position].tolist()
        generator = np.random.default_rng([self.seed, _AUGMENT, number])
        if self.by_class is None or centroid < 0:
            return Draw(entry, frame, generator)
        y, x = self.by_class.centroids.places[centroid].tolist()
        return Draw(entry, frame, generator, (y, x))

    def quotas(self, samples: int | None = None, drawn: tuple[bool, ...] | None = None) -> tuple[int, ...]:
        """How many of so many samples each entry gets, an epoch's if None, where those entries are drawn."""
        frames = np.array(self.frames)
        samples = int(frames.sum()) if samples is None else samples
        return _shared(
            frames * np.array(self.weights) * (True if drawn is None else np.array(drawn)), samples
        )

    def _check_classes(self, by_class: ClassShare) -> None:
        samples, classes = sum(self.frames), range(len(by_class.boosts))
        counts = [by_class.count(dense, samples) for dense in classes]
        if not any(counts):
            raise InputError(
                f"fit.centroids {by_class.share:g} of an epoch of {samples} images is not one for each of "
                f"{len(counts)} classes: choose a larger share, or leave it out for so few images"
            )
        if sum(counts) > samples:
            raise InputError(
                f"fit.centroid_boost asks for {sum(counts)} of an epoch's {samples} samples: lower it"
            )


@dataclass(frozen=True)
class BatchPlan:
    """Draws so many frames of each entry for every batch, without replacement until an entry is used up.

    The balanced batches of Ros et al. 2016 (arXiv 1604.01545), in whose code each has 4, 6 and 3 images of
    three domains.

    Attributes:
        frames: the number of frames of each entry.
        counts: how many of them each batch has.
        seed: of order and augmentation.
    """

    frames: tuple[int, ...]
    counts: tuple[int, ...]
    seed: int

    def draw(self, number: int) -> Draw:
        """Sample `number`, counted from 0 over the whole fit."""
        batch, position = divmod(number, sum(self.counts))
        entry = int(np.searchsorted(np.cumsum(self.counts), position, side="right"))
        drawn = batch * self.counts[entry] + position - sum(self.counts[:entry])
        passed, place = divmod(drawn, self.frames[entry])
        frame = int(_pass_order(self.seed, entry, passed, self.frames[entry])[place])
        return Draw(entry, frame, np.random.default_rng([self.seed, _AUGMENT, number]))


@lru_cache(maxsize=64)
def _pass_order(seed: int, entry: int, passed: int, frames: int) -> npt.NDArray[np.int64]:
    """The order of an entry's frames in one pass over them, int64 [frames]."""
    return np.random.default_rng([seed, _PASS, entry, passed]).permutation(frames)


def _shared(parts: npt.NDArray[np.float64], samples: int) -> tuple[int, ...]:
    """Whole numbers in proportion to `parts` whose sum is `samples`; parts that are not all 0."""
    edges = np.rint(np.cumsum(parts) / parts.sum() * samples).astype(int)
    return tuple(np.diff(edges, prepend=0).tolist())


@lru_cache(maxsize=4)
def _epoch_order(plan: SamplePlan, epoch: int, drawn: tuple[bool, ...]) -> npt.NDArray[np.int64]:
    """The (entry, frame, centroid or -1) of each position in an epoch, int64 [frames, 3]."""
    generator = np.random.default_rng([plan.seed, _EPOCH, epoch])
    samples = sum(plan.frames)
    rows = list(_centroid_rows(plan, drawn, generator))
    rest = samples - sum(map(len, rows))
    for entry, quota in enumerate(plan.quotas(rest, drawn)):
        frames = _passes(plan.frames[entry], quota, generator)
        rows.append(np.stack([np.full(quota, entry), frames, np.full(quota, -1)], axis=1))
    order: npt.NDArray[np.int64] = generator.permutation(np.concatenate(rows))
    return order


def _centroid_rows(
    plan: SamplePlan, drawn: tuple[bool, ...], generator: np.random.Generator
) -> Iterator[npt.NDArray[np.int64]]:
    """The rows of the classes; entries that are drawn share a class by their weights and centroids of it."""
    if plan.by_class is None:
        return
    centroids = plan.by_class.centroids
    for dense in range(len(plan.by_class.boosts)):
        found = [centroids.of(entry, dense) for entry in range(len(plan.frames))]
        parts = np.array([len(f) for f in found]) * np.array(plan.weights) * np.array(drawn)
        if not parts.any():
            continue
        quotas = _shared(parts, plan.by_class.count(dense, sum(plan.frames)))
        for positions, quota in zip(found, quotas, strict=True):
            chosen = positions[_passes(len(positions), quota, generator)] if quota else positions[:0]
            yield np.concatenate([centroids.members[chosen, :2], chosen[:, None]], axis=1)


def _passes(frames: int, count: int, generator: np.random.Generator) -> npt.NDArray[np.int64]:
    """`count` frame positions: shuffled passes over all frames, the last one cut."""
    if not count:
        return np.empty(0, np.int64)
    passes: Sequence[npt.NDArray[np.int64]] = [
        generator.permutation(frames) for _ in range(-(-count // frames))
    ]
    return np.concatenate(passes)[:count]
