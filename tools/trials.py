"""What the trials of methods share: drives of CamVid as data sets, fits, pseudo-labels, scores, tables.

Each trial_*.py is one table of docs/results.md. A trial is split by drive, resumable (run the same command
again after an interruption), and its fits have equal steps and equal pixels seen. Networks run through
torch, by the code that `lsu fit`, `lsu relabel` and `lsu evaluate` run.
"""

import argparse
import json
import multiprocessing
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from measurement import commit, write_csv
from network_cost import parameters

from lsu.runtime import VOID, Dataset, Frame, LabelSpace, LsuError, Relation, Segmenter, Split
from lsu.runtime.evaluate import Evaluation, evaluate
from lsu.runtime.files import write_atomically
from lsu.runtime.image import png_from_pixels
from lsu.runtime.label_space import LabelClass
from lsu.runtime.machine import processor
from lsu.runtime.relabel.pipeline import Request, relabel
from lsu.runtime.relabel.teachers import Network
from lsu.runtime.relabel.views import views_from_text
from lsu.training.checkpoint import Checkpoint
from lsu.training.config import Config
from lsu.training.fit import fit
from lsu.training.step_meter import StepReport
from lsu.training.torch_engine import TorchEngine

Row = dict[str, object]
Entry = dict[str, object]

DRIVES = ("0001TP", "0006R0", "0016E5")
LEARNT = DRIVES[:2]
SCORED = DRIVES[2]
"""Of tables without rotations, like `LEARNT`."""

STUDENT = {"encoder": "tu-mobilenetv3_small_050", "decoder_channels": 32}
"""What the small student of several tables has otherwise: 0.29 million weights."""

GROUPS = {
    "above-and-built": ("Sky", "Building"),
    "upright-thin": ("Tree", "Pole"),
    "furniture": ("SignSymbol", "Fence"),
    "ground": ("Road", "Pavement"),
    "moving": ("Car", "Pedestrian", "Bicyclist"),
}
RARE = ("Pole", "SignSymbol", "Fence", "Pedestrian", "Bicyclist")
"""The five classes of CamVid's eleven with the fewest pixels in its three training drives."""

HELD_OUT = 0.2
"""The last part, by time, of each drive. A trial that scores teachers on it lets nobody learn from it."""


