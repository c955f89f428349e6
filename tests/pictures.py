"""Small images, labels and data sets that tests write to disk."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from lsu.runtime import LabelClass, LabelSpace, ModelSpec
from lsu.runtime.image import png_from_pixels

SOURCE = LabelSpace("source", tuple(LabelClass(n) for n in ("road", "car", "person", "sky")))
FOREIGN = LabelSpace(
    "foreign",
    (
        LabelClass("ground", 7, (10, 0, 0)),
        LabelClass("object", 20, (0, 20, 0)),
        LabelClass("above", 33, (0, 0, 30)),
    ),
    (LabelClass("ego", 0, (1, 2, 3)),),
)


class BrightnessEngine:
    """Scores of class k fall with the distance of a 4x4 block's mean red from 50 k + 20."""

    spec = ModelSpec(SOURCE, fit="pad", multiple=4)
    identity = "brightness"

    def infer(self, images: np.ndarray) -> np.ndarray:
        n, h, w, _ = images.shape
        red = images[..., 0].reshape(n, h // 4, 4, w // 4, 4).mean((2, 4), dtype=np.float32)
        centres = np.arange(4, dtype=np.float32) * 50 + 20
        return np.ascontiguousarray(-np.abs(red[:, None] - centres[:, None, None]) / 10, np.float32)

    def close(self) -> None:
        pass


def write_png(path: Path, pixels: npt.NDArray[np.uint8]) -> Path:
    """A PNG of uint8 [H,W] or RGB uint8 [H,W,3]."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(png_from_pixels(pixels, rgb=pixels.ndim == 3))
    return path


def write_dataset(folder: Path, *, frames: int = 5, size: tuple[int, int] = (24, 40), seed: int = 0) -> Path:
    """A data set in FOREIGN with one split `train`, images of blocks and ids to match; its dataset.toml."""
    generator = np.random.default_rng(seed)
    ids = np.array([c.id for c in FOREIGN.classes] + [0], np.uint8)
    for k in range(frames):
        blocks = generator.integers(0, 4, (size[0] // 8, size[1] // 8)).repeat(8, 0).repeat(8, 1)
        noise = generator.integers(0, 40, (*size, 3))
        image = (blocks[..., None] * 50 + noise).astype(np.uint8)
        write_png(folder / f"images/train/f{k}.png", image)
        write_png(folder / f"labels/train/f{k}_ids.png", ids[blocks])
    (folder / "foreign.toml").write_text(FOREIGN.to_toml())
    path = folder / "dataset.toml"
    path.write_text(
        'name = "blocks"\nlabel_space = "foreign.toml"\n[splits.train]\n'
        'images = "images/train/*.png"\nlabels = "labels/train/*_ids.png"\nencoding = "ids"\n'
    )
    return path
