"""The device kernels' bodies, compiled for the host, and the C structs that the head's C interface takes.

The library is built once per process from the sources that nvcc compiles, with the checks of undefined
behaviour on: a misaligned word or an index out of an array ends the process.
"""

import ctypes
import functools
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import reference

ROOT = Path(__file__).parents[1]
KERNELS = ROOT / "cuda_kernels"
FLAGS = [
    *("-std=c++17", "-O2", "-fPIC", "-shared", "-ffp-contract=off"),
    *("-Wall", "-Wextra", "-Wconversion", "-Werror"),
]
INCLUDES = [f"-I{KERNELS / 'include'}", f"-I{KERNELS / 'src'}", f"-I{ROOT / 'tests/host_device'}"]

Sides = tuple[int, int]


class HeadInput(ctypes.Structure):
    """lsu_head_input."""

    _fields_ = [
        ("scores", ctypes.c_void_p),
        ("labels", ctypes.c_void_p),
        ("table", ctypes.c_void_p),
        *(
            (name, ctypes.c_int64)
            for name in (
                *("batch", "channels", "score_height", "score_width", "table_rows", "height", "width"),
                *("canvas_height", "canvas_width", "offset_y", "offset_x", "void_channel"),
            )
        ),
        ("margin_scale", ctypes.c_float),
        ("score_type", ctypes.c_int32),
        ("packed", ctypes.c_int32),
    ]


class HeadOutput(ctypes.Structure):
    """lsu_head_output."""

    _fields_ = [
        ("classes", ctypes.c_void_p),
        ("counts", ctypes.c_void_p),
        ("margin", ctypes.c_void_p),
        ("agreement", ctypes.c_int32),
    ]


def compiled(output: Path, sources: list[Path], *flags: str) -> Path:
    """A shared library of C++ sources; skips where there is no compiler."""
    compiler = shutil.which("c++")
    if compiler is None:
        pytest.skip("no C++ compiler (c++) on this machine")
    command = [compiler, *FLAGS, *flags, *INCLUDES, "-o", str(output), *map(str, sources)]
    subprocess.run(command, check=True, timeout=280)
    return output


@functools.cache
def library() -> ctypes.CDLL:
    folder = Path(tempfile.mkdtemp(prefix="lsu_twin_"))
    try:
        path = compiled(
            folder / "libtwin.so",
            [ROOT / "tests/host_device/twin.cpp", KERNELS / "src/device_plan.cpp"],
            *("-fsanitize=undefined", "-fno-sanitize-recover=all"),
        )
        twin = ctypes.CDLL(str(path))
    finally:
        shutil.rmtree(folder)
    twin.lsu_twin_taps_agree.argtypes = [ctypes.c_int64] * 3
    return twin


def address_of(array: np.ndarray | None) -> int | None:
    return None if array is None else array.ctypes.data


def described(
    scores: np.ndarray,
    size: Sides,
    *,
    labels: np.ndarray | None = None,
    table: np.ndarray | None = None,
    void_channel: int | None = None,
    canvas: Sides | None = None,
    offset: Sides = (0, 0),
    margin_scale: float = 1.0,
    packed: bool = False,
) -> HeadInput:
    """The C struct of a call: scores [N, C, h, w] or of one image, labels as the map that is passed."""
    whole = canvas or size
    batch = scores.shape[0] if scores.ndim == 4 else 1
    return HeadInput(
        address_of(scores),
        address_of(labels),
        address_of(table),
        *(batch, *scores.shape[-3:], 0 if table is None else len(table)),
        *(*size, *whole, *offset, -1 if void_channel is None else void_channel),
        *(margin_scale, int(scores.dtype == np.float16), packed),
    )


