"""`lsu export onnx`: a checkpoint becomes a bundle."""

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from lsu.runtime.errors import BackendError, InputError
from lsu.runtime.terminal import JsonFlag, print_json, print_note

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from lsu.runtime.bundle import Bundle

GOLDEN_FRAMES = 4
"""How many frames of `--golden` are kept in the bundle, evenly spread over the split."""


def onnx(  # noqa: PLR0913 - the options of one command
    checkpoint: Annotated[Path, typer.Argument(help="A checkpoint of `lsu fit`, a .safetensors file.")],
    *,
    output: Annotated[Path, typer.Option("--output", "-o", help="The bundle's folder; must not exist yet.")],
    size: Annotated[
        str | None, typer.Option(help="Fix the input to HxW, for one image at a time. \\[default: as fitted]")
    ] = None,
    fit: Annotated[
        Literal["exact", "pad", "resize"] | None,
        typer.Option(
            help="How images of another size become inputs; `resize` needs a size. \\[default: as fitted]"
        ),
    ] = None,
    head: Annotated[
        Literal["scores", "function"],
        typer.Option(help="`function` adds model_with_head.onnx: scores to classes in standard ONNX."),
    ] = "scores",
    golden: Annotated[
        str | None, typer.Option(help="A dataset.toml whose images prove engines; else patterns are drawn.")
    ] = None,
    split: Annotated[str, typer.Option(help="The split of --golden.")] = "val",
    root: Annotated[Path | None, typer.Option(help="Where the data of --golden lies.")] = None,
    name: Annotated[str | None, typer.Option(help="The bundle's name. \\[default: the file's]")] = None,
    json: JsonFlag = False,
) -> None:
    """Export a checkpoint as a bundle: ONNX, label space, hashes and golden frames.

    onnxruntime and torch are compared first; a bundle is written only when they agree.

    Example: [bold]lsu export onnx runs/town/checkpoint.safetensors -o town.bundle --size 512x1024[/bold]
    """
    from lsu.runtime.bundle import refuse_existing

    _refuse_without_torch()
    refuse_existing(output)
    fixed = None if size is None else _size_from_text(size)
    images = [] if golden is None else _golden_images(golden, split, root)
    if sys.stderr.isatty():
        print_note("exporting: this takes from a few seconds to a minute")

    from lsu.export.to_onnx import Options, export_checkpoint

    options = Options(size=fixed, fit=fit, head=head, name=name, golden=images)
    _report(export_checkpoint(checkpoint, output, options), json=json)


def _refuse_without_torch() -> None:
    missing = [name for name in ("torch", "onnx") if not find_spec(name)]
    if missing:
        raise BackendError(f"{' and '.join(missing)} missing: pip install 'lsu[train,export]'")


def _size_from_text(text: str) -> tuple[int, int]:
    height, _, width = text.partition("x")
    if not (height.isdecimal() and width.isdecimal()):
        raise InputError(f"size {text!r} is not HxW, such as 512x1024")
    return (int(height), int(width))


def _golden_images(dataset: str, split: str, root: Path | None) -> "list[npt.NDArray[np.uint8]]":
    """Images uint8 [H,W,3] RGB, evenly spread over the split."""
    from lsu.runtime.dataset import Dataset

    chosen = Dataset.load(dataset, root).split(split)
    count, last = min(GOLDEN_FRAMES, len(chosen.frames)), len(chosen.frames) - 1
    return [chosen.read_image(chosen.frames[k * last // max(1, count - 1)]) for k in range(count)]


def _report(bundle: "Bundle", *, json: bool) -> None:
    about = {
        "bundle": str(bundle.path),
        "name": bundle.name,
        "digest": bundle.digest,
        "label_space": bundle.spec.label_space.identity,
        "verification": dict(bundle.manifest.verification),
    }
    if json:
        print_json(about)
        return
    measured = bundle.manifest.verification
    print(
        f"{bundle.path}: {bundle.name}, {len(bundle.spec.label_space)} classes, digest {bundle.digest[:16]}; "
        f"exported in {measured['export_seconds']} s, scores differ from torch's by "
        f"{measured['largest_score_difference']:.2g}, {100 * measured['equal_classes']:.2f} % of pixels equal"
    )
