"""Frames as a torch data set: decoded, kept, augmented."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset as TorchDataset

from lsu.runtime import VOID, Dataset, Frame, InputError, Relation, Sample, Split

from .config import DataConfig
from .partial_labels import LabelSets
from .sampling import SamplePlan
from .transforms import Augmentation

Batch = tuple[Tensor, Tensor]

_UNLABELLED = 254
"""Void that a relation says something of, while a frame is augmented: 255 is what lies outside the image. In
a label space that has a class 254 such pixels teach nothing."""


def open_split(data: DataConfig) -> Split:
    """The split that a configuration's entry names.

    Raises:
        InputError: it does not exist or has no labels.
    """
    dataset = Dataset.load(data.dataset, None if data.root is None else Path(data.root))
    split = dataset.split(data.split)
    if split.frames[0].label is None:
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
        with ThreadPoolExecutor() as pool:
            for frame_counts in pool.map(_pixels_of, [(split, frame) for frame in split.frames]):
                np.add.at(counts, numbers, frame_counts)
    return counts[: len(sets.space)]


def _pixels_of(entry: tuple[Split, Frame]) -> npt.NDArray[np.int64]:
    """How often each value stands in a frame's labels, int64 [256]."""
    split, frame = entry
    return np.bincount(split.read(frame).labels.ravel(), minlength=256)


class AugmentedFrames(TorchDataset[Batch]):
    """(Sample, stage) -> image uint8 [h,w,3] and label numbers int64 [h,w]; keeps decoded frames.

    Args:
        splits: the data entries, in the plan's order.
        numbers: per entry what each of its labels is called in training (`LabelSets.numbers`).
        plan: which frame each sample is.
        augmentations: what happens to it in each stage of the crop plan.
        cache_bytes: decoded frames are kept until they fill this much memory, in each worker process.
    """

    def __init__(
        self,
        splits: Sequence[Split],
        numbers: Sequence[npt.NDArray[np.int64]],
        plan: SamplePlan,
        augmentations: Sequence[Augmentation],
        *,
        cache_bytes: int,
    ) -> None:
        self._splits = splits
        self._numbers = [
            _told_apart(table, len(split.label_space)) for split, table in zip(splits, numbers, strict=True)
        ]
        self._plan = plan
        self._augmentations = augmentations
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
        sample = self._augmentations[stage].apply(sample, draw.generator, focus=draw.focus)
        return torch.from_numpy(sample.image), torch.from_numpy(self._numbers[draw.entry][sample.labels])

    def _sample(self, entry: int, frame: int) -> Sample:
        key = (entry, frame)
        if key in self._cache:
            return self._cache[key]
        split = self._splits[entry]
        sample = split.read(split.frames[frame])
        if len(split.label_space) <= _UNLABELLED and self._numbers[entry][_UNLABELLED] != VOID:
            labels = np.where(sample.labels == VOID, np.uint8(_UNLABELLED), sample.labels)
            sample = Sample(sample.image, labels)
        size = sample.image.nbytes + sample.labels.nbytes
        if size <= self._free_bytes:
            self._cache[key] = sample
            self._free_bytes -= size
        return sample


def _told_apart(numbers: npt.NDArray[np.int64], classes: int) -> npt.NDArray[np.int64]:
    """The numbers of labels, with what void teaches at `_UNLABELLED`, where that is free, and void at 255."""
    table = numbers.copy()
    if classes <= _UNLABELLED:
        table[_UNLABELLED] = table[VOID]
    table[VOID] = VOID
    return table
