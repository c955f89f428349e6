"""Two drawn road worlds with different label spaces, on disk: what demo, tutorial and tests learn from.

World A (`drawn_a`) is seen by day and labelled finely. World B (`drawn_b`) is seen at dusk and labelled
coarsely, and A's classes do not nest in its labels: a rider of A is parted into a human and a vehicle by B.
The test set looks like B and is labelled like A, so that it asks for A's classes in B's look, which neither
world alone teaches. `b_truth` labels B's images in A's classes, as no real data set does: the upper bound.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from lsu.runtime.errors import BackendError, InputError
from lsu.runtime.files import write_atomically

from .road_canvas import Surface
from .road_look import DAY, DUSK, Look
from .road_scene import draw_scene

Progress = Callable[[int, int], None]
"""Called with the number of frames that are written and of all."""

SMALLEST = 32


@dataclass(frozen=True)
class DrawnClass:
    """A class of a drawn world, as its files hold it, and the surfaces that it takes together."""

    name: str
    id: int
    colour: tuple[int, int, int]
    surfaces: tuple[Surface, ...]


# A and B each list every surface once. 255 and 0 are their file ids for void.
CLASSES_A: tuple[DrawnClass, ...] = (
    DrawnClass("sky", 0, (70, 130, 180), (Surface.SKY,)),
    DrawnClass("building", 1, (110, 110, 122), (Surface.BUILDING,)),
    DrawnClass("vegetation", 2, (64, 124, 44), (Surface.VEGETATION,)),
    DrawnClass("terrain", 3, (152, 224, 140), (Surface.TERRAIN,)),
    DrawnClass("road", 4, (128, 64, 128), (Surface.ROAD,)),
    DrawnClass("sidewalk", 5, (232, 104, 216), (Surface.SIDEWALK,)),
    DrawnClass("fence", 6, (190, 153, 130), (Surface.FENCE,)),
    DrawnClass("pole", 7, (246, 170, 40), (Surface.POLE,)),
    DrawnClass("sign", 8, (226, 222, 30), (Surface.SIGN,)),
    DrawnClass("car", 9, (20, 30, 160), (Surface.CAR,)),
    DrawnClass("truck", 10, (20, 120, 170), (Surface.TRUCK,)),
    DrawnClass("person", 11, (220, 30, 60), (Surface.PERSON,)),
    DrawnClass("rider", 12, (255, 110, 20), (Surface.RIDER, Surface.BICYCLE)),
)
VOID_A = DrawnClass("ego", 255, (0, 0, 0), (Surface.EGO,))

CLASSES_B: tuple[DrawnClass, ...] = (
    DrawnClass("drivable", 10, (96, 48, 96), (Surface.ROAD,)),
    DrawnClass("flat", 20, (200, 160, 180), (Surface.SIDEWALK, Surface.TERRAIN)),
    DrawnClass("structure", 30, (140, 120, 110), (Surface.BUILDING, Surface.FENCE)),
    DrawnClass("nature", 40, (80, 150, 60), (Surface.VEGETATION,)),
    DrawnClass("thin", 50, (250, 200, 60), (Surface.POLE, Surface.SIGN)),
    DrawnClass("vehicle", 60, (30, 60, 200), (Surface.CAR, Surface.TRUCK, Surface.BICYCLE)),
    DrawnClass("human", 70, (230, 60, 70), (Surface.PERSON, Surface.RIDER)),
    DrawnClass("sky", 80, (120, 170, 220), (Surface.SKY,)),
)
VOID_B = DrawnClass("ego", 0, (0, 0, 0), (Surface.EGO,))


@dataclass(frozen=True)
class WorldSettings:
    """What decides every byte of the worlds.

    Attributes:
        seed: 0 or more.
        train: frames of each world's `train` split.
        test: frames of A's `val` split and of the `test` split.
        size: height and width in pixels, at least 32 each.
    """

    seed: int = 0
    train: int = 200
    test: int = 60
    size: tuple[int, int] = (128, 192)

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise InputError(f"seed is {self.seed}; give 0 or more")
        if self.train < 1 or self.test < 1:
            raise InputError(f"{self.train} train and {self.test} test frames; give at least 1 of each")
        if min(self.size) < SMALLEST:
            height, width = self.size
            raise InputError(
                f"size is {height}x{width}; give at least {SMALLEST}x{SMALLEST} (height x width)"
            )


@dataclass(frozen=True)
class WorldPaths:
    """What was written: four `dataset.toml` files and the relation of B's labels to A's classes."""

    a: Path
    b: Path
    b_truth: Path
    test: Path
    relation: Path


@dataclass(frozen=True)
class _LabelFiles:
    """One folder of label files.

    Attributes:
        folder: where they lie.
        values: uint8 [surfaces] or [surfaces, 3]: the id or colour that stands for each surface.
    """

    folder: Path
    values: NDArray[np.uint8]


@dataclass(frozen=True)
class _SplitPlan:
    """One split to draw: its name seeds it, and its images may be labelled more than once."""

    name: str
    look: Look
    frames: int
    images: Path
    labels: tuple[_LabelFiles, ...]


def write_worlds(
    directory: Path, settings: WorldSettings | None = None, *, progress: Progress | None = None
) -> WorldPaths:
    """Draw both worlds and the test set into a new folder; the same settings give the same bytes.

    Args:
        directory: a folder that is empty or does not exist.
        settings: how many frames of which size; the defaults suit a minute of fitting on two CPU cores.
        progress: told after each frame.

    Returns:
        The written `dataset.toml` files and the relation.

    Raises:
        InputError: the folder is not empty, or is a file.
        BackendError: a file cannot be written.
    """
    settings = settings or WorldSettings()
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise InputError(f"{directory} is not an empty folder; name a new one or remove what is there")
    splits = _plan(directory, settings)
    total, done = sum(split.frames for split in splits), 0
    for split in splits:
        for index in range(split.frames):
            _write_frame(split, index, settings)
            done += 1
            if progress is not None:
                progress(done, total)
    return _write_descriptions(directory)


def _plan(directory: Path, settings: WorldSettings) -> tuple[_SplitPlan, ...]:
    ids = _values_of((entry.surfaces, entry.id) for entry in (*CLASSES_A, VOID_A))
    colours = _values_of((entry.surfaces, entry.colour) for entry in (*CLASSES_B, VOID_B))
    a, b, truth, test = (directory / name for name in ("a", "b", "b_truth", "test"))

    def of_a(folder: Path, split: str) -> _LabelFiles:
        return _LabelFiles(folder / "labels" / split, ids)

    b_labels = (_LabelFiles(b / "labels/train", colours), of_a(truth, "train"))
    return (
        _SplitPlan("a/train", DAY, settings.train, a / "images/train", (of_a(a, "train"),)),
        _SplitPlan("a/val", DAY, settings.test, a / "images/val", (of_a(a, "val"),)),
        _SplitPlan("b/train", DUSK, settings.train, b / "images/train", b_labels),
        _SplitPlan("test/test", DUSK, settings.test, test / "images/test", (of_a(test, "test"),)),
    )


def _values_of(
    pairs: Iterable[tuple[tuple[Surface, ...], int | tuple[int, int, int]]],
) -> NDArray[np.uint8]:
    """Give the file value of each surface, uint8 [surfaces] for ids or [surfaces, 3] for colours."""
    value_of = {surface: value for surfaces, value in pairs for surface in surfaces}
    return np.array([value_of[surface] for surface in Surface], np.uint8)


def _write_frame(split: _SplitPlan, index: int, settings: WorldSettings) -> None:
    """Draw and write one frame, which depends on the seed, its split's name, its index and the size alone."""
    seeds = np.random.SeedSequence([settings.seed, *split.name.encode(), index])
    image, surfaces = draw_scene(split.look, np.random.Generator(np.random.Philox(seeds)), size=settings.size)
    name = f"{index:04d}.png"
    _write_png(split.images / name, image)
    for labels in split.labels:
        _write_png(labels.folder / name, labels.values[surfaces])


