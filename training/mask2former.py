"""Mask2Former (Cheng et al. 2022, arXiv 2112.01527) through transformers, with the loss that is there.

Queries answer with a mask and a class each. What stands here is the way from dense labels to the masks that
the loss wants, and from the queries' answers to the scores that everything else in lsu works on.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from lsu.runtime import VOID, InputError
from lsu.runtime.errors import first_line, near_names
from lsu.runtime.model import ScoreKind

from .network_config import NetworkConfig

_WIDTH = 256
"""Channels of the decoders (Cheng et al. 2022, section 4.1); feed-forward layers have 4 and 8 times that."""

_WIDTH_MULTIPLE = 64
"""Two channels for each of the pixel decoder's 32 groups: a 32x32 input has one cell to normalise."""

_HEAD_CHANNELS = 32
"""Channels of an attention head of Swin (Liu et al. 2021, arXiv 2103.14030, section 3.3)."""

_DROP_PATH = 0.3
"""The share of Swin's blocks that are left out while learning, as in all of Mask2Former's configurations."""

_UNUSED = "pixel_level_module.encoder.swin.layernorm."
"""What transformers keeps in Swin for other tasks: Mask2Former normalises each stage by itself."""

_OF_CLASSES = ("class_predictor.", "criterion.empty_weight")
"""The tensors whose size follows from the number of classes."""


@dataclass(frozen=True)
class Size:
    """A Swin encoder and how deep it is decoded.

    Attributes:
        channels: of Swin's first stage; each further one has twice as many.
        depths: blocks of the four stages.
        window: side of an attention window, in cells of the stage.
        queries: how many masks are answered.
        pixel_layers: layers of the pixel decoder.
        query_layers: layers of the transformer decoder.
    """

    channels: int
    depths: tuple[int, int, int, int]
    window: int
    queries: int = 100
    pixel_layers: int = 6
    query_layers: int = 9


SIZES = {
    "swin-mini": Size(32, (1, 1, 1, 1), 7, queries=20, pixel_layers=1, query_layers=3),
    "swin-tiny": Size(96, (2, 2, 6, 2), 7),
    "swin-small": Size(96, (2, 2, 18, 2), 7),
    "swin-base": Size(128, (2, 2, 18, 2), 12),
    "swin-large": Size(192, (2, 2, 18, 2), 12),
}
"""Swin's sizes (Liu et al. 2021, section 3.3; windows as Mask2Former's configurations for semantic
segmentation have them). `swin-mini` is ours, to try a configuration and to test: nobody published weights."""


class Mask2Former(nn.Module):
    """Normalised images float [N,3,H,W] to probabilities float32 [N,C,H/4,W/4].

    Args:
        network: transformers' Mask2FormerForUniversalSegmentation.
    """

    scores: ClassVar[ScoreKind] = "probabilities"

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network
        for name, parameter in network.named_parameters():
            if _UNUSED in name:  # DDP waits for the gradient of all that learn
                parameter.requires_grad_(False)

    @property
    def encoder(self) -> nn.Module:
        """What `fit.encoder_rate` slows down: the Swin transformer without its decoders."""
        module: nn.Module = self.network.model.pixel_level_module.encoder
        return module

    def forward(self, images: Tensor) -> Tensor:
        """The scores; see `probabilities_from_queries`."""
        answers = self.network(pixel_values=images)
        return probabilities_from_queries(answers.class_queries_logits, answers.masks_queries_logits)

    def own_loss(self, images: Tensor, labels: Tensor) -> Tensor:
        """The network's own loss in float32, a scalar: answers are matched with the masks of the labels.

        A void pixel belongs to no mask, so it counts as outside of every class, as in the authors' code. An
        image that is void as a whole is left out; where all are, the loss is 0 and so are its gradients.

        Args:
            images: normalised, float [N,3,H,W].
            labels: int64 [N,H,W], dense indices, 255 = void.
        """
        known = (labels != VOID).flatten(1).any(1)  # [N]
        answers = self.network(pixel_values=images, output_auxiliary_logits=True)
        layers = [
            {
                "class_queries_logits": answers.class_queries_logits,
                "masks_queries_logits": answers.masks_queries_logits,
            },
            *answers.auxiliary_logits,
        ]
        layers = [{name: logits.float()[known] for name, logits in layer.items()} for layer in layers]
        if not known.any():
            return torch.stack([logits.sum() for layer in layers for logits in layer.values()]).sum()
        masks, classes = zip(*(masks_from_labels(of_image) for of_image in labels[known]), strict=True)
        with torch.autocast(labels.device.type, enabled=False):  # sums over 12544 points
            parts = self.network.get_loss_dict(
                **layers[0], mask_labels=masks, class_labels=classes, auxiliary_predictions=layers[1:]
            )
            loss: Tensor = self.network.get_loss(parts)
        return loss


def masks_from_labels(labels: Tensor) -> tuple[Tensor, Tensor]:
    """One mask for each class that is there, float32 [M,H,W] of 0 and 1, and the classes, int64 [M].

    Args:
        labels: of one image, int64 [H,W], 255 = void, which gives no mask.
    """
    pixels = torch.bincount(labels.flatten(), minlength=VOID + 1)  # [256]
    classes = pixels[:VOID].nonzero().flatten()
    return (labels == classes[:, None, None]).float(), classes


