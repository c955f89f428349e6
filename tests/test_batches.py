"""The batches of a fit: what the settings of sampling and of fast schedules do to them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from pictures import write_dataset, write_png

from lsu.runtime import Dataset, InputError
from lsu.training.batches import batches_of
from lsu.training.config import Config
from lsu.training.frames import Batch
from lsu.training.partial_labels import LabelSets


@pytest.fixture
def place(tmp_path: Path) -> Path:
    for name, seed in (("a", 1), ("b", 2)):
        write_dataset(tmp_path / name, frames=8, size=(48, 64), seed=seed)
    return tmp_path


def made(place: Path, data: list[dict[str, object]] | None = None, **settings: object) -> Config:
    entries = [{"dataset": str(place / "a")}] if data is None else data
    fit = {"steps": 6, "batch_size": 4, "crop": [32, 32], "scale": [1.0, 1.0], **settings}
    return Config.from_dict({"output": str(place / "run"), "data": entries, "fit": fit}, "the test")


def batches(config: Config, **options: object) -> list[Batch]:
    splits = [Dataset.load(entry.dataset).split("train") for entry in config.data]
    sets = LabelSets.of(splits, [None] * len(splits))
    return list(batches_of(config, splits, sets, **options))


def same(ours: list[Batch], theirs: list[Batch]) -> bool:
    return all(
        torch.equal(a, b) for x, y in zip(ours, theirs, strict=True) for a, b in zip(x, y, strict=True)
    )


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"centroids": 0.9},
        {"crop_order": "alternating", "crop_period": 1, "crop": [64, 64], "crop_factors": [0.5, 1]},
        {"workers": 2},
    ],
)
def test_a_fit_that_goes_on_gets_the_batches_that_it_would_have_got(place: Path, settings: dict) -> None:
    config = made(place, **settings)
    assert same(batches(config)[4:], batches(config, step=4))


def test_each_entry_has_its_own_scale(place: Path) -> None:
    entries = [{"dataset": str(place / "a"), "scale": 0.5}, {"dataset": str(place / "b")}]
    found = batches(made(place, entries, crop=[64, 64]))  # of images of 48x64
    shares = torch.cat([batch.inside.float().mean((1, 2)) for batch in found])
    assert sorted({round(share, 1) for share in shares.tolist()}) == [0.2, 0.8]


def test_workers_and_the_main_process_read_the_same(place: Path) -> None:
    settings = {"centroids": 0.9, "crop_order": "coarse2fine", "crop": [64, 64], "crop_factors": [0.5, 1]}
    assert same(batches(made(place, **settings)), batches(made(place, **settings, workers=2)))


def test_the_parts_of_several_processes_are_the_whole_batch(place: Path) -> None:
    config = made(place)
    halves = [batches(config, part=(rank, 2)) for rank in range(2)]
    for whole, first, second in zip(batches(config), *halves, strict=True):
        assert torch.equal(whole[0][0::2], first[0])
        assert torch.equal(whole[1][1::2], second[1])


def test_a_fast_schedule_changes_crops_and_keeps_the_pixels(place: Path) -> None:
    config = made(place, crop_order="coarse2fine", crop=[64, 64], crop_factors=[0.5, 1.0])
    shapes = [tuple(batch.labels.shape) for batch in batches(config)]
    assert shapes == [(16, 32, 32)] * 3 + [(4, 64, 64)] * 3


def test_centroids_bring_rare_classes_into_the_crops(place: Path) -> None:
    for file in sorted((place / "a/labels/train").iterdir())[1:]:
        pixels = np.full((48, 64), 7, np.uint8)

        write_png(file, pixels)
    (alike,), (by_class,) = (
        [sum((batch.labels == 2).any((1, 2)).sum().item() for batch in batches(made(place, steps=40, **s)))]
        for s in ({}, {"centroids": 1.0})
    )
    assert alike < 40 < by_class  # one frame of eight, against two samples or more of an epoch's eight
    assert by_class > 2 * alike


def test_real_labels_have_the_end_to_themselves(place: Path) -> None:
    for file in (place / "b/images/train").iterdir():
        write_png(file, np.zeros((48, 64, 3), np.uint8))
    data = [{"dataset": str(place / "a")}, {"dataset": str(place / "b"), "until": 0.5}]
    config = made(place, data, steps=8, colour_jitter=0.0)
    black = [int((batch.images.flatten(1).max(1).values == 0).sum()) for batch in batches(config)]
    assert sum(black[:4]) > 4
    assert black[4:] == [0] * 4


def test_settings_that_cannot_be_are_refused(place: Path) -> None:
    with pytest.raises(InputError, match="data: each entry ends before the fit"):
        made(place, [{"dataset": str(place / "a"), "until": 0.5}])
    with pytest.raises(InputError, match="fit.centroid_boost: no class 'sky' in label space 'foreign'"):
        batches(made(place, centroids=0.5, centroid_boost={"sky": 2}))
    with pytest.raises(InputError, match="fit: centroid_boost has no effect without centroids"):
        made(place, centroid_boost={"ground": 2})
