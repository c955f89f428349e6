"""Cases for the CUDA launcher, each run in a process of its own by test_cuda_launcher.py.

A process loads one libcuda.so.1 only, and here it is the fake one that stands on LD_LIBRARY_PATH. Arguments:
the case, the launcher's library, a file that stands for the compiled kernels.
"""

import ctypes
import sys
import threading
from typing import Any

import numpy as np
import reference
from device_twin import HeadInput, HeadOutput, address_of, described
from head_problems import table_of

OK, BAD_EXTENT, NO_CUDA, NO_KERNELS, FAILED = 0, 5, 13, 14, 15
NULL_POINTER = 1
ILLEGAL_ADDRESS, NO_BINARY = 700, 209

LIBRARY: ctypes.CDLL
KERNELS: bytes


def fake() -> ctypes.CDLL:
    driver = ctypes.CDLL("libcuda.so.1")
    driver.fake_log.restype = ctypes.c_char_p
    return driver


def log() -> list[str]:
    return fake().fake_log().decode().splitlines()


def failure() -> str:
    return LIBRARY.lsu_cuda_failure().decode()


def create(device: int = 0, kernels: bytes | None = None) -> tuple[int, ctypes.c_void_p]:
    head = ctypes.c_void_p(1)
    status = LIBRARY.lsu_cuda_head_create(device, kernels or KERNELS, ctypes.byref(head))
    return status, head


def run(head: ctypes.c_void_p, given: HeadInput, output: HeadOutput, stream: int = 0) -> int:
    return LIBRARY.lsu_cuda_head_run(head, ctypes.byref(given), ctypes.byref(output), ctypes.c_void_p(stream))


def nothing_is_left() -> None:
    assert (fake().fake_retained(), fake().fake_loaded(), fake().fake_depth()) == (0, 0, 0)


def small_call() -> tuple[HeadInput, HeadOutput, Any]:
    scores, classes = np.zeros((3, 4, 5), np.float32), np.zeros((16, 20), np.uint8)
    counts = np.zeros((256, 3), np.int64)
    output = HeadOutput(address_of(classes), address_of(counts), None, 0)
    return described(scores, (16, 20)), output, (scores, classes, counts)


def case_a_call_clears_the_counts_and_launches_on_the_stream() -> None:
    status, head = create(1)
    assert status == OK, failure()
    assert "cuDeviceGet 1" in log()
    assert "cuDeviceGetAttribute 16 of 41" in log()
    assert len([line for line in log() if line.startswith("cuModuleGetFunction")]) == 4
    given, output, _kept = small_call()
    fake().fake_clear_log()
    assert run(head, given, output, stream=123456) == OK, failure()
    assert log() == [
        "cuCtxPushCurrent",
        f"cuMemsetD8Async {256 * 3 * 8} bytes on 123456",
        "cuLaunchKernel lsu_cells_float32 grid 1 2 1 block 256 1 1 shared 0 on 123456",
        "cuCtxPopCurrent",
    ]
    LIBRARY.lsu_cuda_head_destroy(head)
    nothing_is_left()


def case_every_failure_while_creating_is_named_and_leaves_nothing() -> None:
    calls = [
        ("cuDeviceGetCount", 1),
        ("cuDeviceGet", 1),
        ("cuDeviceGetAttribute", 1),
        ("cuDevicePrimaryCtxRetain", 1),
        ("cuCtxPushCurrent", 1),
        ("cuModuleLoadData", 1),
        ("cuModuleGetFunction", 4),
        ("cuCtxPopCurrent", 1),
    ]
    for call, times in calls:
        for skipped in range(times):
            fake().fake_fail(call.encode(), skipped, ILLEGAL_ADDRESS)
            status, head = create()
            assert status == FAILED, (call, skipped)
            assert head.value is None
            assert failure() == f"{call} failed: CUDA_ERROR_ILLEGAL_ADDRESS (700)"
            fake().fake_fail(b"", 0, 0)
            nothing_is_left()


