"""`lsu export onnx`: a checkpoint becomes a bundle."""

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Literal

import typer

from lsu.runtime.errors import BackendError
from lsu.runtime.terminal import JsonFlag, print_note

from .bundle_options import (
    EvaluationOption,
    FitOption,
    GoldenOption,
    HeadOption,
    NameOption,
    OutputOption,
    RootOption,
    SplitOption,
    evaluations_from,
    golden_images,
    report,
    size_from_text,
)

_PRECISIONS: dict[str, Literal["float32", "float16"]] = {"fp32": "float32", "fp16": "float16"}


def onnx(  # noqa: PLR0913 - the options of one command
    checkpoint: Annotated[Path, typer.Argument(help="A checkpoint of `lsu fit`, a .safetensors file.")],
    *,
    output: OutputOption,
    size: Annotated[
        str | None,
        typer.Option(
            help="HxW for one image at a time of that size, or `dynamic` for any size and number. "
            "\\[default: as fitted, which is dynamic unless `network.input_size` was set]"
        ),
    ] = None,
    fit: FitOption = None,
    head: HeadOption = "scores",
    precision: Annotated[
        Literal["fp32", "fp16"],
        typer.Option(
            help="`fp16` halves the network between its float32 normalisation and float32 scores; on a CPU "
            "only the rounding of its weights can be proven."
        ),
    ] = "fp32",
    golden: GoldenOption = None,
    split: SplitOption = "val",
    root: RootOption = None,
    evaluation: EvaluationOption = None,
    name: NameOption = None,
    json: JsonFlag = False,
) -> None:
    """Export a checkpoint as a bundle: ONNX, label space, hashes, golden frames and a model card.

    onnxruntime and torch are compared first; a bundle is written only when they agree.

    Example: [bold]lsu export onnx runs/town/checkpoint.safetensors -o town.bundle --size 512x1024[/bold]
    """
    from lsu.runtime.bundles.bundle import refuse_existing

    _refuse_without_torch()
    refuse_existing(output)
    wanted: tuple[int, int] | Literal["dynamic"] | None = None
    if size is not None:
        wanted = "dynamic" if size == "dynamic" else size_from_text(size)
    images = [] if golden is None else golden_images(golden, split, root)
    scored = evaluations_from(evaluation)
    if sys.stderr.isatty():
        print_note("exporting: this takes from a few seconds to a minute")
    from lsu.export.to_onnx import Options, export_checkpoint

    options = Options(
        size=wanted,
        fit=fit,
        head=head,
        precision=_PRECISIONS[precision],
        name=name,
        golden=images,
        evaluations=scored,
    )
    bundle = export_checkpoint(checkpoint, output, options)
    seconds = bundle.manifest.verification["export_seconds"]
    report(bundle, f"{precision} exported in {seconds} s and compared with torch in fp32", json=json)


def _refuse_without_torch() -> None:
    missing = [name for name in ("torch", "onnx") if not find_spec(name)]
    if missing:
        raise BackendError(f"{' and '.join(missing)} missing: pip install 'lsu[train,export]'")
