"""The extension module: its stub, its own refusals, and the lock that it lets go of."""

import ast
import inspect
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lsu.runtime import _native

STUB = Path(__file__).parents[1] / "runtime" / "_native.pyi"


def tree_of(stub: Path) -> str:
    """The stub without its layout."""
    tree = ast.parse(stub.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            node.value = inspect.cleandoc(node.value)
    return ast.unparse(tree)


def test_stub_is_current(tmp_path: Path) -> None:
    fresh = tmp_path / "_native.pyi"
    command = [sys.executable, "-m", "nanobind.stubgen", "-q", "-m", _native.__name__, "-o", str(fresh)]
    subprocess.run(command, check=True, timeout=120)
    assert tree_of(fresh) == tree_of(STUB), f"run: {' '.join(command[:-1])} {STUB} && ruff format {STUB}"


def call(**changes: Any) -> None:
    """A call that fits, but for the changes."""
    arrays: dict[str, Any] = {
        "scores": np.zeros((1, 3, 4, 5), np.float32),
        "labels": None,
        "table": None,
        "classes": np.zeros((1, 8, 9), np.uint8),
        "counts": np.zeros((1, 256, 3), np.int64),
        "margin": None,
    }
    options: dict[str, Any] = {
        "size": (8, 9),
        "canvas": (8, 9),
        "offset": (0, 0),
        "void_channel": -1,
        "margin_scale": 1.0,
    }
    _native.Head(1).answer(**{**arrays, **options, **changes})


def test_the_call_that_is_changed_below_fits() -> None:
    call()


@pytest.mark.parametrize(
    "changes",
    [
        {"scores": np.zeros((1, 3, 4, 5), np.float64)},
        {"scores": np.zeros((1, 3, 4, 10), np.float32)[:, :, :, ::2]},
        {"scores": np.zeros((3, 4, 5), np.float32)},
        {"classes": np.zeros((1, 8, 18), np.uint8)[:, :, ::2]},
        {"classes": np.zeros((1, 8, 9), np.int8)},
        {"counts": np.zeros((1, 256, 3), np.int32)},
        {"labels": np.zeros((1, 8, 9), np.int32), "table": np.zeros((256, 1), np.uint64)},
        {"table": np.zeros((1, 1), np.int64)},
        {"margin": np.zeros((1, 8, 18), np.uint8)[:, :, ::2]},
    ],
)
def test_arrays_are_never_converted(changes: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match="incompatible function arguments"):
        call(**changes)


def test_a_read_only_answer_is_refused() -> None:
    classes = np.zeros((1, 8, 9), np.uint8)
    classes.flags.writeable = False
    with pytest.raises(TypeError, match="incompatible function arguments"):
        call(classes=classes)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        (
            {"labels": np.zeros((1, 8, 8), np.uint8), "table": np.zeros((256, 1), np.uint64)},
            "labels and classes",
        ),
        ({"margin": np.zeros((1, 8, 8), np.uint8)}, "margin and classes"),
        ({"classes": np.zeros((2, 8, 9), np.uint8)}, "classes do not fit"),
        ({"packed": True}, "classes do not fit"),
        ({"size": (8, 8)}, "classes do not fit"),
        ({"table": np.zeros((1, 2), np.uint64)}, "table's rows do not fit"),
        ({"table": np.zeros((2, 1), np.uint64)}, "table needs 256 rows"),
        ({"table": np.full((1, 1), 8, np.uint64)}, "no bit at or beyond"),
        ({"labels": np.zeros((1, 8, 9), np.uint8)}, "table needs 256 rows"),
        (
            {"labels": np.zeros((1, 8, 9), np.uint8), "table": np.zeros((1, 1), np.uint64)},
            "table needs 256 rows",
        ),
        ({"counts": np.zeros((1, 255, 3), np.int64)}, "counts are not"),
        ({"counts": np.zeros((1, 256, 5), np.int64)}, "counts are not"),
        ({"counts": np.zeros((2, 256, 3), np.int64)}, "counts are not"),
        ({"scores": np.zeros((1, 256, 1, 1), np.float32)}, "number of classes"),
        ({"scores": np.zeros((1, 0, 1, 1), np.float32)}, "number of classes"),
        ({"scores": np.zeros((1, 3, 0, 1), np.float32)}, "a side is"),
        ({"canvas": (-1, 9)}, "a side is"),
        ({"canvas": (8, 1 << 40)}, "a side is"),
        ({"canvas": (7, 9)}, "outside the canvas"),
        ({"offset": (0, -1)}, "outside the canvas"),
        ({"offset": (0, 2**63 - 1)}, "outside the canvas"),
        ({"void_channel": 3}, "void channel"),
        ({"void_channel": -2}, "void channel"),
        ({"margin_scale": float("nan")}, "margin scale"),
        ({"margin_scale": -1.0}, "margin scale"),
        ({"scores": np.frombuffer(bytes(241), np.float32, offset=1).reshape(1, 3, 4, 5)}, "aligned"),
    ],
)
def test_what_python_might_miss_is_refused_before_any_read(changes: dict[str, Any], match: str) -> None:
    counts = np.full((1, 256, 3), 77, np.int64)
    with pytest.raises(ValueError, match=match):
        call(**{"counts": counts, **changes})
    assert np.all(counts == 77)


@pytest.mark.parametrize(
    ("options", "match"), [((0, 0), "number of threads"), ((1, 3), "the method is none")]
)
def test_a_head_that_cannot_be_is_refused(options: tuple[int, int], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        _native.Head(*options)


def test_other_threads_run_while_the_head_computes() -> None:
    scores = np.random.default_rng(0).standard_normal((1, 255, 64, 64)).astype(np.float32)
    classes = np.zeros((1, 1024, 1024), np.uint8)
    moments = []
    started, finished = threading.Event(), threading.Event()

    def compute() -> None:
        started.set()
        call(scores=scores, classes=classes, size=(1024, 1024), canvas=(1024, 1024))
        finished.set()

    worker = threading.Thread(target=compute)
    worker.start()
    started.wait()
    while not finished.is_set():
        moments.append(time.monotonic())
        time.sleep(0.001)
    worker.join()
    assert len(moments) > 5
