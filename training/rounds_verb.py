"""`lsu rounds`: teacher, relabelling, student, which becomes the teacher, as one command."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lsu.runtime.terminal import (
    BELOW_LEVEL,
    JsonFlag,
    TrustOption,
    print_json,
    print_line,
    print_note,
    print_table,
    progress,
)

if TYPE_CHECKING:
    from .rounds import Round
    from .rounds_plan import Plan


def rounds(  # noqa: PLR0913 - a command's options
    config: Annotated[Path, typer.Argument(help="A TOML file; docs/methods.md has one.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Such as rounds=3 fit.steps=500.")
    ] = None,
    *,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue after a kill; starts anew where there is nothing.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check everything and print the plan; nothing is written.")
    ] = False,
    trust: TrustOption = None,
    json_output: JsonFlag = False,
) -> None:
    """Fit a teacher, relabel foreign data with it, fit a student on both, and let it teach the next round.

    Everything is checked before the first step. The output folder holds each step's files, and `commands.sh`
    with the other verbs' commands that do the same. The exit code is 1 where frames could not be relabelled.

    [bold]Example:[/bold] lsu rounds unify.toml rounds=2 output=runs/unify
    """
    from lsu.runtime.bundles.trust import Trust

    from .rounds import run_rounds
    from .rounds_config import RoundsConfig
    from .rounds_plan import Plan
    from .rounds_record import RECORD, Record

    plan = Plan.of(RoundsConfig.load(config, overrides or []), trust=Trust.from_files(trust or ()))
    for note in plan.notes:
        print_note(f"lsu: {note}")
    if dry_run:
        Record.opened(plan, resume=resume)
        _print_plan(plan, json=json_output)
        return
    try:
        done = run_rounds(plan, resume=resume, watch=lambda step: progress(step.name, step.total))
    except KeyboardInterrupt:
        if (plan.folder / RECORD).exists():
            keys = [word for key in trust or () for word in ("--trust", str(key))]
            words = shlex.join([str(config), *(overrides or []), *keys])
            print_note(f"lsu: continue with: lsu rounds {words} --resume")
        raise
    _print(done, plan, json=json_output)
    if any(entry.skipped for entry in done):
        raise SystemExit(BELOW_LEVEL)


def _print_plan(plan: "Plan", *, json: bool) -> None:
    from .rounds_commands import commands_of
    from .rounds_plan import FitStep

    steps = [(step, "steps" if isinstance(step, FitStep) else "frames") for step in plan.steps]
    if json:
        rows = [{"step": step.name, "round": step.round, unit: step.total} for step, unit in steps]
        print_json({"output": str(plan.folder), "steps": rows, "commands": commands_of(plan)})
        return
    cells = [(step.name, str(step.round), f"{step.total:,} {unit}") for step, unit in steps]
    print_table(f"{len(steps)} steps in {plan.folder}", ("step", "round", "of"), cells)
    for command in commands_of(plan):
        print_line(command)


def _print(done: "Sequence[Round]", plan: "Plan", *, json: bool) -> None:
    from dataclasses import asdict

    if json:
        print_json({"rounds": [asdict(entry) for entry in done]})
        return
    rows = [
        (
            str(entry.round),
            _percent(entry.mean_iou),
            _percent(entry.changed),
            str(entry.skipped),
            f"{entry.seconds:.0f}",
        )
        for entry in done
    ]
    head = ("round", "validation mIoU %", "pseudo-labels changed %", "skipped frames", "seconds")
    print_table(f"{len(rows) - 1} rounds in {plan.folder}", head, rows)
    print_line(f"last student: {done[-1].network}")


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f}"
