"""Centroid sampling against uniform sampling, per rare class.

Two drives of CamVid with their true labels are learnt from, the third is scored; three rotations. The arms
differ in how frames are drawn (centroids: half of the samples class by class) and in nothing else. The loss
is balanced as in the other trials: without it no network of this size found a rare class in so few steps,
however its frames were drawn.

Example: python tools/trial_centroids.py --data $LSU_DATA --jobs 2
"""

import argparse
import statistics
from dataclasses import replace
from functools import partial
from pathlib import Path

from trials import (
    RARE,
    Entry,
    Fitting,
    Row,
    Trial,
    by_drive,
    fitted,
    fitting_of,
    once,
    origin,
    parser,
    rotations,
    run_all,
    score,
    scores_of,
    write_drives,
    write_table,
)

from lsu.runtime import Dataset

ARMS: dict[str, dict[str, object]] = {
    "uniform": {},
    "centroids": {"centroids": 0.5},
}


def main() -> None:
    """Run all trials that are not done, and write the tables."""
    arguments = parser(__doc__, work="trial_centroids", steps=400).parse_args()
    work = arguments.work.resolve()
    drives = write_drives(arguments.data.resolve() / "camvid11", work / "data")
    one = partial(run, drives=drives, work=work, fitting=fitting_of(arguments))
    run_all(one, rotations(arguments.seeds), arguments.jobs, partial(write, arguments=arguments))


def run(trial: Trial, *, drives: Path, work: Path, fitting: Fitting) -> list[Row]:
    """The rows of one trial."""
    folder = work / fitting.name / trial.name
    return once(folder, lambda: [_row(arm, trial, drives, folder, fitting) for arm in ARMS])


def _row(arm: str, trial: Trial, drives: Path, folder: Path, fitting: Fitting) -> Row:
    data: list[Entry] = [
        {"dataset": str(drives / "drives"), "split": drive} for drive in (trial.source, trial.foreign)
    ]
    settings = {"seed": trial.seed, **ARMS[arm]}
    checkpoint = fitted(folder / arm, data, replace(fitting, settings=settings))
    scores = scores_of(score(checkpoint, Dataset.load(drives / "drives").split(trial.scored)))
    rare = round(statistics.mean(float(str(scores[f"iou_{name}"])) for name in RARE), 2)
    return {**trial.facts, "model": arm, "miou_rare": rare, **scores, **fitting.facts, **origin()}


def write(rows: list[Row], arguments: argparse.Namespace) -> None:
    """`centroids.csv` with every fit, `centroids_summary.csv` with means and spreads per rare class."""
    write_table(arguments.out / "centroids.csv", rows, arguments)
    columns = ("miou", "miou_rare", *(f"iou_{name}" for name in RARE))
    write_table(arguments.out / "centroids_summary.csv", by_drive(rows, columns), arguments)


if __name__ == "__main__":
    main()
