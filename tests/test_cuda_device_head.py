"""The Python face of the head on a CUDA device: what it refuses and what it passes on."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from device_twin import KERNELS, ROOT, compiled

from lsu.runtime import device_head
from lsu.runtime.device_array import DeviceArray
from lsu.runtime.device_head import DeviceHead
from lsu.runtime.errors import BackendError, InputError


class Recorder:
    """In place of the compiled head."""

    def __init__(self, device: int) -> None:
        self.device = device
        self.calls: list[dict[str, Any]] = []
        self.error: Exception | None = None

    def run(self, **arguments: Any) -> None:
        if self.error is not None:
            raise self.error
        self.calls.append(arguments)


@pytest.fixture
def head(monkeypatch: pytest.MonkeyPatch) -> DeviceHead:
    monkeypatch.setattr(device_head._native, "CudaHead", Recorder, raising=False)
    return DeviceHead(1)


def array(pointer: int, *shape: int, dtype: Any = np.uint8, writable: bool = True) -> DeviceArray:
    return DeviceArray(pointer, shape, dtype, writable)


def call(head: DeviceHead, **changes: Any) -> dict[str, Any]:
    """A call that fits, but for the changes; what reached the compiled head."""
    arguments: dict[str, Any] = {
        "scores": array(64, 2, 70, 4, 5, dtype=np.float16),
        "size": (16, 21),
        "classes": array(512, 2, 16, 21),
    }
    head.run(**{**arguments, **changes})
    return head._head.calls[-1]


def test_a_call_passes_everything_on(head: DeviceHead) -> None:
    passed = call(
        head,
        labels=array(1024, 2, 16, 24),
        table=array(2048, 256, 2, dtype=np.int64),
        classes=array(512, 2, 16, 24),
        counts=array(4096, 2, 256, 4, dtype=np.int64),
        margin=array(8192, 2, 16, 24),
        void_channel=69,
        canvas=(32, 48),
        offset=(3, 4),
        margin_scale=2.5,
        agreement=True,
        packed=True,
        stream=77,
    )
    assert passed == {
        "scores": 64,
        "labels": 1024,
        "table": 2048,
        "classes": 512,
        "counts": 4096,
        "margin": 8192,
        "score_type": 1,
        "stack": (2, 70),
        "score_size": (4, 5),
        "table_rows": 256,
        "size": (16, 21),
        "canvas": (32, 48),
        "offset": (3, 4),
        "void_channel": 69,
        "margin_scale": 2.5,
        "agreement": True,
        "packed": True,
        "stream": 77,
    }
    assert head._head.device == 1


def test_what_is_left_out_is_zero_and_one_image_is_a_batch_of_one(head: DeviceHead) -> None:
    passed = call(head, scores=array(64, 3, 4, 5, dtype=np.float32), classes=array(512, 16, 21))
    assert (passed["labels"], passed["table"], passed["counts"], passed["margin"]) == (0, 0, 0, 0)
    assert (passed["table_rows"], passed["void_channel"], passed["stream"]) == (0, -1, 0)
    assert (passed["stack"], passed["canvas"], passed["score_type"]) == ((1, 3), (16, 21), 0)
    passed = call(head, table=array(2048, 1, 2, dtype=np.uint64))
    assert passed["table_rows"] == 1


LABELS = {"labels": array(1024, 2, 16, 21)}
TABLE = array(2048, 256, 2, dtype=np.uint64)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"scores": np.zeros((3, 4, 5), np.float32)}, "^scores: a ndarray is no array on a CUDA device"),
        (
            {"scores": array(64, 3, 4, 5, dtype=np.float64)},
            "scores is float64; float32 or float16 is allowed",
        ),
        ({"scores": array(64, 4, 5, dtype=np.float32)}, "scores have shape"),
        ({"scores": array(64, 256, 4, 5, dtype=np.float32)}, "scores have 256 classes"),
        ({"scores": array(64, 0, 4, 5, dtype=np.float32)}, "scores have 0 classes"),
        ({"scores": array(64, 3, 0, 5, dtype=np.float32)}, "scores are 0x5"),
        ({"scores": array(66, 2, 70, 4, 5, dtype=np.float32)}, "scores lies at 0x42; a multiple of 4"),
        ({"size": (16, 1.5)}, "size is"),
        ({"size": (-1, 5)}, "size is -1x5"),
        ({"canvas": (16, 20)}, "reaches outside the canvas"),
        ({"offset": (1, 0)}, "reaches outside the canvas"),
        ({"classes": array(512, 16, 21)}, r"classes is \(16, 21\); \(2, 16, 21\) is allowed"),
        ({"classes": array(512, 2, 16, 21), "packed": True}, r"\(2, 16, 24\) is allowed"),
        ({"classes": array(512, 2, 16, 21, dtype=np.int32)}, "classes is int32; uint8 is allowed"),
        ({"classes": array(512, 2, 16, 21, writable=False)}, "classes is read-only"),
        ({"counts": array(512, 2, 256, 4, dtype=np.int64)}, r"\(2, 256, 3\) is allowed"),
        ({"counts": array(516, 2, 256, 3, dtype=np.int64)}, "a multiple of 8 is allowed"),
        ({"agreement": True}, "agreement came without counts"),
        ({"margin": array(512, 2, 16, 20)}, "margin is"),
        (LABELS, "labels came without a table"),
        ({**LABELS, "table": array(2048, 1, 2, dtype=np.uint64)}, r"table is \(1, 2\); \(256, 2\)"),
        ({"table": TABLE}, r"table is \(256, 2\); \(1, 2\)"),
        ({**LABELS, "table": array(2048, 256, 1, dtype=np.uint64)}, r"\(256, 2\) is allowed"),
        ({"void_channel": 70}, "void_channel is 70"),
        ({"margin_scale": 0.0}, "margin_scale is 0.0"),
        ({"stream": -1}, "stream is -1"),
        ({"stream": None}, "stream is None"),
    ],
)
def test_wrong_arguments_are_refused_in_one_line(
    head: DeviceHead, changes: dict[str, Any], match: str
) -> None:
    with pytest.raises(InputError, match=match) as raised:
        call(head, **changes)
    assert "\n" not in str(raised.value)
    assert head._head.calls == []


def test_errors_of_the_compiled_head_become_ours(head: DeviceHead) -> None:
    head._head.error = RuntimeError("cuLaunchKernel failed: CUDA_ERROR_ILLEGAL_ADDRESS (700)")
    with pytest.raises(BackendError, match="cannot run on the device: cuLaunchKernel failed"):
        call(head)
    head._head.error = ValueError("the window reaches outside the canvas")
    with pytest.raises(InputError, match="refuses its arguments: the window"):
        call(head)


@pytest.mark.parametrize("device", [-1, 1 << 31, "0", None])
def test_a_device_is_a_number(device: Any) -> None:
    with pytest.raises(InputError, match="device is"):
        DeviceHead(device)


def test_a_device_that_cannot_be_used_is_a_backend_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(device: int) -> None:
        raise RuntimeError("no CUDA device 3: there are 1")

    monkeypatch.setattr(device_head._native, "CudaHead", refuse, raising=False)
    with pytest.raises(BackendError, match="CUDA device 3 cannot be used: no CUDA device 3: there are 1"):
        DeviceHead(3)


WHOLE_WAY = """
import ctypes, sys
sys.path[:0] = [sys.argv[1]]
import numpy as np
import reference
from test_device_array import OnDevice
from lsu.runtime import _native
from lsu.runtime.device_head import DeviceHead
ctypes.CDLL("libcuda.so.1").fake_execute(1)
head = DeviceHead.__new__(DeviceHead)
head._head = _native.CudaHead(1, sys.argv[2])
scores = np.random.default_rng(0).standard_normal((3, 5, 6, 8)).astype(np.float32)
classes, counts = np.zeros((3, 24, 40), np.uint8), np.zeros((3, 256, 3), np.int64)
head.run(OnDevice(scores), (24, 40), OnDevice(classes), counts=OnDevice(counts), void_channel=2, stream=9)
for n in range(3):
    slow = reference.constrained_argmax(scores[n], (24, 40), void_channel=2)
    assert np.array_equal(classes[n], slow.classes) and np.array_equal(counts[n], slow.counts[:, :3])
"""


def test_the_whole_way_from_python_to_a_driver_that_executes_on_the_host(tmp_path: Path) -> None:
    sources = [ROOT / "tests/host_device/fake_cuda.cpp", KERNELS / "src/device_plan.cpp"]
    compiled(tmp_path / "libcuda.so.1", sources)
    (tmp_path / "kernels").write_bytes(b"any bytes")
    done = subprocess.run(
        [sys.executable, "-c", WHOLE_WAY, str(ROOT / "tests"), str(tmp_path / "kernels")],
        env={**os.environ, "LD_LIBRARY_PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
