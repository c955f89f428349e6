"""S-Net, frozen networks whose scores a small network joins (Ros et al. 2016, arXiv 1604.01545).

The layers are those of the authors' code (germanRos/MatConvNet-DeconvNet): all scores side by side, a 1x1
convolution to 128 channels, a residual 1x1 block, a 3x3 convolution to 64, three residual 1x1 blocks and a
1x1 convolution to the classes. What is in a residual block there is not public to us; ours is two
convolutions with batch norms. Their members are two FCNs with 11 and 6 classes; here they are any networks,
each with classes of its own.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from .network_config import NetworkConfig

WIDE, NARROW = 128, 64


class SNet(nn.Module):
    """Normalised images float [N,3,H,W] to logits float [N,classes,h,w] on the finest grid of the members.

    Args:
        config: the S-Net, whose normalisation the images have.
        members: the networks; they stay in evaluation mode and learn nothing.
        channels: how many scores they give together.
        classes: how many logits to give.
    """

    def __init__(
        self, config: NetworkConfig, members: Sequence[nn.Module], channels: int, classes: int
    ) -> None:
        super().__init__()
        self.members = nn.ModuleList(members).requires_grad_(False)
        for number, member in enumerate(config.members):
            assert member.network is not None
            scale, shift = _to_member(config, member.network)
            self.register_buffer(f"scale_{number}", scale, persistent=False)
            self.register_buffer(f"shift_{number}", shift, persistent=False)
        self.fusion = nn.Sequential(
            _layer(channels, WIDE, 1),
            _Residual(WIDE),
            _layer(WIDE, NARROW, 3),
            *(_Residual(NARROW) for _ in range(3)),
            nn.Conv2d(NARROW, classes, 1),
        )

    def forward(self, images: Tensor) -> Tensor:
        """The logits."""
        scores = []
        with torch.no_grad():
            for number, member in enumerate(self.members):
                scale, shift = (self.get_buffer(f"{name}_{number}") for name in ("scale", "shift"))
                scores.append(member(images * scale + shift))
        finest = max(scores, key=lambda s: s.shape[2] * s.shape[3])
        joined = [
            s
            if s.shape[2:] == finest.shape[2:]
            else functional.interpolate(s, finest.shape[2:], mode="bilinear")
            for s in scores
        ]
        logits: Tensor = self.fusion(torch.cat(joined, 1))
        return logits

    def train(self, mode: bool = True) -> "SNet":
        """Set the mode of the fusion; the members stay in evaluation mode."""
        super().train(mode)
        self.members.eval()
        return self


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(
            _layer(channels, channels, 1),
            nn.Conv2d(channels, channels, 1, bias=False),
            nn.BatchNorm2d(channels),
        )

    def forward(self, features: Tensor) -> Tensor:
        return functional.relu(features + self.inner(features))


def _layer(channels: int, out: int, kernel: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, out, kernel, padding=kernel // 2, bias=False), nn.BatchNorm2d(out), nn.ReLU()
    )


def _to_member(ours: NetworkConfig, theirs: NetworkConfig) -> tuple[Tensor, Tensor]:
    """Factor and summand float [1,3,1,1] from images normalised for us to images normalised for them."""
    mean, std = torch.tensor(ours.mean), torch.tensor(ours.std)
    their_mean, their_std = torch.tensor(theirs.mean), torch.tensor(theirs.std)
    scale, shift = std / their_std, (mean - their_mean) / their_std
    return scale.view(1, 3, 1, 1), shift.view(1, 3, 1, 1)
