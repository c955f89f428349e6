"""Networks, with scores at their own resolution: segmentation_models_pytorch over timm encoders, and others.

Enlarging the scores is the head's work (lsu.runtime.head), so the final upsampling of every architecture
is left out.
"""

from typing import Any

import segmentation_models_pytorch as smp
import torch
from torch import Tensor, nn

from lsu.runtime import InputError
from lsu.runtime.errors import first_line
from lsu.runtime.model import ScoreKind

from .ddrnet import DDRNet
from .mask2former import Mask2Former, build_mask2former
from .network_config import NetworkConfig
from .s_net import SNet
from .t_net import TNet

MULTIPLE = 32
"""H and W of every input are multiples of this: the encoders halve five times."""

_ARCHITECTURES: dict[str, tuple[Any, dict[str, str]]] = {
    "fpn": (smp.FPN, {"decoder_channels": "decoder_segmentation_channels"}),
    "deeplabv3plus": (smp.DeepLabV3Plus, {"decoder_channels": "decoder_channels"}),
    "segformer": (smp.Segformer, {"decoder_channels": "decoder_segmentation_channels"}),
    "pan": (smp.PAN, {"decoder_channels": "decoder_channels"}),
    "mask2former": (Mask2Former, {}),
    "ddrnet-23-slim": (DDRNet, {}),
    "t-net": (TNet, {}),
    "s-net": (SNet, {}),
}


def build_network(config: NetworkConfig, classes: int) -> nn.Module:
    """A network from normalised images float [N,3,H,W] to scores float [N,classes,H/s,W/s] (`score_kind`).

    The stride s is 4, of DDRNet 8, of T-Net 1, of S-Net its members' smallest. Weights are drawn from torch's
    global generator.

    Raises:
        InputError: the encoder is unknown or does not go with the architecture, or a package is missing.
    """
    make, names = _ARCHITECTURES[config.architecture]
    if make is Mask2Former:
        return build_mask2former(config, classes)
    if make is SNet:
        return _s_net(config, classes)
    if make in (DDRNet, TNet):
        whole: nn.Module = make(classes)
        return whole
    options: dict[str, Any] = {"encoder_name": config.encoder, "encoder_weights": config.pretrained}
    if config.decoder_channels is not None:
        options[names["decoder_channels"]] = config.decoder_channels
        if config.architecture == "fpn":
            options["decoder_pyramid_channels"] = 2 * config.decoder_channels
    try:
        network: nn.Module = make(classes=classes, upsampling=1, **options)
    except (KeyError, ValueError, RuntimeError, TypeError) as error:
        raise InputError(
            f"network {config.architecture} over {config.encoder!r} cannot be made: {first_line(error)}"
        ) from error
    return network


def _s_net(config: NetworkConfig, classes: int) -> SNet:
    members, channels = [], 0
    for member in config.members:
        if member.network is None or member.classes is None:
            raise InputError("an s-net is built from members whose checkpoints were read")
        members.append(build_network(member.network, member.classes))
        channels += member.classes
    return SNet(config, members, channels, classes)


def score_kind(config: NetworkConfig) -> ScoreKind:
    """What the network's scores are: logits, unless its class says `scores = "probabilities"`."""
    kind: ScoreKind = getattr(_ARCHITECTURES[config.architecture][0], "scores", "logits")
    return kind


def traces_free_sizes(config: NetworkConfig) -> bool:
    """Whether a network traced once takes any size; Swin lays out its windows for the size of the trace."""
    if config.architecture == "s-net":
        return all(member.network is None or traces_free_sizes(member.network) for member in config.members)
    return config.architecture != "mask2former"


class Normalise(nn.Module):
    """uint8 [N,H,W,3] RGB to normalised float32 [N,3,H,W]: (x / 255 - mean) / std per channel."""

    mean: Tensor
    scale: Tensor

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(config.mean).view(1, 3, 1, 1) * 255, persistent=False)
        self.register_buffer("scale", 1 / (torch.tensor(config.std).view(1, 3, 1, 1) * 255), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """The normalised images."""
        pixels = images.to(torch.float32).permute(0, 3, 1, 2)  # [N, 3, H, W]
        return (pixels - self.mean) * self.scale
