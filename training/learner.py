"""A network that is learning: one optimiser step at a time, written to and continued from checkpoints.

Every random choice of a step follows from the seed and the step's number.
"""

import logging
import math
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from lsu.runtime import InputError, LabelSpace, Segmenter, Split
from lsu.runtime.errors import first_line
from lsu.runtime.evaluate import Evaluation, evaluate

from .checkpoint import Checkpoint, optimiser_tensors, restore_optimiser
from .config import Config, FitConfig
from .losses import cross_entropy, partial_cross_entropy
from .networks import Normalise, build_network
from .torch_engine import TorchEngine


def learning_rate(config: FitConfig, step: int) -> float:
    """The learning rate of step 0, 1, ...: a linear rise over `warmup_steps`, then half a cosine to 0.

    Loshchilov and Hutter 2017, arXiv 1608.03983, equation 5 with one period.
    """
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    left = (step - config.warmup_steps) / max(1, config.steps - config.warmup_steps)
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * left))


class Learner:
    """A network, its optimiser and how far they are.

    Args:
        config: the fit.
        space: channel k of the scores is class k of it.
        weights: of the classes in the loss, float32 [C], or None.
        members: which classes each label allows, bool [numbers, C], or None where each allows one.
        unfinished: the checkpoint to continue from, or None.

    Raises:
        InputError: the settings cannot be used on this machine, or the checkpoint is of another network.
    """

    def __init__(
        self,
        config: Config,
        space: LabelSpace,
        *,
        weights: Tensor | None = None,
        members: Tensor | None = None,
        unfinished: Checkpoint | None = None,
    ) -> None:
        settings = config.fit
        if settings.threads:
            torch.set_num_threads(settings.threads)
        self.config, self.space, self.weights, self.members = config, space, weights, members
        self.step = 0 if unfinished is None else unfinished.step
        self.fabric = _launched(settings)
        if settings.batch_size % self.fabric.world_size:
            raise InputError(
                f"fit.batch_size {settings.batch_size} cannot be shared by {self.fabric.world_size} devices"
            )
        torch.manual_seed(settings.seed)
        self.bare = build_network(config.network, len(space)).to(memory_format=torch.channels_last)
        if unfinished is not None:
            unfinished.load_into(self.bare)
        optimiser = torch.optim.AdamW(
            self.bare.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        _try(self.bare, settings.crop)
        self.network, self.optimiser = self.fabric.setup(self.bare, optimiser)
        if unfinished is not None:
            restore_optimiser(optimiser, unfinished.optimiser)
        self.normalise = Normalise(config.network).to(self.fabric.device)

    def learn(self, images: Tensor, labels: Tensor) -> Tensor:
        """One optimiser step on images uint8 [N,h,w,3] and labels int64 [N,h,w]; the loss, detached."""
        settings = self.config.fit
        torch.manual_seed(settings.seed + 1_000_003 * (self.step + 1))  # dropout of this step
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(settings, self.step)
        images = self.normalise(self.fabric.to_device(images))
        scores = self.network(images.contiguous(memory_format=torch.channels_last))
        labels = self.fabric.to_device(labels)
        weights = None if self.weights is None else self.fabric.to_device(self.weights)
        loss = self._loss(scores, labels, weights)
        self.optimiser.zero_grad()
        self.fabric.backward(loss)
        self.optimiser.step()
        self.step += 1
        return loss.detach()

    def _loss(self, scores: Tensor, labels: Tensor, weights: Tensor | None) -> Tensor:
        smoothing = self.config.fit.label_smoothing
        if self.members is None:
            return cross_entropy(scores, labels, weights=weights, label_smoothing=smoothing)
        members = self.fabric.to_device(self.members)
        return partial_cross_entropy(scores, labels, members, weights=weights, label_smoothing=smoothing)

    @property
    def leads(self) -> bool:
        """Whether this is the process that writes and reports; there is one per device."""
        return bool(self.fabric.is_global_zero)

    def save(self, path: Path, *, with_optimiser: bool) -> None:
        """Write the run as it is now; the other processes wait until the file is there."""
        if self.leads:
            self.checkpoint(with_optimiser=with_optimiser).save(path)
        self.fabric.barrier()

    def checkpoint(self, *, with_optimiser: bool) -> Checkpoint:
        """The run as it is now."""
        return Checkpoint(
            config=self.config,
            label_space=self.space,
            step=self.step,
            weights=self.bare.state_dict(),
            optimiser=optimiser_tensors(self.optimiser) if with_optimiser else {},
        )

    def score(self, validation: Split) -> Evaluation:
        """The evaluation of the network as it is now; the network is in training mode before and after."""
        spec = self.checkpoint(with_optimiser=False).spec
        forward = nn.Sequential(self.normalise, self.bare).eval()
        engine = TorchEngine(forward, spec, identity="", device=str(self.fabric.device))
        segmenter = Segmenter(engine)

        def segment(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
            return segmenter.segment(image).classes

        try:
            return evaluate(segment, self.space, validation, boundaries=False)
        finally:
            forward.train()


def _try(network: nn.Module, crop: tuple[int, int]) -> None:
    """Raise InputError when the network cannot take a crop of this size; nothing in it changes."""
    try:
        with torch.no_grad():
            network.eval()(torch.zeros(2, 3, *crop))
    except (RuntimeError, ValueError) as error:
        raise InputError(
            f"fit.crop {list(crop)} does not go with this network, try a larger one: {first_line(error)}"
        ) from error


def _launched(settings: FitConfig) -> Fabric:
    """Lightning Fabric on the asked devices, its own messages below warnings kept quiet."""
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    try:
        fabric = Fabric(
            accelerator=settings.accelerator, devices=settings.devices, precision=settings.precision
        )
        if settings.precision == "16-mixed" and fabric.device.type == "cpu":
            raise InputError("fit.precision 16-mixed needs a GPU; on a CPU use bf16-mixed or 32-true")
        fabric.launch()
    except (RuntimeError, ValueError, TypeError) as error:
        raise InputError(
            f"fit.accelerator {settings.accelerator!r} with fit.devices {settings.devices!r} cannot be used "
            f"here: {first_line(error)}"
        ) from error
    return fabric
