"""What is exported: the network with its normalisation inside, and nothing after its scores."""

from copy import deepcopy

import torch
from torch import Tensor, nn

from lsu.training.network_config import NetworkConfig
from lsu.training.networks import Normalise


class DeployedNetwork(nn.Module):
    """uint8 [N,H,W,3] RGB to scores float32 [N,C,h,w] at the network's own resolution.

    Enlarging the scores and choosing among them is the head's work, outside of the graph: the enlarged
    scores of one image are a hundred times larger than its answer.
    """

    def __init__(self, network: nn.Module, config: NetworkConfig) -> None:
        """Wrap a network of normalised images; `config` holds the mean and std that it was fitted with."""
        super().__init__()
        self.normalise = Normalise(config)
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        """The scores."""
        scores: Tensor = self.network(self.normalise(image))  # [N, C, h, w]
        return scores


class HalvedNetwork(nn.Module):
    """The same network in float16, from behind the normalisation to its scores, which are float32 again.

    Pixels have up to eight binary digits and the mean is subtracted from them, so the normalisation stays in
    float32; the head compares scores that may lie close together and gets them as float32.
    """

    def __init__(self, deployed: DeployedNetwork) -> None:
        """Halve a copy of the network; `deployed` is left as it is."""
        super().__init__()
        self.normalise = deployed.normalise
        self.network = deepcopy(deployed.network).half()
        self.train(deployed.training)

    def forward(self, image: Tensor) -> Tensor:
        """The scores."""
        normalised = self.normalise(image).to(torch.float16)  # [N, 3, H, W]
        scores: Tensor = self.network(normalised).to(torch.float32)  # [N, C, h, w]
        return scores
