"""A network that is learning: one optimiser step at a time, written to and continued from checkpoints.

Every random choice of a step follows from the seed and the step's number.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from lsu.runtime import InputError, LabelSpace, Segmenter, Split
from lsu.runtime.errors import first_line
from lsu.runtime.evaluate import Evaluation, evaluate

from .average import WeightAverage
from .checkpoint import Checkpoint, optimiser_tensors, restore_optimiser
from .config import Config
from .crop_plan import CropPlan
from .devices import launched, with_synced_norms
from .frames import Batch
from .guide import Guide
from .mixing import mixed
from .networks import Normalise, build_network
from .objective import Objective
from .own_loss import LossOf, brings_loss, refuse_loss_settings
from .patience import Best
from .s_net_members import load_members
from .schedule import learning_rate
from .torch_engine import TorchEngine


class Learner:
    """A network, its optimiser and how far they are.

    Args:
        config: the fit.
        space: channel k of the scores is class k of it.
        weights: of the classes in the loss, float32 [C], or None.
        members: which classes each label allows, bool [numbers, C], or None where each allows one.
        guide: the teachers of the distillation, or None.
        answers: how often they answer each class, int64 [C], where a loss weighs classes by it.
        unfinished: the checkpoint to continue from, or None.

    Raises:
        InputError: the settings cannot be used on this machine, or the checkpoint is of another network.
    """

    def __init__(  # noqa: PLR0913 - what a fit is made of
        self,
        config: Config,
        space: LabelSpace,
        *,
        weights: Tensor | None = None,
        members: Tensor | None = None,
        guide: Guide | None = None,
        answers: npt.NDArray[np.int64] | None = None,
        unfinished: Checkpoint | None = None,
    ) -> None:
        settings = config.fit
        if settings.threads:
            torch.set_num_threads(settings.threads)
        self.config, self.space = config, space
        torch.manual_seed(settings.seed)
        bare = build_network(config.network, len(space)).to(memory_format=torch.channels_last)
        self.own_loss = brings_loss(bare)
        if self.own_loss:
            refuse_loss_settings(settings, partial=members is not None)
        self.fabric = launched(settings, all_used=not self.own_loss)  # Mask2Former has a norm without use
        if settings.mix != "none" and settings.batch_size == self.fabric.world_size:
            raise InputError("fit.mix needs two images on each device: raise fit.batch_size, or leave it out")
        self.bare = with_synced_norms(bare, self.fabric) if settings.sync_batch_norm else bare
        if unfinished is not None:
            unfinished.load_into(self.bare)
        else:
            if config.start is not None:
                _begin(self.bare, config.start, space)
            load_members(self.bare, config.network)
        optimiser = torch.optim.AdamW(
            parameter_groups(self.bare, settings.encoder_rate),
            lr=settings.learning_rate,
            weight_decay=settings.weight_decay,
        )
        for stage in CropPlan.from_config(settings).stages:
            _try(self.bare, stage.crop)
        trained: nn.Module = LossOf(self.bare) if self.own_loss else self.bare
        trained = torch.compile(trained) if settings.compile else trained  # type: ignore[assignment]
        self.network, self.optimiser = self.fabric.setup(trained, optimiser)
        self.normalise = Normalise(config.network).to(self.fabric.device)
        self._objective = Objective(
            config, self.fabric, weights=weights, members=members, guide=guide, answers=answers
        )
        self.average = WeightAverage(self.bare, settings.ema) if settings.ema else None
        self.step, self.best = 0, Best()
        self._teachers = () if guide is None else guide.identities
        if unfinished is not None:
            self._continue(unfinished, optimiser)

    def _continue(self, unfinished: Checkpoint, optimiser: torch.optim.Optimizer) -> None:
        self.step, self.best = unfinished.step, unfinished.best
        restore_optimiser(optimiser, unfinished.optimiser)
        if self.average is not None:
            self.average.network.load_state_dict(dict(unfinished.average))

    def learn(self, batch: Batch) -> Tensor:
        """One optimiser step on a batch; the loss, detached.

        On several devices each has its part of the batch, and the mean of what they return is the loss.
        """
        settings, fabric = self.config.fit, self.fabric
        seed = settings.seed + 1_000_003 * (self.step + 1) + fabric.global_rank
        torch.manual_seed(seed)  # dropout of this step
        for group in self.optimiser.param_groups:
            group["lr"] = group["share"] * learning_rate(settings, self.step)
        loss = self._loss(mixed(Batch(*map(fabric.to_device, batch)), settings.mix))
        self.optimiser.zero_grad()
        fabric.backward(loss)
        if settings.clip_norm:
            fabric.clip_gradients(
                self.network, self.optimiser, max_norm=settings.clip_norm, error_if_nonfinite=False
            )  # what is not finite is for the loss scale of 16-mixed, which leaves the step out
        self.optimiser.step()
        if self.average is not None:
            self.average.update(self.bare, self.step)
        self.step += 1
        return loss.detach()

    def _loss(self, batch: Batch) -> Tensor:
        """The loss of this device's part; the mean over devices is the loss of the batch."""
        images = self.normalise(batch.images).contiguous(memory_format=torch.channels_last)
        if self.own_loss:
            own: Tensor = self.network(images, batch.labels)
            return own
        return self._objective(self.network(images), batch)

    def mean_over_devices(self, value: Tensor) -> float:
        """The mean of a number that each process has; all of them must ask."""
        return float(self.fabric.all_reduce(value, reduce_op="mean"))

    @property
    def leads(self) -> bool:
        """Whether this is the process that writes and reports; there is one per device."""
        return bool(self.fabric.is_global_zero)

    @property
    def answering(self) -> nn.Module:
        """The network that is scored and kept: the average of weights where there is one."""
        return self.bare if self.average is None else self.average.network

    def save(self, path: Path) -> None:
        """Write what a fit continues from; the other processes wait until the file is there."""
        if self.leads:
            self.unfinished().save(path)
        self.fabric.barrier()

    def unfinished(self) -> Checkpoint:
        """The run as it is now, with all that a fit continues from."""
        return Checkpoint(
            config=self.config,
            label_space=self.space,
            step=self.step,
            weights=self.bare.state_dict(),
            optimiser=optimiser_tensors(self.optimiser),
            average={} if self.average is None else self.average.network.state_dict(),
            best=self.best,
            teachers=self._teachers,
        )

    def finished(self) -> Checkpoint:
        """The result as it is now: the answering network alone."""
        return Checkpoint(
            config=self.config,
            label_space=self.space,
            step=self.step,
            weights=self.answering.state_dict(),
            optimiser={},
            best=Best(self.best.step, self.best.score, self.best.stale),
            teachers=self._teachers,
        )

    def judge(self, score: Evaluation) -> None:
        """Remember the answering weights if they scored best; all processes follow the first one's score."""
        mean_iou = self.fabric.broadcast(score.mean_iou)
        self.best = self.best.judged(mean_iou, self.step, self.answering.state_dict())

    @property
    def scores_left(self) -> int | None:
        """How many more scores without a better one the patience allows; None without patience."""
        patience = self.config.fit.patience
        return max(0, patience - self.best.stale) if patience else None

    @property
    def score_is_missing(self) -> bool:
        """Whether the score that is due at this step has failed before patience could judge it."""
        settings = self.config.fit
        judged = self.best.step + self.best.stale * settings.score_every
        return settings.patience > 0 and judged < self.step

    def take_best(self) -> None:
        """Give the answering network the weights that scored best; nothing is learned after this."""
        self.answering.load_state_dict(dict(self.best.weights))

    def score(self, validation: Split) -> Evaluation:
        """The evaluation of the answering network; the learning one is in training mode before and after."""
        forward = nn.Sequential(self.normalise, self.answering).eval()
        engine = TorchEngine(forward, self.finished().spec, identity="", device=str(self.fabric.device))
        segmenter = Segmenter(engine)

        def segment(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
            return segmenter.segment(image).classes

        try:
            return evaluate(segment, self.space, validation, boundaries=False)
        finally:
            self.bare.train()


def _begin(network: nn.Module, start: str, space: LabelSpace) -> None:
    """Give a network the weights of the checkpoint that it starts with.

    Raises:
        InputError: the checkpoint cannot be read, or is of another network or label space.
    """
    checkpoint = Checkpoint.load(Path(start))
    checkpoint.label_space.require_same(space, f"start {start}", "the data")
    try:
        checkpoint.load_into(network)
    except InputError as error:
        raise InputError(f"start: {start} has the weights of another network than `network` says") from error


def parameter_groups(network: nn.Module, encoder_rate: float) -> list[dict[str, object]]:
    """The network's parameters for an optimiser, each group with its `share` of the learning rate.

    One group where all shares are 1; otherwise the encoder's parameters come first, then the others. The
    order decides what an unfinished checkpoint calls the optimiser's tensors.

    Raises:
        InputError: the encoder has a rate of its own and the network has no encoder.
    """
    if encoder_rate == 1:
        return [{"params": list(network.parameters()), "share": 1.0}]
    encoder = getattr(network, "encoder", None)
    if not isinstance(encoder, nn.Module):
        raise InputError(
            f"fit.encoder_rate is {encoder_rate:g}, but this network has no encoder: leave it out"
        )
    ours = list(encoder.parameters())
    known = {id(p) for p in ours}
    others = [p for p in network.parameters() if id(p) not in known]
    return [{"params": ours, "share": encoder_rate}, {"params": others, "share": 1.0}]


def _try(network: nn.Module, crop: tuple[int, int]) -> None:
    """Raise InputError when the network cannot take a crop of this size; nothing in it changes."""
    try:
        with torch.no_grad():
            network.eval()(torch.zeros(2, 3, *crop))
    except (RuntimeError, ValueError) as error:
        raise InputError(
            f"fit.crop {list(crop)} does not go with this network, try a larger one (or larger "
            f"fit.crop_factors): {first_line(error)}"
        ) from error
