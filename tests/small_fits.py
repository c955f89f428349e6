"""Fits of a few steps with the smallest network, and networks that are smaller still."""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from lsu.runtime import VOID
from lsu.training.checkpoint import Checkpoint
from lsu.training.config import Config

STEPS = 12


def config(data: Path, output: Path, **changes) -> Config:
    settings = {
        "steps": STEPS,
        "batch_size": 2,
        "crop": [32, 32],
        "save_every": 5,
        "accelerator": "cpu",
        "threads": 1,
    }
    table = {
        "output": str(output),
        "network": {
            "encoder": "tu-mobilenetv3_small_050",
            "decoder_channels": 32,
            "architecture": "segformer",
        },
        "data": [{"dataset": str(data)}],
        "fit": {**settings, **changes},
    }
    return Config.from_dict(table, "test")


def scored(data: Path, output: Path, **changes) -> Config:
    """The same with a validation split."""
    plain = config(data, output, **{**changes, "patience": 0}).model_dump()
    plain["fit"] |= changes
    return Config.from_dict({**plain, "validation": {"dataset": str(data)}}, "test")


def weights(path: Path) -> dict[str, Tensor]:
    return dict(Checkpoint.load(path).weights)


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


class Tiny(nn.Module):
    """Two convolutions; no batch norm and no dropout, so that a batch can be shared without a difference."""

    def __init__(self, classes: int = 3) -> None:
        super().__init__()
        self.encoder = nn.Conv2d(3, 8, 3, stride=4, padding=1)
        self.head = nn.Conv2d(8, classes, 1)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.encoder(images).relu())


class TinyWithLoss(Tiny):
    """The same with a loss of its own, which shows what it was called with, and a weight without use."""

    def __init__(self, classes: int = 3) -> None:
        super().__init__(classes)
        self.spare = nn.Parameter(torch.zeros(1))

    def own_loss(self, images: Tensor, labels: Tensor) -> Tensor:
        scores = self(images)
        self.seen = (images.shape, labels.dtype, scores.dtype)
        enlarged = functional.interpolate(scores.float(), labels.shape[1:])
        return functional.cross_entropy(enlarged, labels, ignore_index=VOID)
