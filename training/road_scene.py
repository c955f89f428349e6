"""One drawn road scene: an image and, pixel by pixel, what it shows.

The ground is computed per pixel from the camera's geometry; all that stands on it is painted over it from far
to near (painter's algorithm); then air, lens and sensor are imitated: haze, light, blur and noise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from .road_canvas import SUPERSAMPLING, Camera, Canvas, Colour, Surface
from .road_look import Look
from .road_objects import Box, Stage, building, car, fence, foliage, lamp, person, rider, sign, tree, truck

FARTHEST_M = 95.0
# Grass between a pavement, or the asphalt where there is none, and the lots.
VERGE_M = 0.4


@dataclass(frozen=True)
class Street:
    """The ground plan in metres from the road's centre line.

    Attributes:
        half: where the asphalt ends on both sides.
        left_kerb: where the lots begin on the left.
        right_kerb: where the lots begin on the right.
        crossing: distance of the zebra crossing from the camera; negative without one.
    """

    half: float
    left_kerb: float
    right_kerb: float
    crossing: float

    def kerb(self, side: int) -> float:
        """Give the distance from the centre line at which the lots on a side (-1 left, 1 right) begin."""
        return self.left_kerb if side < 0 else self.right_kerb


def draw_scene(
    look: Look, rng: np.random.Generator, *, size: tuple[int, int]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Draw a scene.

    Args:
        look: the world's appearance.
        rng: decides everything else; the same state gives the same scene.
        size: height and width in pixels.

    Returns:
        The image uint8 [H, W, 3] RGB, and labels uint8 [H, W] that hold values of `Surface`.
    """
    street = _street(rng)
    stage = Stage(Canvas(_camera(look, rng, street, size)), look, rng, 1 if rng.random() < 0.5 else -1)
    _paint_sky(stage)
    _paint_ground(stage, street)
    props = _props(stage, street)
    _cast_shadows(stage, street, [place for place, _ in props])
    for side in (-1, 1):
        _paint_lots(stage, street, side)
    for (x, z), paint in sorted(props, key=lambda prop: -prop[0][1]):
        paint(stage, x, z)
    return _photograph(stage, size)


def _street(rng: np.random.Generator) -> Street:
    half = float(rng.uniform(3.4, 5.6))
    pavements = rng.uniform(1.6, 3.6, 2) * (rng.random(2) < 0.8)
    left, right = (half + float(pavement) + VERGE_M for pavement in pavements)
    return Street(half, left, right, float(rng.uniform(7, 16)) if rng.random() < 0.2 else -100.0)


def _camera(look: Look, rng: np.random.Generator, street: Street, size: tuple[int, int]) -> Camera:
    height, width = (SUPERSAMPLING * length for length in size)
    return Camera(
        height=height,
        width=width,
        focal=width * float(rng.uniform(0.72, 0.88)),
        horizon=height * float(rng.uniform(0.40, 0.48)),
        eye=look.eye * float(rng.uniform(0.92, 1.08)),
        aside=float(rng.uniform(0.35, 0.55)) * street.half,
        bend=float(rng.normal(0, 0.0007)),
    )


def _smooth_noise(rng: np.random.Generator, shape: tuple[int, int], cells: int) -> NDArray[np.float32]:
    """Draw noise float32 of a shape, about -1 to 1, whose patches are `shape` / `cells` large."""
    coarse = rng.uniform(-1, 1, (cells, cells)).astype(np.float32)
    noise: NDArray[np.float32] = cv2.resize(coarse, shape[::-1], interpolation=cv2.INTER_CUBIC)
    return noise


def _paint_sky(stage: Stage) -> None:
    """Paint a gradient with clouds, and hills or far houses along the horizon."""
    canvas, look, rng = stage.canvas, stage.look, stage.rng
    rows = int(canvas.camera.horizon) + 1
    down = (np.arange(rows, dtype=np.float32) / rows)[:, None, None]
    top, bottom = np.array(look.sky, np.float32)
    sky = top + (bottom - top) * down  # [rows, 1, 3]
    shape = (rows, canvas.camera.width)
    cloudy = _smooth_noise(rng, shape, 5) + 0.5 * _smooth_noise(rng, shape, 11)
    cover = np.clip(1.6 * (cloudy - stage.between(0.0, 0.9)), 0, 0.85)[..., None]
    canvas.image[:rows] = np.clip(sky + (np.array(look.cloud, np.float32) - sky) * cover, 0, 255)
    x = -150.0
    while x < 150:
        wide, tall = stage.between(14, 34), stage.between(3, 9)
        if stage.chance(0.6):
            canvas.ellipse((x, 0.0, 140.0), (wide, tall), stage.pick(look.leaves), Surface.VEGETATION)
        else:
            block = Box((x, x + 0.6 * wide), (0.0, tall), (140.0, 150.0))
            canvas.polygon(block.near(), stage.pick(look.walls), Surface.BUILDING)
        x += 0.8 * wide


