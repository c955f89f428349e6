"""What stands along a drawn road: buildings, trees, fences, poles, signs, vehicles and people.

Each function paints one object, from its far parts to its near ones, at a place in road metres.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .road_canvas import Canvas, Colour, Point, Surface
from .road_look import Look

SKIN: tuple[Colour, ...] = ((224, 184, 152), (170, 120, 88), (104, 70, 50))
TYRE: Colour = (28, 28, 30)


@dataclass(frozen=True)
class Stage:
    """What one scene is drawn with; `sun` is the side that light comes from, -1 left or 1 right."""

    canvas: Canvas
    look: Look
    rng: np.random.Generator
    sun: int

    def pick(self, colours: tuple[Colour, ...], spread: float = 0.08) -> Colour:
        """Draw one of the colours and vary its brightness by `spread` and its hue by a little less."""
        colour = colours[int(self.rng.integers(len(colours)))]
        factors = (1 + self.rng.normal(0, spread)) * (1 + self.rng.normal(0, spread / 2, 3))
        red, green, blue = np.clip(np.multiply(colour, factors), 4, 251)
        return float(red), float(green), float(blue)

    def between(self, low: float, high: float) -> float:
        """Draw a number uniformly."""
        return float(self.rng.uniform(low, high))

    def chance(self, probability: float) -> bool:
        """Toss a coin that falls on True with this probability."""
        return bool(self.rng.random() < probability)


@dataclass(frozen=True)
class Box:
    """An upright box along the road: the lower and the upper bound per axis in metres."""

    x: tuple[float, float]
    y: tuple[float, float]
    z: tuple[float, float]

    def near(self) -> list[Point]:
        """Give the corners of the face towards the camera."""
        return [(x, y, self.z[0]) for x, y in _corners(self.x, self.y)]

    def side(self, x: float) -> list[Point]:
        """Give the corners of the face along the road at x."""
        return [(x, y, z) for z, y in _corners(self.z, self.y)]


def _corners(across: tuple[float, float], up: tuple[float, float]) -> list[tuple[float, float]]:
    return [(across[0], up[0]), (across[1], up[0]), (across[1], up[1]), (across[0], up[1])]


def _dim(colour: Colour, factor: float) -> Colour:
    red, green, blue = (min(255.0, channel * factor) for channel in colour)
    return red, green, blue


def _visible_side(stage: Stage, box: Box) -> float:
    """Give x of the face along the road that the camera sees, or the near one when it stands between both."""
    return min(box.x, key=lambda x: abs(x - stage.canvas.camera.aside))


def _mark_side(stage: Stage, box: Box, colour: Colour) -> None:
    """Paint over a box's visible side, unless the camera stands straight behind it and sees none."""
    if not box.x[0] <= stage.canvas.camera.aside <= box.x[1]:
        stage.canvas.decorate([box.side(_visible_side(stage, box))], colour)


def _box(stage: Stage, box: Box, colour: Colour, surface: Surface) -> None:
    """Paint a box whose roof is light, whose near face is plain and whose side is lit or in shade."""
    side = _visible_side(stage, box)
    outward = -1 if side == box.x[0] else 1
    lit = 1.12 if outward == stage.sun else 0.72
    stage.canvas.polygon(
        box.near() + [(x, y, box.z[1]) for x, y, _ in box.near()], _dim(colour, 1.2), surface
    )
    stage.canvas.polygon(box.side(side), _dim(colour, lit), surface)
    stage.canvas.polygon(box.near(), colour, surface)


def _panes(across: tuple[float, float], up: tuple[float, float], pitch: float) -> np.ndarray:
    """Give panes [N, 4, 2] (across, up) on a regular grid with about `pitch` metres between their centres."""
    columns = max(1, round((across[1] - across[0]) / pitch))
    rows = max(1, round((up[1] - up[0]) / pitch))
    width, height = (across[1] - across[0]) / columns, (up[1] - up[0]) / rows
    left = across[0] + (np.arange(columns) + 0.25) * width
    low = up[0] + (np.arange(rows) + 0.3) * height
    left, low = (grid.ravel() for grid in np.meshgrid(left, low))
    right, high = left + 0.5 * width, low + 0.5 * height
    return np.stack(
        [np.stack(p, -1) for p in ((left, low), (right, low), (right, high), (left, high))], axis=1
    )


