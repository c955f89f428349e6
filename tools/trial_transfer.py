"""From S-Net to T-Net (Ros et al. 2016) at 96x128: does what the paper reports hold here?

Drives 0001TP and 0006R0 are learned from, 0016E5 is scored. Two networks (SegFormer over RegNetX-200MF, FPN
over ResNet-18) learn the true labels; the S-Net is the mean of their probabilities. Beside it stands the
S-Net whose scores a small network joins, which learns the same labels. Every T-Net has the same steps, and
batches with as many images of one drive as of the other:

  end to end            true labels, cross entropy
  tk-l                  the S-Net's best class
  tk-smp                the S-Net's probabilities
  tk-smp-wce            and rare classes weighted by the median frequency
  tk-smp-wce, inverse   and rare classes weighted by 1 + 49 (...)

Ground truth is not used by any T-Net but the first. All learn from scratch. The settings are those of all
trials: chosen on `val` of drive 0016E5, whose training frames are scored here; what learns from labels
has its classes balanced by half. On the held-out ends of the drives that are learned from, a learning rate
of 1e-3 gives a T-Net the same mIoU as the 4e-3 of all. What S-Net and T-Net cost in weights, memory and time
(tools/network_cost.py, the networks of the first seed) is in `transfer_cost.csv`.

Example: python tools/trial_transfer.py --data $LSU_DATA --jobs 2
"""

import argparse
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
from network_cost import costs
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
    weights_of,
    write_drives,
    write_table,
)

from lsu.runtime import Dataset, Split
from lsu.runtime.evaluate import Evaluation, evaluate
from lsu.runtime.head import Head
from lsu.runtime.relabel.teachers import Ensemble, Network
from lsu.training.checkpoint import Checkpoint
from lsu.training.torch_engine import TorchEngine

MEMBERS = {
    "segformer": {"architecture": "segformer", "encoder": "tu-regnetx_002"},
    "fpn": {"architecture": "fpn", "encoder": "resnet18"},
}
T_NET = {"architecture": "t-net", "encoder": None}
BATCH = 8
SMP_WCE: dict[str, object] = {"name": "tk-smp-wce"}
ARMS: dict[str, dict[str, object] | None] = {
    "end to end": None,
    "tk-l": {"name": "tk-l"},
    "tk-smp": {"name": "tk-smp"},
    "tk-smp-wce": SMP_WCE,
    "tk-smp-wce, inverse": {**SMP_WCE, "class_weights": "inverse"},
}


def main() -> None:
    """Run all seeds that are not done, and write the tables."""
    asked = parser(__doc__, work="trial_transfer", steps=300)
    asked.set_defaults(size="96x128")
    arguments = asked.parse_args()
    work, data = arguments.work.resolve(), arguments.data.resolve()
    drives = write_drives(data / "camvid11", work / "data")
    one = partial(run, drives=drives, work=work, fitting=fitting_of(arguments))
    run_all(one, range(arguments.seeds), arguments.jobs, partial(write, arguments=arguments))
    frames = Dataset.load(drives / "drives").split(SCORED)
    write_costs(work / fitting_of(arguments).name / "seed0", fitting_of(arguments).size, frames, arguments)


def run(seed: int, *, drives: Path, work: Path, fitting: Fitting) -> list[Row]:
    """The rows of one seed."""
    folder = work / fitting.name / f"seed{seed}"
    return once(folder, lambda: _rows(seed, drives, folder, fitting))


