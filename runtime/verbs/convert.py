"""`lsu labels convert`: labels of one label space written in another one, where no teacher is needed."""

from pathlib import Path
from typing import Annotated

import typer

from lsu.runtime.terminal import BELOW_LEVEL, JsonFlag, print_json, print_note, print_table, progress


def convert(  # noqa: PLR0913 - a command's options
    *,
    data: Annotated[str, typer.Option(help="A dataset.toml, its folder, or a name of the catalogue.")],
    split: Annotated[str, typer.Option(help="The split to convert.")],
    relation: Annotated[str, typer.Option(help="A relation's TOML file, or a name of the catalogue.")],
    out: Annotated[Path, typer.Option(help="The folder to write; it becomes a data set.")],
    root: Annotated[Path | None, typer.Option(help="Where a data set of the catalogue lies.")] = None,
    undecided_void: Annotated[
        bool, typer.Option("--undecided-void", help="Write void for labels that leave a choice.")
    ] = False,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Threads that read and write; the cores if not given.")
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Write a data set's labels in the relation's source label space, where each label has one answer.

    Labels that leave a choice need a teacher (lsu relabel) and are refused. Run again with the same
    arguments to continue after an interruption.

    [bold]Example:[/bold] lsu labels convert --data cityscapes --root cityscapes/ --split val
    --relation cityscapes34-to-cityscapes19 --out cityscapes19
    """
    from lsu.runtime.datasets.dataset import Dataset
    from lsu.runtime.relabel.convert import Conversion
    from lsu.runtime.relabel.convert import convert as converted
    from lsu.runtime.relation import Relation

    request = Conversion(Dataset.load(data, root).split(split), Relation.load(relation), undecided_void)
    request.check()
    with progress("convert", len(request.split.frames)) as advance:
        summary = converted(request, out, workers=workers, on_frame=advance)
    if json:
        print_json(summary.to_dict())
    else:
        rows = [
            (row.name, ", ".join(row.allowed or ()), f"{row.pixels:,}", f"{row.void:,}")
            for row in summary.labels
        ]
        print_table(f"{summary.frames} frames in {out}", ("label", "class", "pixels", "void"), rows, texts=2)
        for key, reason in summary.skipped[:10]:
            print_note(f"lsu: skipped {key}: {reason}")
    if summary.skipped:
        raise SystemExit(BELOW_LEVEL)
