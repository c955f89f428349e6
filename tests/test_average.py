"""The running average of a network's weights."""

import pytest
import torch
from torch import nn

from lsu.training.average import WeightAverage


def network(value: float) -> nn.Module:
    made = nn.Sequential(nn.Linear(1, 1), nn.BatchNorm1d(1))
    with torch.no_grad():
        made[0].weight.fill_(value)
    made[1].running_mean.fill_(10 * value)
    made[1].num_batches_tracked.fill_(int(value))
    return made


def averaged(values: list[float], momentum: float) -> nn.Module:
    average = WeightAverage(network(100.0), momentum)
    for step, value in enumerate(values):
        average.update(network(value), step)
    return average.network


def test_the_first_steps_are_a_plain_mean_without_the_weights_before() -> None:
    assert averaged([4.0], 0.9)[0].weight.item() == 4.0
    assert averaged([4.0, 5.0, 9.0], 0.9)[0].weight.item() == pytest.approx(6.0)


def test_later_steps_keep_the_momentum() -> None:
    by_hand = 0.5 * (0.5 * (0.5 * (4.0 + 5.0)) + 0.5 * 9.0) + 0.5 * 1.0
    assert averaged([4.0, 5.0, 9.0, 1.0], 0.5)[0].weight.item() == pytest.approx(by_hand)


def test_float_buffers_are_averaged_and_counts_copied() -> None:
    norm = averaged([4.0, 5.0, 9.0], 0.9)[1]
    assert norm.running_mean.item() == pytest.approx(60.0)
    assert norm.num_batches_tracked.item() == 9


def test_the_average_is_a_network_of_its_own_for_evaluation() -> None:
    ours = network(1.0)
    average = WeightAverage(ours, 0.9)
    average.update(network(3.0), 0)
    assert ours[0].weight.item() == 1.0
    assert not average.network.training
    assert not any(p.requires_grad for p in average.network.parameters())
