"""Untrained checkpoints of small networks, drawn from a seed."""

from pathlib import Path

import torch

from lsu.runtime.label_space import LabelSpace
from lsu.training.checkpoint import Checkpoint
from lsu.training.config import Config
from lsu.training.networks import build_network

SMALLEST_ENCODER = "tu-mobilenetv3_small_050"


def write_checkpoint(
    path: Path,
    *,
    architecture: str = "segformer",
    encoder: str = SMALLEST_ENCODER,
    decoder_channels: int = 16,
) -> Checkpoint:
    """An untrained checkpoint over camvid11; the smallest, 0.3 million weights, by default."""
    network = {"architecture": architecture, "encoder": encoder, "decoder_channels": decoder_channels}
    config = Config.from_dict({"output": "runs", "network": network, "data": [{"dataset": "none"}]}, "test")
    label_space = LabelSpace.load("camvid11")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        weights = build_network(config.network, len(label_space)).state_dict()
    Checkpoint(config=config, label_space=label_space, step=3, weights=weights, optimiser={}).save(path)
    return Checkpoint.load(path)
