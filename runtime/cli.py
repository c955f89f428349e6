"""The `lsu` command: verbs that the installed layers bring, and how it ends.

Each layer names a function under the entry-point group `lsu.commands`; it gets the application and adds
its verbs, so that no layer imports one above it. Modules that a verb needs are imported when it runs.
"""

from collections.abc import Callable
from importlib.metadata import entry_points
from typing import cast

import typer

from .terminal import ending_well


def register(app: typer.Typer) -> None:
    """Add the runtime's verbs to the application."""
    from .verbs import labels
    from .verbs.convert import convert
    from .verbs.evaluate import evaluate
    from .verbs.inspect import inspect
    from .verbs.labels_list import list_labels
    from .verbs.relabel import relabel
    from .verbs.run import run

    for verb in (inspect, relabel, evaluate, run):
        app.command()(ending_well(verb))
    group = typer.Typer(
        help="Label spaces and relations: list, show, check, relate, convert.", no_args_is_help=True
    )
    group.command("list")(ending_well(list_labels))
    for name in ("show", "check", "relate"):
        group.command(name)(ending_well(getattr(labels, f"{name}_labels")))
    group.command("convert")(ending_well(convert))
    app.add_typer(group, name="labels")


def application() -> typer.Typer:
    """The `lsu` application with the verbs of every installed layer."""
    app = typer.Typer(
        name="lsu",
        help="Label space unification for semantic segmentation: from data sets to the edge.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
    )
    for layer in sorted(entry_points(group="lsu.commands"), key=lambda e: e.name):
        cast(Callable[[typer.Typer], None], layer.load())(app)
    return app


def main() -> None:
    """Run `lsu` with the arguments of this process."""
    application()()
