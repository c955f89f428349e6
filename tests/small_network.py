"""A network in small, for tests of what is around it: everything that a real one does, in three layers."""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from lsu.export.graph import DeployedNetwork
from lsu.runtime.label_space import LabelSpace
from lsu.runtime.model import ModelSpec
from lsu.training.network_config import NetworkConfig

FREE = ModelSpec(LabelSpace.load("camvid11"), fit="pad", multiple=32)
FIXED = replace(FREE, size=(64, 96), multiple=1)


class Resizing(nn.Module):
    """A network in small: strided, globally pooled, and enlarged to the size of another layer."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            self.fine = nn.Conv2d(3, 8, 3, stride=4, padding=1)
            self.coarse = nn.Conv2d(8, 8, 3, stride=8, padding=1)
            self.last = nn.Conv2d(8, 11, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Scores [N, 11, H/4, W/4]."""
        fine = self.fine(images)
        coarse = self.coarse(fine)
        pooled = coarse.mean(dim=(2, 3), keepdim=True)
        up = nn.functional.interpolate(coarse + pooled, size=fine.shape[-2:], mode="bilinear")
        twice = nn.functional.interpolate(coarse, scale_factor=8, mode="bilinear", align_corners=False)
        return self.last(fine + up + twice)


def deployed() -> DeployedNetwork:
    return DeployedNetwork(Resizing(), NetworkConfig()).eval()


def noise(number: int, height: int, width: int) -> np.ndarray:
    return np.random.default_rng(height).integers(0, 256, (number, height, width, 3), np.uint8)
