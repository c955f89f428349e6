"""DDRNet-23-slim, a two-branch network for the road in real time, written from the paper.

Hong, Pan, Sun and Jia 2021, arXiv 2101.06085, sections 3.2 and 3.3 and table 1: a branch that stays at an
eighth of the resolution beside one that goes down to a 64th, fused twice both ways, and a pyramid of
pooled contexts (DAPPM) at the end of the deep one. 5.7 million weights. The auxiliary head of the paper's
training is left out.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

WIDTH, CONTEXT, HEAD = 32, 128, 64
"""Channels of the first stage, of each part of DAPPM, and of the head: those of the slim variant."""


class DDRNet(nn.Module):
    """Normalised images float [N,3,H,W] to logits float [N,classes,H/8,W/8]; H and W multiples of 32."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        w = WIDTH
        self.encoder = nn.ModuleDict(
            {
                "stem": nn.Sequential(*_convolution(3, w, stride=2), *_convolution(w, w, stride=2)),
                "stage1": _stage(w, w, activated=False),
                "stage2": _stage(w, 2 * w, stride=2, activated=False),
                "deep3": _stage(2 * w, 4 * w, stride=2, activated=False),
                "fine3": _stage(2 * w, 2 * w, activated=False),
                "up3": _projection(4 * w, 2 * w),
                "down3": nn.Sequential(*_convolution(2 * w, 4 * w, stride=2, activated=False)),
                "deep4": _stage(4 * w, 8 * w, stride=2, activated=False),
                "fine4": _stage(2 * w, 2 * w, activated=False),
                "up4": _projection(8 * w, 2 * w),
                "down4": nn.Sequential(
                    *_convolution(2 * w, 4 * w, stride=2),
                    *_convolution(4 * w, 8 * w, stride=2, activated=False),
                ),
                "deep5": Bottleneck(8 * w, 8 * w, stride=2),
                "fine5": Bottleneck(2 * w, 2 * w),
            }
        )
        self.context = ContextPyramid(16 * w, CONTEXT, 4 * w)
        self.head = nn.Sequential(
            nn.BatchNorm2d(4 * w),
            nn.ReLU(inplace=True),
            nn.Conv2d(4 * w, HEAD, 3, padding=1, bias=False),
            nn.BatchNorm2d(HEAD),
            nn.ReLU(inplace=True),
            nn.Conv2d(HEAD, classes, 1),
        )

    def forward(self, images: Tensor) -> Tensor:
        """The logits at an eighth of the images' resolution."""
        e = self.encoder
        shared = e["stage2"](functional.relu(e["stage1"](e["stem"](images))))  # [N, 64, H/8, W/8]
        shared = functional.relu(shared)
        deep, fine = e["deep3"](shared), e["fine3"](shared)
        deep, fine = _fused(deep, fine, e["up3"], e["down3"])
        deep, fine = e["deep4"](functional.relu(deep)), e["fine4"](functional.relu(fine))
        deep, fine = _fused(deep, fine, e["up4"], e["down4"])
        fine = e["fine5"](functional.relu(fine))  # [N, 128, H/8, W/8]
        deep = self.context(e["deep5"](functional.relu(deep)))  # [N, 128, H/64, W/64]
        scores: Tensor = self.head(fine + _resized(deep, fine))
        return scores


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut; the last ReLU can be left to whoever comes next."""

    def __init__(self, channels: int, width: int, *, stride: int = 1, activated: bool = True) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *_convolution(channels, width, stride=stride), *_convolution(width, width, activated=False)
        )
        same = stride == 1 and channels == width
        self.shortcut = nn.Identity() if same else _projection(channels, width, stride=stride)
        self.activated = activated

    def forward(self, features: Tensor) -> Tensor:
        """Features [N,channels,H,W] to [N,width,H/stride,W/stride]."""
        total = self.body(features) + self.shortcut(features)
        return functional.relu(total) if self.activated else total


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions beside a shortcut, to twice the width, without a last ReLU."""

    def __init__(self, channels: int, width: int, *, stride: int = 1) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *_projection(channels, width),
            nn.ReLU(inplace=True),
            *_convolution(width, width, stride=stride),
            *_projection(width, 2 * width),
        )
        self.shortcut = _projection(channels, 2 * width, stride=stride)

    def forward(self, features: Tensor) -> Tensor:
        """Features [N,channels,H,W] to [N,2*width,H/stride,W/stride]."""
        total: Tensor = self.body(features) + self.shortcut(features)
        return total


class ContextPyramid(nn.Module):
    """DAPPM: contexts of growing size, each refined with the one before added (equation 2 and figure 5)."""

    def __init__(self, channels: int, width: int, out: int) -> None:
        super().__init__()
        pools = [nn.AvgPool2d(2 * s + 1, s, s) for s in (2, 4, 8)]
        self.scales = nn.ModuleList(
            nn.Sequential(pool, *_activated(channels, width))
            for pool in (nn.Identity(), *pools, nn.AdaptiveAvgPool2d(1))
        )
        self.refine = nn.ModuleList(nn.Sequential(*_activated(width, width, size=3)) for _ in range(4))
        self.compress = nn.Sequential(*_activated(5 * width, out))
        self.shortcut = nn.Sequential(*_activated(channels, out))

    def forward(self, features: Tensor) -> Tensor:
        """Features [N,channels,h,w] to [N,out,h,w]."""
        found = [self.scales[0](features)]
        for scale, refine in zip(list(self.scales)[1:], self.refine, strict=True):
            found.append(refine(_resized(scale(features), features) + found[-1]))
        total: Tensor = self.compress(torch.cat(found, 1)) + self.shortcut(features)
        return total


def _fused(deep: Tensor, fine: Tensor, up: nn.Module, down: nn.Module) -> tuple[Tensor, Tensor]:
    """Each branch with the other one added, brought to its channels and size (equation 1)."""
    raised = _resized(up(functional.relu(deep)), fine)
    return deep + down(functional.relu(fine)), fine + raised


def _resized(features: Tensor, like: Tensor) -> Tensor:
    return functional.interpolate(features, like.shape[-2:], mode="bilinear")


def _stage(channels: int, width: int, *, stride: int = 1, activated: bool = True) -> nn.Sequential:
    return nn.Sequential(
        BasicBlock(channels, width, stride=stride), BasicBlock(width, width, activated=activated)
    )


def _convolution(channels: int, width: int, *, stride: int = 1, activated: bool = True) -> list[nn.Module]:
    layers = [nn.Conv2d(channels, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width)]
    return [*layers, nn.ReLU(inplace=True)] if activated else layers


def _projection(channels: int, width: int, *, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels, width, 1, stride, bias=False), nn.BatchNorm2d(width))


def _activated(channels: int, width: int, *, size: int = 1) -> list[nn.Module]:
    """Normalised and rectified before the convolution."""
    convolution = nn.Conv2d(channels, width, size, padding=size // 2, bias=False)
    return [nn.BatchNorm2d(channels), nn.ReLU(inplace=True), convolution]
