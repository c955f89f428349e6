"""Fitting a network: the loop from a configuration to a checkpoint.

Every random choice follows from the seed and the number of the step or sample, so a fit that was killed
and continued ends with the same weights as one that was not.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from lsu.runtime import BackendError, InputError, Split
from lsu.runtime.bundles.trust import Trust
from lsu.runtime.errors import first_line
from lsu.runtime.evaluate import Evaluation

from .batches import batches_of
from .checkpoint import Checkpoint
from .config import Config, FitConfig
from .crop_plan import CropPlan
from .devices import ended, leads_here
from .figures import draw_run, write_score
from .fit_data import FitData
from .fit_log import FitLog
from .frames import Batch
from .guide import Guide
from .interrupt import HeldInterrupt
from .learner import Learner
from .run_folder import FINISHED, UNFINISHED, earlier_checkpoint
from .s_net_members import with_members
from .schedule import learning_rate
from .step_meter import StepMeter, StepReport
from .teachers import open_guide

__all__ = ["FINISHED", "UNFINISHED", "FitResult", "StepReport", "fit"]

_LOG_EVERY = 10


@dataclass(frozen=True)
class FitResult:
    """A finished fit.

    Attributes:
        checkpoint: the file with the weights.
        steps: optimiser steps in all.
        seconds: time of this call.
        score: the score of these weights on the validation split, or None.
        leads: false in all processes but one of a fit on several devices.
        stopped_early: whether `fit.patience` ended it before `fit.steps`.
        best_step: the step whose weights were kept; `steps` without `fit.patience`.
    """

    checkpoint: Path
    steps: int
    seconds: float
    score: Evaluation | None
    leads: bool = True
    stopped_early: bool = False
    best_step: int = 0


def fit(
    config: Config,
    *,
    resume: bool = False,
    trust: Trust | None = None,
    on_step: Callable[[StepReport], object] = lambda _: None,
    on_note: Callable[[str], object] = lambda _: None,
) -> FitResult:
    """Fit a network as the configuration says.

    Args:
        config: all of it; see Config.
        resume: continue from the last checkpoint in `config.output` if there is one; where the fit is
            finished, only draw its pictures again.
        trust: whose signature a teacher's bundle needs; None asks for none.
        on_step: called every few steps.
        on_note: called before the first step with what a user should know of the data.

    Raises:
        InputError: data or configuration cannot be used, or `output` holds another fit.
        BackendError: the disk refused it.
        KeyboardInterrupt: while steps are made it comes between two of them, after a checkpoint.
    """
    begin = time.monotonic()
    folder = Path(config.output)
    earlier = earlier_checkpoint(folder, config, resume=resume)
    if earlier is None:
        config = with_members(config)
        if config.start is not None and not Path(config.start).is_file():
            raise InputError(f"start: {config.start} is not there: name a checkpoint")
    else:
        config = config.model_copy(update={"network": earlier.config.network})
    if earlier is not None and (folder / FINISHED).exists():
        if leads_here():
            (folder / UNFINISHED).unlink(missing_ok=True)
            draw_run(folder)
        return _result(config, earlier, None, begin=begin, leads=leads_here())
    guide = None if config.distillation is None else open_guide(config.distillation, config.fit, trust)
    try:
        if guide is not None:
            _try_guide(guide, config.fit, earlier)
        data = FitData.opened(config, guide)
        for note in data.notes() if leads_here() else ():
            on_note(note)
        if earlier is not None:
            earlier.label_space.require_same(data.sets.space, "the checkpoint", "the data")
        learner = _learner(config, data, guide, earlier)
        finished, score = _fitted(learner, data, on_step)
    finally:
        if guide is not None:
            guide.close()
        ended()
    return _result(config, finished, score, begin=begin, leads=learner.leads)


def _fitted(
    learner: Learner, data: FitData, on_step: Callable[[StepReport], object]
) -> tuple[Checkpoint, Evaluation | None]:
    """Make the steps that are left and write what a fit leaves behind."""
    config, folder, validation = learner.config, Path(learner.config.output), data.validation
    part = (learner.fabric.global_rank, learner.fabric.world_size)
    coming = batches_of(config, data.splits, data.sets, step=learner.step, part=part)
    with FitLog(folder, start=learner.step, silent=not learner.leads) as log:
        _loop(learner, coming, validation, log, on_step)
        learner.save(folder / UNFINISHED)  # a score that fails must not lose the fit
        score = None if validation is None else _last_score(learner, validation, log)
        finished = learner.finished()
        if learner.leads:
            write_score(folder, score)  # first, since a finished fit is not scored again
            finished.save(folder / FINISHED)
            (folder / UNFINISHED).unlink(missing_ok=True)
            for name, figure in draw_run(folder).items():
                log.add_figure(learner.step, name, figure)
        learner.fabric.barrier()
    return finished, score


def _result(
    config: Config, finished: Checkpoint, score: Evaluation | None, *, begin: float, leads: bool
) -> FitResult:
    return FitResult(
        Path(config.output) / FINISHED,
        finished.step,
        time.monotonic() - begin,
        score,
        leads=leads,
        stopped_early=finished.step < config.fit.steps,
        best_step=finished.best.step or finished.step,
    )


def _try_guide(guide: Guide, settings: FitConfig, earlier: Checkpoint | None) -> None:
    """Raise InputError unless the teachers take all crops and are those that the fit began with."""
    if earlier is not None:
        guide.require_same(earlier.teachers)
    for stage in CropPlan.from_config(settings).stages:
        guide.require_size(stage.crop)


def _learner(config: Config, data: FitData, guide: Guide | None, unfinished: Checkpoint | None) -> Learner:
    """The learner of these data, all of which are read once before if the configuration says so."""
    return Learner(
        config,
        data.sets.space,
        weights=data.class_weights(config),
        members=torch.from_numpy(data.sets.members) if data.sets.partial else None,
        guide=guide,
        answers=data.answers(config, guide),
        unfinished=unfinished,
    )


def _loop(
    learner: Learner,
    coming: Iterator[Batch],
    validation: Split | None,
    log: FitLog,
    on_step: Callable[[StepReport], object],
) -> None:
    settings = learner.config.fit
    unfinished = Path(learner.config.output) / UNFINISHED
    meter = StepMeter()
    learner.bare.train()
    if validation is not None and _score_is_due(settings, learner.step) and learner.score_is_missing:
        _score(learner, validation, log)
    if learner.scores_left == 0:
        return
    with HeldInterrupt() as interrupt:
        for batch in meter.waited(coming):
            meter.add(_learned(learner, batch), len(batch.labels) * learner.fabric.world_size)
            step = learner.step
            if step % _LOG_EVERY == 0 or step == settings.steps:
                _report(learner, meter, log, on_step)
            if step == settings.steps and not interrupt.asked:
                return
            with meter.paused():
                if validation is not None and _score_is_due(settings, step):
                    _score(learner, validation, log)
                if step % settings.save_every == 0:  # after the score, which patience remembers
                    learner.save(unfinished)
            if interrupt.asked:
                if learner.leads:  # without waiting: the other processes are interrupted too
                    learner.unfinished().save(unfinished)
                raise KeyboardInterrupt
            if learner.scores_left == 0:
                if step % _LOG_EVERY:
                    _report(learner, meter, log, on_step)
                return


def _score_is_due(settings: FitConfig, step: int) -> bool:
    """Whether a step within a fit is followed by a score; the last one always is, outside the loop."""
    return settings.score_every > 0 and step % settings.score_every == 0 and step < settings.steps


def _report(learner: Learner, meter: StepMeter, log: FitLog, on_step: Callable[[StepReport], object]) -> None:
    """Log and tell of the steps since the last report; all processes take part."""
    mean_loss, speed, waiting = meter.take()
    loss = learner.mean_over_devices(mean_loss)
    report = StepReport(learner.step, loss, speed, waiting, learner.scores_left)
    log.add(
        learner.step,
        {
            "loss": loss,
            "learning_rate": learning_rate(learner.config.fit, learner.step - 1),
            "images_per_second": speed,
            "waiting": waiting,
        },
    )
    if learner.leads:
        on_step(report)


def _score(learner: Learner, validation: Split, log: FitLog) -> Evaluation:
    """Score, log and, with patience, remember the best; a score that fails leaves a checkpoint."""
    try:
        score = learner.score(validation)
    except Exception:
        if learner.leads:
            learner.unfinished().save(Path(learner.config.output) / UNFINISHED)
        raise
    log.add(learner.step, _numbers(score))
    if learner.config.fit.patience:
        learner.judge(score)
    return score


def _last_score(learner: Learner, validation: Split, log: FitLog) -> Evaluation:
    """The score of the weights that are kept, which patience may take from an earlier step."""
    score = None
    if learner.scores_left != 0:  # else the loop has scored this step already
        score = _score(learner, validation, log)
    if learner.config.fit.patience and (score is None or learner.best.stale):
        learner.take_best()
        score = learner.score(validation)
    assert score is not None
    return score


def _learned(learner: Learner, batch: Batch) -> Tensor:
    try:
        return learner.learn(batch)
    except ValueError as error:
        if len(batch.labels) > 1:
            raise
        raise InputError(
            f"step {learner.step + 1}: this network does not learn from one image on a device: raise "
            f"fit.batch_size ({first_line(error)})"
        ) from error
    except RuntimeError as error:  # out of memory, say: torch has no narrower word for it
        raise BackendError(
            f"step {learner.step + 1}: {first_line(error)}: try a smaller fit.batch_size or fit.crop"
        ) from error


def _numbers(score: Evaluation) -> dict[str, float]:
    named = {"score/mean_iou": score.mean_iou, "score/pixel_accuracy": score.pixel_accuracy}
    return {name: value for name, value in named.items() if value is not None}
