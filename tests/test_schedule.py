"""The learning rate of each step."""

import pytest
import torch

from lsu.training.config import FitConfig
from lsu.training.schedule import learning_rate


def rates(steps: int = 100, **changes) -> list[float]:
    settings = FitConfig(**{"steps": steps, "warmup_steps": 10, "learning_rate": 1.0, **changes})
    return [learning_rate(settings, step) for step in range(steps)]


def test_the_learning_rate_rises_then_falls_to_zero() -> None:
    found = rates()
    assert found[0] == pytest.approx(0.1)
    assert max(found) == found[10] == found[9] == 1.0
    assert found[55] == pytest.approx(0.5)
    assert found[99] < 0.001


def test_a_constant_rate_stays_after_its_rise() -> None:
    found = rates(schedule="constant")
    assert found[4] == pytest.approx(0.5)
    assert set(found[9:]) == {1.0}


def test_poly_falls_with_the_power_of_deeplab() -> None:
    found = rates(schedule="poly")
    assert found[9] == found[10] == 1.0
    assert found[55] == pytest.approx(0.5**0.9)
    assert found[99] == pytest.approx((1 / 90) ** 0.9)


@pytest.mark.parametrize("steps", [20, 101, 1000])
def test_one_cycle_is_that_of_torch(steps) -> None:
    optimiser = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    theirs = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=1.0, total_steps=steps)
    expected = []
    for _ in range(steps):
        expected.append(theirs.get_last_lr()[0])
        optimiser.step()
        theirs.step() if len(expected) < steps else None
    assert rates(steps, schedule="one-cycle", warmup_steps=0) == pytest.approx(expected)


def test_one_cycle_with_a_warm_up_starts_lower_still() -> None:
    plain, warm = rates(schedule="one-cycle", warmup_steps=0), rates(schedule="one-cycle")
    assert warm[0] == pytest.approx(plain[0] / 10)
    assert warm[9:] == plain[9:]


@pytest.mark.parametrize("schedule", ["cosine", "one-cycle", "poly", "constant"])
@pytest.mark.parametrize("steps", [1, 2, 3])
def test_fits_of_very_few_steps_have_rates_too(schedule, steps) -> None:
    for warmup in (0, 1, 50):
        found = rates(steps, schedule=schedule, warmup_steps=warmup)
        assert all(0 < rate <= 1 for rate in found)
