"""The proof of an export: onnxruntime must give what torch gave."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from lsu.runtime.bundles.bundle import Bundle
from lsu.runtime.errors import InputError
from lsu.training.checkpoint import Checkpoint
from lsu.training.torch_engine import TorchEngine

from .agreement import Agreement
from .graph import DeployedNetwork
from .onnx_session import outputs_of, session_from_model


def compare(model: bytes, network: nn.Module, batches: Sequence[npt.NDArray[np.uint8]]) -> Agreement:
    """Run the same images uint8 [N,H,W,3] through onnxruntime on the CPU and torch.

    Raises:
        InputError: the network's scores are not finite.
        BackendError: onnxruntime is missing, cannot load or cannot run the model.
    """
    session = session_from_model(model)
    result = Agreement()
    for batch in batches:
        (ours,) = outputs_of(session, ["scores"], {"image": batch})
        for scores, truth in zip(ours, torch_scores(network, batch), strict=True):
            result = result.with_image(scores, truth, batch.shape[1:3])
    return result


def torch_scores(network: nn.Module, batch: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """The scores float32 [N,C,h,w] of images uint8 [N,H,W,3]."""
    with torch.inference_mode():
        scores: npt.NDArray[np.float32] = network(torch.from_numpy(batch)).float().numpy()
    return scores


def torch_engine(checkpoint_path: Path, bundle: Bundle) -> TorchEngine:
    """An engine that gives torch's own float32 answers for a bundle, from the checkpoint it was made of.

    Raises:
        InputError: the checkpoint cannot be read, or the bundle was made of another one.
    """
    checkpoint = Checkpoint.load(checkpoint_path)
    made_of = bundle.provenance.get("checkpoint")
    if made_of != checkpoint.digest:
        raise InputError(
            f"{checkpoint_path}: its digest is {checkpoint.digest[:16]}, the bundle was made of "
            f"{str(made_of)[:16]}: give the checkpoint that it was exported from"
        )
    network = DeployedNetwork(checkpoint.network(), checkpoint.config.network).eval()
    return TorchEngine(network, bundle.spec, identity=checkpoint.digest)
