"""From an image to its classes: fit, engine and head in one place, for every verb that runs a bundle."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .errors import InputError
from .head import Head, Labelling
from .model import Engine, Size, placed


@dataclass(frozen=True, eq=False)
class Scores:
    """What a network says about an image, at its own low resolution.

    Attributes:
        values: float32 [C,h,w].
        canvas: the (H, W) that they cover, in pixels of the image; the image lies at its top left.
    """

    values: npt.NDArray[np.float32]
    canvas: Size


class Segmenter:
    """Runs an engine on single images; the engine stays the caller's to close."""

    def __init__(self, engine: Engine, *, threads: int | None = None) -> None:
        """Keep the engine; `threads` are the head's, all that this process may use if None."""
        self.engine = engine
        self.head = Head(threads)

    def scores(self, image: npt.NDArray[np.uint8]) -> Scores:
        """The scores of an image uint8 [H,W,3] RGB.

        Raises:
            InputError: not such an image, or a size that the network's fit does not allow.
            BackendError: the engine failed.
        """
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
            raise InputError(
                f"the image is {image.dtype} {list(image.shape)}; uint8 [H, W, 3] RGB is needed: convert it"
            )
        fitted = placed(image, self.engine.spec)
        return Scores(self.engine.infer(fitted.pixels[np.newaxis])[0], fitted.canvas)

    def segment(
        self,
        image: npt.NDArray[np.uint8],
        labels: npt.NDArray[np.uint8] | None = None,
        table: npt.NDArray[np.uint64] | None = None,
        *,
        margin: bool = False,
        agreement: bool = False,
    ) -> Labelling:
        """The class of every pixel of an image uint8 [H,W,3] RGB, within what its labels allow.

        Args:
            image: the picture.
            labels: uint8 [H,W], dense indices of a foreign label space, 255 = void.
            table: uint64 [256, words] with labels, [1, words] without: `Relation.table`; None allows all.
            margin: also answer the lead over the runner-up.
            agreement: also count where the free argmax gives the same.

        Raises:
            InputError: the image, the labels or the table do not fit.
            BackendError: the engine failed.
        """
        scores = self.scores(image)
        return self.head(
            scores.values,
            (image.shape[0], image.shape[1]),
            labels=labels,
            table=table,
            void_channel=self.engine.spec.void_channel,
            canvas=scores.canvas,
            margin=margin,
            agreement=agreement,
        )