def _write_png(path: Path, pixels: NDArray[np.uint8]) -> None:
    """Write grey [H, W] or RGB [H, W, 3] pixels."""
    written, data = cv2.imencode(".png", pixels if pixels.ndim == 2 else pixels[..., ::-1])
    if not written:
        raise BackendError(f"{path}: OpenCV could not encode it as PNG")
    # Many small files that can be drawn again: waiting for the disk after each would take most of the time.
    write_atomically(path, data.tobytes(), durable=False)


def _write_descriptions(directory: Path) -> WorldPaths:
    """Write label spaces, data sets and the relation; they come last, so that a broken-off run has none."""
    paths = WorldPaths(
        **{name: directory / name / "dataset.toml" for name in ("a", "b", "b_truth", "test")},
        relation=directory / "b_to_a.toml",
    )
    text_of = {
        directory / "a/drawn_a.toml": _label_space_text("drawn_a", CLASSES_A, VOID_A),
        directory / "b/drawn_b.toml": _label_space_text("drawn_b", CLASSES_B, VOID_B),
        paths.relation: _relation_text(),
        paths.a: _dataset_text("drawn_a", "drawn_a.toml", ("train", "val")),
        paths.b: _dataset_text("drawn_b", "drawn_b.toml", ("train",), encoding="colours"),
        paths.b_truth: _dataset_text("drawn_b_truth", "../a/drawn_a.toml", ("train",), images="../b/images"),
        paths.test: _dataset_text("drawn_test", "../a/drawn_a.toml", ("test",)),
    }
    for path, text in text_of.items():
        write_atomically(path, text.encode())
    return paths


def _label_space_text(name: str, classes: tuple[DrawnClass, ...], void: DrawnClass) -> str:
    rows = [
        f'  {{ name = "{entry.name}", id = {entry.id}, colour = {list(entry.colour)} }},'
        for entry in (*classes, void)
    ]
    head = [f'name = "{name}"', 'source = "drawn by lsu synth"', 'licence = "CC0-1.0"']
    return "\n".join([*head, "classes = [", *rows[:-1], "]", "void = [", rows[-1], "]", ""])


def _dataset_text(
    name: str, label_space: str, splits: tuple[str, ...], *, images: str = "images", encoding: str = "ids"
) -> str:
    lines = [f'name = "{name}"', f'label_space = "{label_space}"']
    for split in splits:
        lines += ["", f"[splits.{split}]", f'images = "{images}/{split}/*.png"']
        lines += [f'labels = "labels/{split}/*.png"', f'encoding = "{encoding}"']
    return "\n".join([*lines, ""])


def _relation_text() -> str:
    """Give what a person who knows both label spaces would write: which classes of A a label of B may be."""
    lines = ['name = "drawn_b-to-drawn_a"', 'source = "a/drawn_a.toml"', 'foreign = "b/drawn_b.toml"', ""]
    lines.append("[allow]")
    for label in CLASSES_B:
        allowed = [f'"{entry.name}"' for entry in CLASSES_A if set(entry.surfaces) & set(label.surfaces)]
        lines.append(f"{label.name} = [{', '.join(allowed)}]")
    return "\n".join([*lines, ""])
