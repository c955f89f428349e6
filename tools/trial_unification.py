"""Label space unification on CamVid, split by drive: free, constrained in three rounds, NLL+, true labels.

One drive is the source with its 11 classes; another is foreign: its labels are merged to five groups and
their truth is kept aside; the third is scored. Three rotations, so that each drive is scored once. Per
rotation and seed, with equal steps and pixels: a teacher on the source alone, and students on the source and
the foreign drive whose labels are

  free       the teacher's answers where the group is known
  round-1    the teacher's best class within the group (constrained)
  round-2,3  the same with the student of the round before as teacher
  nll        the groups themselves through the relation (NLL+), no teacher
  mixed      round-1's and the groups themselves, half of the foreign samples each
  full       the truth

Example: python tools/trial_unification.py --data $LSU_DATA --jobs 2
"""

import argparse
from dataclasses import replace
from functools import partial
from pathlib import Path

from trials import (
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
    right_share,
    rotations,
    run_all,
    score,
    scores_of,
    write_drives,
    write_table,
)

from lsu.runtime import Dataset, Relation

ROUNDS = 3


def main() -> None:
    """Run all trials that are not done, and write the tables."""
    arguments = parser(__doc__, work="trial_unification", steps=400).parse_args()
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
    truth, scored = known.split(trial.foreign), known.split(trial.scored)
    merged = Dataset.load(drives / "merged").split(trial.foreign)
    relation = Relation.load(drives / "merged/groups-to-camvid11.toml")
    source: Entry = {"dataset": str(drives / "drives"), "split": f"{trial.source}-fit"}
    groups: Entry = {
        "dataset": str(drives / "merged"),
        "split": trial.foreign,
        "relation": str(drives / "merged/groups-to-camvid11.toml"),
    }
    settings = {"seed": trial.seed}
    rows: list[Row] = []

    def learnt(model: str, entries: list[Entry], **columns: object) -> Path:
        checkpoint = fitted(folder / model, [source, *entries], replace(fitting, settings=settings))
        facts = {"model": model, **scores_of(score(checkpoint, scored)), **fitting.facts, **origin()}
        rows.append({**trial.facts, "pseudo_labels_right": "", "miou_held_out": "", **columns, **facts})
        return checkpoint

    def labels_of(teacher: Path, name: str, *, free: bool = False) -> tuple[Entry, float | str]:
        entry = relabelled(teacher, merged, relation, folder / f"labels-{name}", free=free)
        return entry, percent(
            right_share(Dataset.load(folder / f"labels-{name}").split(trial.foreign), truth)
        )

    teacher = learnt("teacher", [])
    rows[0]["miou_held_out"] = percent(score(teacher, known.split(f"{trial.source}-held")).mean_iou)
    labels, right = labels_of(teacher, "free", free=True)
    learnt("free", [labels], pseudo_labels_right=right)
    best = teacher
    for number in range(1, ROUNDS + 1):
        labels, right = labels_of(best, f"round-{number}")
        best = learnt(f"round-{number}", [labels], pseudo_labels_right=right)
    first: Entry = {"dataset": str(folder / "labels-round-1"), "split": trial.foreign}
    learnt("nll", [groups])
    learnt("mixed", [{**first, "weight": 0.5}, {**groups, "weight": 0.5}])
    learnt("full", [{"dataset": str(drives / "drives"), "split": trial.foreign}])
    return rows


def write(rows: list[Row], arguments: argparse.Namespace) -> None:
    """`unification.csv` with every fit, `unification_summary.csv` with means, spreads and the closed gap."""
    write_table(arguments.out / "unification.csv", rows, arguments)
    lines = by_drive(rows, ("miou", "pseudo_labels_right"))
    mean = {(line["scored"], line["model"]): float(str(line["miou_mean"])) for line in lines}
    for line in lines:
        teacher, full = (mean[line["scored"], model] for model in ("teacher", "full"))
        gap = full - teacher
        closed = round(100 * (float(str(line["miou_mean"])) - teacher) / gap) if gap > 1 else ""
        line["gap_closed_percent"] = closed
    write_table(arguments.out / "unification_summary.csv", lines, arguments)


if __name__ == "__main__":
    main()
