"""Which crop each step has: fast schedules begin with, end with or take turns with smaller crops.

Zhu et al. 2020 (arXiv 2004.14960) change the crop's size between epochs and keep the pixels of a batch
constant, so that a small crop brings more images in the same time. The stages are not public; ours are
`fit.crop_factors` of `fit.crop`, each for an equal part of the steps, and the scale of the images shrinks
with the crop, so that it shows the same part of a scene.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from lsu.runtime import InputError

from .config import FitConfig

_MULTIPLE = 32


@dataclass(frozen=True)
class Stage:
    """What the samples of a step are like.

    Attributes:
        crop: (H, W) in pixels.
        scale: the range of the factor by which an image is enlarged.
        batch_size: images in a step, over all devices.
    """

    crop: tuple[int, int]
    scale: tuple[float, float]
    batch_size: int


@dataclass(frozen=True)
class CropPlan:
    """The stage of each step and the samples that it takes.

    Attributes:
        stages: from the first factor to the last.
        of_step: the position in `stages` for each step.
    """

    stages: tuple[Stage, ...]
    of_step: tuple[int, ...]

    @classmethod
    def from_config(cls, fit: FitConfig, *, devices: int = 1) -> "CropPlan":
        """The plan of a fit, with batches that `devices` can share.

        Raises:
            InputError: two factors give the same crop.
        """
        factors = (1.0,) if fit.crop_order == "fixed" else tuple(sorted(fit.crop_factors))
        stages = tuple(_stage(fit, factor, devices) for factor in factors)
        crops = [stage.crop for stage in stages]
        if len(set(crops)) < len(crops):
            raise InputError(
                f"fit.crop_factors {list(factors)} of crop {list(fit.crop)} give {crops} in multiples of "
                f"{_MULTIPLE}: choose factors further apart"
            )
        steps = np.arange(fit.steps)
        if fit.crop_order == "alternating":
            of_step = steps // fit.crop_period % len(stages)
        else:
            of_step = steps * len(stages) // fit.steps
        if fit.crop_order == "fine2coarse":
            of_step = len(stages) - 1 - of_step
        return cls(stages, tuple(of_step.tolist()))

    def samples(self, step: int) -> range:
        """The numbers of the samples of a step, counted from 0."""
        return range(int(self._first[step]), int(self._first[step + 1]))

    def first_sample(self, step: int) -> int:
        """The number of the first sample at or after a step, 0 to the number of steps."""
        return int(self._first[step])

    @cached_property
    def _first(self) -> npt.NDArray[np.int64]:
        sizes = [self.stages[stage].batch_size for stage in self.of_step]
        return np.concatenate([[0], np.cumsum(sizes)])


def _stage(fit: FitConfig, factor: float, devices: int) -> Stage:
    height, width = (max(_MULTIPLE, round(side * factor / _MULTIPLE) * _MULTIPLE) for side in fit.crop)
    share = height * width / (fit.crop[0] * fit.crop[1])
    batch_size = max(1, round(fit.batch_size / share / devices)) * devices
    low, high = (bound * share**0.5 for bound in fit.scale)
    return Stage((height, width), (low, high), batch_size if share < 1 else fit.batch_size)