def case_every_failure_while_running_is_named_and_the_context_popped() -> None:
    _, head = create()
    given, output, _kept = small_call()
    for call in ("cuCtxPushCurrent", "cuMemsetD8Async", "cuLaunchKernel", "cuCtxPopCurrent"):
        fake().fake_fail(call.encode(), 0, ILLEGAL_ADDRESS)
        fake().fake_clear_log()
        assert run(head, given, output) == FAILED, call
        assert failure() == f"{call} failed: CUDA_ERROR_ILLEGAL_ADDRESS (700)"
        assert fake().fake_depth() == 0
        assert call == "cuLaunchKernel" or not (
            call in ("cuCtxPushCurrent", "cuMemsetD8Async") and any("Launch" in line for line in log())
        )
        fake().fake_fail(b"", 0, 0)
        assert run(head, given, output) == OK
    LIBRARY.lsu_cuda_head_destroy(head)
    nothing_is_left()


def case_failures_while_destroying_pass_over() -> None:
    for call in ("cuCtxPushCurrent", "cuModuleUnload", "cuCtxPopCurrent", "cuDevicePrimaryCtxRelease"):
        _, head = create()
        fake().fake_fail(call.encode(), 0, 4)  # the driver is shutting down
        LIBRARY.lsu_cuda_head_destroy(head)
        assert fake().fake_depth() == 0
        fake().fake_fail(b"", 0, 0)
    LIBRARY.lsu_cuda_head_destroy(None)


def case_an_error_without_a_name_has_its_number() -> None:
    fake().fake_fail(b"cuDeviceGet", 0, 4242)
    assert create()[0] == FAILED
    assert failure() == "cuDeviceGet failed: unknown error (4242)"


def case_a_driver_that_does_not_start_is_no_cuda_and_may_start_later() -> None:
    fake().fake_fail(b"cuInit", 0, 100)
    assert create()[0] == NO_CUDA
    assert failure() == "cuInit failed: unknown error (100)"
    fake().fake_fail(b"", 0, 0)
    status, head = create()
    assert status == OK
    LIBRARY.lsu_cuda_head_destroy(head)


def case_a_device_that_is_not_there_is_no_cuda() -> None:
    for device in (2, -1):
        status, head = create(device)
        assert status == NO_CUDA
        assert head.value is None
        assert failure() == f"no CUDA device {device}: there are 2"


def case_a_missing_file_of_kernels_is_said_with_its_path() -> None:
    for path in (b"/nowhere/at/all.fatbin", b"/usr", b"/dev/null"):
        assert create(kernels=path)[0] == NO_KERNELS
        assert path.decode() in failure()
        nothing_is_left()
    status = LIBRARY.lsu_cuda_head_create(0, None, ctypes.byref(ctypes.c_void_p()))
    assert status == NO_KERNELS
    beside = LIBRARY._name.rpartition("/")[0] + "/data/constrained_argmax.fatbin"
    assert beside in failure(), failure()


def case_kernels_for_other_devices_only_are_no_kernels() -> None:
    fake().fake_fail(b"cuModuleLoadData", 0, NO_BINARY)
    assert create()[0] == NO_KERNELS
    assert "CUDA_ERROR_NO_BINARY_FOR_GPU (209)" in failure()
    fake().fake_fail(b"", 0, 0)
    nothing_is_left()


def case_wrong_arguments_reach_no_driver() -> None:
    _, head = create()
    given, output, _kept = small_call()
    fake().fake_clear_log()
    given.score_height = 0
    assert run(head, given, output) == BAD_EXTENT
    given.score_height = 4
    given.scores = None
    assert run(head, given, output) == NULL_POINTER
    assert LIBRARY.lsu_cuda_head_run(None, ctypes.byref(given), ctypes.byref(output), None) == NULL_POINTER
    assert LIBRARY.lsu_cuda_head_run(head, None, ctypes.byref(output), None) == NULL_POINTER
    assert LIBRARY.lsu_cuda_head_run(head, ctypes.byref(given), None, None) == NULL_POINTER
    assert LIBRARY.lsu_cuda_head_create(0, KERNELS, None) == NULL_POINTER
    assert log() == []


def case_an_empty_answer_clears_its_counts_and_launches_nothing() -> None:
    _, head = create()
    for batch, height, width, cleared in [(0, 16, 20, 0), (2, 0, 20, 2), (2, 16, 0, 2)]:
        given, output, _kept = small_call()
        given.batch, given.height, given.width = batch, height, width
        fake().fake_clear_log()
        assert run(head, given, output) == OK
        memsets = [line for line in log() if "Memset" in line]
        assert memsets == ([f"cuMemsetD8Async {cleared * 256 * 3 * 8} bytes on 0"] if cleared else [])
        assert not [line for line in log() if "Launch" in line]


