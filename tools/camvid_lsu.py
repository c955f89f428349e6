"""A controlled trial of label space unification on CamVid, split by drive.

One drive is the source with its 11 classes; another is foreign: its labels are merged to five groups and
their truth is kept aside; the third is scored. Three rotations, so that each drive is scored once;
`--direction backward` takes the other three, with source and foreign drive exchanged. Per rotation and seed
four fits with the same steps, views and void mask: a teacher on the source, and students on the source and
the foreign drive with free pseudo-labels, with constrained ones, and with the truth.

The settings below were chosen on the `val` split of drive 0016E5 alone. Everything is resumable: run the
same command again after an interruption.

Example: python tools/camvid_lsu.py --data $LSU_DATA/camvid11 --work runs/camvid_lsu
"""

import argparse
import json
import multiprocessing
import statistics
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np
from measurement import commit, write_csv

from lsu.export.to_onnx import export_checkpoint
from lsu.runtime import VOID, Dataset, LabelSpace, LsuError, Relation, Segmenter, Split
from lsu.runtime.bundles.bundle import Bundle
from lsu.runtime.engines import engine_for
from lsu.runtime.evaluate import Evaluation, evaluate
from lsu.runtime.files import write_atomically
from lsu.runtime.image import png_from_pixels
from lsu.runtime.label_space import LabelClass
from lsu.runtime.machine import processor
from lsu.runtime.relabel.pipeline import Request, relabel
from lsu.runtime.relabel.views import views_from_text
from lsu.training.config import Config
from lsu.training.fit import fit

DRIVES = ("0001TP", "0006R0", "0016E5")
GROUPS = {
    "above-and-built": ("Sky", "Building"),
    "upright-thin": ("Tree", "Pole"),
    "furniture": ("SignSymbol", "Fence"),
    "ground": ("Road", "Pavement"),
    "moving": ("Car", "Pedestrian", "Bicyclist"),
}
HELD_OUT = (
    0.2  # the last part, by time, of the source drive: the teacher is scored on it, nobody learns from it
)
VIEWS = "flip"
SETTINGS = {
    "network": {"architecture": "segformer", "encoder": "tu-regnetx_002", "input_size": [192, 256]},
    "fit": {
        "steps": 450,
        "batch_size": 8,
        "crop": [192, 256],
        "scale": [0.4, 0.8],
        "learning_rate": 4e-3,
        "colour_jitter": 0.6,
        "class_balance": 0.5,
        "precision": "bf16-mixed",
        "accelerator": "cpu",
        "threads": 1,
        "save_every": 1000,
    },
}


@dataclass(frozen=True)
class Trial:
    """One rotation with one seed."""

    source: str
    foreign: str
    scored: str
    seed: int

    @property
    def name(self) -> str:
        """The name of its folder."""
        return f"{self.source}-{self.foreign}-{self.scored}-seed{self.seed}"


