"""Students much smaller than their teacher: are they still better than it on drives that neither has seen?

The teacher (SegFormer head over RegNetX-400MF) learns the source drive with true labels for all steps; its
score on the held-out end of its own drive stands beside it. Students (the same head, half as wide, over
MobileNetV3-small at half width) have less than a fifth of its weights. Per rotation and seed, with equal
steps and crops, a student learns

  alone        the source drive, as the teacher did
  free         and the foreign drive with the teacher's answers
  constrained  and the foreign drive with the teacher's best class within the group
  full         and the foreign drive with the truth

Example: python tools/trial_small_student.py --data $LSU_DATA --jobs 2
"""

import argparse
from dataclasses import replace
from functools import partial
from pathlib import Path

from trials import (
    STUDENT,
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
    percent,
    relabelled,
    rotations,
    run_all,
    score,
    scores_of,
    weights_of,
    write_drives,
    write_table,
)

from lsu.runtime import Dataset, Relation

TEACHER = {"encoder": "tu-regnetx_004"}


def main() -> None:
    """Run all trials that are not done, and write the tables."""
    arguments = parser(__doc__, work="trial_small_student", steps=400).parse_args()
    work = arguments.work.resolve()
    drives = write_drives(arguments.data.resolve() / "camvid11", work / "data")
    one = partial(run, drives=drives, work=work, fitting=fitting_of(arguments))
    run_all(one, rotations(arguments.seeds), arguments.jobs, partial(write, arguments=arguments))


def run(trial: Trial, *, drives: Path, work: Path, fitting: Fitting) -> list[Row]:
    """The rows of one trial."""
    folder = work / fitting.name / trial.name
    return once(folder, lambda: _rows(trial, drives, folder, fitting))


def _rows(trial: Trial, drives: Path, folder: Path, fitting: Fitting) -> list[Row]:
    known = Dataset.load(drives / "drives")
    merged = Dataset.load(drives / "merged").split(trial.foreign)
    relation = Relation.load(drives / "merged/groups-to-camvid11.toml")
    source: Entry = {"dataset": str(drives / "drives"), "split": f"{trial.source}-fit"}
    truth: Entry = {"dataset": str(drives / "drives"), "split": trial.foreign}
    rows: list[Row] = []

    def learnt(model: str, choice: dict[str, object], entries: list[Entry]) -> Path:
        settings = {"seed": trial.seed}
        data = [source, *entries]
        checkpoint = fitted(folder / model, data, replace(fitting, choice=choice, settings=settings))
        facts = {**trial.facts, "model": model, "parameters": weights_of(checkpoint)}
        scores = scores_of(score(checkpoint, known.split(trial.scored)))
        held = percent(score(checkpoint, known.split(f"{trial.source}-held")).mean_iou)
        rows.append({**facts, "miou_held_out": held, **scores, **fitting.facts, **origin()})
        return checkpoint

    teacher = learnt("teacher", TEACHER, [])
    learnt("alone", STUDENT, [])
    for kind in ("free", "constrained"):
        labels = relabelled(teacher, merged, relation, folder / f"labels-{kind}", free=kind == "free")
        learnt(kind, STUDENT, [labels])
    learnt("full", STUDENT, [truth])
    return rows


def write(rows: list[Row], arguments: argparse.Namespace) -> None:
    """`small_student.csv` with every fit, `small_student_summary.csv` with means and spreads."""
    write_table(arguments.out / "small_student.csv", rows, arguments)
    columns = ("parameters", "miou_held_out", "miou")
    write_table(arguments.out / "small_student_summary.csv", by_drive(rows, columns), arguments)


if __name__ == "__main__":
    main()