def case_counts_that_are_not_wanted_are_not_cleared() -> None:
    _, head = create()
    given, output, _kept = small_call()
    output.counts = None
    fake().fake_clear_log()
    assert run(head, given, output) == OK
    assert [line.split()[0] for line in log()] == ["cuCtxPushCurrent", "cuLaunchKernel", "cuCtxPopCurrent"]


def case_agreement_clears_four_columns() -> None:
    _, head = create()
    given, output, _kept = small_call()
    counts = np.zeros((256, 4), np.int64)
    output.counts, output.agreement = address_of(counts), 1
    fake().fake_clear_log()
    assert run(head, given, output) == OK
    assert f"cuMemsetD8Async {256 * 4 * 8} bytes on 0" in log()


def case_the_grid_is_valid_for_any_extents() -> None:
    """The fake driver refuses grids that a real one refuses; nothing is executed."""
    _, head = create()
    most = 1 << 23
    sides = [1, 2, 65535, 65536, 4 * 65535 + 1, most]
    launches = 0
    for height in sides:
        for width in sides:
            for batch in (1, 65536, most):
                for channels, score in [
                    (1, (1, 1)),
                    (19, (most, most)),
                    (255, (height, 1)),
                    (19, (1, width)),
                ]:
                    given, output, _kept = small_call()
                    given.batch, given.channels, given.void_channel = batch, channels, -1
                    given.score_height, given.score_width = score
                    given.height = given.canvas_height = height
                    given.width = given.canvas_width = width
                    elements = max(height * (width + 3), 4 * channels * score[0] * score[1])
                    if batch * elements > 1 << 62:
                        assert run(head, given, output) == BAD_EXTENT
                        continue
                    assert run(head, given, output) == OK, failure()
                    launches += 1
    assert launches == len([line for line in log() if "Launch" in line])


def case_the_launch_answers_as_the_reference() -> None:
    """The whole way with the fake driver executing: what the launcher passes is what the kernels need."""
    _, head = create()
    fake().fake_execute(1)
    generator = np.random.default_rng(0)
    table = table_of(5, {y: set(range(y, 5)) for y in range(5)})
    for size, dtype, agreement in [
        ((24, 40), np.float32, False),
        ((24, 40), np.float16, False),
        ((7, 9), np.float32, True),
        ((7, 9), np.float16, True),
    ]:
        scores = generator.standard_normal((2, 5, 6, 8)).astype(dtype)
        labels = generator.integers(0, 6, (2, *size), dtype=np.uint8)
        classes = np.zeros((2, *size), np.uint8)
        counts = np.full((2, 256, 4 if agreement else 3), -1, np.int64)
        given = described(scores, size, labels=labels, table=table)
        output = HeadOutput(address_of(classes), address_of(counts), None, agreement)
        assert run(head, given, output) == OK, failure()
        for n in range(2):
            slow = reference.constrained_argmax(scores[n], size, labels=labels[n], table=table)
            assert np.array_equal(classes[n], slow.classes)
            assert np.array_equal(counts[n], slow.counts[:, : counts.shape[2]])


def case_threads_have_sentences_of_their_own() -> None:
    create(5)
    assert "device 5" in failure()
    seen = []

    def other() -> None:
        seen.append(failure())
        create(7)
        seen.append(failure())

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    assert seen[0] == ""
    assert "device 7" in seen[1]
    assert "device 5" in failure()


CASES = [name for name in dir() if name.startswith("case_")]


def main() -> None:
    global LIBRARY, KERNELS
    case, library, kernels = sys.argv[1:]
    LIBRARY, KERNELS = ctypes.CDLL(library), kernels.encode()
    LIBRARY.lsu_cuda_failure.restype = ctypes.c_char_p
    for name in ("lsu_cuda_head_run", "lsu_cuda_head_destroy"):
        getattr(LIBRARY, name).argtypes = [ctypes.c_void_p] * (4 if name.endswith("run") else 1)
    LIBRARY.lsu_cuda_head_destroy.restype = None
    globals()[case]()


if __name__ == "__main__":
    main()
