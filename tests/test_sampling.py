import numpy as np
import pytest

from lsu.runtime import VOID, InputError, Sample
from lsu.training.sampling import SamplePlan
from lsu.training.transforms import Augmentation


def drawn(plan: SamplePlan, numbers: range) -> list[tuple[int, int]]:
    return [(d.entry, d.frame) for d in map(plan.draw, numbers)]


def test_without_weights_an_epoch_is_each_frame_once_in_shuffled_order() -> None:
    plan = SamplePlan(frames=(5, 3), weights=(1, 1), seed=1)
    everything = [(0, k) for k in range(5)] + [(1, k) for k in range(3)]
    first, second = drawn(plan, range(8)), drawn(plan, range(8, 16))
    assert sorted(first) == sorted(second) == everything
    assert first != second
    assert first != everything


def test_weights_share_an_epoch_out() -> None:
    plan = SamplePlan(frames=(90, 10), weights=(1, 9), seed=0)
    assert plan.quotas() == (50, 50)
    epoch = drawn(plan, range(100))
    assert sum(entry == 0 for entry, _ in epoch) == 50
    assert {n for k in range(10) for n in [epoch.count((1, k))]} == {5}  # whole passes over the small one


def test_a_sample_does_not_depend_on_the_samples_before_it() -> None:
    plan = SamplePlan(frames=(7, 4), weights=(1, 3), seed=5)
    straight = [(d.entry, d.frame, d.generator.random()) for d in map(plan.draw, range(40))]
    jumping = {n: plan.draw(n) for n in (39, 3, 17, 0)}
    for n, d in jumping.items():
        assert (d.entry, d.frame, d.generator.random()) == straight[n]


def test_seeds_differ_and_so_do_the_generators_of_samples() -> None:
    plans = [SamplePlan(frames=(50,), weights=(1,), seed=s) for s in (0, 1)]
    assert drawn(plans[0], range(50)) != drawn(plans[1], range(50))
    assert len({plans[0].draw(n).generator.random() for n in range(50)}) == 50


def test_an_entry_that_would_never_be_drawn_is_refused() -> None:
    with pytest.raises(InputError, match="data.1.weight 0.01 is .* never drawn"):
        SamplePlan(frames=(1000, 2), weights=(1, 0.01), seed=0)


def test_a_plan_without_frames_is_refused() -> None:
    for frames, weights in (((), ()), ((0,), (1.0,)), ((3,), (1.0, 1.0))):
        with pytest.raises(InputError, match="needs frames and a weight for each entry"):
            SamplePlan(frames=frames, weights=weights, seed=0)


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