def probabilities_from_queries(classes: Tensor, masks: Tensor) -> Tensor:
    """Scores float32 [N,C,h,w] that are not negative and whose sum over the classes is 1.

    Each query votes for its classes where its mask is: softmax(classes) without the null class times
    sigmoid(masks), summed over the queries (MaskFormer, Cheng et al. 2021, arXiv 2107.06278, section 3.4,
    which Mask2Former keeps). The sum is divided by its own over the classes: that keeps the best class, and
    views are averaged as probabilities.

    Args:
        classes: logits float [N,Q,C+1], the last one is the null class.
        masks: logits float [N,Q,h,w].
    """
    chances = classes.float().softmax(-1)[..., :-1]  # [N, Q, C]
    votes = torch.einsum("nqc,nqhw->nchw", chances, masks.float().sigmoid())  # [N, C, h, w]
    votes = votes + torch.finfo(torch.float32).tiny  # all classes alike where no query votes
    return votes / votes.sum(1, keepdim=True)


def build_mask2former(config: NetworkConfig, classes: int) -> Mask2Former:
    """The network of a configuration, from scratch or with `config.pretrained`'s weights.

    Raises:
        InputError: a package is missing, the size is unknown, or the weights are not there or not of it.
    """
    if config.encoder not in SIZES:
        raise InputError(
            f"network.encoder {config.encoder!r} is no size of mask2former; "
            f"{near_names(config.encoder, SIZES)}; published weights are named by network.pretrained"
        )
    width = config.decoder_channels or _WIDTH
    if width % _WIDTH_MULTIPLE:
        near = max(1, round(width / _WIDTH_MULTIPLE)) * _WIDTH_MULTIPLE
        raise InputError(
            f"network.decoder_channels {width} must be a multiple of {_WIDTH_MULTIPLE} for mask2former, "
            f"such as {near}"
        )
    transformers = _transformers()
    settings = _settings(transformers, config, classes, width)
    if config.pretrained is None:
        return Mask2Former(transformers.Mask2FormerForUniversalSegmentation(settings))
    return Mask2Former(_with_published_weights(transformers, config, settings))


def _transformers() -> Any:
    for name in ("scipy.optimize", "transformers"):  # transformers' loss matches by scipy and says so late
        try:
            module = import_module(name)
        except ImportError as error:
            raise InputError(
                f"network.architecture mask2former needs {name.partition('.')[0]}, which is missing: "
                "pip install 'lsu[mask2former]'"
            ) from error
    return module


def _settings(transformers: Any, config: NetworkConfig, classes: int, width: int) -> Any:
    """The whole network as transformers' Mask2FormerConfig, its decoders `width` channels wide.

    Attention is written out (`eager`): ONNX export cannot take apart the fused one of torch 2.15.
    """
    size = SIZES[config.encoder]
    swin = transformers.SwinConfig(
        embed_dim=size.channels,
        depths=list(size.depths),
        num_heads=[size.channels * 2**stage // _HEAD_CHANNELS for stage in range(4)],
        window_size=size.window,
        drop_path_rate=_DROP_PATH,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )
    weight = {} if config.no_object_weight is None else {"no_object_weight": config.no_object_weight}
    return transformers.Mask2FormerConfig(
        backbone_config=swin,
        feature_size=width,
        mask_feature_size=width,
        hidden_dim=width,
        encoder_feedforward_dim=4 * width,
        dim_feedforward=8 * width,
        encoder_layers=size.pixel_layers,
        decoder_layers=size.query_layers + 1,  # transformers counts the queries before the first layer too
        num_queries=size.queries,
        num_labels=classes,
        attn_implementation="eager",
        **weight,
    )


def _with_published_weights(transformers: Any, config: NetworkConfig, settings: Any) -> Any:
    """The network with weights of safetensors, those of the classes drawn anew where their number differs."""
    try:
        with _quiet(transformers):
            network, found = transformers.Mask2FormerForUniversalSegmentation.from_pretrained(
                config.pretrained,
                config=settings,
                ignore_mismatched_sizes=True,
                use_safetensors=True,
                output_loading_info=True,
            )
    except (OSError, ValueError, RuntimeError) as error:
        raise InputError(
            f"network.pretrained {config.pretrained!r} cannot be loaded: {first_line(error)}"
        ) from error
    names = {name for name, *_ in found["mismatched_keys"]}
    names |= set(found["missing_keys"]) | set(found["unexpected_keys"])
    odd = sorted(name for name in names if not name.startswith(_OF_CLASSES))
    if odd:
        raise InputError(
            f"network.pretrained {config.pretrained!r} is no {config.encoder} with decoder_channels "
            f"{settings.hidden_dim}, see {odd[0]}: set both to what the weights were made with"
        )
    weights = network.criterion.empty_weight  # [C+1], the file's or not filled at all
    weights.fill_(1)[-1] = settings.no_object_weight
    return network


@contextmanager
def _quiet(transformers: Any) -> Iterator[None]:
    """Without the report of what was not loaded: it is looked at here. The bars of a download stay."""
    logging = transformers.utils.logging
    before = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(before)
