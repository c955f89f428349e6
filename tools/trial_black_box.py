"""CoRTe-style transfer (Cuttano et al. 2023): a black-box teacher of IDD-Lite, students for CamVid's drives.

The teacher learns IDD-Lite's 7 classes; of it only the scores on drive 0016E5 are used, stored in half
precision. Students (less than an eighth of its weights) learn that drive alone, without its labels but
for their void (3.5 % of the pixels, where nothing is learned or counted), and are scored on the two drives
that nobody has seen, in IDD-Lite's classes. Each part is added in turn. All students learn in two halves of
the same steps, the second from the weights of the first:

  all           the teacher's best class at every pixel
  rc            where its relative confidence is above the mean of its class
  refined       in the second half by the same rule where teacher and student, half each, answer together
  strong        and blur, more colour jitter and ClassMix
  ..., relation the same within what the drive's labels allow, of which five groups are known

For the score each of CamVid's classes is read as the class of IDD-Lite that most of its pixels belong to;
Bicyclist, which is two, is void. The relation is wider: of Building, Road and Pavement it allows another
class, which the score counts as wrong. IDD-Lite's images are enlarged by 1.5 in crops, see trial_idd.py. The
settings are those of all trials, chosen on `val` of the drive that students learn.

Example: python tools/trial_black_box.py --data $LSU_DATA --jobs 2
"""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from trials import (
    DRIVES,
    STUDENT,
    Entry,
    Fitting,
    Row,
    by_drive,
    fitted,
    fitting_of,
    once,
    origin,
    parser,
    percent,
    run_all,
    same_frames,
    score,
    scores_of,
    write_drives,
    write_table,
)

from lsu.runtime import VOID, Dataset, LabelSpace, Relation, Split
from lsu.runtime.derivation import chain, inverse
from lsu.runtime.relabel.convert import Conversion, convert
from lsu.runtime.relabel.pipeline import Request, relabel
from lsu.runtime.relabel.teachers import Ensemble, Network, StoredScores
from lsu.runtime.relabel.views import views_from_text
from lsu.training.checkpoint import Checkpoint
from lsu.training.torch_engine import TorchEngine

TARGET = "0016E5"
STUDENTS: dict[str, object] = {"ema": 0.98}  # a student's average is what refines, and what is scored
STRONG: dict[str, object] = {"blur": 1.5, "colour_jitter": 0.8, "mix": "classmix"}
SHARES = (0.5, 0.5)
"""Of teacher and student where both answer."""

READ_AS = {
    "Sky": ("sky",),
    "Building": ("far-objects",),
    "Pole": ("roadside-objects",),
    "Road": ("drivable",),
    "Pavement": ("non-drivable",),
    "Tree": ("far-objects",),
    "SignSymbol": ("roadside-objects",),
    "Fence": ("roadside-objects",),
    "Car": ("vehicles",),
    "Pedestrian": ("living-things",),
    "Bicyclist": ("living-things", "vehicles"),
}


@dataclass(frozen=True)
class Arm:
    """What a student learns from: which of the parts."""

    confident: bool = False
    refined: bool = False
    strong: bool = False
    related: bool = False


ARMS = {
    "all": Arm(),
    "rc": Arm(confident=True),
    "refined": Arm(confident=True, refined=True),
    "strong": Arm(confident=True, refined=True, strong=True),
    "all, relation": Arm(related=True),
    "rc, relation": Arm(confident=True, related=True),
    "strong, relation": Arm(confident=True, refined=True, strong=True, related=True),
}


@dataclass(frozen=True)
class Setting:
    """What all seeds share.

    Attributes:
        work: where checkpoints and labels go.
        idd: the folder of IDD-Lite.
        target: the drive that students learn, with labels of five groups.
        relation: from IDD-Lite's classes to these groups.
        coarse: each drive with IDD-Lite's classes.
        fitting: how all networks are fitted.
    """

    work: Path
    idd: Path
    target: Split
    relation: Relation
    coarse: Mapping[str, Split]
    fitting: Fitting


def main() -> None:
    """Run all seeds that are not done, and write the tables."""
    arguments = parser(__doc__, work="trial_black_box", steps=400).parse_args()
    work, data = arguments.work.resolve(), arguments.data.resolve()
    drives = write_drives(data / "camvid11", work / "data")
    to_fine = Relation.load(drives / "merged/groups-to-camvid11.toml")
    setting = Setting(
        work=work,
        idd=data / "idd_lite",
        target=Dataset.load(drives / "merged").split(TARGET),
        relation=chain(to_fine, inverse(Relation.load("idd_lite-to-camvid11"))),
        coarse=in_coarse_classes(drives, work / "data"),
        fitting=fitting_of(arguments),
    )
    one = partial(run, setting=setting)
    run_all(one, range(arguments.seeds), arguments.jobs, partial(write, arguments=arguments))


