"""Losses. Void pixels never add to one, whichever side they come from."""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from lsu.runtime import VOID

_TINY = torch.finfo(torch.float32).tiny


def class_weights(pixels: npt.NDArray[np.int64], balance: float) -> Tensor:
    """Weights float32 [C] that lift rare classes: (median(f) / f_c) ** balance, f_c the share of class c.

    With `balance` 1 this is median frequency balancing (Eigen and Fergus 2015, arXiv 1411.4734, section
    6.3.2) with shares over all images; with 0 all weights are 1. A class without pixels has weight 1.

    Args:
        pixels: how many pixels each class has, int64 [C].
        balance: 0 to 1.
    """
    found = pixels > 0
    weights = np.ones(len(pixels), np.float32)
    weights[found] = (np.median(pixels[found]) / pixels[found]) ** balance
    return torch.from_numpy(weights)


def cross_entropy(
    scores: Tensor, labels: Tensor, *, weights: Tensor | None = None, label_smoothing: float = 0.0
) -> Tensor:
    """The mean cross entropy over the pixels that are not void; 0 where all are.

    Args:
        scores: logits float [N,C,h,w], enlarged bilinearly to the labels' size.
        labels: int64 [N,H,W], dense indices, 255 = void.
        weights: float32 [C], a pixel counts as much as its class; the mean is weighted alike.
        label_smoothing: the share of a label's weight that is spread over all classes
            (Szegedy et al. 2016, arXiv 1512.00567, section 7).
    """
    enlarged = functional.interpolate(scores.float(), labels.shape[1:], mode="bilinear")  # [N, C, H, W]
    total = functional.cross_entropy(
        enlarged, labels, weights, ignore_index=VOID, reduction="sum", label_smoothing=label_smoothing
    )
    return total / label_weight(labels, weights=weights).clamp(min=_TINY)


def partial_cross_entropy(
    scores: Tensor,
    labels: Tensor,
    members: Tensor,
    *,
    weights: Tensor | None = None,
    label_smoothing: float = 0.0,
) -> Tensor:
    """The mean over known pixels of -log of the probability of all classes that a label allows.

    NLL+ of Bevandić et al. 2021 (arXiv 2108.11224): logsumexp over all classes less logsumexp over the
    allowed ones, per pixel, then the mean. Where a label allows one class this is the cross entropy.

    Args:
        scores: logits float [N,C,h,w], enlarged bilinearly to the labels' size.
        labels: int64 [N,H,W], numbers of sets, 255 = void; numbers below C are the classes.
        members: bool [numbers, C], which classes each number allows (`LabelSets.members`).
        weights: float32 [C]; a pixel counts as much as the mean weight of its allowed classes.
        label_smoothing: as in `cross_entropy`, for labels of one class only.
    """
    classes = members.shape[1]
    several = (labels != VOID) & (labels >= classes)  # [N, H, W]
    enlarged = functional.interpolate(scores.float(), labels.shape[1:], mode="bilinear")  # [N, C, H, W]
    total = functional.cross_entropy(
        enlarged,
        labels.masked_fill(several, VOID),
        weights,
        ignore_index=VOID,
        reduction="sum",
        label_smoothing=label_smoothing,
    )
    importance = _importance(members, weights)  # [numbers], 0 for void
    sets = labels[several]  # [P]
    chosen = enlarged.permute(0, 2, 3, 1)[several]  # [P, C]
    possible = chosen.masked_fill(~members[sets], -torch.inf).logsumexp(1)
    total = total + (importance[sets] * (chosen.logsumexp(1) - possible)).sum()
    return total / label_weight(labels, weights=weights, members=members).clamp(min=_TINY)


def label_weight(labels: Tensor, *, weights: Tensor | None = None, members: Tensor | None = None) -> Tensor:
    """What the mean over these labels divides by, float32 []: known pixels, each as much as it counts.

    A batch that is shared by several devices has the mean over all its known pixels, so they sum this.
    The arguments are those of the losses above; without `members` each label allows one class.
    """
    if members is not None:
        return _importance(members, weights)[labels].sum()
    if weights is None:
        return (labels != VOID).sum().float()
    return functional.pad(weights, (0, VOID + 1 - len(weights)))[labels].sum()


def _importance(members: Tensor, weights: Tensor | None) -> Tensor:
    """How much each number's pixels count, float32 [numbers]: the mean weight of its classes, 0 for none."""
    allowed = members.float()
    weights = allowed.new_ones(allowed.shape[1]) if weights is None else weights
    return (allowed @ weights) / allowed.sum(1).clamp(min=1)
