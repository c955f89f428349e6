"""Where the classes are: centres of mass per tile, so that crops can be drawn class by class.

Centroid sampling of Zhu et al. 2020 (arXiv 2004.14960); the details are those of the authors' later code
(NVIDIA/semantic-segmentation, `datasets/uniform.py`), but that tiles cover the whole image: counted with
ceil, and never larger than it.
"""

import contextlib
import hashlib
import io
import os
import sys
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lsu.runtime import BackendError, Frame, InputError, LabelSpace, Split
from lsu.runtime.errors import near_names
from lsu.runtime.files import read_bytes, write_atomically

from .partial_labels import LabelSets, teaches

_FORMAT = 1


@dataclass(frozen=True, eq=False)
class Centroids:
    """The centre of mass of each class in each tile of each frame.

    Attributes:
        members: data entry, frame in it and class of each, int64 [K, 3], in this order.
        places: (y, x) in pixels of the frame, pixel centres at whole numbers, float32 [K, 2].
    """

    members: npt.NDArray[np.int64]
    places: npt.NDArray[np.float32]

    def of(self, entry: int, dense: int) -> npt.NDArray[np.int64]:
        """The positions of a class's centroids in an entry, int64 [k], rising."""
        return np.flatnonzero((self.members[:, 0] == entry) & (self.members[:, 2] == dense))


def centroids_of(
    splits: Sequence[Split], sets: LabelSets, *, tile: int, cache: Path | None = None
) -> Centroids:
    """The centroids of all frames; labels that allow several classes have none.

    They are kept in `cache` and read from there while the files have the same size and time and are read
    in the same way.

    Args:
        splits: the data entries.
        sets: what their labels are called in training.
        tile: height and width of a tile in pixels; at a smaller image it is the image.
        cache: a folder, `default_cache()` if None.

    Raises:
        InputError: a frame cannot be used.
    """
    folder = default_cache() if cache is None else cache
    path = folder / f"{_key(splits, sets, tile)}.npz"
    kept = _kept(path)
    if kept is not None:
        return kept
    counted = _counted(splits, sets, tile)
    data = io.BytesIO()
    np.savez_compressed(data, members=counted.members, places=counted.places)
    with contextlib.suppress(BackendError):  # a full or read-only home costs the next fit some time
        write_atomically(path, data.getvalue(), durable=False)
    return counted


def default_cache() -> Path:
    """`lsu/centroids` in the user's cache folder (XDG Base Directory Specification)."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "lsu/centroids"


def tile_starts(side: int, tile: int) -> list[int]:
    """Where tiles begin along a side so that they cover it: ceil(side / tile) of them."""
    return list(range(0, side, tile))


def centroids_in(labels: npt.NDArray[np.int64], classes: int, *, tile: int) -> npt.NDArray[np.float64]:
    """Class, y and x of each centroid in one frame, float64 [K, 3], by tile, then by class.

    Args:
        labels: numbers of `LabelSets` int64 [H,W]; those of `classes` or more are passed over.
        classes: how many classes there are.
        tile: see `centroids_of`.
    """
    found = [np.empty((0, 3))]
    for top in tile_starts(labels.shape[0], tile):
        for left in tile_starts(labels.shape[1], tile):
            part = labels[top : top + tile, left : left + tile]
            y, x = np.nonzero(part < classes)
            dense = part[y, x]
            pixels = np.bincount(dense, minlength=classes)
            present = np.flatnonzero(pixels)
            sums = [np.bincount(dense, offsets, classes)[present] for offsets in (y, x)]
            centre_y, centre_x = (total / pixels[present] for total in sums)
            found.append(np.stack([present, top + centre_y, left + centre_x], axis=1))
    return np.concatenate(found)


def boosts_from_names(boosts: Mapping[str, float], space: LabelSpace) -> tuple[float, ...]:
    """A factor for each class, 1 where none is named.

    Raises:
        InputError: a name is no class.
    """
    for name in boosts:
        if name not in space.names:
            raise InputError(
                f"fit.centroid_boost: no class {name!r} in label space {space.name!r}; "
                f"{near_names(name, space.names)}"
            )
    return tuple(boosts.get(name, 1.0) for name in space.names)


def _counted(splits: Sequence[Split], sets: LabelSets, tile: int) -> Centroids:
    members, places = [np.empty((0, 3), np.int64)], [np.empty((0, 2), np.float32)]
    for entry, (split, numbers) in enumerate(zip(splits, sets.numbers, strict=True)):
        if not teaches(numbers):
            continue

        def of_frame(
            frame: Frame, split: Split = split, numbers: npt.NDArray[np.int64] = numbers
        ) -> npt.NDArray[np.float64]:
            return centroids_in(numbers[split.read(frame).labels], len(sets.space), tile=tile)

        with ThreadPoolExecutor() as pool:
            for position, rows in enumerate(pool.map(of_frame, split.frames)):
                where = np.full(len(rows), entry), np.full(len(rows), position), rows[:, 0].astype(np.int64)
                members.append(np.stack(where, axis=1))
                places.append(rows[:, 1:].astype(np.float32))
    return Centroids(np.concatenate(members), np.concatenate(places))


def _key(splits: Sequence[Split], sets: LabelSets, tile: int) -> str:
    digest = hashlib.sha256(repr((_FORMAT, tile, len(sets.space))).encode())
    for split, numbers in zip(splits, sets.numbers, strict=True):
        digest.update(numbers.tobytes())
        with np.printoptions(threshold=sys.maxsize):  # all of a table of segments
            digest.update(repr(split.decoder).encode())  # ids and encoding decide what a file says
        for frame in split.frames:
            files = [path for path in (frame.image, frame.label) if path is not None]
            stats = [path.stat() if path.exists() else None for path in files]
            facts = [(str(p), s and (s.st_size, s.st_mtime_ns)) for p, s in zip(files, stats, strict=True)]
            digest.update(repr(facts).encode())
    return digest.hexdigest()


def _kept(path: Path) -> Centroids | None:
    """What an earlier call wrote, or None where there is nothing or something else."""
    try:
        with np.load(io.BytesIO(read_bytes(path)), allow_pickle=False) as arrays:
            return Centroids(arrays["members"], arrays["places"])
    except (InputError, ValueError, KeyError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error):
        return None
