"""Pseudo-labels against a truth that was hidden: CamVid's 32 classes behind its 11.

A teacher learns the 32 classes on the train split of camvid32_camseq01 (60 frames). The frames of its test
split have both labels: the coarse ones of camvid11 constrain the teacher through the shipped relation
camvid11-to-camvid32, the fine ones are the truth. All frames are of one drive, a few seconds apart, so the
shares are higher than on an unseen drive; what is compared are rows of one table. A pixel whose fine truth
is forbidden by its coarse label counts as wrong.

Example: python tools/trial_hidden_truth.py --data $LSU_DATA
"""

import argparse
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from trials import (
    Fitting,
    Row,
    fitted,
    fitting_of,
    once,
    origin,
    parser,
    percent,
    run_all,
    same_frames,
    scores_of,
    summary,
    write_table,
)

from lsu.runtime import VOID, Dataset, Relation, Split
from lsu.runtime.evaluate import Evaluation
from lsu.runtime.files import write_atomically
from lsu.runtime.relabel.pipeline import Request, relabel
from lsu.runtime.relabel.teachers import Network
from lsu.runtime.relabel.views import views_from_text
from lsu.training.checkpoint import Checkpoint
from lsu.training.torch_engine import TorchEngine

CROPS = {"crop": [192, 256], "scale": [0.6, 1.4]}
VIEWS = {"none": "", "flip": "flip", "flip and scales": "flip,0.75,1.25,1.5"}


def main() -> None:
    """Run all trials that are not done, and write the tables."""
    arguments = parser(__doc__, work="trial_hidden_truth", steps=400).parse_args()
    work, data = arguments.work.resolve(), arguments.data.resolve()
    one = partial(run, data=data, work=work, fitting=fitting_of(arguments))
    run_all(one, range(arguments.seeds), arguments.jobs, partial(write, arguments=arguments))


def run(seed: int, *, data: Path, work: Path, fitting: Fitting) -> list[Row]:
    """The rows of one seed."""
    folder = work / fitting.name / f"camseq01-seed{seed}"
    return once(folder, lambda: _rows(seed, data, folder, fitting))


def _rows(seed: int, data: Path, folder: Path, fitting: Fitting) -> list[Row]:
    fine = Dataset.load("camvid32_camseq01", data / "camvid32_camseq01")
    truth = fine.split("test")
    entry = {"dataset": "camvid32_camseq01", "root": str(data / "camvid32_camseq01"), "split": "train"}
    settings = {"seed": seed, **CROPS}
    choice = {"input_size": None}  # for scaled views
    teacher = fitted(folder / "teacher", [entry], replace(fitting, choice=choice, settings=settings))
    engine = TorchEngine.from_checkpoint(Checkpoint.load(teacher))
    coarse = Dataset.load(_coarse(data / "camvid11", [f.key for f in truth.frames], folder)).split("test")
    relation = Relation.load("camvid11-to-camvid32")
    rows: list[Row] = []
    for name, views in VIEWS.items():
        for free in (True, False):
            kind = "free" if free else "constrained"
            out = folder / f"labels-{kind}-{name.replace(' ', '-')}"
            teaching = Network(engine, views_from_text(views))
            relabel(teaching, Request(coarse, relation, free), out, workers=1)
            result = compared(Dataset.load(out).split("test"), truth)
            facts: Row = {"seed": seed, "model": kind, "views": name}
            facts["pseudo_labels_right"] = percent(result.pixel_accuracy)
            rows.append({**facts, **scores_of(result), **fitting.facts, **origin()})
    return rows


def compared(pseudo: Split, truth: Split) -> Evaluation:
    """The evaluation of pseudo-labels by the truth of the same frames, whose images need not be equal."""
    classes = len(truth.label_space)
    confusion = np.zeros((classes, classes + 1), np.int64)
    for ours, theirs in same_frames(pseudo, truth):
        new, true = pseudo.read(ours).labels, truth.read(theirs).labels
        known = true != VOID
        columns = np.minimum(new[known], classes).astype(np.int64)
        cells = true[known].astype(np.int64) * (classes + 1) + columns
        confusion += np.bincount(cells, minlength=confusion.size).reshape(confusion.shape)
    boundaries = np.zeros((classes, 4), np.int64)
    return Evaluation(truth.label_space, confusion, boundaries, len(truth.frames))


def _coarse(camvid: Path, keys: list[str], folder: Path) -> Path:
    """A data set of the same frames with CamVid's 11 classes."""
    write_atomically(folder / "coarse/test.txt", "".join(f"{key}\n" for key in keys).encode())
    lines = ['name = "camvid11_camseq01"', 'label_space = "camvid11"', "[splits.test]"]
    lines += [f'images = "{camvid}/images/val/*.jpg"', f'labels = "{camvid}/labels/val/*.png"']
    write_atomically(folder / "coarse/dataset.toml", "\n".join([*lines, 'frames = "test.txt"', ""]).encode())
    return folder / "coarse"


def write(rows: list[Row], arguments: argparse.Namespace) -> None:
    """`hidden_truth.csv` with every row, `hidden_truth_summary.csv` with means and spreads."""
    write_table(arguments.out / "hidden_truth.csv", rows, arguments)
    lines = summary(rows, by=("model", "views"), columns=("pseudo_labels_right", "miou"))
    write_table(arguments.out / "hidden_truth_summary.csv", lines, arguments)


if __name__ == "__main__":
    main()
