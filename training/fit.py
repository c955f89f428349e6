"""Fitting a network: the loop from a configuration to a checkpoint.

Every random choice follows from the seed and the number of the step or sample, so a fit that was killed
and continued ends with the same weights as one that was not.
"""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from lsu.runtime import InputError, LabelSpace, Segmenter, Split
from lsu.runtime.evaluate import Evaluation, evaluate

from .checkpoint import Checkpoint, optimiser_tensors, restore_optimiser
from .config import Config, FitConfig
from .fit_log import FitLog
from .frames import AugmentedFrames, Batch, batches, common_label_space, open_split, pixels_per_class
from .losses import class_weights, cross_entropy
from .networks import Normalise, build_network
from .sampling import SamplePlan
from .torch_engine import TorchEngine
from .transforms import Augmentation

FINISHED, UNFINISHED = "checkpoint.safetensors", "unfinished.safetensors"
"""The result, and what `--resume` continues from; the second is gone when the first is there."""

_LOG_EVERY = 10
_CACHE_BYTES = 2 << 30


@dataclass(frozen=True)
class StepReport:
    """What a fit says of a step: its number counted from 1, the mean loss since the last report, images/s."""

    step: int
    loss: float
    images_per_second: float


@dataclass(frozen=True)
class FitResult:
    """A finished fit.

    Attributes:
        checkpoint: the file with the weights.
        steps: optimiser steps in all.
        seconds: time of this call.
        score: the last score on the validation split, or None.
        leads: false in all processes but one of a fit on several devices.
    """

    checkpoint: Path
    steps: int
    seconds: float
    score: Evaluation | None
    leads: bool = True


def fit(
    config: Config, *, resume: bool = False, on_step: Callable[[StepReport], object] = lambda _: None
) -> FitResult:
    """Fit a network as the configuration says.

    Args:
        config: all of it; see Config.
        resume: continue from the last checkpoint in `config.output` if there is one.
        on_step: called every few steps.

    Raises:
        InputError: data or configuration cannot be used, or `output` holds another fit.
        KeyboardInterrupt: passed on after a checkpoint was written.
    """
    begin = time.monotonic()
    folder = Path(config.output)
    unfinished = _unfinished(folder, config, resume=resume)
    splits = [open_split(data) for data in config.data]
    validation = None if config.validation is None else open_split(config.validation)
    space = common_label_space([*splits, *([] if validation is None else [validation])])
    if resume and (folder / FINISHED).exists():
        return FitResult(folder / FINISHED, config.fit.steps, time.monotonic() - begin, None)
    run = _Run(config, space, unfinished)
    if config.fit.class_balance:
        run.weights = class_weights(pixels_per_class(splits, len(space)), config.fit.class_balance)
    with FitLog(folder, start=run.step, silent=not run.leads) as log:
        score = _loop(run, splits, validation, log, on_step)
    run.save(folder / FINISHED, with_optimiser=False)
    if run.leads:
        (folder / UNFINISHED).unlink(missing_ok=True)
    return FitResult(folder / FINISHED, run.step, time.monotonic() - begin, score, leads=run.leads)


def learning_rate(config: FitConfig, step: int) -> float:
    """The learning rate of step 0, 1, ...: a linear rise over `warmup_steps`, then half a cosine to 0.

    Loshchilov and Hutter 2017, arXiv 1608.03983, equation 5 with one period.
    """
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    left = (step - config.warmup_steps) / max(1, config.steps - config.warmup_steps)
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * left))


