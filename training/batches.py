"""The batches of a fit: samples drawn, cropped and read ahead by worker processes."""

import signal
from collections.abc import Iterator, Sequence

import cv2
import torch
from torch.utils.data import DataLoader

from lsu.runtime import InputError, Split

from .centroids import boosts_from_names, centroids_of
from .config import Config
from .crop_plan import CropPlan
from .frames import AugmentedFrames, Batch
from .partial_labels import LabelSets
from .sampling import BatchPlan, ClassShare, SamplePlan
from .transforms import Augmentation

_CACHE_BYTES = 2 << 30


def batches_of(
    config: Config,
    splits: Sequence[Split],
    sets: LabelSets,
    *,
    step: int = 0,
    part: tuple[int, int] = (0, 1),
) -> Iterator[Batch]:
    """The batches of a fit from a step on.

    Args:
        config: the fit.
        splits: its data entries.
        sets: what their labels are called in training.
        step: the first step, counted from 0.
        part: which process asks, of how many that share each batch.

    Raises:
        InputError: a frame cannot be used, or the settings do not go with the data.
    """
    settings, (rank, devices) = config.fit, part
    crops = CropPlan.from_config(settings, devices=devices)
    plan = sample_plan(config, splits, sets, crops)
    augmentations = [Augmentation.from_config(settings, s, config.network.mean) for s in crops.stages]
    limit = _CACHE_BYTES // max(1, settings.workers)
    frames = AugmentedFrames(
        splits,
        sets.numbers,
        plan,
        augmentations,
        scales=[entry.scale for entry in config.data],
        cache_bytes=limit,
    )
    indices = [
        [(number, crops.of_step[k]) for number in crops.samples(k)[rank::devices]]
        for k in range(step, settings.steps)
    ]
    return _loaded(frames, indices, workers=settings.workers)


def sample_plan(
    config: Config, splits: Sequence[Split], sets: LabelSets, crops: CropPlan
) -> SamplePlan | BatchPlan:
    """Which frame each sample of a fit is.

    Raises:
        InputError: a frame cannot be used, or the settings do not go with the data.
    """
    settings, by_class = config.fit, None
    frames = tuple(len(s.frames) for s in splits)
    counts = tuple(entry.per_batch for entry in config.data if entry.per_batch is not None)
    if counts:
        return BatchPlan(frames, counts, settings.seed)
    if settings.centroids:
        by_class = ClassShare(
            centroids=centroids_of(splits, sets, tile=settings.centroid_tile),
            share=settings.centroids,
            boosts=boosts_from_names(settings.centroid_boost, sets.space),
        )
    ends = [
        None if d.until == 1 else crops.first_sample(max(1, round(d.until * settings.steps)))
        for d in config.data
    ]
    return SamplePlan(
        frames=frames,
        weights=tuple(d.weight for d in config.data),
        seed=settings.seed,
        ends=tuple(ends),
        by_class=by_class,
    )


def _loaded(
    frames: AugmentedFrames, indices: Sequence[Sequence[tuple[int, int]]], *, workers: int
) -> Iterator[Batch]:
    loader: DataLoader[Batch] = DataLoader(
        frames,
        batch_sampler=indices,  # type: ignore[arg-type]
        num_workers=workers,
        worker_init_fn=_single_threaded,
        collate_fn=_collated,
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
    return Batch(*(torch.stack(parts) for parts in zip(*good, strict=True)))


def _single_threaded(worker: int) -> None:
    del worker
    cv2.setNumThreads(0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the main process to end the fit well