def building(stage: Stage, box: Box) -> None:
    """Paint a building with rows of windows, of which some are lit, and an edge along its roof."""
    colour = stage.pick(stage.look.walls, 0.12)
    _box(stage, box, colour, Surface.BUILDING)
    side, pitch = _visible_side(stage, box), stage.between(2.6, 4.0)
    along, across = _panes(box.z, box.y, pitch), _panes(box.x, box.y, pitch)
    quads = np.concatenate(
        [
            np.stack((np.full(along.shape[:2], side), along[..., 1], along[..., 0]), axis=-1),
            np.stack((across[..., 0], across[..., 1], np.full(across.shape[:2], box.z[0])), axis=-1),
        ]
    )
    chosen = stage.rng.integers(len(stage.look.windows), size=len(quads))
    for index, window in enumerate(stage.look.windows):
        stage.canvas.decorate(quads[chosen == index], window)
    eaves = (box.y[1] - 0.5, box.y[1])
    stage.canvas.polygon(Box(box.x, eaves, box.z).side(side), _dim(colour, 0.6), Surface.BUILDING)
    stage.canvas.polygon(Box(box.x, eaves, box.z).near(), _dim(colour, 0.6), Surface.BUILDING)


def foliage(stage: Stage, centre: Point, radii: tuple[float, float]) -> None:
    """Paint a crown or a bush: discs of several shades, dark below and light on the sunny side."""
    x, y, z = centre
    base = stage.pick(stage.look.leaves, 0.1)
    count = 22
    angle, reach = stage.rng.uniform(0, 2 * np.pi, count), np.sqrt(stage.rng.uniform(0, 0.6, count))
    across, up = reach * np.cos(angle), reach * np.sin(angle)
    shade = 0.85 + 0.3 * up + 0.15 * stage.sun * across + stage.rng.normal(0, 0.08, count)
    stage.canvas.ellipse(centre, (radii[0] * 0.8, radii[1] * 0.8), _dim(base, 0.65), Surface.VEGETATION)
    for dx, dy, factor in sorted(zip(across, up, shade, strict=True), key=lambda disc: disc[2]):
        place = (x + float(dx) * radii[0], y + float(dy) * radii[1], z)
        stage.canvas.ellipse(
            place, (0.34 * radii[0], 0.34 * radii[1]), _dim(base, float(factor)), Surface.VEGETATION
        )


def tree(stage: Stage, x: float, z: float) -> None:
    """Paint a tree: its trunk belongs to the vegetation."""
    trunk, radius = stage.between(1.6, 3.0), stage.between(1.3, 2.6)
    stage.canvas.bar(((x, 0, z), (x, trunk + radius, z)), 0.35, stage.look.trunk, Surface.VEGETATION)
    foliage(stage, (x, trunk + radius, z), (radius, radius * stage.between(1.0, 1.5)))


def fence(stage: Stage, x: float, z: tuple[float, float]) -> None:
    """Paint a fence of slats, or a wall without any, along the road at x."""
    colour, top = stage.pick(stage.look.fences), stage.between(1.2, 2.1)
    box = Box((x, x), (0, top), z)
    stage.canvas.polygon(box.side(x), colour, Surface.FENCE)
    cap = Box((x, x), (top - 0.18, top), z)
    if stage.chance(0.75):
        gaps = np.arange(z[0] + 0.2, z[1] - 0.3, 0.6)
        quads = [[(x, 0.15, g), (x, 0.15, g + 0.25), (x, top, g + 0.25), (x, top, g)] for g in gaps]
        stage.canvas.decorate(np.reshape(quads, (-1, 4, 3)), _dim(colour, 0.5))
    stage.canvas.polygon(cap.side(x), _dim(colour, 1.15), Surface.FENCE)


