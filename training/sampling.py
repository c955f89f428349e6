"""Which frame is drawn when: a pure function of the seed and the sample's number.

Nothing is remembered between samples, so a fit that was interrupted continues with exactly the samples
that it would have seen, on any number of worker processes and devices.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from lsu.runtime import InputError

_EPOCH, _AUGMENT = 0, 1  # independent streams of one seed


@dataclass(frozen=True)
class Draw:
    """One sample: the data entry, the frame's position in it, and the generator for its augmentation."""

    entry: int
    frame: int
    generator: np.random.Generator


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
    """

    frames: tuple[int, ...]
    weights: tuple[float, ...]
    seed: int

    def __post_init__(self) -> None:
        if not self.frames or min(self.frames) < 1 or len(self.frames) != len(self.weights):
            raise InputError(f"a sample plan needs frames and a weight for each entry, got {self}")
        if min(self.quotas()) < 1:
            never = self.quotas().index(0)
            raise InputError(
                f"data.{never}.weight {self.weights[never]:g} is so small that it is never drawn"
            )

    def draw(self, number: int) -> Draw:
        """Sample `number`, counted from 0 over the whole fit."""
        epoch, position = divmod(number, sum(self.frames))
        entry, frame = _epoch_order(self, epoch)[position]
        return Draw(int(entry), int(frame), np.random.default_rng([self.seed, _AUGMENT, number]))

    def quotas(self) -> tuple[int, ...]:
        """How many samples of an epoch each entry gets; the sum is the number of frames."""
        shares = np.array(self.frames) * np.array(self.weights)
        edges = np.rint(np.cumsum(shares) / shares.sum() * sum(self.frames)).astype(int)
        return tuple(np.diff(edges, prepend=0).tolist())


@lru_cache(maxsize=2)
def _epoch_order(plan: SamplePlan, epoch: int) -> npt.NDArray[np.int64]:
    """The (entry, frame) of each position in an epoch, int64 [frames, 2]."""
    generator = np.random.default_rng([plan.seed, _EPOCH, epoch])
    rows = [
        np.stack([np.full(quota, entry), _passes(plan.frames[entry], quota, generator)], axis=1)
        for entry, quota in enumerate(plan.quotas())
    ]
    order: npt.NDArray[np.int64] = generator.permutation(np.concatenate(rows))
    return order


def _passes(frames: int, count: int, generator: np.random.Generator) -> npt.NDArray[np.int64]:
    """`count` frame positions: shuffled passes over all frames, the last one cut."""
    passes: Sequence[npt.NDArray[np.int64]] = [
        generator.permutation(frames) for _ in range(-(-count // frames))
    ]
    return np.concatenate([*passes, np.empty(0, np.int64)])[:count]
