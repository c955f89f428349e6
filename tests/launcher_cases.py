"""Cases for the CUDA launcher, each run in a process of its own by test_cuda_launcher.py.

A process loads one libcuda.so.1 only, and here it is the fake one that stands on LD_LIBRARY_PATH. Arguments:
the case, the launcher's library, a file that stands for the compiled kernels.
"""

import ctypes
import os
import sys
import threading

import gpu_cases
import numpy as np
import reference
from device_twin import HeadOutput, address_of, described
from head_problems import table_of
from launcher import (
    BAD_EXTENT,
    FAILED,
    ILLEGAL_ADDRESS,
    NO_BINARY,
    NO_CUDA,
    NO_KERNELS,
    NULL_POINTER,
    OK,
    Launcher,
    fake,
    log,
    nothing_is_left,
    small_call,
)


def case_a_call_clears_the_counts_and_launches_on_the_stream(launcher: Launcher) -> None:
    status, head = launcher.create(1)
    assert status == OK, launcher.failure()
    assert "cuDeviceGet 1" in log()
    assert "cuDeviceGetAttribute 16 of 41" in log()
    assert len([line for line in log() if line.startswith("cuModuleGetFunction")]) == 4
    given, output, _kept = small_call()
    fake().fake_clear_log()
    assert launcher.run(head, given, output, stream=123456) == OK, launcher.failure()
    assert log() == [
        "cuCtxPushCurrent",
        f"cuMemsetD8Async {256 * 3 * 8} bytes on 123456",
        "cuLaunchKernel lsu_cells_float32 grid 1 2 1 block 256 1 1 shared 0 on 123456",
        "cuCtxPopCurrent",
    ]
    launcher.library.lsu_cuda_head_destroy(head)
    nothing_is_left()


def case_every_failure_while_creating_is_named_and_leaves_nothing(launcher: Launcher) -> None:
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
            status, head = launcher.create()
            assert status == FAILED, (call, skipped)
            assert head.value is None
            assert launcher.failure() == f"{call} failed: CUDA_ERROR_ILLEGAL_ADDRESS (700)"
            fake().fake_fail(b"", 0, 0)
            nothing_is_left()


def case_every_failure_while_running_is_named_and_the_context_popped(launcher: Launcher) -> None:
    _, head = launcher.create()
    given, output, _kept = small_call()
    for call in ("cuCtxPushCurrent", "cuMemsetD8Async", "cuLaunchKernel", "cuCtxPopCurrent"):
        fake().fake_fail(call.encode(), 0, ILLEGAL_ADDRESS)
        fake().fake_clear_log()
        assert launcher.run(head, given, output) == FAILED, call
        assert launcher.failure() == f"{call} failed: CUDA_ERROR_ILLEGAL_ADDRESS (700)"
        assert fake().fake_depth() == 0
        assert call == "cuLaunchKernel" or not (
            call in ("cuCtxPushCurrent", "cuMemsetD8Async") and any("Launch" in line for line in log())
        )
        fake().fake_fail(b"", 0, 0)
        assert launcher.run(head, given, output) == OK
    launcher.library.lsu_cuda_head_destroy(head)
    nothing_is_left()


def case_failures_while_destroying_pass_over(launcher: Launcher) -> None:
    for call in ("cuCtxPushCurrent", "cuModuleUnload", "cuCtxPopCurrent", "cuDevicePrimaryCtxRelease"):
        _, head = launcher.create()
        fake().fake_fail(call.encode(), 0, 4)  # the driver is shutting down
        fake().fake_clear_log()
        launcher.library.lsu_cuda_head_destroy(head)
        assert fake().fake_depth() == 0
        unloads = [line for line in log() if line.startswith("cuModuleUnload")]
        assert unloads == ([] if call == "cuCtxPushCurrent" else ["cuModuleUnload"])
        fake().fake_fail(b"", 0, 0)
    launcher.library.lsu_cuda_head_destroy(None)


def case_an_error_without_a_name_has_its_number(launcher: Launcher) -> None:
    fake().fake_fail(b"cuDeviceGet", 0, 4242)
    assert launcher.create()[0] == FAILED
    assert launcher.failure() == "cuDeviceGet failed: unknown error (4242)"


def case_a_driver_that_does_not_start_is_no_cuda_and_may_start_later(launcher: Launcher) -> None:
    fake().fake_fail(b"cuInit", 0, 100)
    assert launcher.create()[0] == NO_CUDA
    assert launcher.failure() == "cuInit failed: unknown error (100)"
    fake().fake_fail(b"", 0, 0)
    status, head = launcher.create()
    assert status == OK
    launcher.library.lsu_cuda_head_destroy(head)


def case_a_device_that_is_not_there_is_no_cuda(launcher: Launcher) -> None:
    for device in (2, -1):
        status, head = launcher.create(device)
        assert status == NO_CUDA
        assert head.value is None
        assert launcher.failure() == f"no CUDA device {device}: there are 2"


def case_a_missing_file_of_kernels_is_said_with_its_path(launcher: Launcher) -> None:
    for path in (b"/nowhere/at/all.fatbin", b"/usr", b"/dev/null"):
        assert launcher.create(kernels=path)[0] == NO_KERNELS
        assert path.decode() in launcher.failure()
        nothing_is_left()
    status = launcher.library.lsu_cuda_head_create(0, None, ctypes.byref(ctypes.c_void_p()))
    assert status == NO_KERNELS
    beside = os.path.realpath(launcher.library._name).rpartition("/")[0] + "/data/constrained_argmax.fatbin"
    assert beside in launcher.failure(), launcher.failure()


