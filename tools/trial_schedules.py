"""Fast schedules of crops: the time and the pixels that each needs for the mIoU of a fixed crop.

Drives 0001TP and 0006R0 with their true labels are learnt from, 0016E5 is scored. Each order of crops is
fitted whole, its learning rate falling to 0, with several budgets of steps; all batches have about the same
pixels. The budget at which an order reaches what the fixed crop reaches with all steps is read off between
two budgets; its time is the processor time from the tenth step to the last, which other load on the machine
does not lengthen much.

Example: python tools/trial_schedules.py --data $LSU_DATA --jobs 2
"""

import argparse
import json
import shutil
import statistics
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path

from trials import (
    LEARNT,
    SCORED,
    Entry,
    Fitting,
    Row,
    fitted,
    fitting_of,
    once,
    origin,
    parser,
    run_all,
    score,
    scores_of,
    write_drives,
    write_table,
)

from lsu.runtime import Dataset
from lsu.runtime.files import write_atomically
from lsu.training.config import FitConfig
from lsu.training.crop_plan import CropPlan

ORDERS = ("fixed", "coarse2fine", "fine2coarse", "alternating")
BUDGETS = (0.5, 0.75, 1.0)
CROPS = {"crop_factors": [0.5, 0.75, 1.0], "crop_period": 10}


def main() -> None:
    """Run all fits that are not done, and write the tables."""
    arguments = parser(__doc__, work="trial_schedules", steps=400).parse_args()
    work = arguments.work.resolve()
    drives = write_drives(arguments.data.resolve() / "camvid11", work / "data")
    one = partial(run, drives=drives, work=work, fitting=fitting_of(arguments))
    run_all(one, range(arguments.seeds), arguments.jobs, partial(write, arguments=arguments))


def run(seed: int, *, drives: Path, work: Path, fitting: Fitting) -> list[Row]:
    """The rows of one seed: each order with each budget."""
    folder = work / fitting.name / f"seed{seed}"
    return once(
        folder,
        lambda: [
            _row(seed, order, replace(fitting, steps=round(budget * fitting.steps)), drives, folder)
            for order in ORDERS
            for budget in BUDGETS
        ],
    )


def _row(seed: int, order: str, fitting: Fitting, drives: Path, folder: Path) -> Row:
    data: list[Entry] = [{"dataset": str(drives / "drives"), "split": drive} for drive in LEARNT]
    fitting = replace(fitting, settings={"seed": seed, "crop_order": order, **CROPS})
    checkpoint, seconds = timed(folder / f"{order}-{fitting.steps}", data, fitting)
    plan = CropPlan.from_config(FitConfig.model_validate(fitting.fit))
    stages = [plan.stages[stage] for stage in plan.of_step]
    return {
        "scored": SCORED,
        "seed": seed,
        "model": order,
        **fitting.facts,
        "images": sum(stage.batch_size for stage in stages),
        "megapixels": round(sum(s.batch_size * s.crop[0] * s.crop[1] for s in stages) / 1e6, 2),
        "cpu_seconds": round(seconds, 1),
        **scores_of(score(checkpoint, Dataset.load(drives / "drives").split(SCORED))),
        **origin(),
    }


def timed(place: Path, data: Sequence[Entry], fitting: Fitting) -> tuple[Path, float]:
    """The checkpoint of a fit and its processor seconds from the tenth step to the last.

    A fit that was cut off begins anew: continued, it would be timed in part.
    """
    measured = place / "seconds.json"
    if not measured.exists():
        shutil.rmtree(place, ignore_errors=True)
    reported: list[float] = []
    checkpoint = fitted(place, data, fitting, on_step=lambda _: reported.append(time.process_time()))
    if not measured.exists():
        write_atomically(measured, json.dumps(reported[-1] - reported[0]).encode())
    return checkpoint, float(json.loads(measured.read_text()))


def write(rows: list[Row], arguments: argparse.Namespace) -> None:
    """`schedules.csv` with every fit, `schedules_summary.csv` with means and what equals the fixed crop."""
    write_table(arguments.out / "schedules.csv", rows, arguments)
    columns = ("miou", "megapixels", "cpu_seconds")
    mean: dict[tuple[str, int], dict[str, float]] = {}
    spread: dict[tuple[str, int], float] = {}
    for key in {(str(r["model"]), int(str(r["steps"]))): None for r in rows}:
        chosen = [r for r in rows if (r["model"], r["steps"]) == key]
        mean[key] = {c: statistics.mean(float(str(r[c])) for r in chosen) for c in columns}
        spread[key] = statistics.stdev(float(str(r["miou"])) for r in chosen) if len(chosen) > 1 else 0.0
    lines: list[Row] = []
    whole = mean["fixed", max(steps for _, steps in mean)]
    for order in ORDERS:
        curve = [mean[key] for key in sorted(k for k in mean if k[0] == order)]
        for (name, steps), values in mean.items():
            if name != order:
                continue
            line: Row = {"model": order, "steps": steps, "miou_mean": round(values["miou"], 2)}
            line["miou_sd"] = round(spread[name, steps], 2)
            line |= {c: round(values[c], 2) for c in columns[1:]}
            for c in columns[1:]:
                line[f"{c}_ratio_at_equal_miou"] = ratio_at(whole["miou"], whole[c], curve, c)
            lines.append(line)
    write_table(arguments.out / "schedules_summary.csv", lines, arguments)


def ratio_at(target: float, whole: float, curve: list[dict[str, float]], column: str) -> float | str:
    """How much less of a column a curve needs for the target than `whole`; empty where it never gets there.

    The first crossing is read off between its two budgets; a curve that begins above says "more than".
    """
    if curve[0]["miou"] >= target:
        return f"> {whole / curve[0][column]:.2f}"
    for before, after in pairwise(curve):
        if before["miou"] < target <= after["miou"]:
            share = (target - before["miou"]) / (after["miou"] - before["miou"])
            return round(whole / (before[column] + share * (after[column] - before[column])), 2)
    return ""


if __name__ == "__main__":
    main()
