"""What a network is: the table `network` of a configuration."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from .config_file import StrictModel
from .preset import CHOICES, WHOLE_NETWORKS

Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Size = Annotated[tuple[int, int], Field(description="(H, W) in pixels")]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def refuse_odd_size(name: str, size: tuple[int, int]) -> None:
    """Raise ValueError unless a size is one that networks take."""
    if any(side < 32 or side % 32 for side in size):
        raise ValueError(f"{name} {list(size)} must be multiples of 32")


def _member(value: Any) -> Any:
    """A member as a table, where it is the path of a checkpoint."""
    return {"checkpoint": value} if isinstance(value, str) else value


def _several(value: Any) -> Any:
    """A single path as a list of one."""
    return (value,) if isinstance(value, str) else value


class MemberConfig(StrictModel):
    """One of the frozen networks of an S-Net; in a configuration the path of its checkpoint is enough.

    Attributes:
        checkpoint: where its weights come from, relative to the configuration file.
        network: what it is; read from the checkpoint when the fit begins.
        classes: of its scores; likewise.
    """

    checkpoint: str
    network: "NetworkConfig | None" = None
    classes: int | None = None


class NetworkConfig(StrictModel):
    """A network of segmentation_models_pytorch over a timm encoder, Mask2Former, DDRNet, T-Net or S-Net.

    Attributes:
        architecture: `fpn`, `deeplabv3plus`, `segformer` or `pan`: those whose head enlarges as a step of
            its own, which is left out here; `mask2former`; whole networks without a choice of encoder,
            `ddrnet-23-slim` and `t-net`; or `s-net`, a small network that joins the scores of others.
        encoder: the encoder's name as segmentation_models_pytorch knows it; `tu-NAME` takes any of timm. Of
            `mask2former` its size, `swin-base` say.
        decoder_channels: width of the decoder, None for the architecture's own.
        pretrained: the name of encoder weights to fetch (`imagenet`), or None to learn from scratch; an empty
            text is None too, against a preset's. Of `mask2former` the name of a whole network at Hugging
            Face or a folder with one, of which all weights are taken but those of other classes.
        no_object_weight: of `mask2former`: what queries that match nothing weigh in the loss, None for 0.1.
        members: of `s-net`: the checkpoints whose scores it joins; they may speak any label spaces.
        input_size: (H, W) that every image is resized to when the network runs, multiples of 32, or None
            to take images as they are. It does not touch training: choose `fit.scale` to match.
        mean: per channel, of RGB in 0 to 1; torchvision's ImageNet statistics by default.
        std: likewise.
    """

    architecture: Literal[
        "fpn", "deeplabv3plus", "segformer", "pan", "mask2former", "ddrnet-23-slim", "t-net", "s-net"
    ] = "fpn"
    encoder: str = "resnet18"
    decoder_channels: Annotated[int, Field(ge=1, le=4096)] | None = 64
    pretrained: Annotated[str | None, BeforeValidator(lambda name: name or None)] = None
    no_object_weight: Annotated[float, Field(gt=0, le=1)] | None = None
    members: Annotated[
        tuple[Annotated[MemberConfig, BeforeValidator(_member)], ...], BeforeValidator(_several)
    ] = ()
    input_size: Size | None = None
    mean: tuple[Share, Share, Share] = IMAGENET_MEAN
    std: tuple[Positive, Positive, Positive] = IMAGENET_STD

    @model_validator(mode="after")
    def _check(self) -> "NetworkConfig":
        if self.input_size is not None:
            refuse_odd_size("input_size", self.input_size)
        if self.no_object_weight is not None and self.architecture != "mask2former":
            raise ValueError(f"no_object_weight is for mask2former; {self.architecture} has none: delete it")
        if self.architecture in WHOLE_NETWORKS:
            self._refuse_choices()
        if self.members and self.architecture != "s-net":
            raise ValueError(f"members are for s-net; {self.architecture} has none: delete them")
        if self.architecture == "s-net" and not self.members:
            raise ValueError("s-net joins the scores of other networks: name checkpoints in members")
        return self

    def _refuse_choices(self) -> None:
        for name in CHOICES:
            if getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"{name}: {self.architecture} is one network without choices: delete it")

    def relative_to(self, folder: Path) -> "NetworkConfig":
        """The network with relative paths taken from a folder; names stay as they are."""
        members = tuple(m.model_copy(update={"checkpoint": str(folder / m.checkpoint)}) for m in self.members)
        weights = self.pretrained
        if weights is not None and (folder / weights / "config.json").is_file():
            weights = str(folder / weights)
        return self.model_copy(update={"pretrained": weights, "members": members})