def main() -> None:
    """Run all trials that are not done, and write the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="the folder of camvid11")
    parser.add_argument("--work", type=Path, default=Path("runs/camvid_lsu"), help="checkpoints and labels")
    parser.add_argument("--out", type=Path, default=Path("benchmarks"), help="where the CSV files go")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=SETTINGS["fit"]["steps"])
    parser.add_argument("--direction", choices=("forward", "backward"), default="forward")
    parser.add_argument("--jobs", type=int, default=1, help="trials at once, one thread each")
    arguments = parser.parse_args()
    try:
        drives = write_drives(arguments.data.resolve(), arguments.work.resolve() / "data")
        rows = []
        trials = [
            Trial(*_roles(k, arguments.direction), seed) for seed in range(arguments.seeds) for k in range(3)
        ]
        one = partial(run, drives=drives, work=arguments.work.resolve(), steps=arguments.steps)
        with ProcessPoolExecutor(arguments.jobs, multiprocessing.get_context("spawn")) as pool:
            for trial_rows in pool.map(one, trials):
                rows += trial_rows
                write_tables(rows, arguments)
    except LsuError as error:
        print(f"camvid_lsu: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


def _roles(rotation: int, direction: str) -> tuple[str, str, str]:
    """The source, the foreign and the scored drive of a rotation."""
    source, foreign, scored = (DRIVES[(rotation + j) % 3] for j in range(3))
    return (source, foreign, scored) if direction == "forward" else (foreign, source, scored)


def write_drives(camvid: Path, folder: Path) -> Path:
    """Data sets of single drives: `drives` with 11 classes and `merged` with 5 groups; returns the folder."""
    dataset = Dataset.load("camvid11", camvid)
    truth = dataset.split("train")
    space = dataset.label_space
    groups = LabelSpace("camvid_groups", tuple(LabelClass(name, k) for k, name in enumerate(GROUPS)))
    group_of = np.full(256, VOID, np.uint8)
    for k, members in enumerate(GROUPS.values()):
        group_of[[space.index(m) for m in members]] = k
    images = f"{camvid}/images/train"
    texts = {"drives": ['name = "camvid_drives"', 'label_space = "camvid11"']}
    texts["merged"] = ['name = "camvid_merged"', 'label_space = "groups.toml"']
    for drive in DRIVES:
        frames = sorted(f.key for f in truth.frames if f.key.startswith(drive))
        kept = round(len(frames) * (1 - HELD_OUT))
        parts = {drive: frames, f"{drive}-fit": frames[:kept], f"{drive}-held": frames[kept:]}
        for name, keys in parts.items():
            lines = "".join(f"{key}\n" for key in keys)
            write_atomically(folder / f"drives/{name}.txt", lines.encode())
            texts["drives"] += [f"[splits.{name}]", f'images = "{images}/*.jpg"']
            texts["drives"] += [f'labels = "{camvid}/labels/train/*.png"', f'frames = "{name}.txt"']
        texts["merged"] += [f"[splits.{drive}]", f'images = "{images}/{drive}_*.jpg"']
        texts["merged"] += [f'labels = "labels/{drive}_*.png"']
    for frame in truth.frames:
        merged = png_from_pixels(group_of[truth.read(frame).labels])
        write_atomically(folder / f"merged/labels/{frame.key}.png", merged, durable=False)
    write_atomically(folder / "merged/groups.toml", groups.to_toml().encode())
    for name, lines in texts.items():
        write_atomically(folder / name / "dataset.toml", ("\n".join(lines) + "\n").encode())
    return folder


def run(trial: Trial, *, drives: Path, work: Path, steps: int) -> list[dict[str, object]]:
    """The rows of one trial; read from its folder if it is done."""
    SETTINGS["fit"]["steps"] = steps
    folder = work / f"{steps}-steps" / trial.name
    result = folder / "rows.json"
    if result.exists():
        rows: list[dict[str, object]] = json.loads(result.read_text())
        return rows
    begin = time.monotonic()
    source = {"dataset": str(drives / "drives"), "split": f"{trial.source}-fit"}
    scored = Dataset.load(drives / "drives").split(trial.scored)
    teacher = fitted(trial, folder / "teacher", [source])
    held = score(teacher, Dataset.load(drives / "drives").split(f"{trial.source}-held"))
    rows = [row(trial, "teacher", score(teacher, scored), held=held)]
    labels = {"full": {"dataset": str(drives / "drives"), "split": trial.foreign}}
    right = {"full": 1.0}
    for kind in ("free", "constrained"):
        out = folder / f"labels-{kind}"
        right[kind] = relabelled(trial, drives, teacher, out, free=kind == "free")
        labels[kind] = {"dataset": str(out), "split": trial.foreign}
    for kind in ("free", "constrained", "full"):
        student = fitted(trial, folder / kind, [source, labels[kind]])
        rows.append(row(trial, kind, score(student, scored), right=right[kind]))
    seconds = round(time.monotonic() - begin)
    print(
        f"{trial.name}: " + ", ".join(f"{r['model']} {r['miou']}" for r in rows) + f" ({seconds} s)",
        flush=True,
    )
    write_atomically(result, json.dumps(rows, indent=1).encode())
    return rows


def fitted(trial: Trial, folder: Path, data: list[dict[str, str]]) -> Path:
    """The bundle of a network fitted on these data entries."""
    table = {**SETTINGS, "fit": {**SETTINGS["fit"], "seed": trial.seed}, "output": str(folder), "data": data}
    checkpoint = fit(Config.from_dict(table, "the trial's settings"), resume=True).checkpoint
    bundle = folder / "bundle"
    if not bundle.exists():
        export_checkpoint(checkpoint, bundle)
    return bundle


def relabelled(trial: Trial, drives: Path, teacher: Path, out: Path, *, free: bool) -> float:
    """Relabel the merged drive; the share of pixels with truth whose pseudo-label is right."""
    split = Dataset.load(drives / "merged").split(trial.foreign)
    source = LabelSpace.load("camvid11")
    relation = Relation.from_names("groups-to-camvid11", source, split.label_space, allow=GROUPS)
    engine = engine_for(Bundle.open(teacher), threads=1)
    relabel(engine, Request(split, relation, free, views_from_text(VIEWS)), out, workers=1)
    engine.close()
    truth = Dataset.load(drives / "drives").split(trial.foreign)
    pseudo = Dataset.load(out).split(trial.foreign)
    right = counted = 0
    for ours, theirs in zip(pseudo.frames, truth.frames, strict=True):
        new, true = pseudo.read(ours).labels, truth.read(theirs).labels
        if ((new == VOID) != (true == VOID)).any():
            raise SystemExit(f"camvid_lsu: {ours.key}: the void mask of the pseudo-labels is not the truth's")
        right += int(((new == true) & (true != VOID)).sum())
        counted += int((true != VOID).sum())
    return right / counted


def score(bundle: Path, split: Split) -> Evaluation:
    """The evaluation of a bundle on a split, without views."""
    opened = Bundle.open(bundle)
    engine = engine_for(opened, threads=1)
    segmenter = Segmenter(engine, threads=1)
    result = evaluate(
        lambda image: segmenter.segment(image).classes, opened.spec.label_space, split, boundaries=False
    )
    engine.close()
    return result


def row(
    trial: Trial,
    model: str,
    scores: Evaluation,
    *,
    held: Evaluation | None = None,
    right: float | None = None,
) -> dict[str, object]:
    """One line of the table; shares in percent."""
    return {
        "source": trial.source,
        "foreign": trial.foreign,
        "scored": trial.scored,
        "seed": trial.seed,
        "model": model,
        "miou": _percent(scores.mean_iou),
        "pixel_accuracy": _percent(scores.pixel_accuracy),
        "miou_held_out_of_source": "" if held is None else _percent(held.mean_iou),
        "pseudo_labels_right": "" if right is None else _percent(right),
        **{f"iou_{name}": _percent(v) for name, v in zip(scores.label_space.names, scores.iou, strict=True)},
        "steps": SETTINGS["fit"]["steps"],
        "device": f"{processor()}, 1 thread",
        "versions": f"lsu {version('lsu')}, torch {version('torch')}, onnxruntime {version('onnxruntime')}",
        "commit": commit(),
    }


def write_tables(rows: list[dict[str, object]], arguments: argparse.Namespace) -> None:
    """`camvid_lsu_DIRECTION.csv` with every fit, `..._summary.csv` with means and spreads."""
    out, direction = arguments.out, arguments.direction
    command = f"python tools/camvid_lsu.py --data $LSU_DATA/camvid11 --direction {direction}"
    command += f" --seeds {arguments.seeds} --steps {arguments.steps}"
    write_csv(out / f"camvid_lsu_{direction}.csv", [{**row, "command": command} for row in rows])
    summary = []
    for scored in (*DRIVES, "teacher >= 15"):
        chosen = _rows_of(rows, scored)
        models: dict[str, list[float]] = {}
        for r in chosen:
            models.setdefault(str(r["model"]), []).append(float(str(r["miou"])))
        if "constrained" not in models or len({len(v) for v in models.values()}) != 1:
            continue
        gains = [c - f for c, f in zip(models["constrained"], models["free"], strict=True)]
        line: dict[str, object] = {"scored": scored, "trials": len(gains)}
        for name, values in {**models, "constrained_minus_free": gains}.items():
            line[f"{name}_mean"] = round(statistics.mean(values), 2)
            line[f"{name}_sd"] = round(statistics.stdev(values), 2) if len(values) > 1 else ""
        line["constrained_minus_free_least"] = round(min(gains), 2)
        for kind in ("free", "constrained"):
            right = [float(str(r["pseudo_labels_right"])) for r in chosen if r["model"] == kind]
            line[f"pseudo_labels_right_{kind}"] = round(statistics.mean(right), 2)
        summary.append(line)
    write_csv(out / f"camvid_lsu_{direction}_summary.csv", summary)


def _rows_of(rows: list[dict[str, object]], scored: str) -> list[dict[str, object]]:
    """The rows of one scored drive, or of all rotations whose teachers reach 15 mIoU on the mean."""
    if scored in DRIVES:
        return [r for r in rows if r["scored"] == scored]
    teachers = {
        d: [float(str(r["miou"])) for r in _rows_of(rows, d) if r["model"] == "teacher"] for d in DRIVES
    }
    good = {d for d, values in teachers.items() if values and statistics.mean(values) >= 15}
    return [r for r in rows if r["scored"] in good]


def _percent(share: float | None) -> float | str:
    return "" if share is None else round(100 * share, 2)


if __name__ == "__main__":
    main()
