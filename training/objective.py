"""What an optimiser step minimises: the loss of labels and the losses against teachers."""

import numpy as np
import numpy.typing as npt
import torch
from lightning_fabric import Fabric
from torch import Tensor

from .config import Config
from .distillation import channel_wise, correlation, soft_cross_entropy, transfer
from .distillation_config import DistillationLoss
from .frames import Batch
from .guide import Guide
from .losses import class_weights, cross_entropy, label_weight, partial_cross_entropy

_TINY = torch.finfo(torch.float32).tiny
_HEAVIEST = 50.0  # the weight of a class in the losses of Ros et al. 2016
_LOSSES = {"soft-ce": soft_cross_entropy, "cwd": channel_wise, "dist": correlation}


class Objective:
    """The loss of a batch.

    Args:
        config: the fit.
        fabric: its devices. Where there are several, the mean over them of what each gets is the loss of the
            whole batch; `dist`, which knows no sum over pixels, is the mean of theirs.
        weights: of the classes in the labels' loss, float32 [C], or None.
        members: which classes each label allows, bool [numbers, C], or None where each allows one.
        guide: the teachers, or None.
        answers: how often the teachers answer each class, int64 [C], where a loss weighs classes by it.
    """

    def __init__(  # noqa: PLR0913 - what the loss is made of
        self,
        config: Config,
        fabric: Fabric,
        *,
        weights: Tensor | None = None,
        members: Tensor | None = None,
        guide: Guide | None = None,
        answers: npt.NDArray[np.int64] | None = None,
    ) -> None:
        self._smoothing = config.fit.label_smoothing
        self._fabric, self._guide = fabric, guide
        self._weights = None if weights is None else fabric.to_device(weights)
        self._members = None if members is None else fabric.to_device(members)
        self._distillation = config.distillation
        self._class_weights = {
            kind: fabric.to_device(_WEIGHTS[kind](answers)) for kind in _WEIGHTS if answers is not None
        }

    def __call__(self, scores: Tensor, batch: Batch) -> Tensor:
        """The loss, float [].

        Args:
            scores: the network's logits of the images, float [N,C,h,w].
            batch: on this device.
        """
        if self._distillation is None or self._guide is None:
            return self._of_labels(scores, batch.labels)
        loss = self._of_teachers(self._guide, self._distillation.losses, scores.float(), batch)
        if self._distillation.labels:
            loss = loss + self._distillation.labels * self._of_labels(scores, batch.labels)
        return loss

    def _of_labels(self, scores: Tensor, labels: Tensor) -> Tensor:
        weights, members, smoothing = self._weights, self._members, self._smoothing
        if members is None:
            loss = cross_entropy(scores, labels, weights=weights, label_smoothing=smoothing)
        else:
            loss = partial_cross_entropy(scores, labels, members, weights=weights, label_smoothing=smoothing)
        return self._shared(loss, label_weight(labels, weights=weights, members=members))

    def _of_teachers(
        self, guide: Guide, losses: tuple[DistillationLoss, ...], scores: Tensor, batch: Batch
    ) -> Tensor:
        size = (scores.shape[2], scores.shape[3])
        answers, known = map(self._fabric.to_device, guide.answers(batch.images.cpu().numpy(), size))
        inside = batch.inside_on(size) & known
        total = scores.new_zeros(())
        for loss in losses:
            value = self._value(loss, scores, answers, inside)
            if loss.name not in ("cwd", "dist"):  # a mean over the pixels of the whole batch
                value = self._shared(value, inside.sum().float())
            total = total + loss.weight * value
        return total

    def _value(self, loss: DistillationLoss, scores: Tensor, answers: Tensor, inside: Tensor) -> Tensor:
        if loss.name in _LOSSES:
            return _LOSSES[loss.name](scores, answers, inside, temperature=loss.used_temperature)
        weights = self._class_weights.get(loss.used_class_weights or "")
        return transfer(scores, answers, inside, hard=loss.name == "tk-l", weights=weights)

    def _shared(self, loss: Tensor, weight: Tensor) -> Tensor:
        """This device's part of a mean over the whole batch, of which it has so much weight."""
        if self._fabric.world_size == 1:
            return loss
        mean: Tensor = self._fabric.all_reduce(weight.clone(), reduce_op="mean")
        return loss * (weight / mean.clamp(min=_TINY))


def inverse_frequency(counts: npt.NDArray[np.int64]) -> Tensor:
    """Weights float32 [C] from 1 for the most to 50 for the least frequent class.

    1 + 49 (1/n - min) / (max - min) with min and max over 1/n of the classes that are found, as in the code
    of Ros et al. 2016 (germanRos/MatConvNet-DeconvNet); a class that is not found has weight 1.

    Args:
        counts: how often each class is found, int64 [C].
    """
    found = counts > 0
    weights = np.ones(len(counts), np.float32)
    inverse = 1 / counts[found]
    if len(inverse) and inverse.max() > inverse.min():
        weights[found] = 1 + (_HEAVIEST - 1) * (inverse - inverse.min()) / (inverse.max() - inverse.min())
    return torch.from_numpy(weights)


def median_frequency(counts: npt.NDArray[np.int64]) -> Tensor:
    """Weights float32 [C], the median share of a class over its own, at most 50; see `class_weights`.

    The bound is ours: a class that the teachers hardly ever answer would outweigh all others.
    """
    return class_weights(counts, 1.0).clamp(max=_HEAVIEST)


_WEIGHTS = {"median": median_frequency, "inverse": inverse_frequency}
