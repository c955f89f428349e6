"""How many instructions one call of the head takes: the C library under valgrind.

A count does not depend on who else uses the machine. A program that calls the head twice is counted, and one
that calls it once; the difference is one call in steady state. valgrind shows programs a processor without
AVX-512, so what is counted is the AVX2 code where there is such code.

The file is also the program that valgrind runs. It needs no numpy, whose start under valgrind takes long.
"""

import ctypes
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from head_rivals import Task

METHODS = {"auto": 0, "cells": 1, "dense": 2}  # lsu_method
_POINTERS = ("scores", "labels", "table")
_EXTENTS = (
    "batch channels score_height score_width table_rows height width canvas_height canvas_width"
    " offset_y offset_x void_channel"
)


class _Input(ctypes.Structure):  # lsu_head_input
    _fields_ = (
        *((name, ctypes.c_void_p) for name in _POINTERS),
        *((name, ctypes.c_int64) for name in _EXTENTS.split()),
        ("margin_scale", ctypes.c_float),
        ("score_type", ctypes.c_int32),
        ("packed", ctypes.c_int32),
    )


class _Output(ctypes.Structure):  # lsu_head_output
    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("classes", "counts", "margin")),
        ("agreement", ctypes.c_int32),
    )


def library() -> Path:
    """The shared C library of the installed package."""
    from lsu.runtime import _native

    return Path(str(_native.__file__)).with_name("liblsu.so")


def instructions(task: "Task", method: str) -> int | None:
    """The instructions of one `lsu_head_run` on one thread; None without valgrind or the library."""
    if shutil.which("valgrind") is None or not library().exists():
        return None
    with tempfile.TemporaryDirectory() as folder:
        task.scores.tofile(f"{folder}/scores")
        if task.constraint is not None:
            task.constraint.labels.tofile(f"{folder}/labels")
            task.constraint.table.tofile(f"{folder}/table")
        sides = [str(side) for side in (*task.scores.shape, *task.size)]
        words = [str(library()), folder, str(METHODS[method]), *sides]
        once, twice = (_counted(folder, [str(calls), *words]) for calls in (1, 2))
    return None if once is None or twice is None else twice - once


def _counted(folder: str, words: list[str]) -> int | None:
    tool = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={folder}/counted"]
    program = [sys.executable, "-S", __file__, *words]
    environment = {**os.environ, "PYTHONHASHSEED": "0"}  # the same instructions in both programs
    done = subprocess.run([*tool, *program], capture_output=True, text=True, check=False, env=environment)
    total = re.search(r"Collected : (\d+)", done.stderr)
    return int(total.group(1)) if done.returncode == 0 and total else None


def main() -> None:
    """Call the head: CALLS LIBRARY FOLDER METHOD C h w H W."""
    calls, path, folder, method = sys.argv[1:5]
    channels, score_height, score_width, height, width = map(int, sys.argv[5:])
    head = ctypes.CDLL(path)
    head.lsu_head_create.argtypes = [ctypes.c_int64, ctypes.c_int32, ctypes.POINTER(ctypes.c_void_p)]
    head.lsu_head_run.argtypes = [ctypes.c_void_p, ctypes.POINTER(_Input), ctypes.POINTER(_Output)]
    kept = {name: _buffer(f"{folder}/{name}") for name in _POINTERS}
    given = _Input(
        **{name: ctypes.addressof(buffer) if buffer else None for name, buffer in kept.items()},
        batch=1,
        channels=channels,
        score_height=score_height,
        score_width=score_width,
        table_rows=256 if kept["labels"] else 0,
        height=height,
        width=width,
        canvas_height=height,
        canvas_width=width,
        void_channel=-1,
        margin_scale=1,
    )
    classes, counts = ctypes.create_string_buffer(height * width), (ctypes.c_int64 * (256 * 3))()
    answer = _Output(classes=ctypes.addressof(classes), counts=ctypes.addressof(counts))
    handle = ctypes.c_void_p()
    if head.lsu_head_create(1, int(method), ctypes.byref(handle)):
        sys.exit(3)
    for _ in range(int(calls)):
        if head.lsu_head_run(handle, ctypes.byref(given), ctypes.byref(answer)):
            sys.exit(3)


def _buffer(path: str) -> "ctypes.Array[ctypes.c_uint64] | None":
    """The bytes of a file, aligned to 8, or None if it is not there."""
    if not Path(path).exists():
        return None
    data = Path(path).read_bytes()
    buffer = (ctypes.c_uint64 * -(-len(data) // 8))()
    ctypes.memmove(buffer, data, len(data))
    return buffer


if __name__ == "__main__":
    main()
