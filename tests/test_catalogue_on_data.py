"""The catalogue's relations on real labels: does the truth stay allowed, and how small are the sets?"""

import csv
import os
from pathlib import Path

import numpy as np
import pytest
from pictures import BrightnessEngine

from lsu.runtime import VOID, Dataset, LabelSpace, ModelSpec, Relation
from lsu.runtime.datasets.dataset import Split
from lsu.runtime.relabel.pipeline import Request, relabel
from lsu.runtime.relabel.teachers import Network


@pytest.fixture
def data() -> Path:
    folder = os.environ.get("LSU_DATA")
    if not folder:
        pytest.skip("LSU_DATA, the folder of real data sets, is not set")
    return Path(folder)


def joint_counts(coarse: Split, fine: list[Split]) -> np.ndarray:
    """Pixels int64 [256,256] by coarse and fine label, of the frames that both sets have."""
    counts = np.zeros((256, 256), np.int64)
    by_key = {frame.key: frame for frame in coarse.frames}
    for split in fine:
        for frame in split.frames:
            labels = coarse.read(by_key[frame.key]).labels.astype(np.int64)
            truth = split.read(frame).labels
            counts += np.bincount((labels * 256 + truth).ravel(), minlength=65536).reshape(256, 256)
    return counts


@pytest.fixture
def camvid_counts(data) -> np.ndarray:
    """Pixels by camvid11 and camvid32 label over the 100 frames whose fine truth is known."""
    coarse = Dataset.load("camvid11", data / "camvid11").split("val")
    fine = Dataset.load("camvid32_camseq01", data / "camvid32_camseq01")
    return joint_counts(coarse, [fine.split(name) for name in ("train", "val", "test")])


def kept_and_size(relation: Relation, counts: np.ndarray) -> tuple[float, float]:
    """The share of pixels with a foreign label whose true class is allowed, and the mean size of their sets.

    A true class that is void counts as allowed, since no answer can be right or wrong there; void as a
    member of a set counts as one.
    """
    table = np.zeros((256, 256), bool)
    for label, members in enumerate(relation.allowed):
        table[label, sorted(members)] = True
    table[:, VOID] = True
    labels = slice(0, len(relation.foreign))
    pixels = counts[labels].sum()
    sizes = np.array([len(members) for members in relation.allowed])
    kept = (counts[labels] * table[labels]).sum() / pixels
    return float(kept), float((counts[labels].sum(1) * sizes).sum() / pixels)


def test_camvid11_labels_keep_the_fine_truth_within_two_classes(camvid_counts) -> None:
    kept, size = kept_and_size(Relation.load("camvid11-to-camvid32"), camvid_counts)
    assert kept >= 0.98
    assert size <= 2


def test_camvid32_labels_force_the_class_that_was_counted(camvid_counts) -> None:
    """What the two sets' annotators did, counted over all frames, is allowed wherever it is not rare."""
    relation = Relation.load("camvid32-to-camvid11")
    fine = camvid_counts.T
    for label, members in enumerate(relation.allowed):
        pixels = fine[label].sum()
        common = {c for c in range(256) if fine[label, c] > 0.5 * pixels}
        if pixels > 10_000 and VOID not in common:
            assert common <= set(members), relation.foreign.names[label]
    kept, size = kept_and_size(relation, fine)
    assert kept >= 0.97
    assert size <= 1.5


class _AnyScores(BrightnessEngine):
    """An untrained teacher: it shows that the pieces fit, and nothing about accuracy."""

    def __init__(self, space: LabelSpace) -> None:
        self.spec = ModelSpec(space, fit="pad", multiple=4)

    def infer(self, images: np.ndarray) -> np.ndarray:
        n, h, w, _ = images.shape
        shape = (n, len(self.spec.label_space), h // 4, w // 4)
        return np.random.default_rng(images.sum()).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize(
    ("dataset", "split", "relation"),
    [("rugd_sample", "val", "rugd24-to-offroad34"), ("rellis3d_1", "test", "rellis3d-to-offroad34")],
)
def test_off_road_sets_go_through_offroad34(data, tmp_path, dataset, split, relation) -> None:
    known = Relation.load(relation)
    frames = Dataset.load(dataset, data / dataset).split(split)
    summary = relabel(Network(_AnyScores(known.source)), Request(frames, known), tmp_path / "out")
    made = Dataset.load(tmp_path / "out").split(split)
    assert made.label_space.identity == LabelSpace.load("offroad34").identity
    assert not summary.skipped
    table = np.zeros((256, 256), bool)
    for label, members in enumerate(known.allowed):
        answers = members - {VOID} or {VOID}  # the teacher cannot say void where it has a choice
        table[label, sorted(answers)] = True
    table[VOID, VOID] = True
    for old, new in zip(frames.frames, made.frames, strict=True):
        assert table[frames.read(old).labels, made.read(new).labels].all()


def test_the_counted_table_is_what_the_labels_say(data, camvid_counts) -> None:
    path = data.parent / "labelspaces/camvid32_to_camvid11_measured.csv"
    if not path.exists():
        pytest.skip("the counted table lies beside LSU_DATA and is not there")
    fine = LabelSpace.load("camvid32")
    for row in csv.DictReader(path.read_text().splitlines()):
        if row["camvid32_name"] in fine.names and int(row["pixels"]):
            assert int(row["pixels"]) == camvid_counts[:, fine.index(row["camvid32_name"])].sum()