def _paint_ground(stage: Stage, street: Street) -> None:
    """Paint asphalt with its markings, pavements and grass, textured in road metres."""
    canvas, look = stage.canvas, stage.look
    first, x, z = canvas.camera.ground()
    texture = _smooth_noise(stage.rng, (256, 256), 128) + 0.7 * _smooth_noise(stage.rng, (256, 256), 16)
    across, along = _phase(x, 18.0) * 255, np.broadcast_to(_phase(z, 18.0) * 255, x.shape)
    grain = cv2.remap(texture, across, np.ascontiguousarray(along), cv2.INTER_LINEAR)
    aside = np.abs(x)
    labels = np.full(x.shape, Surface.TERRAIN, np.uint8)
    labels[(x > -street.left_kerb + VERGE_M) & (x < street.right_kerb - VERGE_M)] = Surface.SIDEWALK
    labels[aside < street.half] = Surface.ROAD
    table = np.zeros((len(Surface), 3), np.float32)
    rough = np.zeros(len(Surface), np.float32)
    for surface, colour, strength in (
        (Surface.TERRAIN, look.grass, 0.2),
        (Surface.SIDEWALK, look.pavement, 0.06),
        (Surface.ROAD, look.asphalt, 0.07),
    ):
        table[surface], rough[surface] = stage.pick((colour,), 0.06), strength
    factor = 1 + rough[labels] * grain
    paved = labels == Surface.SIDEWALK
    factor[paved & ((_phase(x, 0.9) < 0.08) | (_phase(z, 0.9) < 0.08)) & (z < 25)] *= 0.82
    factor[paved & (aside < street.half + 0.22)] *= 1.15
    image = np.take(table, labels, axis=0) * factor[..., None]
    image[_marked(stage, street, x, z)] = stage.pick(((222, 220, 208),), 0.06)
    canvas.image[first:] = np.clip(image, 0, 255)
    canvas.labels[first:] = labels
    canvas.depth[first:] = np.minimum(z, 150)


def _phase(metres: NDArray[np.float32], period: float) -> NDArray[np.float32]:
    """Give where in its period each length lies, 0 to 1."""
    turns = metres * np.float32(1 / period)
    phase: NDArray[np.float32] = turns - np.floor(turns)
    return phase


def _marked(
    stage: Stage, street: Street, x: NDArray[np.float32], z: NDArray[np.float32]
) -> NDArray[np.bool_]:
    """Tell which ground pixels carry paint: middle dashes, edge lines, sometimes a crossing."""
    aside = np.abs(x)
    dashes = (aside < 0.09) & (_phase(z + np.float32(stage.between(0, 6)), 6.0) < 0.5)
    edges = np.abs(aside - (street.half - 0.35)) < (0.07 if stage.chance(0.6) else 0.0)
    stripes = (np.abs(z - street.crossing) < 1.5) & (_phase(x, 1.0) < 0.5) & (aside < street.half - 0.5)
    marked: NDArray[np.bool_] = dashes | edges | stripes
    return marked


Prop = tuple[tuple[float, float], Callable[[Stage, float, float], None]]


def _props(stage: Stage, street: Street) -> list[Prop]:
    """Choose where the single objects between the lots stand, none inside another vehicle."""
    look, rng, half = stage.look, stage.rng, street.half
    props: list[Prop] = []
    taken: dict[float, list[float]] = {}
    lanes = (-half + 1.3, -0.5 * half + 0.3, 0.5 * half, half - 1.3)
    for count, paint, room in ((look.trucks, truck, 10.0), (look.cars, car, 6.5)):
        for _ in range(int(rng.poisson(count))):
            lane, z = lanes[int(rng.integers(len(lanes)))], 4.5 + 45 * float(rng.random()) ** 1.5
            others = [other for near, zs in taken.items() if abs(near - lane) < 2.4 for other in zs]
            if all(abs(z - other) > room for other in others):
                taken.setdefault(lane, []).append(z)
                props.append(((lane, z), paint))
    for _ in range(int(rng.poisson(look.people))):
        side = 1 if stage.chance(0.5) else -1
        x = (
            stage.between(half + 0.3, street.kerb(side) + 0.6)
            if stage.chance(0.8)
            else stage.between(0, half)
        )
        props.append(((side * x, 4.0 + 15 * float(rng.random()) ** 1.4), person))
    for _ in range(int(rng.poisson(look.riders))):
        x = (half - stage.between(0.4, 1.6)) * (1 if stage.chance(0.6) else -1)
        props.append(((x, 4.5 + 15 * float(rng.random()) ** 1.4), rider))
    for side in (-1, 1):
        z = stage.between(5, 14)
        while z < 42:
            paint = sign if stage.chance(0.5) else lamp
            props.append(((side * (half + 0.45), z), paint))
            z += stage.between(6, 18)
    return props


