"""What a network expects and gives, whatever runs it: the contract between bundles, engines and callers."""

from dataclasses import dataclass
from typing import Literal, Protocol

import cv2
import numpy as np
import numpy.typing as npt

from .errors import InputError
from .label_space import LabelSpace

Fit = Literal["exact", "pad", "resize"]
ScoreKind = Literal["logits", "probabilities"]
Size = tuple[int, int]


@dataclass(frozen=True)
class ModelSpec:
    """A network's contract. Its input is uint8 [N,H,W,3] RGB; normalisation is inside.

    Attributes:
        label_space: channel k of the scores is class k.
        fit: how an image of another size becomes an input: `exact` refuses it, `pad` adds `pad_value` on
            the right and at the bottom, `resize` resizes it bilinearly.
        size: the fixed (H, W) of the input, or None when any multiple of `multiple` goes.
        multiple: H and W of the input are multiples of this; 1 where `size` is fixed.
        pad_value: the grey value of padding, 0 to 255.
        scores: what the output holds, float [N,C,h,w].
        void_channel: the channel that means void, always the last one, or None.
    """

    label_space: LabelSpace
    fit: Fit = "pad"
    size: Size | None = None
    multiple: int = 1
    pad_value: int = 0
    scores: ScoreKind = "logits"
    void_channel: int | None = None

    def __post_init__(self) -> None:
        if self.fit not in ("exact", "pad", "resize"):
            raise InputError(f"unknown fit {self.fit!r}; known: exact, pad, resize")
        if self.scores not in ("logits", "probabilities"):
            raise InputError(f"unknown kind of scores {self.scores!r}; known: logits, probabilities")
        if self.fit == "resize" and self.size is None:
            raise InputError("fit 'resize' needs a fixed input size")
        if self.multiple < 1 or not 0 <= self.pad_value <= 255:
            raise InputError(f"multiple {self.multiple} must be >= 1, pad value {self.pad_value} 0 to 255")
        if self.void_channel is not None and self.void_channel != len(self.label_space):
            raise InputError(f"the void channel is {self.void_channel}; it must be {len(self.label_space)}")

    @property
    def channels(self) -> int:
        """Channels of the scores: the classes and, if there is one, the void channel."""
        return len(self.label_space) + (self.void_channel is not None)

    def input_size(self, height: int, width: int) -> Size:
        """The (H, W) of the network input for an image of (height, width).

        Raises:
            InputError: the fit does not allow this image.
        """
        m = self.multiple
        needed = self.size or (-(-height // m) * m, -(-width // m) * m)
        fits = (height, width) == needed if self.fit == "exact" else True
        if self.fit == "pad":
            fits = height <= needed[0] and width <= needed[1]
        if not fits:
            wants = f"{self.size[1]}x{self.size[0]}" if self.size else f"multiples of {m}"
            repair = (
                f"pad to {needed[1]}x{needed[0]}"
                if not self.size
                else "resize it or export with fit = resize"
            )
            raise InputError(f"image is {width}x{height}; the network needs {wants}: {repair}")
        return needed


class Engine(Protocol):
    """Anything that runs a network."""

    @property
    def spec(self) -> ModelSpec:
        """The network's contract."""

    @property
    def identity(self) -> str:
        """A digest of what is run: the same text means the same network."""

    def infer(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Scores float32 [N,C,h,w] at the network's own resolution for images uint8 [N,H,W,3] RGB.

        H and W must be what `spec.input_size` gave.
        """

    def close(self) -> None:
        """Free what the engine holds; it cannot be used afterwards."""


@dataclass(frozen=True)
class Placed:
    """An image made into a network input.

    Attributes:
        pixels: the input, uint8 [H,W,3].
        canvas: the (H, W) that the scores cover, in pixels of the image; the image lies at its top left.
    """

    pixels: npt.NDArray[np.uint8]
    canvas: Size


def placed(image: npt.NDArray[np.uint8], spec: ModelSpec) -> Placed:
    """The image uint8 [H,W,3] as the network's input, fitted as `spec.fit` says.

    Raises:
        InputError: the fit does not allow an image of this size.
    """
    height, width = image.shape[:2]
    needed = spec.input_size(height, width)
    if spec.fit == "resize":
        resized = cv2.resize(image, (needed[1], needed[0]), interpolation=cv2.INTER_LINEAR)
        return Placed(np.ascontiguousarray(resized, np.uint8), (height, width))
    if needed == (height, width):
        return Placed(np.ascontiguousarray(image), needed)
    pixels = np.full((*needed, 3), spec.pad_value, np.uint8)
    pixels[:height, :width] = image
    return Placed(pixels, needed)
