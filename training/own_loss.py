"""Networks that bring their own loss: a method `own_loss(images, labels) -> Tensor` beside `forward`.

It takes normalised images float [N,3,H,W] and labels int64 [N,H,W], dense indices with 255 = void, and
gives the loss of them as a mean, so that the mean over devices is the loss of the whole batch.
"""

from torch import Tensor, nn

from lsu.runtime import InputError

from .config import FitConfig


class LossOf(nn.Module):
    """A network's own loss as a forward pass, which is what DDP, autocast and torch.compile hook into.

    Fabric's `mark_forward_method` would do for DDP alone: on one device it calls the method past autocast.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        """The loss, float []."""
        loss: Tensor = self.network.own_loss(images, labels)  # type: ignore[operator]
        return loss


def brings_loss(network: nn.Module) -> bool:
    """Whether the network has a loss of its own."""
    return callable(getattr(network, "own_loss", None))


def refuse_loss_settings(settings: FitConfig, *, partial: bool) -> None:
    """Refuse what changes the cross entropy where there is none.

    Raises:
        InputError: naming the setting; `partial` says that some label allows several classes.
    """
    for name in ("class_balance", "label_smoothing"):
        if getattr(settings, name):
            raise InputError(f"this network brings its own loss, so fit.{name} has no effect: set it to 0")
    if partial:
        raise InputError(
            "this network brings its own loss, which takes no labels of several classes: relabel that data "
            "set with a teacher first, or choose another network"
        )
