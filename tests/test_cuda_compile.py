"""The CUDA kernels compile for every target, keep their registers within a budget and spill none of them."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from device_twin import KERNELS

TARGETS = re.search(r'LSU_CUDA_TARGETS "([\d;]+)"', (KERNELS / "cuda.cmake").read_text())


def register_budget(kernel: str, target: int) -> int:
    """What leaves room for 4 blocks of 256 threads, or for 3 where shared memory has room for no more."""
    return 80 if "cells" in kernel and target < 90 else 64


def nvcc() -> str:
    homes = [os.environ.get(name, "") for name in ("CUDA_HOME", "CUDA_PATH")] + ["/usr/local/cuda"]
    path = os.pathsep.join([os.environ["PATH"], *(f"{home}/bin" for home in homes if home)])
    found = shutil.which("nvcc", path=path)
    if found is None:
        pytest.skip("no nvcc on this machine: the kernels cannot be compiled")
    return found


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, int], str]:
    """What ptxas says about each kernel on each target."""
    compiler = nvcc()
    listed = subprocess.run([compiler, "--list-gpu-code"], capture_output=True, text=True, check=True).stdout
    assert TARGETS is not None
    targets = [t for t in TARGETS[1].split(";") if f"sm_{t}" in listed.split()]
    source = KERNELS / "src/constrained_argmax.cu"
    output = tmp_path_factory.mktemp("cuda") / "kernels.fatbin"
    command = [compiler, "--fatbin", "-std=c++17", "-O3", "--fmad=false", "--Werror", "all-warnings"]
    command += [f"-I{KERNELS / 'include'}", f"-I{KERNELS / 'src'}", "-Xptxas", "-v"]
    command += [f"--generate-code=arch=compute_{t},code=sm_{t}" for t in targets]
    done = subprocess.run(
        [*command, "-o", str(output), str(source)], capture_output=True, text=True, check=False, timeout=280
    )
    assert done.returncode == 0, done.stderr
    parts = re.split(r"Compiling entry function '(\w+)' for 'sm_(\d+)'", done.stderr + done.stdout)
    return {(parts[i], int(parts[i + 1])): parts[i + 2] for i in range(1, len(parts), 3)}


def test_every_kernel_is_there_for_every_target(reports: dict[tuple[str, int], str]) -> None:
    kernels = {f"lsu_{how}_{score}" for how in ("cells", "dense") for score in ("float32", "float16")}
    targets = {target for _, target in reports}
    assert targets
    assert set(reports) == {(kernel, target) for kernel in kernels for target in targets}


def test_no_kernel_spills(reports: dict[tuple[str, int], str]) -> None:
    for key, text in reports.items():
        found = re.search(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", text)
        assert found is not None, key
        assert found.groups() == ("0", "0", "0"), (key, found[0])


def test_no_kernel_takes_more_registers_than_its_budget(reports: dict[tuple[str, int], str]) -> None:
    for (kernel, target), text in reports.items():
        found = re.search(r"Used (\d+) registers", text)
        assert found is not None, (kernel, target)
        assert int(found[1]) <= register_budget(kernel, target), (kernel, target, found[0])


def test_the_kernels_know_no_fused_multiply_add() -> None:
    """The build and this file pass the flag; without it the last bit of a score would differ."""
    assert "--fmad=false" in (KERNELS / "cuda.cmake").read_text()
    assert "use_fast_math" not in Path(KERNELS / "cuda.cmake").read_text()
