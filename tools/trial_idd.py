"""A real pair of data sets: CamVid drives as the source, IDD-Lite (India) as the foreign set.

The teacher learns one CamVid drive; IDD-Lite comes in through the shipped relation idd_lite-to-camvid11,
weighted so that half of all samples are foreign, and enlarged by 1.5 to the size of CamVid's images. What is
scored are the two CamVid drives that nobody has seen. There is no truth of IDD-Lite in CamVid's classes, so
no upper bound either. Per seed, with equal steps and pixels: teacher, and students on free, constrained, NLL+
and mixed labels (see trial_unification.py).

Example: python tools/trial_idd.py --data $LSU_DATA --jobs 2
"""

import argparse
from dataclasses import replace
from functools import partial
from pathlib import Path

from trials import (
    DRIVES,
    Entry,
    Fitting,
    Row,
    by_drive,
    fitted,
    fitting_of,
    once,
    origin,
    parser,
    relabelled,
    run_all,
    score,
    scores_of,
    write_drives,
    write_table,
)

from lsu.runtime import Dataset, Relation

SOURCE = "0016E5"
RELATION = "idd_lite-to-camvid11"
ENLARGED = 1.5  # 480x360 pixels against 320x227


def main() -> None:
    """Run all trials that are not done, and write the tables."""
    arguments = parser(__doc__, work="trial_idd", steps=400).parse_args()
    work, data = arguments.work.resolve(), arguments.data.resolve()
    drives = write_drives(data / "camvid11", work / "data")
    one = partial(run, drives=drives, idd=data / "idd_lite", work=work, fitting=fitting_of(arguments))
    run_all(one, range(arguments.seeds), arguments.jobs, partial(write, arguments=arguments))


def run(seed: int, *, drives: Path, idd: Path, work: Path, fitting: Fitting) -> list[Row]:
    """The rows of one seed: each network on each of the two unseen drives."""
    folder = work / fitting.name / f"{SOURCE}-idd_lite-seed{seed}"
    return once(folder, lambda: _rows(seed, drives, idd, folder, fitting))


def _rows(seed: int, drives: Path, idd: Path, folder: Path, fitting: Fitting) -> list[Row]:
    known = Dataset.load(drives / "drives")
    foreign = Dataset.load("idd_lite", idd).split("train")
    relation = Relation.load(RELATION)
    source: Entry = {"dataset": str(drives / "drives"), "split": f"{SOURCE}-fit"}
    share = len(known.split(f"{SOURCE}-fit").frames) / len(foreign.frames)
    through: Entry = {"dataset": "idd_lite", "root": str(idd), "relation": RELATION}
    rows: list[Row] = []

    def learnt(model: str, entries: list[Entry]) -> Path:
        weighted = [{**entry, "weight": share / len(entries), "scale": ENLARGED} for entry in entries]
        settings = {"seed": seed}
        checkpoint = fitted(folder / model, [source, *weighted], replace(fitting, settings=settings))
        for drive in DRIVES:
            if drive != SOURCE:
                facts = {"source": SOURCE, "scored": drive, "seed": seed, "model": model}
                rows.append(
                    {**facts, **scores_of(score(checkpoint, known.split(drive))), **fitting.facts, **origin()}
                )
        return checkpoint

    teacher = learnt("teacher", [])
    free, constrained = (
        relabelled(teacher, foreign, relation, folder / f"labels-{kind}", free=kind == "free")
        for kind in ("free", "constrained")
    )
    learnt("free", [free])
    learnt("constrained", [constrained])
    learnt("nll", [through])
    learnt("mixed", [constrained, through])
    return rows


def write(rows: list[Row], arguments: argparse.Namespace) -> None:
    """`idd.csv` with every score, `idd_summary.csv` with means and spreads."""
    write_table(arguments.out / "idd.csv", rows, arguments)
    write_table(arguments.out / "idd_summary.csv", by_drive(rows), arguments)


if __name__ == "__main__":
    main()