@dataclass(frozen=True)
class Fitting:
    """How all networks of a table are fitted.

    Attributes:
        steps: optimiser steps of each.
        size: (H, W) of the networks' input and of the crops.
        choice: what a configuration's `network` has otherwise; None leaves a key out.
        settings: what its `fit` has otherwise.
    """

    steps: int
    size: tuple[int, int] = (128, 160)
    choice: Mapping[str, object] = field(default_factory=dict)
    settings: Mapping[str, object] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The name of its folder."""
        return f"{self.steps}-steps" + ("" if self.size == (128, 160) else f"-{self.size[0]}x{self.size[1]}")

    @property
    def facts(self) -> Row:
        """The columns that say it."""
        return {"steps": self.steps, "size": f"{self.size[0]}x{self.size[1]}"}

    @property
    def network(self) -> dict[str, object]:
        """The table `network` of a configuration."""
        common = {"architecture": "segformer", "encoder": "tu-regnetx_002", "input_size": self.size}
        return {key: value for key, value in {**common, **self.choice}.items() if value is not None}

    @property
    def fit(self) -> dict[str, object]:
        """The table `fit`, chosen on `val` of drive 0016E5 at 192x256; the scale goes with the crop."""
        return {
            "steps": self.steps,
            "batch_size": 8,
            "crop": self.size,
            "scale": [round(bound * self.size[0] / 192, 2) for bound in (0.4, 0.8)],
            "learning_rate": 4e-3,
            "colour_jitter": 0.6,
            "class_balance": 0.5,
            "precision": "bf16-mixed",
            "accelerator": "cpu",
            "threads": 1,
            "save_every": 10_000,
            **self.settings,
        }


@dataclass(frozen=True)
class Trial:
    """One rotation with one seed: who is learnt from, whose labels are foreign, who is scored."""

    source: str
    foreign: str
    scored: str
    seed: int

    @property
    def name(self) -> str:
        """The name of its folder."""
        return f"{self.source}-{self.foreign}-{self.scored}-seed{self.seed}"

    @property
    def facts(self) -> Row:
        """The columns that name it."""
        return {"source": self.source, "foreign": self.foreign, "scored": self.scored, "seed": self.seed}


def rotations(seeds: int) -> list[Trial]:
    """Three rotations of the drives, each scored once, for every seed; the seeds are the outer loop."""
    return [
        Trial(*(DRIVES[(first + role) % 3] for role in range(3)), seed)
        for seed in range(seeds)
        for first in range(3)
    ]


def parser(description: str | None, *, work: str, steps: int) -> argparse.ArgumentParser:
    """The options that all trials have."""
    result = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    result.add_argument("--data", type=Path, required=True, help="the folder of $LSU_DATA")
    result.add_argument("--work", type=Path, default=Path("runs") / work, help="checkpoints and labels")
    result.add_argument("--out", type=Path, default=Path("benchmarks/methods"), help="where the CSV goes")
    result.add_argument("--seeds", type=int, default=3)
    result.add_argument("--steps", type=int, default=steps, help="optimiser steps of each fit")
    result.add_argument("--size", default="128x160", help="HxW of the networks' input and of the crops")
    result.add_argument("--jobs", type=int, default=1, help="trials at once, one thread each")
    return result


def fitting_of(arguments: argparse.Namespace) -> Fitting:
    """What the options say of all fits."""
    height, width = (int(side) for side in arguments.size.split("x"))
    return Fitting(arguments.steps, (height, width))


def run_all(
    one: Callable[[Any], list[Row]],
    trials: Sequence[Any],
    jobs: int,
    on_rows: Callable[[list[Row]], object],
) -> None:
    """Run the trials in processes of their own; `on_rows` gets all rows so far after each."""
    rows: list[Row] = []
    try:
        with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
            for found in pool.map(one, trials):
                rows += found
                on_rows(rows)
    except LsuError as error:
        print(f"{Path(sys.argv[0]).name}: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


def once(folder: Path, make: Callable[[], list[Row]]) -> list[Row]:
    """The rows of a trial, read from its folder if it is done; told in one line when it is."""
    result = folder / "rows.json"
    if result.exists():
        rows: list[Row] = json.loads(result.read_text())
        return rows
    begin = time.monotonic()
    rows = make()
    write_atomically(result, json.dumps(rows, indent=1).encode())
    shown = ", ".join(f"{row['model']} {row['miou']}" for row in rows)
    print(f"{folder.name}: {shown} ({time.monotonic() - begin:.0f} s)", flush=True)
    return rows


def write_drives(camvid: Path, folder: Path) -> Path:
    """Data sets of single drives: `drives` with 11 classes and `merged` with 5 groups; returns the folder.

    Splits of `drives`: each drive, `DRIVE-fit` (its first four fifths by time) and `DRIVE-held` (the rest).
    """
    dataset = Dataset.load("camvid11", camvid)
    truth = dataset.split("train")
    images = f"{camvid}/images/train"
    texts = {"drives": ['name = "camvid_drives"', 'label_space = "camvid11"']}
    texts["merged"] = ['name = "camvid_merged"', 'label_space = "groups.toml"']
    for drive in DRIVES:
        frames = sorted(f.key for f in truth.frames if f.key.startswith(drive))
        kept = round(len(frames) * (1 - HELD_OUT))
        for name, keys in (
            (drive, frames),
            (f"{drive}-fit", frames[:kept]),
            (f"{drive}-held", frames[kept:]),
        ):
            write_atomically(folder / f"drives/{name}.txt", "".join(f"{key}\n" for key in keys).encode())
            texts["drives"] += [f"[splits.{name}]", f'images = "{images}/*.jpg"']
            texts["drives"] += [f'labels = "{camvid}/labels/train/*.png"', f'frames = "{name}.txt"']
        texts["merged"] += [f"[splits.{drive}]", f'images = "{images}/{drive}_*.jpg"']
        texts["merged"] += [f'labels = "labels/{drive}_*.png"']
    _write_merged(truth, dataset.label_space, folder / "merged")
    for name, lines in texts.items():
        write_atomically(folder / name / "dataset.toml", ("\n".join(lines) + "\n").encode())
    return folder


def _write_merged(truth: Split, space: LabelSpace, folder: Path) -> None:
    groups = LabelSpace("camvid_groups", tuple(LabelClass(name, k) for k, name in enumerate(GROUPS)))
    group_of = np.full(256, VOID, np.uint8)
    for k, members in enumerate(GROUPS.values()):
        group_of[[space.index(m) for m in members]] = k
    for frame in truth.frames:
        merged = png_from_pixels(group_of[truth.read(frame).labels])
        write_atomically(folder / f"labels/{frame.key}.png", merged, durable=False)
    relation = Relation.from_names("groups-to-camvid11", space, groups, allow=GROUPS)
    write_atomically(folder / "groups.toml", groups.to_toml().encode())
    write_atomically(folder / "groups-to-camvid11.toml", relation.to_toml(foreign="groups.toml").encode())


def fitted(
    folder: Path,
    data: Sequence[Entry],
    fitting: Fitting,
    *,
    on_step: Callable[[StepReport], object] = lambda _: None,
    **more: object,
) -> Path:
    """The checkpoint of a network fitted on these entries; `more` are other keys of its configuration."""
    table = {"network": fitting.network, "fit": fitting.fit, "data": data, "output": str(folder), **more}
    return fit(Config.from_dict(table, "the trial's settings"), resume=True, on_step=on_step).checkpoint


def score(checkpoint: Path, split: Split) -> Evaluation:
    """The evaluation of a checkpoint on a split, without views."""
    engine = TorchEngine.from_checkpoint(Checkpoint.load(checkpoint))
    segmenter = Segmenter(engine, threads=1)
    return evaluate(
        lambda image: segmenter.segment(image).classes, engine.spec.label_space, split, boundaries=False
    )


def relabelled(checkpoint: Path, split: Split, relation: Relation, out: Path, *, free: bool = False) -> Entry:
    """Relabel a split with mirrored views; what it is to a configuration."""
    engine = TorchEngine.from_checkpoint(Checkpoint.load(checkpoint))
    relabel(Network(engine, views_from_text("flip")), Request(split, relation, free), out, workers=1)
    return {"dataset": str(out), "split": split.name}


def same_frames(pseudo: Split, truth: Split) -> list[tuple[Frame, Frame]]:
    """The frames of both in pairs, whose images must have equal names one by one."""
    pairs = list(zip(pseudo.frames, truth.frames, strict=True))
    for ours, theirs in pairs:
        if ours.image.stem != theirs.image.stem:
            raise SystemExit(f"{ours.image} would be judged by the truth of {theirs.image}")
    return pairs


def right_share(pseudo: Split, truth: Split) -> float:
    """The share of pixels with truth whose pseudo-label is right; their void masks must be equal."""
    right = counted = 0
    for ours, theirs in same_frames(pseudo, truth):
        new, true = pseudo.read(ours).labels, truth.read(theirs).labels
        if ((new == VOID) & (true != VOID)).any():
            raise SystemExit(f"{ours.key}: a pixel with truth has no pseudo-label")
        right += int(((new == true) & (true != VOID)).sum())
        counted += int((true != VOID).sum())
    return right / counted


def percent(share: float | None) -> float | str:
    """A share in percent with two decimals, empty for None."""
    return "" if share is None else round(100 * share, 2)


def scores_of(scores: Evaluation) -> Row:
    """The columns of an evaluation, in percent."""
    ious = zip(scores.label_space.names, scores.iou, strict=True)
    return {
        "miou": percent(scores.mean_iou),
        "pixel_accuracy": percent(scores.pixel_accuracy),
        **{f"iou_{name}": percent(value) for name, value in ious},
    }


def weights_of(checkpoint: Path) -> int:
    """The number of learnt weights of a checkpoint's network."""
    return parameters(Checkpoint.load(checkpoint).network())


