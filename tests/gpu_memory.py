"""A CUDA device's memory, streams and graphs for the GPU cases, by the driver alone: no torch, no pytest."""

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from lsu.runtime.device_array import DeviceArray

Handle = ctypes.c_void_p
GLOBAL_CAPTURE = 0


class Driver:
    """libcuda's calls on device 0, each of which must succeed."""

    def __init__(self) -> None:
        self.library = ctypes.CDLL("libcuda.so.1")
        self.call("cuInit", 0)
        device, context = ctypes.c_int(), Handle()
        self.call("cuDeviceGet", ctypes.byref(device), 0)
        self.call("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
        self.call("cuCtxSetCurrent", context)

    def call(self, name: str, *arguments: Any) -> None:
        result = getattr(self.library, name)(*arguments)
        assert result == 0, f"{name} failed with {result}"

    def synchronize(self) -> None:
        self.call("cuCtxSynchronize")

    def free_bytes(self) -> int:
        free, total = ctypes.c_size_t(), ctypes.c_size_t()
        self.call("cuMemGetInfo_v2", ctypes.byref(free), ctypes.byref(total))
        return free.value

    def stream(self) -> int:
        stream = Handle()
        self.call("cuStreamCreate", ctypes.byref(stream), 1)  # 1: it does not wait for the default stream
        assert stream.value is not None
        return stream.value

    def captured(self, stream: int, work: Callable[[], None]) -> Callable[[], None]:
        """What replays the work that was put on the stream; nothing runs while it is captured."""
        graph, ready = Handle(), Handle()
        self.call("cuStreamBeginCapture_v2", Handle(stream), GLOBAL_CAPTURE)
        work()
        self.call("cuStreamEndCapture", Handle(stream), ctypes.byref(graph))
        self.call("cuGraphInstantiateWithFlags", ctypes.byref(ready), graph, ctypes.c_ulonglong(0))
        return lambda: self.call("cuGraphLaunch", ready, Handle(stream))


class Buffer:
    """A numpy array's copy on the device, `shift` bytes behind an aligned address."""

    def __init__(self, driver: Driver, array: np.ndarray, shift: int = 0) -> None:
        self.driver, self.shape, self.dtype, self.bytes = driver, array.shape, array.dtype, array.nbytes
        self.begin = ctypes.c_ulonglong()
        driver.call("cuMemAlloc_v2", ctypes.byref(self.begin), ctypes.c_size_t(array.nbytes + 16))
        self.address = self.begin.value + shift
        self.write(array)

    def write(self, array: np.ndarray) -> None:
        source = np.ascontiguousarray(array)
        self.driver.call("cuMemcpyHtoD_v2", *self._extent(source))

    def read(self) -> np.ndarray:
        array = np.empty(self.shape, self.dtype)
        place, source, count = self._extent(array)
        self.driver.call("cuMemcpyDtoH_v2", source, place, count)
        return array

    def _extent(self, array: np.ndarray) -> tuple[Any, Any, Any]:
        return ctypes.c_ulonglong(self.address), Handle(array.ctypes.data), ctypes.c_size_t(self.bytes)

    def array(self) -> DeviceArray:
        return DeviceArray(self.address, self.shape, self.dtype)

    def free(self) -> None:
        self.driver.call("cuMemFree_v2", self.begin)


@contextmanager
def buffers(driver: Driver, *arrays: np.ndarray | None, shift: int = 0) -> Iterator[list[Buffer | None]]:
    """Copies on the device; only bytes are shifted, for other types have to stay aligned."""
    made = [None if a is None else Buffer(driver, a, shift if a.dtype == np.uint8 else 0) for a in arrays]
    try:
        yield made
    finally:
        for buffer in made:
            if buffer is not None:
                buffer.free()
