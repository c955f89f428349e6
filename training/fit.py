"""Fitting a network: the loop from a configuration to a checkpoint.

Every random choice follows from the seed and the number of the step or sample, so a fit that was killed
and continued ends with the same weights as one that was not.
"""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from lsu.runtime import BackendError, InputError, Split
from lsu.runtime.errors import first_line
from lsu.runtime.evaluate import Evaluation
from lsu.runtime.files import refuse_blocked

from .checkpoint import Checkpoint
from .config import Config
from .fit_log import FitLog
from .frames import AugmentedFrames, Batch, batches, open_relation, open_split, pixels_per_class
from .interrupt import HeldInterrupt
from .learner import Learner, learning_rate
from .losses import class_weights
from .partial_labels import LabelSets, common_label_space, refuse_relation
from .sampling import SamplePlan
from .transforms import Augmentation

FINISHED, UNFINISHED = "checkpoint.safetensors", "unfinished.safetensors"
"""The result, and what `--resume` continues from; the second is gone when the first is there."""

_MAY_CHANGE = {"output", "fit.workers", "fit.save_every", "fit.score_every", "fit.check_data"}
"""Settings that a continued fit may have changed: they do not touch the weights."""

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
    config: Config,
    *,
    resume: bool = False,
    on_step: Callable[[StepReport], object] = lambda _: None,
    on_note: Callable[[str], object] = lambda _: None,
) -> FitResult:
    """Fit a network as the configuration says.

    Args:
        config: all of it; see Config.
        resume: continue from the last checkpoint in `config.output` if there is one.
        on_step: called every few steps.
        on_note: called before the first step with what a user should know of the data.

    Raises:
        InputError: data or configuration cannot be used, or `output` holds another fit.
        BackendError: the disk refused it.
        KeyboardInterrupt: while steps are made it comes between two of them, after a checkpoint.
    """
    begin = time.monotonic()
    folder = Path(config.output)
    unfinished = _unfinished(folder, config, resume=resume)
    splits = [open_split(data) for data in config.data]
    validation = None if config.validation is None else open_split(config.validation)
    everything = [*splits, *([] if validation is None else [validation])]
    if config.validation is not None:
        refuse_relation(config.validation.relation)
    relations = [open_relation(data) for data in config.data]
    sets = LabelSets.of(splits, relations)
    common_label_space(everything, [*relations, *([] if validation is None else [None])])
    space = sets.space
    for note in filter(None, (split.count_note() for split in everything)):
        on_note(note)
    if resume and (folder / FINISHED).exists():
        return FitResult(folder / FINISHED, config.fit.steps, time.monotonic() - begin, None)
    if unfinished is not None:
        unfinished.label_space.require_same(space, "the checkpoint", "the data")
    weights = None
    if config.fit.check_data or config.fit.class_balance:
        pixels = pixels_per_class(splits, sets)
        weights = class_weights(pixels, config.fit.class_balance) if config.fit.class_balance else None
    if config.fit.check_data and validation is not None:
        pixels_per_class([validation], LabelSets.of([validation], [None]))
    members = torch.from_numpy(sets.members) if sets.partial else None
    learner = Learner(config, space, weights=weights, members=members, unfinished=unfinished)
    with FitLog(folder, start=learner.step, silent=not learner.leads) as log:
        _loop(learner, _batches(learner, splits, sets), validation, log, on_step)
        learner.save(folder / UNFINISHED, with_optimiser=True)  # a score that fails must not lose the fit
        score = None if validation is None else learner.score(validation)
        log.add(learner.step, {} if score is None else _numbers(score))
    learner.save(folder / FINISHED, with_optimiser=False)
    if learner.leads:
        (folder / UNFINISHED).unlink(missing_ok=True)
    return FitResult(folder / FINISHED, learner.step, time.monotonic() - begin, score, leads=learner.leads)


