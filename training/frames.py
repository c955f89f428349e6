"""Frames as a torch data set: decoded, kept, augmented."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.data import Dataset as TorchDataset

from lsu.runtime import VOID, Dataset, Frame, InputError, Relation, Sample, Split

from .config import DataConfig
from .partial_labels import LabelSets, teaches
from .sampling import BatchPlan, SamplePlan
from .transforms import Augmentation

_UNLABELLED = 254
"""Void while a frame is augmented, since 255 is what lies outside the image there. In a label space that has
a class 254 void counts as outside."""


class Batch(NamedTuple):
    """A batch, or one sample of it without the first axis.

    Attributes:
        images: uint8 [N,h,w,3] RGB.
        labels: numbers of `LabelSets`, int64 [N,h,w], 255 = void.
        inside: which pixels are an image's, not filled in around it, bool [N,h,w].
    """

    images: Tensor
    labels: Tensor
    inside: Tensor

    def inside_on(self, size: tuple[int, int]) -> Tensor:
        """`inside` at the middles of a grid (h, w) over the images, bool [N,h,w]."""
        return functional.interpolate(self.inside[:, None].float(), size, mode="nearest-exact")[:, 0] > 0


def open_split(data: DataConfig, *, labels_needed: bool = True) -> Split:
    """The split that a configuration's entry names.

    Raises:
        InputError: it does not exist, or has no labels and needs them.
    """
    dataset = Dataset.load(data.dataset, None if data.root is None else Path(data.root))
    split = dataset.split(data.split)
    if labels_needed and split.frames[0].label is None:
        raise InputError(f"data set {dataset.name!r}, split {split.name!r} has no labels to learn from")
    return split


def open_relation(data: DataConfig) -> Relation | None:
    """The relation that a configuration's entry names, or None.

    Raises:
        InputError: it cannot be read.
    """
    return None if data.relation is None else Relation.load(data.relation)


def pixels_per_class(splits: Sequence[Split], sets: LabelSets) -> npt.NDArray[np.int64]:
    """How many pixels each class has in all frames of the splits, int64 [C]; sets of several do not count.

    Raises:
        InputError: the first frame that cannot be used.
    """
    counts = np.zeros(len(sets.members), np.int64)
    for split, numbers in zip(splits, sets.numbers, strict=True):
        read = _pixels_of if teaches(numbers) else _no_pixels_of
        with ThreadPoolExecutor() as pool:
            for frame_counts in pool.map(read, [(split, frame) for frame in split.frames]):
                np.add.at(counts, numbers, frame_counts)
    return counts[: len(sets.space)]


def _pixels_of(entry: tuple[Split, Frame]) -> npt.NDArray[np.int64]:
    """How often each value stands in a frame's labels, int64 [256]."""
    split, frame = entry
    return np.bincount(split.read(frame).labels.ravel(), minlength=256)


def _no_pixels_of(entry: tuple[Split, Frame]) -> npt.NDArray[np.int64]:
    """Zeros int64 [256], once the frame's image has been read."""
    split, frame = entry
    split.read_image(frame)
    return np.zeros(256, np.int64)


class AugmentedFrames(TorchDataset[Batch]):
    """(Sample, stage) -> an augmented sample; keeps decoded frames.

    Args:
        splits: the data entries, in the plan's order.
        numbers: per entry what each of its labels is called in training (`LabelSets.numbers`). An entry
            whose labels teach nothing is not asked for them.
        plan: which frame each sample is.
        augmentations: what happens to it in each stage of the crop plan.
        scales: by how much the images of each entry are enlarged besides.
        cache_bytes: decoded frames are kept until they fill this much memory, in each worker process.
    """

    def __init__(  # noqa: PLR0913 - what a sample depends on
        self,
        splits: Sequence[Split],
        numbers: Sequence[npt.NDArray[np.int64]],
        plan: SamplePlan | BatchPlan,
        augmentations: Sequence[Augmentation],
        *,
        scales: Sequence[float] | None = None,
        cache_bytes: int,
    ) -> None:
        self._splits = splits
        self._numbers = [
            _told_apart(table, len(split.label_space)) for split, table in zip(splits, numbers, strict=True)
        ]
        self._plan = plan
        self._augmentations = augmentations
        self._scales = [1.0] * len(splits) if scales is None else scales
        self._cache: dict[tuple[int, int], Sample] = {}
        self._free_bytes = cache_bytes

    def __getitem__(self, index: tuple[int, int]) -> Batch | InputError:  # type: ignore[override]
        """The augmented sample of that number in that stage, or why its frame cannot be used."""
        number, stage = index
        draw = self._plan.draw(number)
        try:
            sample = self._sample(draw.entry, draw.frame)
        except InputError as error:  # as a value: a worker process would wrap a raised one in its traceback
            return error
        sample = self._augmentations[stage].apply(
            sample, draw.generator, focus=draw.focus, enlarged=self._scales[draw.entry]
        )
        labels = self._numbers[draw.entry][sample.labels]
        return Batch(*map(torch.from_numpy, (sample.image, labels, sample.labels != VOID)))

    def _sample(self, entry: int, frame: int) -> Sample:
        key = (entry, frame)
        if key in self._cache:
            return self._cache[key]
        sample = self._read(self._splits[entry], frame, labelled=teaches(self._numbers[entry]))
        size = sample.image.nbytes + sample.labels.nbytes
        if size <= self._free_bytes:
            self._cache[key] = sample
            self._free_bytes -= size
        return sample

    @staticmethod
    def _read(split: Split, frame: int, *, labelled: bool) -> Sample:
        """A frame with void told apart from what will lie outside of it."""
        if not labelled:
            image = split.read_image(split.frames[frame])
            return Sample(image, np.full(image.shape[:2], _UNLABELLED, np.uint8))
        sample = split.read(split.frames[frame])
        if len(split.label_space) > _UNLABELLED:
            return sample
        return Sample(sample.image, np.where(sample.labels == VOID, np.uint8(_UNLABELLED), sample.labels))


def _told_apart(numbers: npt.NDArray[np.int64], classes: int) -> npt.NDArray[np.int64]:
    """The numbers of labels, with what void teaches at `_UNLABELLED`, where that is free, and void at 255."""
    table = numbers.copy()
    if classes <= _UNLABELLED:
        table[_UNLABELLED] = table[VOID]
    table[VOID] = VOID
    return table
