"""Frames as torch batches: decoded, augmented, and read ahead by worker processes."""

import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from lsu.runtime import Dataset, Frame, InputError, LabelSpace, Sample, Split

from .config import DataConfig
from .sampling import SamplePlan
from .transforms import Augmentation

Batch = tuple[Tensor, Tensor]


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


def common_label_space(splits: Sequence[Split]) -> LabelSpace:
    """The one label space of all splits.

    Raises:
        InputError: two of them differ; relabelling under a relation is the repair.
    """
    first = splits[0]
    for other in splits[1:]:
        first.label_space.require_same(
            other.label_space, f"data set {first.dataset!r}", f"data set {other.dataset!r}"
        )
    return first.label_space


def pixels_per_class(splits: Sequence[Split], classes: int) -> npt.NDArray[np.int64]:
    """How many pixels each class has in all frames of the splits, int64 [classes].

    Raises:
        InputError: the first frame that cannot be used.
    """
    everything = [(split, frame) for split in splits for frame in split.frames]
    counts = np.zeros(256, np.int64)
    with ThreadPoolExecutor() as pool:
        for frame_counts in pool.map(_pixels_of, everything):
            counts += frame_counts
    return counts[:classes]


def _pixels_of(entry: tuple[Split, Frame]) -> npt.NDArray[np.int64]:
    """How often each value stands in a frame's labels, int64 [256]."""
    split, frame = entry
    return np.bincount(split.read(frame).labels.ravel(), minlength=256)


class AugmentedFrames(TorchDataset[Batch]):
    """Sample number -> image uint8 [h,w,3] and labels int64 [h,w]; decoded frames are kept up to a limit.

    Args:
        splits: the data entries, in the plan's order.
        plan: which frame each number is.
        augmentation: what happens to it.
        cache_bytes: decoded frames are kept until they fill this much memory, in each worker process.
    """

    def __init__(
        self, splits: Sequence[Split], plan: SamplePlan, augmentation: Augmentation, *, cache_bytes: int
    ) -> None:
        self._splits = splits
        self._plan = plan
        self._augmentation = augmentation
        self._cache: dict[tuple[int, int], Sample] = {}
        self._free_bytes = cache_bytes

    def __getitem__(self, number: int) -> Batch | InputError:  # type: ignore[override]
        """The augmented sample of that number, or why its frame cannot be used."""
        draw = self._plan.draw(number)
        try:
            sample = self._sample(draw.entry, draw.frame)
        except InputError as error:  # as a value: a worker process would wrap a raised one in its traceback
            return error
        sample = self._augmentation.apply(sample, draw.generator)
        return torch.from_numpy(sample.image), torch.from_numpy(sample.labels).long()

    def _sample(self, entry: int, frame: int) -> Sample:
        key = (entry, frame)
        if key in self._cache:
            return self._cache[key]
        split = self._splits[entry]
        sample = split.read(split.frames[frame])
        size = sample.image.nbytes + sample.labels.nbytes
        if size <= self._free_bytes:
            self._cache[key] = sample
            self._free_bytes -= size
        return sample


def batches(frames: AugmentedFrames, numbers: range, *, batch_size: int, workers: int) -> Iterator[Batch]:
    """Batches of the samples with these numbers: images uint8 [N,h,w,3], labels int64 [N,h,w]."""
    loader: DataLoader[Batch] = DataLoader(
        frames,
        batch_size=batch_size,
        sampler=numbers,
        num_workers=workers,
        worker_init_fn=_single_threaded,
        collate_fn=_collated,
        drop_last=True,
    )
    for batch in loader:
        if isinstance(batch, InputError):
            raise batch
        yield batch


def _collated(samples: Sequence[Batch | InputError]) -> Batch | InputError:
    """The samples stacked, or the first error among them."""
    good = []
    for sample in samples:
        if isinstance(sample, InputError):
            return sample
        good.append(sample)
    return torch.stack([image for image, _ in good]), torch.stack([labels for _, labels in good])


def _single_threaded(worker: int) -> None:
    del worker
    cv2.setNumThreads(0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the main process to end the fit well
