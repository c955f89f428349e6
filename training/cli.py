"""The verbs of the training layer: `lsu synth` and `lsu fit`."""

import shlex
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lsu.runtime.terminal import JsonFlag, ending_well, print_json, print_note, progress

if TYPE_CHECKING:
    from .fit import FitResult


def register(app: typer.Typer) -> None:
    """Add the verbs to the application; `fit` needs torch and is left out without it."""
    app.command()(ending_well(synth))
    if find_spec("torch") is not None:
        app.command()(ending_well(fit))


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
    config: Annotated[Path, typer.Argument(help="A TOML file; the README has one.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Such as fit.steps=500 fit.seed=1.")
    ] = None,
    *,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue after a kill; starts anew where there is nothing.")
    ] = False,
    json_output: JsonFlag = False,
) -> None:
    """Fit a teacher or a student as a configuration says.

    [bold]Example:[/bold] lsu fit teacher.toml fit.steps=2000 output=runs/teacher
    """
    from .config import Config
    from .fit import UNFINISHED, StepReport
    from .fit import fit as fit_network

    checked = Config.load(config, overrides or [])
    done = 0
    try:
        with progress("fit", checked.fit.steps) as advance:

            def on_step(report: StepReport) -> None:
                nonlocal done
                advance(
                    report.step - done, note=f"loss {report.loss:.3f}  {report.images_per_second:.0f} img/s"
                )
                done = report.step

            result = fit_network(
                checked, resume=resume, on_step=on_step, on_note=lambda note: print_note(f"lsu: {note}")
            )
    except KeyboardInterrupt:
        if (Path(checked.output) / UNFINISHED).exists():
            print_note(f"lsu: continue with: lsu fit {config} {shlex.join(overrides or [])} --resume")
        raise
    if result.leads:
        _print(result, json=json_output)


def _print(result: "FitResult", *, json: bool) -> None:
    score = None if result.score is None else result.score.to_dict()
    if json:
        document = {"checkpoint": str(result.checkpoint), "steps": result.steps, "seconds": result.seconds}
        print_json({**document, "score": score})
        return
    print(f"{result.checkpoint}: {result.steps} steps in {result.seconds:.0f} s")
    if score is not None and score["mean_iou"] is not None:
        print(f"validation mIoU {100 * score['mean_iou']:.1f} %")
