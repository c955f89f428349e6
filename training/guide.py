"""What teachers say of a batch's images while a student learns from them.

Several teachers are an ensemble, the mean of their probabilities: the S-Net of Ros et al. 2016 (arXiv
1604.01545) in its simplest form. They see what the student sees.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from lsu.runtime import Engine, InputError, LabelSpace
from lsu.runtime.model import Size, placed

from .frames import Batch

_LEAST = 1e-7  # of a probability, before its logarithm
_COUNTED = 4  # classes are counted at every fourth pixel


class Answers(NamedTuple):
    """What teachers say together.

    Attributes:
        scores: logits or logarithms of probabilities of the classes, float32 [N,C,h,w].
        known: where void is not what they would say first, bool [N,h,w].
    """

    scores: Tensor
    known: Tensor


class Guide:
    """Teachers that answer together.

    Args:
        engines: the teachers; `close` closes them.
        names: what messages call them.

    Raises:
        InputError: they speak several label spaces.
    """

    def __init__(self, engines: Sequence[Engine], names: Sequence[str]) -> None:
        self._engines, self._names = engines, names
        for engine, name in zip(engines, names, strict=True):
            self.label_space.require_same(engine.spec.label_space, names[0], name)

    @property
    def label_space(self) -> LabelSpace:
        """Channel k of the scores is class k of it."""
        return self._engines[0].spec.label_space

    @property
    def identities(self) -> tuple[str, ...]:
        """What tells each teacher from others."""
        return tuple(engine.identity for engine in self._engines)

    def require_same(self, identities: Sequence[str]) -> None:
        """Raise InputError unless the teachers are those that a fit began with."""
        for name, ours, theirs in zip(self._names, self.identities, identities, strict=False):
            if ours != theirs:
                raise InputError(f"{name} is not the network any more that this fit began with: start anew")

    def require_size(self, size: Size) -> None:
        """Raise InputError unless all teachers take images of this size."""
        for engine, name in zip(self._engines, self._names, strict=True):
            try:
                engine.spec.input_size(*size)
            except InputError as error:
                raise InputError(f"{name} does not take crops of {list(size)}: {error}") from error

    def close(self) -> None:
        """Free what the engines hold."""
        for engine in self._engines:
            engine.close()

    def answers(self, images: npt.NDArray[np.uint8], size: Size) -> Answers:
        """What they say on a grid of `size` (h, w) over the images uint8 [N,H,W,3] RGB.

        One teacher that gives logits gives them as they are, since a loss over the pixels of a channel knows
        what a shift of all classes is; otherwise scores are logarithms of mean probabilities, of each teacher
        those of the classes without void.

        Raises:
            InputError: a teacher does not take images of this size.
            BackendError: an engine failed.
        """
        classes = len(self.label_space)
        total = void = torch.zeros(())
        for engine in self._engines:
            channels = _channels(engine, images, size)
            if engine.spec.scores == "logits":
                shares = channels.softmax(1)
            else:
                shares = channels / channels.sum(1, keepdim=True).clamp(min=_LEAST)
            mass = shares[:, :classes].sum(1, keepdim=True)
            total = total + shares[:, :classes] / mass.clamp(min=_LEAST)
            if engine.spec.void_channel is not None:
                void = void + (1 - mass[:, 0])
        mean, void = total / len(self._engines), void / len(self._engines)
        known = (1 - void) * mean.amax(1) >= void
        if len(self._engines) == 1 and self._engines[0].spec.scores == "logits":
            return Answers(channels[:, :classes], known)
        return Answers(mean.clamp(min=_LEAST).log(), known)

    def cells_per_class(self, batches: Iterable[Batch]) -> npt.NDArray[np.int64]:
        """How often each class is the best one at every fourth pixel of the images, int64 [C].

        Where there is no image, or void is what the teachers would say first, nothing is counted.

        Raises:
            InputError: an image cannot be used.
            BackendError: an engine failed.
        """
        counts = np.zeros(len(self.label_space), np.int64)
        for batch in batches:
            height, width = batch.labels.shape[1:]
            size = max(1, height // _COUNTED), max(1, width // _COUNTED)
            scores, known = self.answers(batch.images.numpy(), size)
            best = scores.argmax(1)[known & batch.inside_on(size)]
            counts += np.bincount(best.numpy(), minlength=len(counts))
        return counts


def _channels(engine: Engine, images: npt.NDArray[np.uint8], size: Size) -> Tensor:
    """One teacher's scores, those of void last if it has any, float32 [N,C or C+1,h,w]."""
    fitted = [placed(image, engine.spec) for image in images]
    scores = torch.from_numpy(engine.infer(np.stack([f.pixels for f in fitted])))
    return _on_grid(scores, fitted[0].canvas, images.shape[1:3], size)


def _on_grid(scores: Tensor, canvas: Size, image: tuple[int, ...], size: Size) -> Tensor:
    """Scores float32 [N,C,h,w] at the middles of a grid of `size` over the image, bilinear, clamped."""
    places = []
    for axis in (0, 1):
        middles = (torch.arange(size[axis]) + 0.5) * image[axis] / size[axis]  # in pixels
        places.append(2 * middles / canvas[axis] - 1)  # -1 to 1 over the canvas
    grid = torch.stack(torch.meshgrid(places[1], places[0], indexing="xy"), -1)  # [h, w, (x, y)]
    return functional.grid_sample(
        scores,
        grid.expand(len(scores), -1, -1, -1),
        mode="bilinear",
        padding_mode="border",
        align_corners=False,
    )
