"""What the verbs that write bundles share: options, golden images, and what they print."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from lsu.runtime.errors import InputError
from lsu.runtime.terminal import print_json

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from lsu.export.evaluation_file import RecordedEvaluation
    from lsu.runtime.bundles.bundle import Bundle

GOLDEN_FRAMES = 4
"""How many frames of `--golden` are kept in the bundle, evenly spread over the split."""

HeadOption = Annotated[
    Literal["scores", "function", "plugin"],
    typer.Option(
        help="`function` adds model_with_head.onnx, scores to classes in standard ONNX; `plugin` adds "
        "model_with_plugin.onnx for TensorRT with the plugin of lsu, which runs on no CPU."
    ),
]
FitOption = Annotated[
    Literal["exact", "pad", "resize"] | None,
    typer.Option(
        help="How images of another size become inputs; `resize` needs a size. \\[default: as fitted]"
    ),
]
GoldenOption = Annotated[
    str | None,
    typer.Option(
        help="A dataset.toml or catalogue name whose images prove engines; else patterns are drawn."
    ),
]
SplitOption = Annotated[str, typer.Option(help="The split of --golden.")]
RootOption = Annotated[Path | None, typer.Option(help="Where the data of --golden lies.")]
EvaluationOption = Annotated[
    list[Path] | None,
    typer.Option(help="What `lsu evaluate --json` wrote, for the model card; repeatable."),
]
OutputOption = Annotated[
    Path, typer.Option("--output", "-o", help="The bundle's folder; must not exist yet.")
]
NameOption = Annotated[
    str | None,
    typer.Option(help="The bundle's name. \\[default: the file's; of checkpoint.safetensors its folder's]"),
]


def size_from_text(text: str) -> tuple[int, int]:
    """(H, W) of a text such as `512x1024`; InputError for any other."""
    height, _, width = text.partition("x")
    if not (height.isdecimal() and width.isdecimal()):
        raise InputError(f"size {text!r} is not HxW, such as 512x1024")
    return (int(height), int(width))


def golden_images(dataset: str, split: str, root: Path | None) -> "list[npt.NDArray[np.uint8]]":
    """Images uint8 [H,W,3] RGB, evenly spread over the split."""
    from lsu.runtime.datasets.dataset import Dataset

    chosen = Dataset.load(dataset, root).split(split)
    count, last = min(GOLDEN_FRAMES, len(chosen.frames)), len(chosen.frames) - 1
    return [chosen.read_image(chosen.frames[k * last // max(1, count - 1)]) for k in range(count)]


def evaluations_from(paths: Sequence[Path] | None) -> "list[RecordedEvaluation]":
    """The evaluations in these files."""
    from lsu.export.evaluation_file import RecordedEvaluation

    return [RecordedEvaluation.load(path) for path in paths or ()]


def report(bundle: "Bundle", how: str, *, json: bool) -> None:
    """Print what was written: one JSON document, or a line that says `how` it came about."""
    measured = bundle.manifest.verification
    if json:
        print_json(
            {
                "bundle": str(bundle.path),
                "name": bundle.name,
                "digest": bundle.digest,
                "label_space": bundle.spec.label_space.identity,
                "precision": bundle.precision,
                "head": bundle.manifest.head,
                "verification": dict(measured),
            }
        )
        return
    print(
        f"{bundle.path}: {bundle.name}, {len(bundle.spec.label_space)} classes, digest {bundle.digest[:16]}; "
        f"{how}, scores differ by {measured['largest_score_difference']:.2g}, "
        f"{100 * measured['equal_classes']:.2f} % of pixels equal"
    )
