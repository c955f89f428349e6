"""Batches whose samples are pasted over each other: strong augmentation that keeps labels right.

Sample k gets a part of sample k + 1, the last one of the first, image and labels alike.
"""

import torch
from torch import Tensor

from lsu.runtime import VOID

from .frames import Batch


def mixed(batch: Batch, kind: str) -> Batch:
    """The batch with a part of the next sample over each; torch's global generator chooses.

    Args:
        batch: what is mixed.
        kind: `none`, `classmix` or `cutmix`.
    """
    if kind == "none":
        return batch
    others = Batch(*(part.roll(-1, 0) for part in batch))
    pasted = _some_classes(others.labels) if kind == "classmix" else _boxes(others.labels)
    pasted = pasted & others.inside
    return Batch(
        torch.where(pasted[..., None], others.images, batch.images),
        torch.where(pasted, others.labels, batch.labels),
        pasted | batch.inside,
    )


def _some_classes(labels: Tensor) -> Tensor:
    """Where one of half of the classes of each sample stands, rounded down: bool [N,h,w], void never.

    ClassMix, Olsson et al. 2021, arXiv 2007.07936, section 3.1.
    """
    chosen = torch.zeros_like(labels, dtype=torch.bool)
    for k, sample in enumerate(labels):
        present = sample.unique()
        present = present[present != VOID]
        drawn = present[torch.randperm(len(present))[: len(present) // 2]]
        chosen[k] = torch.isin(sample, drawn)
    return chosen


def _boxes(labels: Tensor) -> Tensor:
    """A box in each sample whose share of the area is uniform in 0 to 1: bool [N,h,w].

    CutMix, Yun et al. 2019, arXiv 1905.04899, equation 2 with lambda from Beta(1, 1); the box lies inside the
    sample, where theirs is cut at its edge.
    """
    number, height, width = labels.shape
    chosen = torch.zeros_like(labels, dtype=torch.bool)
    for k in range(number):
        share, y, x = torch.rand(3).tolist()
        sides = [round(side * share**0.5) for side in (height, width)]
        top, left = round(y * (height - sides[0])), round(x * (width - sides[1]))
        chosen[k, top : top + sides[0], left : left + sides[1]] = True
    return chosen