def _cast_shadows(stage: Stage, street: Street, places: list[tuple[float, float]]) -> None:
    """Darken the ground beside objects and in front of the lots on the sunny side; labels stay."""
    canvas = stage.canvas
    mask = np.zeros(canvas.labels.shape, np.uint8)
    away = -stage.sun
    for x, z in places:
        wide = 1.3 if abs(x) < street.half else 0.5
        corners = [(x - wide, 0, z), (x + wide, 0, z), (x + away * wide * 2, 0, z + 3), (x, 0, z + 3)]
        cv2.fillConvexPoly(mask, cv2.convexHull(canvas.camera.project(corners)), 255)
    edge, reach = stage.sun * street.kerb(stage.sun), stage.between(0.5, 4.0)
    strip = [(edge, 0, 4), (edge - stage.sun * reach, 0, 4), (edge - stage.sun * reach, 0, 60), (edge, 0, 60)]
    cv2.fillConvexPoly(mask, cv2.convexHull(canvas.camera.project(strip)), 255)
    rows = slice(int(canvas.camera.horizon) + 1, None)
    dark = cv2.blur(mask[rows], (5, 5)).astype(np.float32) * (stage.look.shadow / 255)
    canvas.image[rows] = canvas.image[rows] * (1 - dark[..., None])


def _paint_lots(stage: Stage, street: Street, side: int) -> None:
    """Paint what stands beyond the pavement on a side, a house or a garden per lot, from far to near."""
    kerb, look = street.kerb(side), stage.look
    z = FARTHEST_M
    while z > 5:
        deep = stage.between(8, 16)
        near = z - deep
        if stage.chance(look.built):
            inner = kerb + stage.between(0.4, 4.0)
            x = sorted((side * inner, side * (inner + stage.between(7, 14))))
            building(stage, Box((x[0], x[1]), (0, stage.between(4, 14)), (max(near, 1.0), z - 0.8)))
        else:
            _paint_garden(stage, side * kerb, side, (near, z))
        z = near


def _paint_garden(stage: Stage, edge: float, side: int, z: tuple[float, float]) -> None:
    """Paint a lot without a house: trees and bushes, sometimes behind a fence."""
    for place in sorted(stage.rng.uniform(z[0], z[1], int(stage.rng.integers(0, 4))), reverse=True):
        if place > 4:
            tree(stage, edge + side * stage.between(3.5, 10), float(place))
    for place in sorted(stage.rng.uniform(z[0], z[1], int(stage.rng.integers(0, 3))), reverse=True):
        size = stage.between(0.6, 1.2)
        if place > 4:
            foliage(
                stage, (edge + side * stage.between(3.2, 6), 0.6 * size, float(place)), (size * 1.3, size)
            )
    if stage.chance(stage.look.fenced):
        fence(stage, edge + side * stage.between(0.4, 3.0), (max(z[0], 1.0), z[1]))


def _photograph(stage: Stage, size: tuple[int, int]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Imitate air, lens and sensor, and give image and labels in pixels."""
    canvas, look = stage.canvas, stage.look
    middle = SUPERSAMPLING // 2
    if look.bonnet:
        _paint_bonnet(canvas)
    labels = np.ascontiguousarray(canvas.labels[middle::SUPERSAMPLING, middle::SUPERSAMPLING])
    image = cv2.resize(canvas.image, size[::-1], interpolation=cv2.INTER_AREA).astype(np.float32)
    depth = cv2.resize(canvas.depth, size[::-1], interpolation=cv2.INTER_AREA)
    clear = np.exp(-depth / np.float32(look.visibility))[..., None]
    image = image * clear + np.array(look.haze, np.float32) * (1 - clear)
    exposure = np.float32(stage.between(0.9, 1.1))
    image = (image - 110) * np.float32(look.contrast) + 110
    image *= np.array(look.light, np.float32) * exposure
    image = cv2.GaussianBlur(image, (0, 0), look.blur)
    image += stage.rng.standard_normal(image.shape, dtype=np.float32) * np.float32(look.noise)
    return np.clip(np.rint(image), 0, 255).astype(np.uint8), labels


def _paint_bonnet(canvas: Canvas) -> None:
    """Paint the vehicle's own bonnet along the lower edge, with a light along its rim."""
    height, width = canvas.labels.shape
    centre, axes = (width // 2, height + height // 20), (int(0.46 * width), int(0.13 * height))
    rim: Colour = (92, 96, 110)
    cv2.ellipse(canvas.image, centre, axes, 0, 180, 360, (44, 46, 56), cv2.FILLED)
    cv2.ellipse(canvas.labels, centre, axes, 0, 180, 360, int(Surface.EGO), cv2.FILLED)
    cv2.ellipse(canvas.depth, centre, axes, 0, 180, 360, 0.0, cv2.FILLED)
    inner = (axes[0] - 2 * SUPERSAMPLING, axes[1] - 2 * SUPERSAMPLING)
    cv2.ellipse(canvas.image, centre, inner, 0, 200, 340, rim, SUPERSAMPLING)
