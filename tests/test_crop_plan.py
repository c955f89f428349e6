import pytest

from lsu.runtime import InputError
from lsu.training.config import FitConfig
from lsu.training.crop_plan import CropPlan


def plan(devices: int = 1, **settings: object) -> CropPlan:
    table = {"steps": 12, "crop": [128, 256], "batch_size": 4, "scale": [0.5, 1.0], **settings}
    return CropPlan.from_config(FitConfig.model_validate(table), devices=devices)


def crops(of: CropPlan) -> list[int]:
    """The height of each step's crop."""
    return [of.stages[stage].crop[0] for stage in of.of_step]


def test_a_fixed_crop_is_the_same_in_every_step() -> None:
    fixed = plan()
    assert crops(fixed) == [128] * 12
    assert [fixed.samples(k) for k in (0, 1, 11)] == [range(4), range(4, 8), range(44, 48)]


def test_coarse2fine_rises_and_fine2coarse_falls_in_equal_parts() -> None:
    rising = crops(plan(crop_order="coarse2fine"))
    assert rising == [64] * 4 + [96] * 4 + [128] * 4
    assert crops(plan(crop_order="fine2coarse")) == rising[::-1]


def test_alternating_crops_take_turns() -> None:
    turns = crops(plan(crop_order="alternating", crop_period=2))
    assert turns == [64, 64, 96, 96, 128, 128] * 2


def test_smaller_crops_come_in_larger_batches_with_the_same_pixels_and_view() -> None:
    small, middle, whole = plan(crop_order="coarse2fine").stages
    assert (small.crop, small.batch_size) == ((64, 128), 16)
    assert (middle.crop, middle.batch_size) == ((96, 192), 7)  # 4 / (0.75 ** 2) = 7.1
    assert (whole.crop, whole.batch_size) == ((128, 256), 4)
    assert small.scale == (0.25, 0.5)
    assert whole.scale == (0.5, 1.0)


def test_every_sample_has_one_step_and_devices_share_each_batch() -> None:
    shared = plan(devices=2, crop_order="coarse2fine")
    numbers = [n for step in range(12) for n in shared.samples(step)]
    assert numbers == list(range(len(numbers)))
    assert {len(shared.samples(step)) % 2 for step in range(12)} == {0}
    assert shared.first_sample(12) == len(numbers)
    assert shared.first_sample(4) == 64


def test_factors_that_give_one_crop_are_refused() -> None:
    with pytest.raises(InputError, match=r"fit.crop_factors \[0.5, 0.55, 1.0\] of crop \[128, 256\] give"):
        plan(crop_order="coarse2fine", crop_factors=[1.0, 0.5, 0.55], crop=[128, 256])