def first_frame(split: Split, size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """The first image of a split, enlarged or reduced to (H, W), uint8 [H,W,3] RGB."""
    image: npt.NDArray[np.uint8] = cv2.resize(
        split.read_image(split.frames[0]), size[::-1], interpolation=cv2.INTER_AREA
    )
    return image


def origin() -> Row:
    """The columns that say where and with what a row was measured."""
    return {
        "device": f"{processor()}, 1 thread",
        "versions": f"lsu {version('lsu')}, torch {version('torch')}",
        "commit": commit(),
    }


def write_table(path: Path, rows: Sequence[Row], arguments: argparse.Namespace) -> None:
    """The rows with the command that repeats them: every option but where files lie and who computes."""
    command = f"python tools/{Path(sys.argv[0]).name} --data $LSU_DATA"
    for name, value in vars(arguments).items():
        if name not in ("data", "work", "out", "jobs", "figure"):
            command += f" --{name} {value}"
    write_csv(path, [{**row, "command": command} for row in rows])


def by_drive(rows: Sequence[Row], columns: Sequence[str] = ("miou",)) -> list[Row]:
    """The summary of each model on each scored drive, then over all: spreads are over seeds in both."""
    lines = summary(rows, by=("scored", "model"), columns=columns)
    of_seeds = [
        {**line, **{name: line[f"{name}_mean"] for name in columns}}
        for line in summary(rows, by=("seed", "model"), columns=columns)
    ]
    return lines + [{"scored": "all", **line} for line in summary(of_seeds, by=("model",), columns=columns)]


def summary(rows: Iterable[Row], *, by: Sequence[str], columns: Sequence[str] = ("miou",)) -> list[Row]:
    """Mean and standard deviation of columns over the rows that agree in `by`, in the order of appearance."""
    groups: dict[tuple[object, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[name] for name in by), []).append(row)
    result = []
    for key, members in groups.items():
        line: Row = {**dict(zip(by, key, strict=True)), "rows": len(members)}
        for name in columns:
            values = [float(str(m[name])) for m in members if m.get(name, "") != ""]
            line[f"{name}_mean"] = round(statistics.mean(values), 2) if values else ""
            line[f"{name}_sd"] = round(statistics.stdev(values), 2) if len(values) > 1 else ""
        result.append(line)
    return result