def row_bytes(width: int, *, packed: bool) -> int:
    return 4 * -(-width // 4) if packed else width


def padded(labels: np.ndarray, shift: int) -> np.ndarray:
    """The same labels as a packed map whose pad bytes hold what a label could be."""
    width = labels.shape[-1]
    full = np.full((*labels.shape[:-1], row_bytes(width, packed=True)), 7, np.uint8)
    full[..., :width] = labels
    return shifted(full, shift)


def shifted(array: np.ndarray, shift: int) -> np.ndarray:
    """The same array, `shift` bytes behind an aligned address."""
    room = np.full(array.nbytes + 16, 0xA5, np.uint8)
    begin = -room.ctypes.data % 16 + shift
    place = room[begin : begin + array.nbytes].view(array.dtype).reshape(array.shape)
    place[...] = array
    return place


class Answer:
    """What the twin wrote: classes and margin [N, H, W], counts [N, 256, 3 or 4], and by which kernel."""

    def __init__(self, scores: np.ndarray, size: Sides, **options: Any) -> None:
        turns, most_blocks = options.pop("turns", 0), options.pop("most_blocks", 65535)
        margin, agreement = options.pop("margin", False), options.pop("agreement", False)
        counted, shift = options.pop("counted", True), options.pop("shift", 0)
        label_shift = options.pop("label_shift", shift)
        multiprocessors, packed = options.pop("multiprocessors", 1), options.get("packed", False)
        stack = scores if scores.ndim == 4 else scores[None]
        width = row_bytes(size[1], packed=packed)
        labels = options.get("labels")
        if labels is not None:
            labels = padded(labels, label_shift) if packed else shifted(labels, label_shift)
            options["labels"] = labels
        full = (len(stack), size[0], width)
        # A pixel that nothing writes keeps a byte that no answer has where fewer than 254 classes are known.
        self.map = shifted(np.full(full, 254, np.uint8), shift)
        self.margin_map = shifted(np.full(full, 77, np.uint8), shift) if margin else None
        shape = (len(stack), 256, 4 if agreement else 3)
        self.counts = np.full(shape, -7, np.int64) if counted else None
        given = described(stack, size, **options)
        output = HeadOutput(
            *(address_of(self.map), address_of(self.counts), address_of(self.margin_map), agreement)
        )
        self.by_cells = library().lsu_twin_run(
            ctypes.byref(given),
            ctypes.byref(output),
            turns,
            ctypes.c_int64(multiprocessors),
            ctypes.c_uint32(most_blocks),
        )
        self.classes = self.map[..., : size[1]]
        self.padding = self.map[..., size[1] :]
        self.margin = None if self.margin_map is None else self.margin_map[..., : size[1]]


def truth(
    scores: np.ndarray,
    size: Sides,
    *,
    labels: np.ndarray | None = None,
    table: np.ndarray | None = None,
    void_channel: int | None = None,
    canvas: Sides | None = None,
    offset: Sides = (0, 0),
) -> tuple[np.ndarray, np.ndarray]:
    """Classes [H, W] and counts [256, 3] of one image: `reference` with whole arrays, for larger images."""
    values = reference._enlarged(scores, size, canvas or size, offset, np.float32)
    channels = len(scores)
    rows = np.ones((256, channels), bool)
    if table is not None:
        rows = np.unpackbits(table.view(np.uint8), axis=1, bitorder="little")[:, :channels].astype(bool)
    where = np.zeros(size, np.uint8) if labels is None else labels
    allowed = rows[where].transpose(2, 0, 1)  # [C, H, W]
    offered = np.where(allowed & ~np.isnan(values), values, -np.inf)
    best = offered.argmax(axis=0)
    several = allowed.sum(axis=0)
    best = np.where(np.isneginf(offered.max(axis=0)), 255, best)
    best = np.where(several == 1, allowed.argmax(axis=0), best)
    classes = np.where(best == (256 if void_channel is None else void_channel), 255, best).astype(np.uint8)
    counts = np.zeros((256, 3), np.int64)
    column = np.where(classes == 255, 2, np.where(several == 1, 0, 1))
    np.add.at(counts, (where.ravel(), column.ravel()), 1)
    return classes, counts


def smooth_scores(
    generator: np.random.Generator, channels: int, sides: tuple[int, int], period: float = 6.0
) -> np.ndarray:
    """Sums of a few waves per class: regions of one class with borders between them."""
    y, x = np.mgrid[: sides[0], : sides[1]] / period
    scores = np.zeros((channels, *sides))
    for c in range(channels):
        for _ in range(3):
            angle, phase = generator.uniform(0, 2 * np.pi, 2)
            scores[c] += np.sin(np.cos(angle) * x + np.sin(angle) * y + phase)
    return scores.astype(np.float32)


def agrees(answer: Answer, scores: np.ndarray, size: tuple[int, int], **options: Any) -> bool:
    classes, counts = truth(scores, size, **options)
    return np.array_equal(answer.classes[0], classes) and np.array_equal(answer.counts[0], counts)


def answered_by_cells(scores: np.ndarray, size: tuple[int, int], **options: Any) -> None:
    """The cell-wise kernel answers, and rightly."""
    answer = Answer(scores, size, **options)
    assert answer.by_cells
    for name in ("shift", "label_shift", "packed"):
        options.pop(name, None)
    assert agrees(answer, scores, size, **options)
