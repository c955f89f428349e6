"""What is exported: the network with its normalisation inside, and nothing after its scores."""

from torch import Tensor, nn

from lsu.training.config import NetworkConfig
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
