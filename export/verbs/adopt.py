"""`lsu export adopt`: anybody's ONNX file becomes a bundle."""

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Literal

import typer

from lsu.runtime.errors import BackendError, InputError
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


def adopt(  # noqa: PLR0913 - the options of one command
    model: Annotated[Path, typer.Argument(help="An ONNX file with all its weights inside.")],
    *,
    output: OutputOption,
    label_space: Annotated[str, typer.Option(help="What channel k means: a catalogue name or a TOML file.")],
    void_channel: Annotated[bool, typer.Option(help="The last channel of the scores means void.")] = False,
    scores: Annotated[
        str | None, typer.Option(help="The scores' tensor, an inner one too. \\[default: found]")
    ] = None,
    kind: Annotated[
        Literal["logits", "probabilities"] | None, typer.Option(help="Of the scores. \\[default: seen]")
    ] = None,
    layout: Annotated[
        Literal["NCHW", "NHWC"] | None, typer.Option(help="Of the input. \\[default: found by the extent 3]")
    ] = None,
    mean: Annotated[
        str | None,
        typer.Option(
            help="Of a float input, of x / scale: one number or one per channel, as the network has them."
        ),
    ] = None,
    std: Annotated[str | None, typer.Option(help="Likewise.")] = None,
    scale: Annotated[float, typer.Option(help="What pixels of 0 to 255 are divided by first.")] = 255.0,
    bgr: Annotated[bool, typer.Option("--bgr", help="The network wants blue, green, red.")] = False,
    size: Annotated[str | None, typer.Option(help="Fix a free size to HxW, for one image at a time.")] = None,
    multiple: Annotated[
        int, typer.Option(min=1, help="A free H and W are multiples of this, the network's stride.")
    ] = 32,
    fit: FitOption = None,
    pad_value: Annotated[
        int | None, typer.Option(min=0, max=255, help="Grey of padding. \\[default: the mean, else 128]")
    ] = None,
    head: HeadOption = "scores",
    golden: GoldenOption = None,
    split: SplitOption = "val",
    root: RootOption = None,
    evaluation: EvaluationOption = None,
    name: NameOption = None,
    json: JsonFlag = False,
) -> None:
    """Make a bundle of somebody's ONNX file: uint8 RGB pixels in, scores out, everything checked.

    The bundle's network is compared with the original in onnxruntime before anything is written. Nobody can
    see from a file whether mean, std and the order of colours are right: run `lsu evaluate` afterwards.

    Example: [bold]lsu export adopt net.onnx -o net.bundle --label-space cityscapes19 --mean
    0.485,0.456,0.406 --std 0.229,0.224,0.225[/bold]
    """
    from lsu.runtime.bundles.bundle import refuse_existing

    if not find_spec("onnx"):
        raise BackendError("onnx missing: pip install 'lsu[cpu,export]'")
    refuse_existing(output)

    from lsu.export.adoption.adopt import Adoption
    from lsu.export.adoption.adopt import adopt as adopt_model
    from lsu.export.adoption.adopted_graph import Preparation
    from lsu.runtime.label_space import LabelSpace

    adoption = Adoption(
        label_space=LabelSpace.load(label_space),
        void_channel=void_channel,
        scores=scores,
        kind=kind,
        layout=layout,
        preparation=Preparation(_numbers("mean", mean), _numbers("std", std), scale, bgr),
        size=None if size is None else _fixed_size(size),
        multiple=multiple,
        fit=fit,
        pad_value=pad_value,
        head=head,
        name=name,
        golden=[] if golden is None else golden_images(golden, split, root),
        evaluations=evaluations_from(evaluation),
    )
    bundle = adopt_model(model, output, adoption)
    found = bundle.provenance
    print_note(
        f"input {found['adopted_input']}, scores {found['adopted_scores']}: {bundle.spec.scores}; whether "
        "colours and normalisation are right, only `lsu evaluate` shows"
    )
    report(bundle, "adopted and compared with the original", json=json)


def _fixed_size(text: str) -> tuple[int, int]:
    if text == "dynamic":
        raise InputError("--size dynamic: an adopted file keeps the sizes it has; leave it out, or give HxW")
    return size_from_text(text)


def _numbers(option: str, text: str | None) -> tuple[float, float, float] | None:
    if text is None:
        return None
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        values = []
    if len(values) == 1:
        values *= 3
    if len(values) != 3:
        raise InputError(f"--{option} {text!r}: one number or three with commas, such as 0.485,0.456,0.406")
    return (values[0], values[1], values[2])