def in_coarse_classes(drives: Path, folder: Path) -> Mapping[str, Split]:
    """Each drive with IDD-Lite's classes."""
    known = Dataset.load(drives / "drives")
    allow = {name: list(classes) for name, classes in READ_AS.items()}
    reading = Relation.from_names(
        "camvid11-read-as-idd_lite", LabelSpace.load("idd_lite"), known.label_space, allow=allow
    )
    result = {}
    for drive in DRIVES:
        place = folder / f"coarse-{drive}"
        convert(Conversion(known.split(drive), reading, undecided_void=True), place)
        result[drive] = Dataset.load(place).split(drive)
    return result


def run(seed: int, *, setting: Setting) -> list[Row]:
    """The rows of one seed."""
    folder = setting.work / setting.fitting.name / f"seed{seed}"
    return once(folder, lambda: _rows(seed, folder, setting))


def _rows(seed: int, folder: Path, setting: Setting) -> list[Row]:
    source: Entry = {"dataset": "idd_lite", "root": str(setting.idd), "scale": 1.5}
    longer = replace(setting.fitting, steps=2 * setting.fitting.steps, settings={"seed": seed})
    teacher = fitted(folder / "teacher", [source], longer)
    request = Request(setting.target, setting.relation, free=True, keep_scores=True)
    relabel(_network(teacher, "flip"), request, folder / "black-box", workers=1)
    unknown: Row = {"pixels_kept": "", "pseudo_labels_right": ""}
    rows = _scored({"seed": seed, "model": "teacher", **unknown}, teacher, setting)
    for model, arm in ARMS.items():
        place = folder / model.replace(",", "").replace(" ", "-")
        checkpoint, labels = _Student(place, seed, arm, setting, folder / "black-box/scores").learnt()
        kept, right = _judged(labels, setting.coarse[TARGET])
        facts: Row = {"pixels_kept": percent(kept), "pseudo_labels_right": percent(right)}
        rows += _scored({"seed": seed, "model": model, **facts}, checkpoint, setting)
    return rows


@dataclass(frozen=True)
class _Student:
    """One student and where its files go."""

    folder: Path
    seed: int
    arm: Arm
    setting: Setting
    scores: Path

    def learnt(self) -> tuple[Path, Split]:
        """Its checkpoint, and the labels that it learned from at the end."""
        stored = StoredScores(self.scores, self.setting.target)
        last, steps = self._labelled(stored, "labels"), self.setting.fitting.steps // 2
        half = self._fitted("half", last, steps)
        if self.arm.refined:
            last = self._labelled(Ensemble([stored, _network(half, "")], SHARES), "labels-refined")
        checkpoint = self._fitted("student", last, steps, start=str(half))
        return checkpoint, Dataset.load(str(last["dataset"])).split(TARGET)

    def _labelled(self, teacher: StoredScores | Ensemble, name: str) -> Entry:
        request = Request(
            self.setting.target,
            self.setting.relation,
            free=not self.arm.related,
            confidence="relative" if self.arm.confident else None,
        )
        relabel(teacher, request, self.folder / name, workers=1)
        return {"dataset": str(self.folder / name), "split": TARGET}

    def _fitted(self, name: str, labels: Entry, steps: int, **more: object) -> Path:
        settings = {"seed": self.seed, **STUDENTS, **(STRONG if self.arm.strong else {})}
        fitting = replace(self.setting.fitting, steps=steps, choice=STUDENT, settings=settings)
        return fitted(self.folder / name, [labels], fitting, **more)


def _network(checkpoint: Path, views: str) -> Network:
    return Network(TorchEngine.from_checkpoint(Checkpoint.load(checkpoint)), views_from_text(views))


def _judged(labels: Split, truth: Split) -> tuple[float, float]:
    """The share of pixels that have a pseudo-label, and of those with a truth the share that is right."""
    kept, known, right = [], 0, 0
    for ours, theirs in same_frames(labels, truth):
        new, true = labels.read_labels(ours), truth.read_labels(theirs)
        both = (new != VOID) & (true != VOID)
        kept.append((new != VOID).mean())
        known += int(both.sum())
        right += int((new == true)[both].sum())
    return float(np.mean(kept)), right / known


def _scored(facts: Row, checkpoint: Path, setting: Setting) -> list[Row]:
    """A row for each drive that is scored."""
    return [
        {"target": TARGET, "scored": drive, **facts}
        | {**scores_of(score(checkpoint, split)), **setting.fitting.facts, **origin()}
        for drive, split in setting.coarse.items()
        if drive != TARGET
    ]


def write(rows: list[Row], arguments: argparse.Namespace) -> None:
    """`black_box.csv` with every score, `black_box_summary.csv` with means and spreads."""
    write_table(arguments.out / "black_box.csv", rows, arguments)
    columns = ("pixels_kept", "pseudo_labels_right", "miou", "pixel_accuracy")
    write_table(arguments.out / "black_box_summary.csv", by_drive(rows, columns), arguments)


if __name__ == "__main__":
    main()
