"""`lsu export verify`: is this bundle, and everything made of it, right on this machine?"""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lsu.runtime.errors import InputError
from lsu.runtime.terminal import (
    BELOW_LEVEL,
    JsonFlag,
    TrustOption,
    print_json,
    print_line,
    print_note,
    print_table,
    progress,
)

if TYPE_CHECKING:
    from lsu.export.verification.material import Material
    from lsu.runtime.bundles.bundle import Bundle


def verify(  # noqa: PLR0913 - the options of one command
    bundle: Annotated[Path, typer.Argument(help="The bundle's folder.")],
    *,
    data: Annotated[
        str | None, typer.Option(help="A dataset.toml, its folder, or a catalogue name; else golden frames.")
    ] = None,
    split: Annotated[
        str, typer.Option(help="The split of --data; labels are used where it has them.")
    ] = "val",
    root: Annotated[Path | None, typer.Option(help="Where the data lies, if not beside the file.")] = None,
    relation: Annotated[
        str | None, typer.Option(help="From the bundle's label space to the data's; a constraint, too.")
    ] = None,
    frames: Annotated[int | None, typer.Option(min=1, help="So many, evenly spread; all by default.")] = None,
    checkpoint: Annotated[
        Path | None, typer.Option(help="The one that the bundle was made of: torch answers too.")
    ] = None,
    against: Annotated[
        list[Path] | None, typer.Option(help="Another bundle of the same label space; repeatable.")
    ] = None,
    agreement: Annotated[
        float | None,
        typer.Option(help="Share of equal pixels. \\[default: 0.9999 float32, 0.995 float16, 0.97 int8]"),
    ] = None,
    rtol: Annotated[
        float | None, typer.Option(help="Of Polygraphy's check. \\[default: by precision]")
    ] = None,
    atol: Annotated[
        float | None, typer.Option(help="Of Polygraphy's check. \\[default: by precision]")
    ] = None,
    worst: Annotated[int, typer.Option(min=0, help="Pictures kept of each comparison.")] = 3,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A new folder for report.html, .json and pictures.")
    ] = None,
    csv: Annotated[Path | None, typer.Option(help="Add the figures to this table.")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads; all by default.")] = None,
    trust: TrustOption = None,
    json: JsonFlag = False,
) -> None:
    """Compare everything that runs a bundle here with onnxruntime on the CPU and our head.

    Compared are the answers that are stored with golden frames, the portable head, torch, engines and other
    bundles. Who cannot run here is listed with the reason. Exit 1 when somebody agrees on fewer pixels than
    asked.

    Example: [bold]lsu export verify town.bundle --data camvid11 --root ~/camvid11 -o report[/bold]
    """
    from lsu.export.csv_table import append_rows, refuse_other_table
    from lsu.export.verification.participants import Others
    from lsu.export.verification.report import refuse_existing_report, write_report
    from lsu.export.verification.verify import Options
    from lsu.export.verification.verify import verify as verify_bundle
    from lsu.export.verification.verify_table import COLUMNS, rows_of
    from lsu.runtime.bundles.bundle import Bundle
    from lsu.runtime.bundles.trust import Trust
    from lsu.runtime.files import refuse_blocked

    options = Options(agreement, rtol, atol, worst)
    if output is not None:
        refuse_existing_report(output)
    if csv is not None:
        refuse_blocked(csv)
        refuse_other_table(csv, COLUMNS)
    trusted = Trust.from_files(trust or ())
    opened = Bundle.open(bundle, trust=trusted)
    others = Others(
        checkpoint=checkpoint,
        against=tuple(Bundle.open(path, trust=trusted) for path in against or ()),
        trust=trusted,
        threads=threads,
    )
    material = _material(opened, data, split, root, relation=relation, frames=frames)
    with progress("verifying", material.images) as advance:
        result = verify_bundle(opened, material, others, options, on_image=advance)
    document = result.to_dict()
    if json:
        print_json(document)
    else:
        _print(document)
    if output is not None:
        write_report(output, result)
        print_note(f"report: {output / 'report.html'}")
    if csv is not None:
        append_rows(csv, COLUMNS, rows_of(result, shlex.join(["lsu", *sys.argv[1:]])))
    if not result.passed:
        raise SystemExit(BELOW_LEVEL)


def _material(  # noqa: PLR0913 - what the options name
    bundle: "Bundle",
    data: str | None,
    split: str,
    root: Path | None,
    *,
    relation: str | None,
    frames: int | None,
) -> "Material":
    from lsu.export.verification.material import golden_material, split_material
    from lsu.runtime.datasets.dataset import Dataset
    from lsu.runtime.relation import Relation

    if data is None:
        given = {"--root": root, "--relation": relation, "--frames": frames}
        for name, value in given.items():
            if value is not None:
                raise InputError(f"{name} belongs to --data, which is not given: golden frames are all used")
        return golden_material(bundle)
    known = None if relation is None else Relation.load(relation)
    return split_material(bundle, Dataset.load(data, root).split(split), relation=known, frames=frames)


def _print(document: dict[str, Any]) -> None:
    from lsu.export.verification.report_page import points_text, share_text

    images = document["images"]
    rows = [
        (
            entry["backend"],
            entry["mode"],
            "agrees" if entry["passed"] else "FAILS",
            share_text(entry["equal"]),
            f"{entry['different']:,}",
            points_text(entry.get("mean_iou_difference")),
        )
        for entry in document["comparisons"]
    ]
    head = ("backend", "mode", "verdict", "equal %", "pixels off", "mIoU")
    title = f"{document['bundle']['name']} on {images['count']} images, {images['source']}"
    print_table(title, head, rows, texts=3)
    print_line(
        f"compared with {document['reference']}; {100 * images['mixed_share']:.2f} % of the cells are mixed"
    )
    for entry in document["absent"]:
        print_line(f"{'FAILED' if entry['failed'] else 'not compared'}: {entry['name']}: {entry['reason']}")
    if document["polygraphy"] is None:
        print_note(
            "Polygraphy is missing, so its check of the scores was left out: pip install 'lsu[export]'"
        )
