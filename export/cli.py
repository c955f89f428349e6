"""The verbs of `lsu export`, also installed as `lsu-export`: from a checkpoint to a bundle that is proven.

Only `onnx` needs torch: a vehicle builds, measures, verifies and signs without it.
"""

from collections.abc import Callable

import typer

from lsu.runtime.terminal import ending_well

from .verbs.adopt import adopt
from .verbs.bench import bench
from .verbs.build import build
from .verbs.keygen import keygen
from .verbs.onnx import onnx
from .verbs.sign import sign
from .verbs.triton import triton
from .verbs.verify import verify

VERBS: dict[str, Callable[..., None]] = {
    "onnx": onnx,
    "adopt": adopt,
    "triton": triton,
    "keygen": keygen,
    "sign": sign,
    "build": build,
    "verify": verify,
    "bench": bench,
}


def register(app: typer.Typer) -> None:
    """Add `export` to the application."""
    app.add_typer(application(), name="export")


def application() -> typer.Typer:
    """The `export` application."""
    app = typer.Typer(
        name="export",
        help="Make bundles, which every other verb runs, and engines of them.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
    )
    app.callback()(_group)
    for name, verb in VERBS.items():
        app.command(name)(ending_well(verb))
    return app


def main() -> None:
    """Run `lsu-export` with the arguments of this process."""
    application()()


def _group() -> None:
    """Make bundles, which every other verb runs, and engines of them."""
