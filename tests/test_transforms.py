from dataclasses import replace

import numpy as np
import pytest

from lsu.runtime import VOID, Sample
from lsu.training.config import FitConfig
from lsu.training.crop_plan import CropPlan
from lsu.training.transforms import Augmentation

STILL = Augmentation(crop=(32, 32), scale=(1.0, 1.0), colour_jitter=0.0, fill=(1, 2, 3))


def coordinates(size: tuple[int, int]) -> Sample:
    """Red is the row, green the column; the label is their sum modulo 200."""
    y, x = np.mgrid[: size[0], : size[1]].astype(np.uint8)
    return Sample(np.stack([y, x, np.zeros_like(x)], -1), ((y.astype(int) + x) % 200).astype(np.uint8))


def test_image_and_labels_stay_aligned_under_every_warp() -> None:
    sample = coordinates((90, 100))
    moving = Augmentation(crop=(32, 64), scale=(0.5, 2.0), colour_jitter=0.0, fill=(0, 0, 0))
    for seed in range(20):
        result = moving.apply(sample, np.random.default_rng(seed))
        inside = result.labels != VOID
        total = result.image[..., 0].astype(int) + result.image[..., 1]
        # Rounding of the warp's coordinates and of both channels: three grey levels at most.
        interior = inside & (result.image[..., :2].min(-1) > 1)
        assert interior.sum() > 300
        assert np.abs(total - result.labels)[interior].max() <= 3


def test_an_unscaled_crop_is_cut_out_of_the_image_or_mirrored() -> None:
    sample = coordinates((40, 50))
    directions = set()
    for seed in range(12):
        result = STILL.apply(sample, np.random.default_rng(seed))
        steps = np.diff(result.image[..., 1].astype(int), axis=1)
        directions |= set(np.unique(steps).tolist())
        assert (np.diff(result.image[..., 0].astype(int), axis=0) == 1).mean() > 0.99
        assert VOID not in result.labels
    assert directions == {-1, 1}


def test_outside_a_small_image_lies_the_fill_colour_and_void() -> None:
    result = STILL.apply(coordinates((20, 50)), np.random.default_rng(0))
    rows = (result.labels == VOID).all(1)
    assert rows.sum() in (11, 12)  # a crop at a fraction of a pixel loses one more row at most
    assert (result.image[rows][:-1] == (1, 2, 3)).all(-1).mean() > 0.9


def test_colour_jitter_changes_the_image_and_never_the_labels() -> None:
    sample = coordinates((32, 32))
    jittered = Augmentation(crop=(32, 32), scale=(1.0, 1.0), colour_jitter=0.5, fill=(0, 0, 0))
    plain, other = (a.apply(sample, np.random.default_rng(4)) for a in (STILL, jittered))
    assert np.array_equal(plain.labels, other.labels)
    assert not np.array_equal(plain.image, other.image)
    assert other.image.dtype == np.uint8


def test_white_balance_changes_the_ratio_of_the_channels() -> None:
    grey = Sample(np.full((32, 32, 3), 100, np.uint8), np.zeros((32, 32), np.uint8))
    cast = Augmentation(crop=(32, 32), scale=(1.0, 1.0), colour_jitter=0.0, fill=(0, 0, 0), white_balance=0.4)
    colours = {tuple(cast.apply(grey, np.random.default_rng(s)).image[9, 9].tolist()) for s in range(10)}
    assert len(colours) == 10
    assert all(60 <= value <= 140 for colour in colours for value in colour)
    assert any(max(c) - min(c) > 20 for c in colours)
    assert STILL.apply(grey, np.random.default_rng(0)).image[9, 9].tolist() == [100, 100, 100]


def test_an_entrys_factor_enlarges_beside_the_drawn_one() -> None:
    sample = coordinates((64, 64))
    for seed in range(5):
        result = STILL.apply(sample, np.random.default_rng(seed), enlarged=2.0)
        steps = np.abs(np.diff(result.image[4:-4, 4:-4, 0].astype(float), axis=0))
        assert steps.mean() == pytest.approx(0.5, abs=0.05)
        half = STILL.apply(sample, np.random.default_rng(seed), enlarged=0.25)
        assert (half.labels != VOID).mean() == pytest.approx(0.25, abs=0.04)


def test_the_settings_of_a_fit_reach_its_augmentation() -> None:
    settings = FitConfig(blur=1.5, white_balance=0.1, colour_jitter=0.2)
    made = Augmentation.from_config(settings, CropPlan.from_config(settings).stages[0], (0.5, 0.5, 0.5))
    assert (made.blur, made.white_balance, made.colour_jitter) == (1.5, 0.1, 0.2)


def test_every_other_crop_is_blurred_and_its_labels_are_not() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    sample = Sample(noise, noise[..., 0] // 2)
    blurring = replace(STILL, blur=2.0)
    spreads = []
    for seed in range(40):
        plain, other = (a.apply(sample, np.random.default_rng(seed)) for a in (STILL, blurring))
        assert np.array_equal(plain.labels, other.labels)
        spreads.append(other.image.std() / plain.image.std())
    assert 10 < sum(spread == 1 for spread in spreads) < 30
    assert min(spreads) < 0.4


@pytest.mark.parametrize("scale", [0.4, 1.0, 2.3])
def test_a_crop_contains_its_focus_at_any_place(scale: float) -> None:
    labels = np.zeros((90, 120), np.uint8)
    labels[80:83, 20:23] = 1  # a 3x3 spot: one pixel can fall between the samples of a shrunk image
    sample = Sample(np.zeros((90, 120, 3), np.uint8), labels)
    moving = Augmentation(crop=(32, 48), scale=(scale, scale), colour_jitter=0.0, fill=(0, 0, 0))
    places = []
    for seed in range(40):
        result = moving.apply(sample, np.random.default_rng(seed), focus=(81.0, 21.0))
        found = np.argwhere(result.labels == 1)
        assert len(found)
        places.append(found.mean(axis=0))
        assert scale < 0.5 or VOID not in result.labels
    spread = np.ptp(np.array(places), axis=0)
    assert (spread > (2, 12)).all() if scale < 1 else (spread > (5, 30)).all()


def test_without_a_focus_a_crop_lies_anywhere_in_the_image() -> None:
    sample = coordinates((90, 100))
    for seed in range(4):
        generator = np.random.default_rng(seed)
        generator.uniform()  # the scale
        top, left = generator.uniform(0, 90 - 32), generator.uniform(0, 100 - 32)
        result = STILL.apply(sample, np.random.default_rng(seed))
        assert result.image[..., 0].min() == pytest.approx(top, abs=1)
        assert result.image[..., 1].min() == pytest.approx(left, abs=1)
