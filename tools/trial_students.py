"""All students in one table: what each costs and what it learns, by one protocol.

Drives 0001TP and 0006R0 with their true labels are learnt from, 0016E5 is scored whole. All networks are
fitted from scratch with equal steps, crops and settings. Costs are those of the first seed's networks, all
measured in one run (tools/network_cost.py): at the size of the fits for `students_summary.csv`, and at a size
of deployment too for `students_cost.csv`. The picture that is timed is a frame of the scored drive, enlarged
or reduced to the input's size beforehand.

Example: python tools/trial_students.py --data $LSU_DATA --jobs 2
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from network_cost import Size, costs
from plot_students import draw
from trials import (
    LEARNT,
    SCORED,
    Entry,
    Fitting,
    Row,
    first_frame,
    fitted,
    fitting_of,
    once,
    origin,
    parser,
    run_all,
    score,
    scores_of,
    summary,
    write_drives,
    write_table,
)

from lsu.runtime import Dataset
from lsu.training.network_config import NetworkConfig

WHOLE = {"encoder": NetworkConfig().encoder}
"""A network without a choice of encoder allows none but the default of the configuration."""
STUDENTS: dict[str, dict[str, object]] = {
    "segformer-regnetx_002": {},  # the student of the other trials
    "segformer-mobilenetv3_small_050": {"encoder": "tu-mobilenetv3_small_050", "decoder_channels": 32},
    "fpn-resnet18": {"architecture": "fpn", "encoder": "resnet18"},  # the default of `lsu fit`
    "deeplabv3plus-efficientnet_lite0": {"architecture": "deeplabv3plus", "encoder": "tu-efficientnet_lite0"},
    "pan-regnetx_002": {"architecture": "pan"},
    "ddrnet-23-slim": {"architecture": "ddrnet-23-slim", **WHOLE},
    "t-net": {"architecture": "t-net", **WHOLE},
}


def main() -> None:
    """Run all fits that are not done, measure the costs, and write the tables and the picture."""
    options = parser(__doc__, work="trial_students", steps=300)
    options.add_argument("--deployment", default="512x1024", help="HxW of the second table of costs")
    options.add_argument("--repeats", type=int, default=90, help="rounds of timing, a ninth at --deployment")
    options.add_argument("--figure", type=Path, default=Path("docs/figures/students.png"))
    arguments = options.parse_args()
    work, fitting = arguments.work.resolve(), fitting_of(arguments)
    drives = write_drives(arguments.data.resolve() / "camvid11", work / "data")
    one = partial(run, drives=drives, work=work, fitting=fitting)
    fits: list[Row] = []

    def write_fits(rows: list[Row]) -> None:
        fits[:] = rows
        write_table(arguments.out / "students.csv", rows, arguments)

    trials = [(seed, student) for seed in range(arguments.seeds) for student in STUDENTS]
    run_all(one, trials, arguments.jobs, write_fits)
    checkpoints = {
        student: folder_of(work, fitting, 0, student) / "checkpoint.safetensors" for student in STUDENTS
    }
    height, width = (int(side) for side in arguments.deployment.split("x"))
    rounds = {fitting.size: arguments.repeats, (height, width): max(2, arguments.repeats // 9)}
    frames = Dataset.load(drives / "drives").split(SCORED)
    tables = {
        size: costs(checkpoints, size, image=first_frame(frames, size), repeats=repeats)
        for size, repeats in rounds.items()
    }
    write(fits, tables, fitting.size, arguments)


def run(trial: tuple[int, str], *, drives: Path, work: Path, fitting: Fitting) -> list[Row]:
    """The row of one student with one seed."""
    seed, student = trial
    folder = folder_of(work, fitting, seed, student)
    fitting = replace(fitting, choice=STUDENTS[student], settings={"seed": seed})
    return once(folder, lambda: [_row(seed, student, fitting, drives, folder)])


def folder_of(work: Path, fitting: Fitting, seed: int, student: str) -> Path:
    """Where a fit lies."""
    return work / fitting.name / f"seed{seed}-{student}"


def _row(seed: int, student: str, fitting: Fitting, drives: Path, folder: Path) -> Row:
    data: list[Entry] = [{"dataset": str(drives / "drives"), "split": drive} for drive in LEARNT]
    checkpoint = fitted(folder, data, fitting)
    scores = scores_of(score(checkpoint, Dataset.load(drives / "drives").split(SCORED)))
    return {"scored": SCORED, "seed": seed, "model": student, **scores, **fitting.facts, **origin()}


def write(
    fits: Sequence[Row],
    tables: Mapping[Size, Mapping[str, Row]],
    size: Size,
    arguments: argparse.Namespace,
) -> None:
    """`students_summary.csv` with the costs at `size`, its picture, and `students_cost.csv` with all."""
    lines = with_costs(summary(fits, by=("model",)), tables[size])
    draw([{name: str(value) for name, value in line.items()} for line in lines], arguments.figure)
    lines = [{**line, "size": _text(size), **origin()} for line in lines]
    write_table(arguments.out / "students_summary.csv", lines, arguments)
    rows = [
        {"model": student, "size": _text(place), **row, **origin()}
        for place, table in tables.items()
        for student, row in table.items()
    ]
    write_table(arguments.out / "students_cost.csv", rows, arguments)


def with_costs(lines: Sequence[Row], table: Mapping[str, Row]) -> list[Row]:
    """The lines of a summary with the costs of their models, and who is on the front."""
    joined = [{**line, **table[str(line["model"])]} for line in lines]
    points = [(float(str(row["segment_ms"])), float(str(row["miou_mean"]))) for row in joined]
    return [
        {**row, "on_front": "yes" if on_front(point, points) else "no"}
        for row, point in zip(joined, points, strict=True)
    ]


def on_front(point: tuple[float, float], points: Sequence[tuple[float, float]]) -> bool:
    """Whether no other (latency, mIoU) is at least as good in both and better in one."""
    latency, miou = point
    return not any(other != point and other[0] <= latency and other[1] >= miou for other in points)


def _text(size: Size) -> str:
    return f"{size[0]}x{size[1]}"


if __name__ == "__main__":
    main()