class _Run:
    """A network, its optimiser and how far they are."""

    def __init__(self, config: Config, space: LabelSpace, unfinished: Checkpoint | None) -> None:
        settings = config.fit
        if settings.threads:
            torch.set_num_threads(settings.threads)
        self.config, self.space = config, space
        self.weights: Tensor | None = None  # of the classes in the loss
        self.step = 0 if unfinished is None else unfinished.step
        self.fabric = Fabric(
            accelerator=settings.accelerator, devices=settings.devices, precision=settings.precision
        )
        self.fabric.launch()
        if settings.batch_size % self.fabric.world_size:
            raise InputError(
                f"fit.batch_size {settings.batch_size} cannot be shared by {self.fabric.world_size} devices"
            )
        torch.manual_seed(settings.seed)
        self.bare = build_network(config.network, len(space)).to(memory_format=torch.channels_last)
        if unfinished is not None:
            self.bare.load_state_dict(dict(unfinished.weights))
        optimiser = torch.optim.AdamW(
            self.bare.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
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
        loss = cross_entropy(scores, labels, weights=weights, label_smoothing=settings.label_smoothing)
        self.optimiser.zero_grad()
        self.fabric.backward(loss)
        self.optimiser.step()
        self.step += 1
        return loss.detach()

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


def _loop(
    run: _Run,
    splits: list[Split],
    validation: Split | None,
    log: FitLog,
    on_step: Callable[[StepReport], object],
) -> Evaluation | None:
    settings = run.config.fit
    folder = Path(run.config.output)
    recent: list[Tensor] = []
    since = time.monotonic()
    run.bare.train()
    try:
        for images, labels in _batches(run, splits):
            recent.append(run.learn(images, labels))
            step = run.step
            if step % _LOG_EVERY == 0 or step == settings.steps:
                seconds, since = time.monotonic() - since, time.monotonic()
                loss = float(torch.stack(recent).mean())
                report = StepReport(step, loss, len(recent) * settings.batch_size / seconds)
                recent.clear()
                rate = learning_rate(settings, step - 1)
                log.add(
                    step, {"loss": loss, "learning_rate": rate, "images_per_second": report.images_per_second}
                )
                if run.leads:
                    on_step(report)
            if step == settings.steps:
                break
            if step % settings.save_every == 0:
                run.save(folder / UNFINISHED, with_optimiser=True)
            if validation is not None and settings.score_every and step % settings.score_every == 0:
                log.add(step, _numbers(run.score(validation)))
    except KeyboardInterrupt:
        if run.leads:  # without waiting: the other processes are interrupted too
            run.checkpoint(with_optimiser=True).save(folder / UNFINISHED)
        raise
    if validation is None:
        return None
    score = run.score(validation)
    log.add(run.step, _numbers(score))
    return score


def _batches(run: _Run, splits: list[Split]) -> Iterator[Batch]:
    settings = run.config.fit
    plan = SamplePlan(
        frames=tuple(len(s.frames) for s in splits),
        weights=tuple(d.weight for d in run.config.data),
        seed=settings.seed,
    )
    augmentation = Augmentation.from_config(settings, run.config.network.mean)
    frames = AugmentedFrames(splits, plan, augmentation, cache_bytes=_CACHE_BYTES // max(1, settings.workers))
    world, rank = run.fabric.world_size, run.fabric.global_rank
    numbers = range(run.step * settings.batch_size + rank, settings.steps * settings.batch_size, world)
    return batches(frames, numbers, batch_size=settings.batch_size // world, workers=settings.workers)


def _numbers(score: Evaluation) -> dict[str, float]:
    named = {"score/mean_iou": score.mean_iou, "score/pixel_accuracy": score.pixel_accuracy}
    return {name: value for name, value in named.items() if value is not None}


def _unfinished(folder: Path, config: Config, *, resume: bool) -> Checkpoint | None:
    """The checkpoint to continue from, or None to start anew.

    Raises:
        InputError: there is a fit and `resume` was not asked for, or it is a fit of another configuration.
    """
    found = [folder / name for name in (FINISHED, UNFINISHED) if (folder / name).exists()]
    if not found:
        return None
    if not resume:
        raise InputError(f"{found[0]} is there already: add --resume, or choose another output")
    checkpoint = Checkpoint.load(found[0])
    ours, theirs = config.model_dump(mode="json"), checkpoint.config.model_dump(mode="json")
    for section in ours:
        if section != "output" and ours[section] != theirs[section]:
            raise InputError(f"{found[0]} was made with another [{section}]; choose another output")
    return checkpoint if found[0].name == UNFINISHED else None