def _rows(seed: int, drives: Path, folder: Path, fitting: Fitting) -> list[Row]:
    scored = Dataset.load(drives / "drives").split(SCORED)
    labelled = [_entry(drives, drive, BATCH // 2) for drive in LEARNT]
    settings = {"seed": seed}
    rows: list[Row] = []

    def noted(model: str, result: Evaluation, parameters: int) -> None:
        facts = {"scored": SCORED, "seed": seed, "model": model, "parameters": parameters}
        rows.append({**facts, **scores_of(result), **fitting.facts, **origin()})

    def learnt(model: str, one: Fitting, **more: object) -> Path:
        checkpoint = fitted(folder / _file_name(model), labelled, one, **more)
        noted(model, score(checkpoint, scored), weights_of(checkpoint))
        return checkpoint

    teachers = [
        learnt(name, replace(fitting, choice=choice, settings=settings)) for name, choice in MEMBERS.items()
    ]
    noted("s-net, mean", ensemble_score(teachers, scored), sum(map(weights_of, teachers)))
    members = {"architecture": "s-net", "encoder": None, "members": [str(path) for path in teachers]}
    learnt("s-net, joined", replace(fitting, choice=members, settings=settings))
    for model, loss in ARMS.items():
        if loss is None:
            learnt(model, replace(fitting, choice=T_NET, settings=settings))
            continue
        table = {"teachers": [str(path) for path in teachers], "losses": [loss], "labels": 0}
        silent = replace(fitting, choice=T_NET, settings={**settings, "class_balance": 0})
        learnt(model, silent, distillation=table)
    return rows


def _entry(drives: Path, drive: str, per_batch: int) -> Entry:
    return {"dataset": str(drives / "drives"), "split": drive, "per_batch": per_batch}


def _file_name(model: str) -> str:
    return model.replace(",", "").replace(" ", "-")


def ensemble_score(checkpoints: list[Path], split: Split) -> Evaluation:
    """The evaluation of the mean of several networks' probabilities."""
    engines = [TorchEngine.from_checkpoint(Checkpoint.load(path)) for path in checkpoints]
    ensemble, head = Ensemble([Network(engine) for engine in engines]), Head(1)

    def segment(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        scores = ensemble.scores(split.frames[0], image)  # networks look at the image alone
        return head(scores.values, (image.shape[0], image.shape[1]), canvas=scores.canvas).classes

    return evaluate(segment, ensemble.label_space, split, boundaries=False)


def write(rows: list[Row], arguments: argparse.Namespace) -> None:
    """`transfer.csv` with every fit, `transfer_summary.csv` with means and spreads, per class too."""
    write_table(arguments.out / "transfer.csv", rows, arguments)
    classes = [name for name in rows[0] if name.startswith("iou_")]
    lines = summary(rows, by=("model",), columns=("parameters", "miou", "pixel_accuracy", *classes))
    write_table(arguments.out / "transfer_summary.csv", lines, arguments)


def write_costs(folder: Path, size: tuple[int, int], split: Split, arguments: argparse.Namespace) -> None:
    """`transfer_cost.csv`: each network at the table's size and at twice its sides, on a frame of the split.

    Of the S-Net that is a mean the columns are sums over its members, which run one after the other, but for
    the activations, of which the larger ones count; its whole call, with one head, is not timed.
    """
    names = [*MEMBERS, "s-net, joined", "end to end"]
    checkpoints = {name: folder / _file_name(name) / "checkpoint.safetensors" for name in names}
    rows: list[Row] = []
    for height, width in (size, (2 * size[0], 2 * size[1])):
        table = costs(checkpoints, (height, width), image=first_frame(split, (height, width)))
        table["t-net"] = table.pop("end to end")
        members = [table[name] for name in MEMBERS]
        summed = [column for column in members[0] if not column.endswith(("_p10", "_p90"))]
        table["s-net, mean"] = {column: sum(_number(m, column) for m in members) for column in summed}
        table["s-net, mean"]["segment_ms"] = ""
        table["s-net, mean"]["activation_bytes"] = max(_number(m, "activation_bytes") for m in members)
        rows += [
            {"model": name, "input": f"{height}x{width}", **found, **origin()}
            for name, found in table.items()
        ]
    write_table(arguments.out / "transfer_cost.csv", rows, arguments)


def _number(row: Row, column: str) -> float:
    value = row[column]
    assert isinstance(value, int | float)
    return value


if __name__ == "__main__":
    main()
