"""The TensorRT plugin, without a GPU: its build, its symbols, and its conversation with TensorRT.

A driver (tests/tensorrt_plugin) plays the builder and the execution context. It finds the plugin by the
library's entry points, and by the plugin registry of a real TensorRT runtime where one is installed. A
liblsu.so that records its calls stands in for the real one.
"""

import ctypes
import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "tests" / "tensorrt_plugin"
HEADERS = [Path(folder) for folder in os.environ.get("TENSORRT_INCLUDE", "").split(":") if folder]
CASES = (
    "names",
    "formats",
    "types",
    "static_shapes",
    "symbolic_shapes",
    "refused_shapes",
    "node_fields",
    "plan_fields",
    "enqueue_calls_the_launcher",
    "a_plugin_of_a_plan_runs",
    "clones_are_independent",
    "shapes_that_do_not_fit_are_refused",
    "every_status_is_reported",
    "the_head_is_made_on_the_current_device",
)
NO_CUDA_CASE = "without_cuda_one_line_says_so"


def run(*command, **changes) -> subprocess.CompletedProcess:
    """With its output as text, and no TENSORRT_INCLUDE but one that is asked for."""
    environment = {k: v for k, v in os.environ.items() if k != "TENSORRT_INCLUDE"} | changes
    words = [str(word) for word in command]
    return subprocess.run(words, capture_output=True, text=True, env=environment, timeout=280, check=False)


def tool(name: str) -> str:
    beside = Path(sys.executable).parent / name
    return str(beside) if beside.exists() else name


def configure(folder: Path, *options: str, **environment: str) -> subprocess.CompletedProcess:
    generator = ["-G", "Ninja", f"-DCMAKE_MAKE_PROGRAM={shutil.which(tool('ninja'))}"]
    return run(tool("cmake"), *generator, "-S", SOURCE, "-B", folder, *options, **environment)


@pytest.fixture(scope="module", params=HEADERS or [None], ids=str)
def headers(request) -> Path:
    if request.param is None:
        pytest.skip("TENSORRT_INCLUDE is not set: TensorRT's headers are on no package registry")
    return request.param


@pytest.fixture(scope="module")
def built(headers, tmp_path_factory) -> Path:
    """The folder with liblsu_tensorrt.so, a recording liblsu.so and the driver. Warnings are errors."""
    folder = tmp_path_factory.mktemp("plugin")
    for done in (
        configure(folder, f"-DTENSORRT_INCLUDE={headers}"),
        run(tool("cmake"), "--build", folder, "--parallel", "2"),
    ):
        assert done.returncode == 0, done.stdout + done.stderr
    return folder / "out"


@pytest.fixture(scope="module")
def tensorrt(headers) -> Path:
    """A real TensorRT runtime of the headers' major version."""
    found = importlib.util.find_spec("tensorrt_lean_libs")
    if found is None or not found.submodule_search_locations:
        pytest.skip("the package tensorrt-lean-cu13-libs is not installed: no real plugin registry")
    (library,) = Path(found.submodule_search_locations[0]).glob("libnvinfer_lean.so.*")
    text = (headers / "NvInferVersion.h").read_text(encoding="utf-8")
    wanted = re.search(r"define (?:NV_TENSORRT_MAJOR|TRT_MAJOR_ENTERPRISE) (\d+)", text)
    if wanted is None or library.suffix != f".{wanted[1]}":
        pytest.skip(f"{library.name} is installed; these headers need another major version")
    return library


def test_without_headers_the_plugin_is_left_out_and_a_line_says_so(tmp_path) -> None:
    done = configure(tmp_path)
    assert done.returncode == 0, done.stderr
    assert "the TensorRT plugin is left out (TENSORRT_INCLUDE is not set)" in done.stdout


@pytest.mark.parametrize("way", ["option", "environment", "list"])
def test_a_folder_without_headers_is_refused(tmp_path, way) -> None:
    if way == "option":  # which wins over the environment
        done = configure(tmp_path, "-DTENSORRT_INCLUDE=/nowhere", TENSORRT_INCLUDE="/elsewhere")
    else:
        done = configure(tmp_path, TENSORRT_INCLUDE="/nowhere" + (":/elsewhere" if way == "list" else ""))
    assert done.returncode != 0
    message = " ".join(done.stderr.split())
    assert "TENSORRT_INCLUDE is '/nowhere', and there is no NvInferRuntime.h in it" in message


def test_the_plugin_uses_the_public_interface_only() -> None:
    files = list((ROOT / "cuda_kernels" / "plugin").glob("*.[hc]*"))
    own = {file.name for file in files}
    included = {name for f in files for name in re.findall(r'#include "(.*)"', f.read_text(encoding="utf-8"))}
    assert own > included - {"lsu/constrained_argmax.h"}
    assert "lsu/constrained_argmax.h" in included


def test_nothing_of_tensorrt_or_cuda_is_linked(built) -> None:
    plugin = built / "liblsu_tensorrt.so"
    undefined = run("nm", "-D", "--undefined-only", "--demangle", plugin).stdout
    assert "lsu_cuda_head_run" in undefined
    assert not re.search(r"nvinfer|getPluginRegistry|getInferLibVersion|\bcu[A-Z]|\bcuda", undefined)
    dynamic = run("readelf", "-d", plugin).stdout
    needed = re.findall(r"NEEDED.*\[(.*)\]", dynamic)
    assert "liblsu.so" in needed
    assert not [name for name in needed if "nvinfer" in name or "cuda" in name]
    assert re.findall(r"R(?:UN)?PATH.*\[(.*)\]", dynamic) == ["$ORIGIN"]


def test_only_the_entry_points_are_exported(built) -> None:
    defined = run("nm", "-D", "--defined-only", built / "liblsu_tensorrt.so").stdout
    assert {line.split()[-1] for line in defined.splitlines()} == {"getCreators", "setLoggerFinder"}


def test_every_case_of_the_driver_is_run(built) -> None:
    assert run(built / "driver", "--list").stdout.split() == [*CASES, NO_CUDA_CASE]


@pytest.mark.parametrize("case", CASES)
def test_the_plugin_as_its_entry_points_give_it(built, case) -> None:
    done = run(built / "driver", built, case)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("case", CASES)
def test_the_plugin_as_a_real_registry_gives_it(built, tensorrt, case) -> None:
    done = run(built / "driver", built, case, tensorrt)
    assert done.returncode == 0, done.stderr


def installed_library() -> Path | None:
    for file in importlib.metadata.files("lsu") or []:
        if file.name == "liblsu.so":
            return Path(str(file.locate()))
    return None


def test_without_cuda_the_real_library_fails_with_one_line(built, tmp_path) -> None:
    library = installed_library()
    if library is None:
        pytest.skip("this installation of lsu has no liblsu.so")
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        pass
    else:
        pytest.skip("this machine has a CUDA driver")
    shutil.copy(built / "liblsu_tensorrt.so", tmp_path)
    shutil.copy(library, tmp_path / "liblsu.so")
    done = run(built / "driver", tmp_path, NO_CUDA_CASE)
    assert done.returncode == 0, done.stderr