def lamp(stage: Stage, x: float, z: float) -> None:
    """Paint a lamp post whose arm reaches over the road."""
    colour, top = stage.pick(stage.look.poles), stage.between(5.0, 7.5)
    reach = x - np.sign(x) * 1.6
    stage.canvas.bar(((x, 0, z), (x, top, z)), 0.32, colour, Surface.POLE)
    stage.canvas.bar(((x, top, z), (float(reach), top + 0.2, z)), 0.26, colour, Surface.POLE)


def sign(stage: Stage, x: float, z: float) -> None:
    """Paint a traffic sign, round, square or triangular, with its pole."""
    colour, size = stage.pick(stage.look.signs, 0.05), stage.between(0.5, 0.75)
    y = stage.between(2.2, 2.8)
    stage.canvas.bar(((x, 0, z), (x, y, z)), 0.22, stage.pick(stage.look.poles), Surface.POLE)
    white = stage.pick(((225, 225, 220),), 0.05)
    shape = int(stage.rng.integers(3))
    for scale, paint in ((1.0, colour), (0.6, white)):
        r = size * scale
        if shape == 0:
            stage.canvas.ellipse((x, y, z), (r, r), paint, Surface.SIGN)
        elif shape == 1:
            stage.canvas.polygon(Box((x - r, x + r), (y - r, y + r), (z, z)).near(), paint, Surface.SIGN)
        else:
            corners = [(x - r, y - 0.7 * r, z), (x + r, y - 0.7 * r, z), (x, y + r, z)]
            stage.canvas.polygon(corners, paint, Surface.SIGN)


def _wheels(stage: Stage, box: Box, radius: float, surface: Surface) -> None:
    """Paint the tyres that show: two on the visible side and two under the near face."""
    side = _visible_side(stage, box)
    for z in (box.z[1] - 0.2 * (box.z[1] - box.z[0]), box.z[0] + 0.2 * (box.z[1] - box.z[0])):
        rim = np.arange(8) * (np.pi / 4)
        ring = [(side, radius + radius * float(np.sin(a)), z + radius * float(np.cos(a))) for a in rim]
        stage.canvas.polygon(ring, TYRE, surface)
    for x in (box.x[0] + 0.2, box.x[1] - 0.2):
        stage.canvas.polygon(Box((x - 0.14, x + 0.14), (0, 0.4), (box.z[0],) * 2).near(), TYRE, surface)


def car(stage: Stage, x: float, z: float) -> None:
    """Paint a car along the road: body, cabin with windows, lights and wheels."""
    colour, half = stage.pick(stage.look.paints), stage.between(0.82, 0.95)
    length, waist, top = stage.between(3.8, 4.6), stage.between(0.8, 0.95), stage.between(1.4, 1.65)
    body = Box((x - half, x + half), (0.25, waist), (z, z + length))
    cabin = Box((x - half + 0.12, x + half - 0.12), (waist, top), (z + 0.3, z + 0.7 * length))
    _wheels(stage, body, 0.33, Surface.CAR)
    _box(stage, cabin, colour, Surface.CAR)
    glass: Colour = (46, 56, 66)
    pane = Box(
        (cabin.x[0] + 0.1, cabin.x[1] - 0.1), (waist, top - 0.12), (cabin.z[0] + 0.2, cabin.z[1] - 0.2)
    )
    _mark_side(stage, Box(cabin.x, pane.y, pane.z), glass)
    stage.canvas.decorate([Box(pane.x, pane.y, cabin.z).near()], glass)
    _box(stage, body, colour, Surface.CAR)
    lights: Colour = (190, 30, 28) if x > 0 else (240, 238, 215)
    for inner, outer in ((-half + 0.08, -half + 0.38), (half - 0.38, half - 0.08)):
        stage.canvas.decorate([Box((x + inner, x + outer), (0.58, 0.76), body.z).near()], lights)


