"""A canvas that paints picture, labels and depth together, seen through a pinhole camera above a road.

Every stroke goes through one projection into all three layers, so a label is aligned with its pixel by
construction. The layers are `SUPERSAMPLING` times larger than the picture that leaves: the image is averaged,
the labels take the sub-pixel in the middle of each pixel.

Road coordinates are metres: x to the right of the road's centre line, y up from the ground, z ahead of the
camera.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum, unique

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

# Odd, so that a pixel has a sub-pixel in its middle.
SUPERSAMPLING = 3
NEAREST_M = 0.8

Colour = tuple[float, float, float]
Point = tuple[float, float, float]


@unique
class Surface(IntEnum):
    """What a pixel shows: finer than the label space of either world, which map it by a table."""

    SKY = 0
    BUILDING = 1
    VEGETATION = 2
    TERRAIN = 3
    ROAD = 4
    SIDEWALK = 5
    FENCE = 6
    POLE = 7
    SIGN = 8
    CAR = 9
    TRUCK = 10
    PERSON = 11
    RIDER = 12
    BICYCLE = 13
    EGO = 14


@dataclass(frozen=True)
class Camera:
    """A pinhole camera that looks along a gently bent road.

    Sizes are in sub-pixels; `eye` is its height over the ground and `aside` its distance from the road's
    centre line, in metres; at distance z the road has moved `bend` * z^2 metres to the right.
    """

    height: int
    width: int
    focal: float
    horizon: float
    eye: float
    aside: float
    bend: float

    def project(self, points: ArrayLike) -> NDArray[np.int32]:
        """Give the sub-pixels int32 [..., 2] (column, row) of road points [..., 3]."""
        road = np.asarray(points, np.float64)
        z = np.maximum(road[..., 2], NEAREST_M)
        pixels = np.empty((*z.shape, 2), np.float64)
        pixels[..., 0] = self.width / 2 + self.focal * (road[..., 0] - self.aside + self.bend * z * z) / z
        pixels[..., 1] = self.horizon + self.focal * (self.eye - road[..., 1]) / z
        return np.rint(pixels).astype(np.int32)

    def pixel(self, point: Point) -> tuple[int, int]:
        """Give the sub-pixel (column, row) of one road point, as `project` does for many."""
        x, y, z = point[0], point[1], max(point[2], NEAREST_M)
        column = self.width / 2 + self.focal * (x - self.aside + self.bend * z * z) / z
        return round(column), round(self.horizon + self.focal * (self.eye - y) / z)

    def ground(self) -> tuple[int, NDArray[np.float32], NDArray[np.float32]]:
        """Give the first row that shows ground, and from there down x [rows, W] and z [rows, 1] in metres."""
        first = int(self.horizon) + 1
        rows = np.arange(first, self.height, dtype=np.float32)[:, None] + np.float32(0.5)
        z = np.float32(self.focal * self.eye) / (rows - np.float32(self.horizon))
        columns = np.arange(self.width, dtype=np.float32)[None] + np.float32(0.5 - self.width / 2)
        x = columns * (z / np.float32(self.focal)) + np.float32(self.aside) - np.float32(self.bend) * z * z
        return first, x, z


class Canvas:
    """Three layers of one scene, as large as the camera's sub-pixels.

    Attributes:
        camera: what every stroke is seen through.
        image: uint8 [H, W, 3] RGB.
        labels: uint8 [H, W], values of `Surface`.
        depth: float32 [H, W] in metres; 0 where haze has no say: the sky and the vehicle itself.
    """

    def __init__(self, camera: Camera) -> None:
        self.camera = camera
        shape = (camera.height, camera.width)
        self.image: NDArray[np.uint8] = np.zeros((*shape, 3), np.uint8)
        self.labels: NDArray[np.uint8] = np.full(shape, Surface.SKY, np.uint8)
        self.depth: NDArray[np.float32] = np.zeros(shape, np.float32)

    def polygon(self, points: Sequence[Point], colour: Colour, surface: Surface) -> None:
        """Paint the convex hull of road points, at their mean depth."""
        hull = cv2.convexHull(self.camera.project(points))
        cv2.fillConvexPoly(self.image, hull, colour)
        cv2.fillConvexPoly(self.labels, hull, int(surface))
        cv2.fillConvexPoly(self.depth, hull, float(np.mean([point[2] for point in points])))

    def decorate(self, quads: ArrayLike, colour: Colour) -> None:
        """Paint road quads [N, 4, 3] into the image alone: windows and slats keep their wall's label."""
        pixels = self.camera.project(quads)
        if len(pixels):
            cv2.fillPoly(self.image, list(pixels), colour)

    def ellipse(self, centre: Point, radii: tuple[float, float], colour: Colour, surface: Surface) -> None:
        """Paint an upright ellipse that faces the camera; radii across and up in metres."""
        pixel = self.camera.pixel(centre)
        axes = (self._length(radii[0], centre[2]), self._length(radii[1], centre[2]))
        cv2.ellipse(self.image, pixel, axes, 0, 0, 360, colour, cv2.FILLED)
        cv2.ellipse(self.labels, pixel, axes, 0, 0, 360, int(surface), cv2.FILLED)
        cv2.ellipse(self.depth, pixel, axes, 0, 0, 360, centre[2], cv2.FILLED)

    def bar(self, ends: tuple[Point, Point], thickness: float, colour: Colour, surface: Surface) -> None:
        """Paint a straight bar between two road points; its thickness in metres."""
        first, last = (self.camera.pixel(end) for end in ends)
        pixels = max(self._length(thickness, ends[0][2]), SUPERSAMPLING)
        cv2.line(self.image, first, last, colour, pixels)
        cv2.line(self.labels, first, last, int(surface), pixels)
        cv2.line(self.depth, first, last, ends[0][2], pixels)

    def _length(self, metres: float, z: float) -> int:
        return max(1, round(self.camera.focal * metres / max(z, NEAREST_M)))
