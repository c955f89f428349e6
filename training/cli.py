"""The verbs of the training layer: `lsu synth` and `lsu fit`."""

import shlex
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lsu.runtime.terminal import JsonFlag, TrustOption, ending_well, print_json, print_note, progress

from .rounds_verb import rounds

if TYPE_CHECKING:
    from .fit import FitResult, StepReport


def register(app: typer.Typer) -> None:
    """Add the verbs to the application; `fit` needs torch and is left out without it."""
    app.command()(ending_well(synth))
    if find_spec("torch") is not None:
        app.command()(ending_well(fit))
        app.command()(ending_well(rounds))


def synth(
    directory: Annotated[Path, typer.Argument(help="A new or empty folder.")],
    *,
    train: Annotated[int, typer.Option(min=1, help="Images of each training split.")] = 200,
    test: Annotated[int, typer.Option(min=1, help="Images of the test set and of validation.")] = 60,
    seed: Annotated[int, typer.Option(min=0, help="The same seed draws the same files.")] = 0,
    json_output: JsonFlag = False,
) -> None:
    """Draw two small road worlds with different label spaces, a test set and the relation between them.

    [bold]Example:[/bold] lsu synth worlds --train 200
    """
    from .synthetic import WorldSettings, write_worlds

    settings = WorldSettings(seed=seed, train=train, test=test)
    with progress("synth", 2 * (train + test)) as advance:
        worlds = write_worlds(directory, settings, progress=lambda _done, _total: advance())
    if json_output:
        print_json({name: str(path) for name, path in vars(worlds).items()})
    else:
        print(f"two worlds, a test set and the relation {worlds.relation.name} are in {directory}")


def fit(
    config: Annotated[Path, typer.Argument(help="A TOML file; the README has one, docs/fit.md all of it.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Such as fit.steps=500 fit.seed=1.")
    ] = None,
    *,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Continue after a kill, or draw a finished fit again; starts anew where nothing is.",
        ),
    ] = False,
    trust: TrustOption = None,
    json_output: JsonFlag = False,
) -> None:
    """Fit a teacher or a student as a configuration says.

    `preset = "small"` or `"backhaus2025"` in it brings settings that go together; its own keys win.

    [bold]Example:[/bold] lsu fit teacher.toml fit.steps=2000 output=runs/teacher
    """
    from lsu.runtime.bundles.trust import Trust

    from .config import Config
    from .devices import leads_here
    from .fit import UNFINISHED
    from .fit import fit as fit_network

    checked = Config.load(config, overrides or [])
    done = 0
    try:
        with progress("fit", checked.fit.steps, shown=leads_here()) as advance:

            def on_step(report: "StepReport") -> None:
                nonlocal done
                advance(report.step - done, note=_note_of(report))
                done = report.step

            result = fit_network(
                checked,
                resume=resume,
                trust=Trust.from_files(trust or ()),
                on_step=on_step,
                on_note=lambda note: print_note(f"lsu: {note}"),
            )
    except KeyboardInterrupt:
        if leads_here() and (Path(checked.output) / UNFINISHED).exists():
            words = shlex.join([str(config), *(overrides or [])])
            print_note(f"lsu: continue with: lsu fit {words} --resume")
        raise
    if result.leads:
        _print(result, json=json_output)


def _note_of(report: "StepReport") -> str:
    """The end of the progress line."""
    left = report.scores_left
    return (
        f"loss {report.loss:.3f}  {report.images_per_second:.0f} img/s  waits {100 * report.waiting:.0f} %"
        + ("" if left is None else f"  patience {left}")
    )


def _print(result: "FitResult", *, json: bool) -> None:
    score = None if result.score is None else result.score.to_dict()
    if json:
        document = {
            "checkpoint": str(result.checkpoint),
            "steps": result.steps,
            "seconds": result.seconds,
            "stopped_early": result.stopped_early,
            "best_step": result.best_step,
        }
        print_json({**document, "score": score})
        return
    early = ", stopped early" if result.stopped_early else ""
    kept = f", the weights of step {result.best_step}" if result.best_step != result.steps else ""
    print(f"{result.checkpoint}: {result.steps} steps in {result.seconds:.0f} s{early}{kept}")
    if score is not None and score["mean_iou"] is not None:
        print(f"validation mIoU {100 * score['mean_iou']:.1f} %")