def case_kernels_for_other_devices_only_are_no_kernels(launcher: Launcher) -> None:
    fake().fake_fail(b"cuModuleLoadData", 0, NO_BINARY)
    assert launcher.create()[0] == NO_KERNELS
    assert "CUDA_ERROR_NO_BINARY_FOR_GPU (209)" in launcher.failure()
    fake().fake_fail(b"", 0, 0)
    nothing_is_left()


def case_wrong_arguments_reach_no_driver(launcher: Launcher) -> None:
    _, head = launcher.create()
    given, output, _kept = small_call()
    fake().fake_clear_log()
    given.score_height = 0
    assert launcher.run(head, given, output) == BAD_EXTENT
    given.score_height = 4
    given.scores = None
    assert launcher.run(head, given, output) == NULL_POINTER
    assert (
        launcher.library.lsu_cuda_head_run(None, ctypes.byref(given), ctypes.byref(output), None)
        == NULL_POINTER
    )
    assert launcher.library.lsu_cuda_head_run(head, None, ctypes.byref(output), None) == NULL_POINTER
    assert launcher.library.lsu_cuda_head_run(head, ctypes.byref(given), None, None) == NULL_POINTER
    assert launcher.library.lsu_cuda_head_create(0, launcher.kernels, None) == NULL_POINTER
    assert log() == []


def case_an_empty_answer_clears_its_counts_and_launches_nothing(launcher: Launcher) -> None:
    _, head = launcher.create()
    for batch, height, width, cleared in [(0, 16, 20, 0), (2, 0, 20, 2), (2, 16, 0, 2)]:
        given, output, _kept = small_call()
        given.batch, given.height, given.width = batch, height, width
        fake().fake_clear_log()
        assert launcher.run(head, given, output) == OK
        memsets = [line for line in log() if "Memset" in line]
        assert memsets == ([f"cuMemsetD8Async {cleared * 256 * 3 * 8} bytes on 0"] if cleared else [])
        assert not [line for line in log() if "Launch" in line]


def case_counts_that_are_not_wanted_are_not_cleared(launcher: Launcher) -> None:
    _, head = launcher.create()
    given, output, _kept = small_call()
    output.counts = None
    fake().fake_clear_log()
    assert launcher.run(head, given, output) == OK
    assert [line.split()[0] for line in log()] == ["cuCtxPushCurrent", "cuLaunchKernel", "cuCtxPopCurrent"]


def case_agreement_clears_four_columns(launcher: Launcher) -> None:
    _, head = launcher.create()
    given, output, _kept = small_call()
    counts = np.zeros((256, 4), np.int64)
    output.counts, output.agreement = address_of(counts), 1
    fake().fake_clear_log()
    assert launcher.run(head, given, output) == OK
    assert f"cuMemsetD8Async {256 * 4 * 8} bytes on 0" in log()


def case_the_grid_is_valid_for_any_extents(launcher: Launcher) -> None:
    """The fake driver refuses grids that a real one refuses; nothing is executed."""
    _, head = launcher.create()
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
                        assert launcher.run(head, given, output) == BAD_EXTENT
                        continue
                    assert launcher.run(head, given, output) == OK, launcher.failure()
                    launches += 1
    assert launches == len([line for line in log() if "Launch" in line])


def case_the_gpu_cases_have_more_rows_of_tiles_than_the_grid(launcher: Launcher) -> None:
    """By either kernel: what gpu_cases shows on a device is that blocks stride over the rest."""
    _, head = launcher.create()
    for size, margin, kernel in (
        (gpu_cases.TALL_FOR_CELLS, False, "lsu_cells_float32"),
        (gpu_cases.TALL_FOR_DENSE, True, "lsu_dense_float32"),
    ):
        scores = np.zeros(gpu_cases.TALL_SCORES, np.float32)
        memory = np.zeros(size, np.uint8)
        output = HeadOutput(address_of(memory), None, address_of(memory) if margin else None, 0)
        fake().fake_clear_log()
        assert launcher.run(head, described(scores, size), output) == OK, launcher.failure()
        assert f"cuLaunchKernel {kernel} grid 1 65535 1" in "".join(log()), log()
        most_rows = 64 if kernel.startswith("lsu_cells") else 8  # of a tile
        assert size[0] > 65535 * most_rows


def case_the_launch_answers_as_the_reference(launcher: Launcher) -> None:
    """The whole way with the fake driver executing: what the launcher passes is what the kernels need."""
    _, head = launcher.create()
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
        assert launcher.run(head, given, output) == OK, launcher.failure()
        for n in range(2):
            slow = reference.constrained_argmax(scores[n], size, labels=labels[n], table=table)
            assert np.array_equal(classes[n], slow.classes)
            assert np.array_equal(counts[n], slow.counts[:, : counts.shape[2]])


def case_threads_have_sentences_of_their_own(launcher: Launcher) -> None:
    launcher.create(5)
    assert "device 5" in launcher.failure()
    seen = []

    def other() -> None:
        seen.append(launcher.failure())
        launcher.create(7)
        seen.append(launcher.failure())

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    assert seen[0] == ""
    assert "device 7" in seen[1]
    assert "device 5" in launcher.failure()


CASES = [name for name in dir() if name.startswith("case_")]


def main() -> None:
    case, library, kernels = sys.argv[1:]
    globals()[case](Launcher(library, kernels))


if __name__ == "__main__":
    main()
