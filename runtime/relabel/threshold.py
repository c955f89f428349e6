"""The second pass of a relabelling by confidence: answers below the level of their class become void."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from lsu.runtime.datasets.dataset import Frame
from lsu.runtime.files import digest_of, read_bytes
from lsu.runtime.image import grey_from_bytes, png_from_pixels
from lsu.runtime.label_space import LabelSpace

from .confidence import ClassConfidence, Thresholds
from .journal import Entry
from .output import CANDIDATES, CONFIDENCE, Output

_AT_ONCE = 1024  # frames that wait in the pool

_Number = TypeVar("_Number", np.uint8, np.uint16)


def write_confident_labels(
    output: Output,
    entries: Sequence[Entry],
    space: LabelSpace,
    *,
    workers: int,
    on_frame: Callable[[int], object] = lambda _: None,
) -> tuple[ClassConfidence, ...]:
    """Write the labels of all frames that have candidates, and tell what was kept of each class.

    Label files that are right already are not written again.

    Args:
        output: holds the candidates and their confidence.
        entries: one for each frame, in their order.
        space: of the candidates.
        workers: threads.
        on_frame: called with 1 for each frame, at first with the number of those that are left out.

    Raises:
        InputError: a file that was written before is damaged.
        BackendError: the disk failed.
    """
    thresholds = Thresholds(entry.sums for entry in entries)

    def kept(frame: Frame) -> npt.NDArray[np.int64]:
        classes = _pixels(output.path(frame, CANDIDATES), np.uint8)
        labels = thresholds.filtered(classes, _pixels(output.path(frame, CONFIDENCE), np.uint16))
        png, path = png_from_pixels(labels), output.path(frame)
        if not path.exists() or digest_of(read_bytes(path)) != digest_of(png):
            output.write(frame, png)
        return np.bincount(labels.ravel(), minlength=256)

    good = [frame for frame, entry in zip(output.split.frames, entries, strict=True) if not entry.error]
    pixels = np.zeros(256, np.int64)
    on_frame(len(entries) - len(good))
    with ThreadPoolExecutor(workers) as pool:
        try:
            for begin in range(0, len(good), _AT_ONCE):
                for frame_pixels in pool.map(kept, good[begin : begin + _AT_ONCE]):
                    pixels += frame_pixels
                    on_frame(1)
        finally:
            pool.shutdown(cancel_futures=True)
    return thresholds.rows(space, pixels.tolist())


def _pixels(path: Path, kind: type[_Number]) -> npt.NDArray[_Number]:
    return grey_from_bytes(read_bytes(path), path).astype(kind, copy=False)
