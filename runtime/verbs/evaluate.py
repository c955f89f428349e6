"""`lsu evaluate`: compare a bundle's answers with labels."""

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lsu.runtime.errors import InputError
from lsu.runtime.terminal import JsonFlag, TrustOption, print_json, print_note, print_table, progress

if TYPE_CHECKING:
    from lsu.runtime.evaluate import Evaluation


def evaluate(  # noqa: PLR0913 - the options of one command
    bundle: Annotated[Path, typer.Argument(help="The bundle's folder.")],
    *,
    data: Annotated[str, typer.Option(help="A dataset.toml, its folder, or a name from the catalogue.")],
    split: Annotated[str, typer.Option(help="The split to use; it needs labels.")],
    root: Annotated[Path | None, typer.Option(help="Where the data lies, if not beside the file.")] = None,
    relation: Annotated[
        str | None, typer.Option(help="Score in the data set's own label space through this relation.")
    ] = None,
    backend: Annotated[str, typer.Option(help="auto, onnxruntime, tensorrt or tensorrt-rtx.")] = "auto",
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads; all by default.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw the confusion matrix into this .png file.")] = None,
    trust: TrustOption = None,
    json_output: JsonFlag = False,
) -> None:
    """IoU and boundary F per class, their means, and the confusion matrix.

    Void labels are not counted. Classes that do not occur in the labels have no score and no part in the
    means.

    Example: [bold]lsu evaluate student/ --data camvid11 --root ~/camvid11 --split val[/bold]
    """
    from lsu.runtime.bundles.bundle import Bundle
    from lsu.runtime.bundles.trust import Trust
    from lsu.runtime.datasets.dataset import Dataset
    from lsu.runtime.engines import engine_for
    from lsu.runtime.evaluate import evaluate as evaluate_split
    from lsu.runtime.evaluate import require_scorable
    from lsu.runtime.relation import Relation
    from lsu.runtime.segmenter import Segmenter

    _refuse_bad_plot(plot)
    known = Relation.load(relation) if relation is not None else None
    frames = Dataset.load(data, root).split(split)
    note = frames.count_note()
    if note:
        print_note(f"lsu: {note}")
    opened = Bundle.open(bundle, trust=Trust.from_files(trust or ()))
    require_scorable(opened.spec.label_space, frames, known)  # before an engine is loaded
    with (
        closing(engine_for(opened, backend, threads=threads)) as engine,
        progress("evaluating", len(frames.frames)) as advance,
    ):
        segmenter = Segmenter(engine, threads=threads)
        result = evaluate_split(
            lambda image: segmenter.segment(image).classes,
            opened.spec.label_space,
            frames,
            relation=known,
            on_frame=advance,
        )
    if plot is not None:
        _write_plot(plot, result, f"{frames.dataset} {split}: share of the true pixels in percent")
    if json_output:
        about = {"data": frames.dataset, "split": split, "official_frames": frames.count}
        print_json({"bundle": opened.digest, **about, **result.to_dict()})
    else:
        _print_evaluation(
            result, f"{bundle.resolve().name} on {frames.dataset} {split}, {result.frames} frames"
        )


def _print_evaluation(result: "Evaluation", title: str) -> None:
    document = result.to_dict()
    rows = [
        (entry["name"], f"{entry['pixels']:,}", _percent(entry["iou"]), _percent(entry["boundary_f"]))
        for entry in document["classes"]
    ]
    mean = ("mean", f"{document['pixels']:,}", _percent(result.mean_iou), _percent(result.mean_boundary_f))
    print_table(title, ("class", "true pixels", "IoU %", "boundary F %"), [*rows, mean])
    print(
        f"pixel accuracy {_percent(result.pixel_accuracy)} %, "
        f"frequency-weighted IoU {_percent(result.frequency_weighted_iou)} %"
    )
    if result.uncounted:
        print_note(f"not counted, because they allow no class: {', '.join(result.uncounted)}")


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.2f}"


def _refuse_bad_plot(plot: Path | None) -> None:
    from lsu.runtime.files import refuse_blocked

    if plot is None:
        return
    if plot.is_dir():
        raise InputError(f"--plot {plot} is a folder; name a file")
    if plot.suffix.lower() != ".png":
        raise InputError(f"--plot {plot}: the picture is a PNG; name it {plot.with_suffix('.png')}")
    refuse_blocked(plot)


def _write_plot(plot: Path, result: "Evaluation", title: str) -> None:
    from lsu.runtime.confusion_picture import confusion_picture
    from lsu.runtime.files import write_atomically
    from lsu.runtime.image import png_from_pixels

    picture = confusion_picture(result.confusion, result.label_space, title=title)
    write_atomically(plot, png_from_pixels(picture, rgb=True))
    print_note(f"confusion matrix: {plot}")