def truck(stage: Stage, x: float, z: float) -> None:
    """Paint a lorry or a van: a tall load box with a darker frame below and a stripe."""
    half, top, length = stage.between(1.05, 1.25), stage.between(2.7, 3.5), stage.between(5.5, 8.5)
    colour = stage.pick(stage.look.paints)
    load = Box((x - half, x + half), (0.8, top), (z, z + length))
    frame = Box((x - half + 0.1, x + half - 0.1), (0.35, 0.8), (z, z + length))
    _wheels(stage, frame, 0.48, Surface.TRUCK)
    _box(stage, frame, (58, 58, 62), Surface.TRUCK)
    _box(stage, load, colour, Surface.TRUCK)
    stripe, low = stage.pick(stage.look.signs), stage.between(1.2, top - 1.0)
    _mark_side(stage, Box(load.x, (low, low + 0.5), (z + 0.2, z + length - 0.2)), stripe)
    if x < 0:
        screen = Box((x - half + 0.15, x + half - 0.15), (1.6, min(2.6, top - 0.15)), load.z)
        stage.canvas.decorate([screen.near()], (50, 60, 70))
    else:
        doors = Box((x - 0.03, x + 0.03), (0.9, top - 0.1), load.z)
        stage.canvas.decorate([doors.near()], _dim(colour, 0.55))


def person(stage: Stage, x: float, z: float) -> None:
    """Paint a pedestrian: two legs, a coat and a head."""
    tall, stride = stage.between(1.55, 1.95), stage.between(0.05, 0.3)
    coat, trousers = stage.pick(stage.look.clothes), _dim(stage.pick(stage.look.clothes), 0.6)
    for foot in (-stride, stride):
        stage.canvas.bar(((x + foot, 0.05, z), (x, 0.5 * tall, z)), 0.19, trousers, Surface.PERSON)
    stage.canvas.ellipse((x, 0.64 * tall, z), (0.27, 0.21 * tall), coat, Surface.PERSON)
    stage.canvas.ellipse((x, 0.93 * tall, z), (0.14, 0.16), stage.pick(SKIN), Surface.PERSON)


def rider(stage: Stage, x: float, z: float) -> None:
    """Paint a bicycle, from the side or from behind, and the one who rides it as a surface of its own."""
    canvas, frame = stage.canvas, stage.pick(stage.look.signs)
    coat, lean = stage.pick(stage.look.clothes), 0.0
    if stage.chance(0.6):
        lean = 0.22 * (1 if stage.chance(0.5) else -1)
        for axle in (x - 0.55, x + 0.55):
            canvas.ellipse((axle, 0.36, z), (0.36, 0.36), TYRE, Surface.BICYCLE)
            canvas.ellipse((axle, 0.36, z), (0.26, 0.26), (112, 112, 112), Surface.BICYCLE)
        for bottom, upper in (
            ((x - 0.55, 0.36), (x, 0.85)),
            ((x, 0.35), (x, 0.85)),
            ((x, 0.85), (x + 0.55, 0.36)),
        ):
            canvas.bar(((*bottom, z), (*upper, z)), 0.09, frame, Surface.BICYCLE)
    else:
        canvas.ellipse((x, 0.4, z), (0.12, 0.4), TYRE, Surface.BICYCLE)
        canvas.bar(((x - 0.35, 0.98, z), (x + 0.35, 0.98, z)), 0.09, frame, Surface.BICYCLE)
    canvas.bar(((x, 0.45, z), (x + 0.4 * lean, 0.95, z)), 0.2, _dim(coat, 0.55), Surface.RIDER)
    canvas.ellipse((x + 0.5 * lean, 1.3, z), (0.26, 0.36), coat, Surface.RIDER)
    canvas.ellipse((x + lean, 1.74, z), (0.16, 0.17), stage.pick(stage.look.signs), Surface.RIDER)
    canvas.ellipse((x + lean, 1.68, z), (0.12, 0.12), stage.pick(SKIN), Surface.RIDER)
