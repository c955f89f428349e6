"""`lsu relabel`: pseudo-labels in a teacher's label space for a data set of another one."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lsu.runtime.terminal import (
    BELOW_LEVEL,
    JsonFlag,
    TrustOption,
    print_json,
    print_note,
    print_table,
    progress,
)

if TYPE_CHECKING:
    from lsu.runtime.relabel.summary import Summary
    from lsu.runtime.relation import Relation


def relabel(  # noqa: PLR0913 - a command's options
    teachers: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="BUNDLE",
            help="The teacher: a folder made by `lsu export onnx`, or one of scores; several are averaged.",
        ),
    ] = None,
    *,
    data: Annotated[str, typer.Option(help="A dataset.toml, its folder, or a name of the catalogue.")],
    split: Annotated[str, typer.Option(help="The split to relabel.")],
    out: Annotated[Path, typer.Option(help="The folder to write; it becomes a data set.")],
    relation: Annotated[
        str | None, typer.Option(help="A relation's TOML file, or a name of the catalogue.")
    ] = None,
    root: Annotated[Path | None, typer.Option(help="Where a data set of the catalogue lies.")] = None,
    free: Annotated[
        bool, typer.Option("--free", help="Allow every class: the baseline without the relation's knowledge.")
    ] = False,
    views: Annotated[
        str, typer.Option(help="Further views to average: flip and scales, such as flip,0.75,1.25.")
    ] = "",
    scores: Annotated[
        list[Path] | None,
        typer.Option(help="A folder of stored scores as a teacher (docs/scores.md); again for more."),
    ] = None,
    shares: Annotated[
        str, typer.Option(help="How much each teacher counts, such as 0.7,0.3; bundles come first.")
    ] = "",
    keep_scores: Annotated[
        bool, typer.Option("--keep-scores", help="Keep the averaged scores in OUT/scores, for --scores.")
    ] = False,
    confidence: Annotated[
        str | None,
        typer.Option(help="relative: void where the answer is not surer than the mean of its class."),
    ] = None,
    backend: Annotated[str, typer.Option(help="auto, onnxruntime, tensorrt or tensorrt-rtx.")] = "auto",
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Threads that read, constrain and write; the cores if not given."),
    ] = None,
    trust: TrustOption = None,
    json_output: JsonFlag = False,
) -> None:
    """Relabel a data set: each pixel gets the teacher's best class within what its label allows.

    Run again with the same arguments to continue after an interruption. Frames that cannot be used are
    listed and left out, and the exit code is then 1.

    [bold]Example:[/bold] lsu relabel teacher --data idd_lite --root idd_lite/ --split train
    --relation idd_lite-to-camvid11 --out idd_as_camvid --views flip

    [bold]Example:[/bold] lsu relabel student --scores blackbox --shares 0.3,0.7 --data town --split train
    --free --confidence relative --out town_labels
    """
    from lsu.runtime.bundles.trust import Trust
    from lsu.runtime.datasets.dataset import Dataset
    from lsu.runtime.relabel import pipeline
    from lsu.runtime.relabel.teacher_folders import TeacherFolders
    from lsu.runtime.relation import Relation

    request = pipeline.Request(
        split=Dataset.load(data, root).split(split),
        relation=None if relation is None else Relation.load(relation),
        free=free,
        confidence=confidence,
        keep_scores=keep_scores,
    )
    folders = TeacherFolders.of(teachers or (), scores or (), shares=shares, views=views)
    note = request.split.count_note()
    if note:
        print_note(f"lsu: {note}")
    folders.refuse_inside(out)
    with folders.opened(request.split, Trust.from_files(trust or ()), backend) as teacher:
        request.check(teacher)
        if request.relation is not None:
            _warn(request.relation, has_void_channel=teacher.void_channel is not None)
        with progress("relabel", request.total) as advance:
            summary = pipeline.relabel(teacher, request, out, workers=workers, on_frame=advance)
    if json_output:
        print_json({**summary.to_dict(), "official_frames": request.split.count})
    else:
        _print(summary, out)
    if summary.skipped:
        raise SystemExit(BELOW_LEVEL)


def _warn(relation: "Relation", *, has_void_channel: bool) -> None:
    unreachable = relation.unreachable()
    if unreachable:
        print_note(f"lsu: no label allows {', '.join(unreachable)}: the result will not show them")
    rows = () if has_void_channel else relation.void_without_effect()
    if rows:
        print_note(
            f"lsu: the teacher cannot answer void, so void beside classes has no effect for {', '.join(rows)}"
        )


def _print(summary: "Summary", out: Path) -> None:
    rows = [
        (
            row.name,
            "all" if row.allowed is None else ", ".join(row.allowed),
            f"{row.pixels:,}",
            *(
                f"{100 * part / row.pixels:.1f} %"
                for part in (row.forced, row.chosen, row.void, row.agreeing)
            ),
        )
        for row in summary.labels
    ]
    print_table(
        f"{summary.frames} frames in {out}" + ("" if summary.confidence is None else ", before confidence"),
        ("label", "allowed classes", "pixels", "forced", "chosen", "void", "agree with free"),
        rows,
        texts=2,
    )
    if summary.confidence is not None:
        print_table(
            "Relative confidence",
            ("class", "threshold", "chosen", "kept of them", "forced, all kept"),
            [
                (
                    row.name,
                    f"{row.threshold:.4f}" if row.pixels else "",
                    f"{row.pixels:,}",
                    f"{100 * row.kept / row.pixels:.1f} %" if row.pixels else "",
                    f"{row.forced:,}",
                )
                for row in summary.confidence
            ],
        )
    for key, reason in summary.skipped[:10]:
        print_note(f"lsu: skipped {key}: {reason}")
    if len(summary.skipped) > 10:
        print_note(f"lsu: {len(summary.skipped)} frames were skipped in all; see summary.json")