def _loop(
    learner: Learner,
    coming: Iterator[Batch],
    validation: Split | None,
    log: FitLog,
    on_step: Callable[[StepReport], object],
) -> None:
    settings = learner.config.fit
    unfinished = Path(learner.config.output) / UNFINISHED
    recent: list[Tensor] = []
    since = time.monotonic()
    learner.bare.train()
    with HeldInterrupt() as interrupt:
        for images, labels in coming:
            recent.append(_learned(learner, images, labels))
            step = learner.step
            if step % _LOG_EVERY == 0 or step == settings.steps:
                seconds, since = time.monotonic() - since, time.monotonic()
                loss = float(torch.stack(recent).mean())
                report = StepReport(step, loss, len(recent) * settings.batch_size / seconds)
                recent.clear()
                log.add(
                    step,
                    {
                        "loss": loss,
                        "learning_rate": learning_rate(settings, step - 1),
                        "images_per_second": report.images_per_second,
                    },
                )
                if learner.leads:
                    on_step(report)
            if step == settings.steps and not interrupt.asked:
                return
            if step % settings.save_every == 0:
                learner.save(unfinished, with_optimiser=True)
            if validation is not None and settings.score_every and step % settings.score_every == 0:
                log.add(step, _numbers(learner.score(validation)))
            if interrupt.asked:
                if learner.leads:  # without waiting: the other processes are interrupted too
                    learner.checkpoint(with_optimiser=True).save(unfinished)
                raise KeyboardInterrupt


def _learned(learner: Learner, images: Tensor, labels: Tensor) -> Tensor:
    try:
        return learner.learn(images, labels)
    except RuntimeError as error:  # out of memory, say: torch has no narrower word for it
        raise BackendError(
            f"step {learner.step + 1}: {first_line(error)}: try a smaller fit.batch_size or fit.crop"
        ) from error


def _batches(learner: Learner, splits: list[Split], sets: LabelSets) -> Iterator[Batch]:
    settings = learner.config.fit
    plan = SamplePlan(
        frames=tuple(len(s.frames) for s in splits),
        weights=tuple(d.weight for d in learner.config.data),
        seed=settings.seed,
    )
    augmentation = Augmentation.from_config(settings, learner.config.network.mean)
    limit = _CACHE_BYTES // max(1, settings.workers)
    frames = AugmentedFrames(splits, sets.numbers, plan, augmentation, cache_bytes=limit)
    world, rank = learner.fabric.world_size, learner.fabric.global_rank
    numbers = range(learner.step * settings.batch_size + rank, settings.steps * settings.batch_size, world)
    return batches(frames, numbers, batch_size=settings.batch_size // world, workers=settings.workers)


def _numbers(score: Evaluation) -> dict[str, float]:
    named = {"score/mean_iou": score.mean_iou, "score/pixel_accuracy": score.pixel_accuracy}
    return {name: value for name, value in named.items() if value is not None}


def _unfinished(folder: Path, config: Config, *, resume: bool) -> Checkpoint | None:
    """The checkpoint to continue from, or None to start anew.

    Raises:
        InputError: there is a fit and `resume` was not asked for, or it is a fit of another configuration.
    """
    refuse_blocked(folder)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is not a folder: choose another output")
    found = [folder / name for name in (FINISHED, UNFINISHED) if (folder / name).exists()]
    if not found:
        return None
    if not resume:
        raise InputError(f"{found[0]} is there already: add --resume, or choose another output")
    checkpoint = Checkpoint.load(found[0])
    ours, theirs = _flat(config.model_dump(mode="json")), _flat(checkpoint.config.model_dump(mode="json"))
    for key in {**theirs, **ours}:
        if key not in _MAY_CHANGE and ours.get(key) != theirs.get(key):
            raise InputError(
                f"{found[0]} was made with {key} = {json.dumps(theirs.get(key))}, now it is "
                f"{json.dumps(ours.get(key))}: choose another output"
            )
    return checkpoint if found[0].name == UNFINISHED else None


def _flat(table: object, prefix: str = "") -> dict[str, object]:
    """Nested tables and lists of tables as `dotted.key` -> value."""
    if isinstance(table, list) and table and isinstance(table[0], dict):
        table = {str(k): entry for k, entry in enumerate(table)}
    if not isinstance(table, dict):
        return {prefix.rstrip("."): table}
    return {k: v for name, value in table.items() for k, v in _flat(value, f"{prefix}{name}.").items()}
