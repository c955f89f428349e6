"""The launcher's library as ctypes has it, and the fake CUDA driver under it, for launcher_cases.py."""

import ctypes
from typing import Any

import numpy as np
from device_twin import HeadInput, HeadOutput, address_of, described

OK, NULL_POINTER, BAD_EXTENT, NO_CUDA, NO_KERNELS, FAILED = 0, 1, 5, 13, 14, 15  # lsu_status
ILLEGAL_ADDRESS, NO_BINARY = 700, 209  # CUresult


class Launcher:
    """The library, and the file that stands for the compiled kernels."""

    def __init__(self, library: str, kernels: str) -> None:
        self.library, self.kernels = ctypes.CDLL(library), kernels.encode()
        self.library.lsu_cuda_failure.restype = ctypes.c_char_p
        self.library.lsu_cuda_head_run.argtypes = [ctypes.c_void_p] * 4
        self.library.lsu_cuda_head_destroy.argtypes = [ctypes.c_void_p]
        self.library.lsu_cuda_head_destroy.restype = None

    def failure(self) -> str:
        return self.library.lsu_cuda_failure().decode()

    def create(self, device: int = 0, kernels: bytes | None = None) -> tuple[int, ctypes.c_void_p]:
        head = ctypes.c_void_p(1)
        path = kernels or self.kernels
        return self.library.lsu_cuda_head_create(device, path, ctypes.byref(head)), head

    def run(self, head: ctypes.c_void_p, given: HeadInput, output: HeadOutput, stream: int = 0) -> int:
        both = ctypes.byref(given), ctypes.byref(output)
        return self.library.lsu_cuda_head_run(head, *both, ctypes.c_void_p(stream))


def fake() -> ctypes.CDLL:
    """The driver."""
    driver = ctypes.CDLL("libcuda.so.1")
    driver.fake_log.restype = ctypes.c_char_p
    return driver


def log() -> list[str]:
    """The driver's calls, one a line."""
    return fake().fake_log().decode().splitlines()


def nothing_is_left() -> None:
    assert (fake().fake_retained(), fake().fake_loaded(), fake().fake_depth()) == (0, 0, 0)


def small_call() -> tuple[HeadInput, HeadOutput, Any]:
    """With the arrays, which have to live as long as the structs."""
    scores, classes = np.zeros((3, 4, 5), np.float32), np.zeros((16, 20), np.uint8)
    counts = np.zeros((256, 3), np.int64)
    output = HeadOutput(address_of(classes), address_of(counts), None, 0)
    return described(scores, (16, 20)), output, (scores, classes, counts)
