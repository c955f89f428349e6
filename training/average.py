"""A running average of a network's weights, which often scores better than the last weights do."""

from copy import deepcopy

import torch
from torch import Tensor, nn


class WeightAverage:
    """The exponential moving average of a network, as a network of its own in evaluation mode.

    Polyak and Juditsky 1992; with the ramp of Tarvainen and Valpola 2017 (mean teacher, arXiv 1703.01780):
    the momentum at step t = 0, 1, ... is min(1 - 1 / (t + 1), `momentum`), so the first weights, which are
    chance, do not stay in it.

    Float buffers, the statistics of batch norms, are averaged like weights: the statistics that fit an
    average of weights are about the average of theirs, while the newest ones belong to weights that the
    average has not reached yet. Other buffers, which count, are copied.

    Args:
        network: what is averaged; it is copied.
        momentum: how much of the average each step keeps at the end, 0 to below 1.
    """

    def __init__(self, network: nn.Module, momentum: float) -> None:
        self.network = deepcopy(network).eval().requires_grad_(False)
        self._momentum = momentum

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Take in the weights after step 0, 1, ..."""
        ours, theirs = self.network.state_dict(), network.state_dict()
        floats = [name for name, value in ours.items() if value.is_floating_point()]
        share = 1 - min(1 - 1 / (step + 1), self._momentum)
        into: list[Tensor] = [ours[name] for name in floats]
        torch._foreach_lerp_(into, [theirs[name] for name in floats], share)
        for name in ours.keys() - set(floats):
            ours[name].copy_(theirs[name])
