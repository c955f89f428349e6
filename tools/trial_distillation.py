"""Distillation losses against hard labels: the same student, the same steps, the same images.

A teacher (SegFormer head over RegNetX-200MF) learns two drives with their true labels, in three times the
steps of the students. Students of less than an eighth of its weights (the same head, half as wide, over
MobileNetV3-small at half width) learn the same two drives; the third drive is scored. Per rotation and seed:

  labels        true labels alone
  soft-ce       and the cross entropy with the teacher's probabilities
  cwd           and channel-wise distillation, weight 3, temperature 4
  dist          and DIST
  teacher only  soft-ce without labels

Losses have the weights of their papers, or 1 where these give none for this task; none was tuned here.

Example: python tools/trial_distillation.py --data $LSU_DATA --jobs 2
"""

import argparse
from dataclasses import replace
from functools import partial
from pathlib import Path

from trials import (
    STUDENT,
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
    weights_of,
    write_drives,
    write_table,
)

from lsu.runtime import Dataset

TEACHER_STEPS = 3
SOFT: dict[str, object] = {"name": "soft-ce"}
ARMS = {
    "labels": ([], 1),
    "soft-ce": ([SOFT], 1),
    "cwd": ([{"name": "cwd", "weight": 3}], 1),
    "dist": ([{"name": "dist"}], 1),
    "teacher only": ([SOFT], 0),
}


def main() -> None:
    """Run all trials that are not done, and write the tables."""
    arguments = parser(__doc__, work="trial_distillation", steps=300).parse_args()
    work = arguments.work.resolve()
    drives = write_drives(arguments.data.resolve() / "camvid11", work / "data")
    one = partial(run, drives=drives, work=work, fitting=fitting_of(arguments))
    run_all(one, rotations(arguments.seeds), arguments.jobs, partial(write, arguments=arguments))


def run(trial: Trial, *, drives: Path, work: Path, fitting: Fitting) -> list[Row]:
    """The rows of one trial; both other drives are learned from with their true labels."""
    folder = work / fitting.name / trial.name
    return once(folder, lambda: _rows(trial, drives, folder, fitting))


def _rows(trial: Trial, drives: Path, folder: Path, fitting: Fitting) -> list[Row]:
    known = Dataset.load(drives / "drives")
    data = [{"dataset": str(drives / "drives"), "split": drive} for drive in (trial.source, trial.foreign)]
    seed = {"seed": trial.seed}

    def row(model: str, checkpoint: Path, steps: int) -> Row:
        learnt = f"{trial.source} {trial.foreign}"
        facts = {
            "learnt": learnt,
            "scored": trial.scored,
            **seed,
            "model": model,
            "parameters": weights_of(checkpoint),
        }
        scores = scores_of(score(checkpoint, known.split(trial.scored)))
        return {**facts, **scores, **fitting.facts, "steps": steps, **origin()}

    longer = replace(fitting, steps=TEACHER_STEPS * fitting.steps, settings=seed)
    teacher = fitted(folder / "teacher", data, longer)
    rows = [row("teacher", teacher, longer.steps)]
    for model, (losses, labels) in ARMS.items():
        settings = seed if labels else {**seed, "class_balance": 0}
        student = replace(fitting, choice=STUDENT, settings=settings)
        table = {"teachers": [str(teacher)], "losses": losses, "labels": labels}
        more = {"distillation": table} if losses else {}
        checkpoint = fitted(folder / model.replace(" ", "-"), data, student, **more)
        rows.append(row(model, checkpoint, fitting.steps))
    return rows


def write(rows: list[Row], arguments: argparse.Namespace) -> None:
    """`distillation.csv` with every fit, `distillation_summary.csv` with means and spreads."""
    write_table(arguments.out / "distillation.csv", rows, arguments)
    write_table(arguments.out / "distillation_summary.csv", by_drive(rows), arguments)


if __name__ == "__main__":
    main()
