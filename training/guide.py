"""What teachers say of a batch's images while a student learns from them.

Several teachers are an ensemble, the mean of their probabilities: the S-Net of Ros et al. 2016 (arXiv
1604.01545) in its simplest form. They see what the student sees.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from lsu.runtime import Engine, InputError, LabelSpace, Split
from lsu.runtime.model import Size, placed

_LEAST = 1e-7  # of a probability, before its logarithm
_COUNTED = 4  # classes are counted at every fourth pixel of the first teacher's input


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

    def scores(self, images: npt.NDArray[np.uint8], size: Size) -> Tensor:
        """Scores float32 [N,C,h,w] on a grid of `size` (h, w) over the images uint8 [N,H,W,3] RGB.

        One teacher that gives logits gives them as they are, since a loss over the pixels of a channel knows
        what a shift of all classes is; otherwise they are logarithms of mean probabilities.

        Raises:
            InputError: a teacher does not take images of this size.
            BackendError: an engine failed.
        """
        first, *others = self._engines
        if not others and first.spec.scores == "logits":
            return _answers(first, images, size)
        total = torch.zeros(())
        for engine in self._engines:
            answers = _answers(engine, images, size)
            if engine.spec.scores == "logits":
                total = total + answers.softmax(1)
            else:  # without void they need not add up to 1
                total = total + answers / answers.sum(1, keepdim=True).clamp(min=_LEAST)
        return (total / len(self._engines)).clamp(min=_LEAST).log()

    def cells_per_class(self, splits: Sequence[Split]) -> npt.NDArray[np.int64]:
        """How often each class is the best one on the first teacher's grid, over all frames, int64 [C].

        Raises:
            InputError: an image cannot be used.
            BackendError: an engine failed.
        """
        classes = len(self.label_space)
        counts = np.zeros(classes, np.int64)
        for image in _images(splits):
            height, width = placed(image, self._engines[0].spec).pixels.shape[:2]
            size = max(1, height // _COUNTED), max(1, width // _COUNTED)
            best = self.scores(image[np.newaxis], size).argmax(1)
            counts += np.bincount(best.numpy().ravel(), minlength=classes)
        return counts


def _images(splits: Sequence[Split]) -> Iterator[npt.NDArray[np.uint8]]:
    for split in splits:
        for frame in split.frames:
            yield split.read_image(frame)


def _answers(engine: Engine, images: npt.NDArray[np.uint8], size: Size) -> Tensor:
    """One teacher's scores of the classes, void left out, float32 [N,C,h,w]."""
    fitted = [placed(image, engine.spec) for image in images]
    scores = torch.from_numpy(engine.infer(np.stack([f.pixels for f in fitted])))
    return _on_grid(scores[:, : len(engine.spec.label_space)], fitted[0].canvas, images.shape[1:3], size)


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
