"""An engine that runs a checkpoint by torch: for scores during a fit and for checkpoints without a bundle."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from lsu.runtime import ModelSpec

from .checkpoint import Checkpoint


class TorchEngine:
    """Runs a network of torch, giving the same low-resolution scores as its bundle.

    Args:
        forward: normalised or raw images to scores: uint8 [N,H,W,3] on the device -> float [N,C,h,w].
        spec: the network's contract.
        identity: a digest of what is run.
        device: where it runs.
    """

    def __init__(
        self, forward: Callable[[Tensor], Tensor], spec: ModelSpec, *, identity: str, device: str = "cpu"
    ) -> None:
        self.spec = spec
        self.identity = identity
        self._forward = forward
        self._device = device

    @classmethod
    def from_checkpoint(cls, checkpoint: Checkpoint, *, device: str = "cpu") -> "TorchEngine":
        """An engine for a checkpoint's network."""
        network = nn.Sequential(checkpoint.normalisation(), checkpoint.network()).to(device)
        return cls(network, checkpoint.spec, identity=checkpoint.digest, device=device)

    def infer(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Scores float32 [N,C,h,w] at the network's own resolution for images uint8 [N,H,W,3] RGB."""
        with torch.inference_mode():
            scores = self._forward(torch.from_numpy(images).to(self._device))
            return scores.float().cpu().contiguous().numpy()

    def close(self) -> None:
        """Nothing to free: torch owns the memory."""
