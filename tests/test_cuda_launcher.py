"""The CUDA launcher, against a driver that is not there, a fake one, and a fake one that fails."""

import os
import subprocess
import sys
from pathlib import Path

import launcher
import launcher_cases
import pytest
from device_twin import KERNELS, ROOT, compiled

SOURCES = [
    KERNELS / "src" / name for name in ("cuda_driver.cpp", "cuda_head.cpp", "device_plan.cpp", "check.cpp")
]
CHECKS = ("-fsanitize=undefined", "-fno-sanitize-recover=all")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The launcher's library, a file in place of compiled kernels, and fake/libcuda.so.1."""
    place = tmp_path_factory.mktemp("launcher")
    compiled(place / "liblauncher.so", SOURCES, *CHECKS, "-ldl")
    (place / "fake").mkdir()
    fake = [ROOT / "tests/host_device/fake_cuda.cpp", KERNELS / "src/device_plan.cpp"]
    compiled(place / "fake/libcuda.so.1", fake, *CHECKS)
    (place / "kernels.fatbin").write_bytes(b"any bytes")
    return place


def run(folder: Path, *command: str, driver: str = "fake") -> subprocess.CompletedProcess[str]:
    paths = os.pathsep.join([str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": paths, "LD_LIBRARY_PATH": str(folder / driver)}
    return subprocess.run(
        [sys.executable, *command], env=environment, capture_output=True, text=True, check=False, timeout=120
    )


@pytest.mark.parametrize("case", launcher_cases.CASES)
def test_launcher(folder: Path, case: str) -> None:
    done = run(
        folder,
        str(ROOT / "tests/launcher_cases.py"),
        *(case, str(folder / "liblauncher.so"), str(folder / "kernels.fatbin")),
    )
    assert done.returncode == 0, done.stderr


ASK = """
import ctypes, sys
library = ctypes.CDLL(sys.argv[1])
library.lsu_cuda_failure.restype = ctypes.c_char_p
head = ctypes.c_void_p(1)
print(library.lsu_cuda_head_create(0, None, ctypes.byref(head)), head.value)
print(library.lsu_cuda_failure().decode())
"""


def test_without_a_driver_the_library_loads_and_says_so(folder: Path) -> None:
    """A shared object of that name that is no library hides a driver that this machine may have."""
    (folder / "none").mkdir()
    (folder / "none/libcuda.so.1").write_bytes(b"")
    done = run(folder, "-c", ASK, str(folder / "liblauncher.so"), driver="none")
    status, sentence = done.stdout.splitlines()
    assert status == f"{launcher.NO_CUDA} None"
    assert sentence.startswith("no CUDA driver: ")
    assert "libcuda.so.1" in sentence


def test_a_driver_that_is_too_old_is_told_by_the_call_it_lacks(folder: Path) -> None:
    (folder / "old").mkdir()
    source = folder / "old/old.cpp"
    source.write_text(
        'extern "C" __attribute__((visibility("default"))) int cuInit(unsigned int) { return 0; }\n'
    )
    compiled(folder / "old/libcuda.so.1", [source])
    done = run(folder, "-c", ASK, str(folder / "liblauncher.so"), driver="old")
    assert done.stdout.splitlines() == [
        f"{launcher.NO_CUDA} None",
        "libcuda.so.1 has no cuGetErrorName: update the GPU driver",
    ]


def test_kernels_are_looked_for_beside_the_library_that_a_link_leads_to(folder: Path, tmp_path: Path) -> None:
    link = tmp_path / "liblinked.so"
    link.symlink_to(folder / "liblauncher.so")
    done = run(folder, "-c", ASK, str(link))
    status, sentence = done.stdout.splitlines()
    assert status == f"{launcher.NO_KERNELS} None"
    assert f"{folder.resolve()}/data/constrained_argmax.fatbin" in sentence


def test_the_launcher_needs_no_cuda_library_to_load(folder: Path) -> None:
    listed = subprocess.run(
        ["ldd", str(folder / "liblauncher.so")], capture_output=True, text=True, check=True
    ).stdout
    assert "libcuda" not in listed
    assert "libcudart" not in listed
