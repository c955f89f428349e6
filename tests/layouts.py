"""Tiny copies of the layouts in which public sets come, written out by hand: one frame of each split, 8x6.

Every label shows one class on the left half and another on the right half.
"""

import base64
import json
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

HEIGHT, WIDTH = 6, 8


@dataclass(frozen=True)
class Layout:
    """One frame of a split as the set ships it.

    Attributes:
        split: the split's name in the catalogue.
        key: the key that the frame must get.
        image: its path below the root.
        label: the label file's, "" if the split has none.
        kind: how the label is written.
        halves: what the label file says left and right: ids or colours.
        names: the class names that these mean.
        lists: further text files: path -> content.
    """

    split: str
    key: str
    image: str
    label: str = ""
    kind: str = "grey"
    halves: tuple[Any, Any] = (0, 0)
    names: tuple[str, str] = ("void", "void")
    lists: tuple[tuple[str, str], ...] = ()

    def write(self, root: Path) -> None:
        """Write the frame below `root`."""
        write_picture(root / self.image, np.full((HEIGHT, WIDTH, 3), 90, np.uint8))
        if self.label:
            LABEL_WRITERS[self.kind](root, self)
        for path, text in self.lists:
            write_text(root / path, text)


def write_text(path: Path, text: str) -> None:
    """The text, with the folders above."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def write_picture(path: Path, rgb: np.ndarray) -> None:
    """An image file of the suffix's kind, of RGB [H,W,3] or of grey [H,W]; 8 or 16 bits."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(path.suffix, rgb[..., ::-1] if rgb.ndim == 3 else rgb)[1].tobytes())


def halves_of(left: Any, right: Any, kind: type[np.generic]) -> np.ndarray:
    """An array of `kind` that is `left` on the left half and `right` on the right one."""
    shape = (HEIGHT, WIDTH, *np.shape(left))
    pixels = np.empty(shape, kind)
    pixels[:, : WIDTH // 2], pixels[:, WIDTH // 2 :] = left, right
    return pixels


def palette_png(indices: np.ndarray) -> bytes:
    """A palette file of uint8 [H,W]; OpenCV writes none."""
    data = cv2.imencode(".png", indices)[1].tobytes()
    chunks, position = [], 8  # after the signature
    while position < len(data):
        length, kind = struct.unpack(">I4s", data[position : position + 8])
        chunks.append((kind, data[position + 8 : position + 8 + length]))
        position += length + 12
    chunks[0] = (b"IHDR", chunks[0][1][:9] + b"\x03" + chunks[0][1][10:])
    chunks.insert(1, (b"PLTE", bytes(range(256)) * 3))
    packed = [struct.pack(">I", len(b)) + k + b + struct.pack(">I", zlib.crc32(k + b)) for k, b in chunks]
    return data[:8] + b"".join(packed)


def runs_text(mask: np.ndarray) -> str:
    """COCO's compressed run lengths of a mask [H,W] in base64, by the book (maskApi.c: rleToString)."""
    flat = mask.T.ravel().astype(int).tolist()
    lengths, value = [0], 0
    for bit in flat:
        if bit != value:
            lengths.append(0)
            value = bit
        lengths[-1] += 1
    text = ""
    for k, length in enumerate(lengths):
        number = length - lengths[k - 2] if k > 2 else length
        while True:
            group, number = number & 31, number >> 5
            done = number == -1 if group & 16 else number == 0
            text += chr((group if done else group | 32) + 48)
            if done:
                break
    return base64.b64encode(text.encode()).decode()


def _picture(kind: type[np.generic]) -> Any:
    return lambda root, frame: write_picture(root / frame.label, halves_of(*frame.halves, kind))


def _palette(root: Path, frame: Layout) -> None:
    write_text(root / frame.label, "")
    (root / frame.label).write_bytes(palette_png(halves_of(*frame.halves, np.uint8)))


def _red16(root: Path, frame: Layout) -> None:
    pixels = halves_of(*((left, 7, 9) for left in frame.halves), np.uint16)  # the instance is elsewhere
    write_picture(root / frame.label, pixels)


def _polygons(root: Path, frame: Layout) -> None:
    """Left above right, as both are painted over the other: the later one wins."""
    left, right = frame.halves
    whole = [[0, 0], [WIDTH, 0], [WIDTH, HEIGHT], [0, HEIGHT]]
    half = [[0, 0], [WIDTH / 2 - 1, 0], [WIDTH / 2 - 1, HEIGHT], [0, HEIGHT]]
    objects = [
        {"label": right, "polygon": whole, "deleted": 0},
        {"label": left, "polygon": half},
        {"label": "sky", "polygon": whole, "deleted": 1},
    ]
    document = {"imgHeight": HEIGHT, "imgWidth": WIDTH, "objects": objects}
    write_text(root / frame.label, json.dumps(document))


def _panoptic(path: str) -> Any:
    def write(root: Path, frame: Layout) -> None:
        numbers = (1 + 2 * 256 + 3 * 65536, 4 + 5 * 256)  # R + 256 G + 65536 B
        write_picture(root / frame.label, halves_of((1, 2, 3), (4, 5, 0), np.uint8))
        infos = [{"id": n, "category_id": c} for n, c in zip(numbers, frame.halves, strict=True)]
        annotations = [{"file_name": Path(frame.label).name, "segments_info": infos}]
        document = {"annotations": annotations, "categories": []}
        write_text(root / path.format(split=frame.split), json.dumps(document))

    return write


def _nuimages(root: Path, frame: Layout) -> None:
    """The surface covers everything, the object its left half; a sweep stands in the tables too."""
    everything = np.ones((HEIGHT, WIDTH), bool)
    left = np.arange(WIDTH) < WIDTH // 2
    mask = {"size": [HEIGHT, WIDTH], "counts": runs_text(everything & left)}
    surface = {"size": [HEIGHT, WIDTH], "counts": runs_text(everything)}
    size = {"height": HEIGHT, "width": WIDTH}
    tables: dict[str, list[dict[str, Any]]] = {
        "category": [{"token": f"c{k}", "name": name} for k, name in enumerate(frame.halves)],
        "sample_data": [
            {"token": "d0", "filename": frame.image, "is_key_frame": True, **size},
            {"token": "d1", "filename": "sweeps/CAM_FRONT/n1.jpg", "is_key_frame": False, **size},
        ],
        "surface_ann": [{"token": "s", "sample_data_token": "d0", "category_token": "c1", "mask": surface}],
        "object_ann": [
            {"token": "o2", "sample_data_token": "d0", "category_token": "c0", "mask": None},
            {"token": "o1", "sample_data_token": "d0", "category_token": "c0", "mask": mask},
        ],
    }
    for name, table in tables.items():
        write_text(root / frame.label / f"{name}.json", json.dumps(table))


LABEL_WRITERS = {
    "grey": _picture(np.uint8),
    "grey16": _picture(np.uint16),
    "rgb": _picture(np.uint8),
    "red16": _red16,
    "palette": _palette,
    "polygons": _polygons,
    "coco": _panoptic("annotations/panoptic_{split}2017.json"),
    "wilddash": _panoptic("panoptic.json"),
    "nuimages": _nuimages,
}
