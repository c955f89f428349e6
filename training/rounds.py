"""Rounds: a teacher relabels the foreign data, a student learns from it, and teaches the next round.

Each step is what `lsu fit` or `lsu relabel` does, through the same functions, so that its files are the same
and each continues by itself after a kill.
"""

import json
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import torch

from lsu.runtime import Dataset, Segmenter
from lsu.runtime.evaluate import evaluate
from lsu.runtime.files import read_bytes, write_atomically
from lsu.runtime.relabel.pipeline import relabel
from lsu.runtime.relabel.teachers import Network

from .fit import FINISHED, fit
from .rounds_commands import COMMANDS, STEP_CONFIG, config_text, script_of
from .rounds_plan import TEACHER, FitStep, Plan, RelabelStep, ScoreStep, Step
from .rounds_record import Record
from .step_meter import StepReport
from .teachers import teacher_engine

RESULT = "rounds.json"


class Advance(Protocol):
    """Told how many further units of a step are done; `note` is for people."""

    def __call__(self, steps: int = 1, *, note: str = "") -> None:
        """Move on by `steps`."""


Watch = Callable[[Step], AbstractContextManager[Advance]]
"""Entered for each step; what it gives is told of the step's progress."""


@dataclass(frozen=True)
class Round:
    """The outcome of one round; round 0 is the first teacher.

    Attributes:
        round: its number.
        network: the checkpoint that it ended with, or the given teacher.
        mean_iou: of that network on the validation split, 0 to 1, or None where there is none.
        changed: the share of all pixels whose pseudo-label is not the one of the round before, 0 to 1, or
            None in rounds 0 and 1.
        skipped: frames that could not be relabelled.
        seconds: time of its steps over all calls; a call that was killed leaves none for its last step.
    """

    round: int
    network: str
    mean_iou: float | None
    changed: float | None
    skipped: int
    seconds: float


def run_rounds(
    plan: Plan,
    *,
    resume: bool = False,
    watch: Watch = lambda _: nullcontext(lambda *_, **__: None),
) -> tuple[Round, ...]:
    """Fit and relabel as the plan says; the output folder then holds it all, and `rounds.json`.

    Args:
        plan: what to do.
        resume: continue what the folder holds; an empty one starts anew.
        watch: entered for each step, in their order.

    Raises:
        InputError: the folder holds other rounds, or a file that was good when the plan was made is not now.
        BackendError: a device or the disk failed; what is done stays done.
        KeyboardInterrupt: as a fit or a relabelling leaves it, to be continued with `resume`.
    """
    record = Record.opened(plan, resume=resume)
    record.write()
    write_atomically(plan.folder / COMMANDS, script_of(plan).encode())
    threads = torch.get_num_threads()
    try:
        for step in plan.steps:
            settings = step.config.fit if isinstance(step, FitStep) else step.settings
            torch.set_num_threads(settings.threads or threads)  # a fit keeps its own for the process
            _do(step, plan, record, watch)
    finally:
        torch.set_num_threads(threads)
    rounds = _rounds(plan, record)
    document = {"rounds": [asdict(entry) for entry in rounds]}
    write_atomically(plan.folder / RESULT, (json.dumps(document, indent=2) + "\n").encode())
    return rounds


def _do(step: Step, plan: Plan, record: Record, watch: Watch) -> None:
    """Do one step, or what is left of it, and write down what it gave."""
    begin = time.monotonic()
    values: Mapping[str, Any] = {}
    try:
        with watch(step) as advance:
            if isinstance(step, FitStep):
                values = _fitted(step, plan, advance)
            elif isinstance(step, ScoreStep):
                values = (
                    record.of(step.name)
                    if "mean_iou" in record.of(step.name)
                    else _scored(step, plan, advance)
                )
            else:
                values = _relabelled(step, plan, record.of(step.name), advance)
    finally:
        record.add(step.name, **{**values, "seconds": time.monotonic() - begin})


def _fitted(step: FitStep, plan: Plan, advance: Advance) -> Mapping[str, Any]:
    write_atomically(plan.folder / step.name / STEP_CONFIG, config_text(step.config).encode())
    done = 0

    def on_step(report: StepReport) -> None:
        nonlocal done
        advance(report.step - done, note=f"loss {report.loss:.3f}  {report.images_per_second:.0f} img/s")
        done = report.step

    result = fit(step.config, resume=True, on_step=on_step)
    advance(step.total - done)
    return {"mean_iou": _score_at(result.best_step, result.checkpoint.parent)}


def _score_at(step: int, folder: Path) -> float | None:
    """The score that a fit logged after this step; a fit that was finished before returns none itself."""
    score = None
    for line in read_bytes(folder / "log.jsonl").splitlines():
        with suppress(
            ValueError, KeyError, TypeError
        ):  # a line that a power cut left, or one without a score
            entry = json.loads(line)
            score = entry["score/mean_iou"] if entry["step"] == step else score
    return score


def _scored(step: ScoreStep, plan: Plan, advance: Advance) -> Mapping[str, Any]:
    engine = teacher_engine(step.teacher, step.settings, plan.trust)
    try:
        segmenter = Segmenter(engine)
        score = evaluate(
            lambda image: segmenter.segment(image).classes,
            plan.space,
            step.split,
            boundaries=False,
            on_frame=advance,
        )
    finally:
        engine.close()
    return {"mean_iou": score.mean_iou}


def _relabelled(
    step: RelabelStep, plan: Plan, known: Mapping[str, Any], advance: Advance
) -> Mapping[str, Any]:
    out = plan.folder / step.name
    engine = teacher_engine(step.teacher, step.settings, plan.trust)
    try:
        teacher = Network(engine, plan.config.all_views)
        summary = relabel(teacher, step.request, out, workers=step.settings.threads or None, on_frame=advance)
    finally:
        engine.close()
    values: dict[str, Any] = {"skipped": len(summary.skipped)}
    if step.before is not None and "changed" not in known:
        values["changed"], values["pixels"] = _changes(
            plan.folder / step.before, out, step.request.split.name
        )
    return values


def _changes(before: Path, now: Path, split: str) -> tuple[int, int]:
    """How many pixels of two relabellings of the same frames differ, and how many there are."""
    old, new = (Dataset.load(folder).split(split) for folder in (before, now))
    frames = {frame.key: frame for frame in old.frames}
    changed = pixels = 0
    for frame in new.frames:
        if frame.key in frames:
            labels = new.read_labels(frame)
            changed += int((labels != old.read_labels(frames[frame.key])).sum())
            pixels += labels.size
    return changed, pixels


def _rounds(plan: Plan, record: Record) -> tuple[Round, ...]:
    rounds = []
    for number in range(plan.config.rounds + 1):
        steps = [(step, record.of(step.name)) for step in plan.steps if step.round == number]
        pixels = sum(known.get("pixels", 0) for _, known in steps)
        changed = sum(known.get("changed", 0) for _, known in steps)
        folder = plan.folder / (f"round-{number}/student" if number else TEACHER)
        given = plan.config.teacher if number == 0 else None
        rounds.append(
            Round(
                round=number,
                network=given or str(folder / FINISHED),
                mean_iou=next((known["mean_iou"] for _, known in steps if "mean_iou" in known), None),
                changed=changed / pixels if pixels else None,
                skipped=sum(known.get("skipped", 0) for _, known in steps),
                seconds=sum(known["seconds"] for _, known in steps),
            )
        )
    return tuple(rounds)
