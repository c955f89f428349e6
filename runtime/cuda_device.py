"""A CUDA device through its driver alone: memory, pinned memory and a stream, no package needed.

Every machine with an NVIDIA driver has `libcuda.so.1`; pycuda and cuda-python would have to be built or
fetched, and a vehicle need not. TensorRT works in the same primary context. Calls and types are those of the
CUDA driver API (cuda.h, "CUDA Driver API", sections Context, Memory, Stream).
"""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import POINTER, c_char_p, c_int, c_size_t, c_uint, c_uint64, c_void_p
from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import BackendError

_LIBRARY = "libcuda.so.1"
_COMPUTE_MAJOR, _COMPUTE_MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_*
_NON_BLOCKING = 1  # CU_STREAM_NON_BLOCKING: does not wait for the default stream

_SIGNATURES: dict[str, list[Any]] = {
    "cuInit": [c_uint],
    "cuGetErrorName": [c_int, POINTER(c_char_p)],
    "cuDriverGetVersion": [POINTER(c_int)],
    "cuDeviceGetCount": [POINTER(c_int)],
    "cuDeviceGet": [POINTER(c_int), c_int],
    "cuDeviceGetAttribute": [POINTER(c_int), c_int, c_int],
    "cuDevicePrimaryCtxRetain": [POINTER(c_void_p), c_int],
    "cuDevicePrimaryCtxRelease_v2": [c_int],
    "cuCtxPushCurrent_v2": [c_void_p],
    "cuCtxPopCurrent_v2": [POINTER(c_void_p)],
    "cuMemAlloc_v2": [POINTER(c_uint64), c_size_t],
    "cuMemFree_v2": [c_uint64],
    "cuMemHostAlloc": [POINTER(c_void_p), c_size_t, c_uint],
    "cuMemFreeHost": [c_void_p],
    "cuMemcpyHtoDAsync_v2": [c_uint64, c_void_p, c_size_t, c_void_p],
    "cuMemcpyDtoHAsync_v2": [c_void_p, c_uint64, c_size_t, c_void_p],
    "cuStreamCreate": [POINTER(c_void_p), c_uint],
    "cuStreamDestroy_v2": [c_void_p],
    "cuStreamSynchronize": [c_void_p],
}


class CudaDriver:
    """The driver's functions; each failure is a BackendError that names the call."""

    def __init__(self) -> None:
        try:
            self._library = ctypes.CDLL(_LIBRARY)
        except OSError as error:
            raise BackendError(f"no NVIDIA driver here: {_LIBRARY} is missing") from error
        for name, arguments in _SIGNATURES.items():
            try:
                getattr(self._library, name).argtypes = arguments
            except AttributeError as error:
                raise BackendError(f"{_LIBRARY} has no {name}: update the NVIDIA driver") from error
        self("cuInit", 0)

    def __call__(self, name: str, *arguments: Any) -> None:
        """Call a function of the driver."""
        result = getattr(self._library, name)(*arguments)
        if result:
            said = c_char_p()
            self._library.cuGetErrorName(result, ctypes.byref(said))
            raise BackendError(f"{name} failed: {(said.value or b'unknown error').decode()} ({result})")

    def number(self, name: str, *arguments: int) -> int:
        """Call a function that writes an int to its first argument."""
        value = c_int()
        self(name, ctypes.byref(value), *arguments)
        return value.value

    def address(self, name: str, *arguments: Any) -> int:
        """Call a function that writes an address to its first argument."""
        value = c_uint64() if name == "cuMemAlloc_v2" else c_void_p()
        self(name, ctypes.byref(value), *arguments)
        return value.value or 0

    @property
    def version(self) -> str:
        """The newest CUDA that it serves, such as `13.0`."""
        version = self.number("cuDriverGetVersion")
        return f"{version // 1000}.{version % 1000 // 10}"


class CudaDevice:
    """One device: its primary context and a stream of our own.

    Attributes:
        sm: compute capability, such as 87.
        stream: the stream's address.
        driver: the driver.
    """

    def __init__(self, number: int = 0) -> None:
        """Take the device that CUDA counts as `number`.

        Raises:
            BackendError: no driver, no such device, or a call failed.
        """
        self.driver = CudaDriver()
        self._device, self.sm = _device_and_sm(self.driver, number)
        self._context = self.driver.address("cuDevicePrimaryCtxRetain", self._device)
        try:
            with self.current():
                self.stream = self.driver.address("cuStreamCreate", _NON_BLOCKING)
        except BackendError:
            self.driver("cuDevicePrimaryCtxRelease_v2", self._device)
            raise

    @contextmanager
    def current(self) -> Iterator[None]:
        """Make the device's context the calling thread's own for a while."""
        self.driver("cuCtxPushCurrent_v2", self._context)
        try:
            yield
        finally:
            self.driver.address("cuCtxPopCurrent_v2")

    def wait(self) -> None:
        """Wait until the stream is done."""
        self.driver("cuStreamSynchronize", self.stream)

    def close(self) -> None:
        """Give the stream and the context back; memory has to be freed before."""
        if self._context:
            with self.current():
                self.driver("cuStreamDestroy_v2", self.stream)
            self.driver("cuDevicePrimaryCtxRelease_v2", self._device)
            self._context = 0


class CudaBuffer:
    """Bytes on the device and as many in pinned host memory, to be copied on the device's stream.

    It is made, used and closed while the device's context is current.

    Attributes:
        address: on the device.
        host: uint8 [bytes], pinned.
    """

    def __init__(self, device: CudaDevice, size: int) -> None:
        self._device = device
        self.address = device.driver.address("cuMemAlloc_v2", size)
        try:
            self._pinned = device.driver.address("cuMemHostAlloc", size, 0)
        except BackendError:
            device.driver("cuMemFree_v2", self.address)
            raise
        memory = (ctypes.c_ubyte * size).from_address(self._pinned)
        self.host: npt.NDArray[np.uint8] = np.ctypeslib.as_array(memory)

    def copy_in(self, size: int) -> None:
        """Put the copy of the first `size` bytes to the device on the stream."""
        self._device.driver("cuMemcpyHtoDAsync_v2", self.address, self._pinned, size, self._device.stream)

    def copy_out(self, size: int) -> None:
        """Put the copy of the first `size` bytes from the device on the stream."""
        self._device.driver("cuMemcpyDtoHAsync_v2", self._pinned, self.address, size, self._device.stream)

    def close(self) -> None:
        """Free both; `host` must not be read afterwards."""
        if self.address:
            self._device.driver("cuMemFree_v2", self.address)
            self._device.driver("cuMemFreeHost", self._pinned)
            self.address = 0


def driver_version() -> str | None:
    """The CUDA version of this machine's driver, or None where there is none."""
    try:
        return CudaDriver().version
    except BackendError:
        return None


def sm_of_device(number: int = 0) -> int:
    """The compute capability of a device, such as 87; no context is made.

    Raises:
        BackendError: no driver or no such device.
    """
    return _device_and_sm(CudaDriver(), number)[1]


def _device_and_sm(driver: CudaDriver, number: int) -> tuple[int, int]:
    count = driver.number("cuDeviceGetCount")
    if not 0 <= number < count:
        raise BackendError(f"CUDA device {number} does not exist: {count} are here")
    device = driver.number("cuDeviceGet", number)
    major, minor = (
        driver.number("cuDeviceGetAttribute", attribute, device)
        for attribute in (_COMPUTE_MAJOR, _COMPUTE_MINOR)
    )
    return device, 10 * major + minor
