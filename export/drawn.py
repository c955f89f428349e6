"""Drawn golden frames: pictures that need no data, the same on every machine.

They prove that an engine computes the same network, not that the network is good: gradients excite every
brightness, shapes have edges at many angles, and red, green and blue differ, so that swapped channels show.
"""

from collections.abc import Iterator

import cv2
import numpy as np
import numpy.typing as npt

from lsu.runtime.model import ModelSpec, Size

FRAMES = 2
_NOISE = (
    (1, 256, 320),
    (2, 320, 256),
    (1, 288, 416),
)  # the pooling pyramid of `pan` needs 256; unequal sides
_SIZE = (270, 405)  # no multiple of 32: the fit is part of what is proven


def drawn_frames(spec: ModelSpec, frames: int = FRAMES) -> list[npt.NDArray[np.uint8]]:
    """Seeded drawings uint8 [H,W,3] RGB of a size that the network's fit takes."""
    size = spec.size or _SIZE
    if spec.fit == "exact" and not spec.size:
        size = (-(-size[0] // spec.multiple) * spec.multiple, -(-size[1] // spec.multiple) * spec.multiple)
    elif spec.fit != "exact" and spec.size:
        size = (max(1, size[0] - 13), max(1, size[1] - 7))
    return [_drawn(size, np.random.default_rng(seed)) for seed in range(frames)]


def noise_batches(spec: ModelSpec, most: int = 2) -> Iterator[npt.NDArray[np.uint8]]:
    """Seeded noise uint8 [N,H,W,3] as the network takes it, of several sizes and numbers where they are free.

    Args:
        spec: the network's contract.
        most: the largest number of images in a batch.
    """
    generator, m = np.random.default_rng(0), spec.multiple
    free = tuple((min(n, most), -(-h // m) * m, -(-w // m) * m) for n, h, w in _NOISE)
    for number, height, width in ((1, *spec.size),) if spec.size else free:
        yield generator.integers(0, 256, (number, height, width, 3), np.uint8)


def _drawn(size: Size, generator: np.random.Generator) -> npt.NDArray[np.uint8]:
    height, width = size
    y, x = np.mgrid[0:height, 0:width]
    image = np.stack([x * 255 // width, y * 255 // height, (x + y) * 255 // (height + width)], axis=-1)
    picture = np.ascontiguousarray(image[..., generator.permutation(3)], np.uint8)
    for _ in range(24):
        centre = (int(generator.integers(width)), int(generator.integers(height)))
        extent = int(generator.integers(4, max(5, min(size) // 4)))
        colour = [int(v) for v in generator.integers(0, 256, 3)]
        if generator.random() < 0.5:
            cv2.circle(picture, centre, extent, colour, -1)
        else:
            corner = (centre[0] + extent, centre[1] + 2 * extent)
            cv2.rectangle(picture, centre, corner, colour, -1)
    return picture
