"""T-Net, the small deconvolutional network of Ros et al. 2016 (arXiv 1604.01545), to the layer.

Four times convolution and pooling, four times unpooling and convolution, 64 channels throughout; the layers
are those of the authors' code (germanRos/MatConvNet-DeconvNet). 1,416,587 weights for 11 classes.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

CHANNELS, STAGES = 64, 4
MULTIPLE = 2**STAGES
"""Height and width of an input are multiples of this: it is halved four times."""


class TNet(nn.Module):
    """Normalised images float [N,3,H,W] to logits float [N,classes,H,W], H and W multiples of 16."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.encoder = nn.ModuleList(_block(3 if k == 0 else CHANNELS) for k in range(STAGES))
        self.decoder = nn.ModuleList(_block(CHANNELS) for _ in range(STAGES))
        self.dropout = nn.Dropout(0.5)
        self.classify = nn.Conv2d(CHANNELS, classes, 1)

    def forward(self, images: Tensor) -> Tensor:
        """The logits at the images' own resolution."""
        features, places = images, []
        for block in self.encoder:
            features = block(features)
            places.append(first_largest(features))
            features = functional.max_pool2d(features, 2)
        for number, (block, place) in enumerate(zip(self.decoder, reversed(places), strict=True)):
            if number == STAGES - 1:
                features = self.dropout(features)
            features = block(unpooled(features, place))
        scores: Tensor = self.classify(features)
        return scores


def first_largest(features: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Where in each window of 2x2 the first largest value stands: bool [N,C,H/2,W/2] for its four places.

    Row by row, as torch's `max_pool2d` chooses among equal values, which are common after a ReLU.
    """
    corners = [features[:, :, y::2, x::2] for y in (0, 1) for x in (0, 1)]
    largest = functional.max_pool2d(features, 2)
    first, second, third, _ = (corner == largest for corner in corners)
    taken = first | second
    return first, second & ~first, third & ~taken, ~(taken | third)


def unpooled(features: Tensor, places: tuple[Tensor, ...]) -> Tensor:
    """Features [N,C,h,w] put back to the places of `first_largest`, zeros between: [N,C,2h,2w].

    The same as `max_unpool2d` with the indices of the pooling. Inference engines have no such operator; this
    form is selection and a pixel shuffle (ONNX DepthToSpace), which all of them have.
    """
    zero = torch.zeros_like(features)
    spread = torch.stack([torch.where(place, features, zero) for place in places], 2)  # [N, C, 4, h, w]
    return functional.pixel_shuffle(spread.flatten(1, 2), 2)


def _block(channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, CHANNELS, 7, padding=3), nn.BatchNorm2d(CHANNELS), nn.ReLU(inplace=True)
    )
