"""liblsu as a C program meets it: header, symbols, the example, and the copy in the Python package."""

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
HEADER = ROOT / "cuda_kernels" / "include" / "lsu" / "constrained_argmax.h"
EXAMPLE = ROOT / "examples" / "c"
STRICT = ["-Wall", "-Wextra", "-pedantic", "-Werror"]
PRINTED = """\
ssssssssssssssssssscssss
ssssssssssssssssssscssss
ssssssssssssssssssccsrrr
ssssssssssssssssccccrrrr
rrrrccccrrrrrrccccccrrrr
rrrrccccrrrrrrrcccccrrrr
rrrrrrrrrrrrrrrcccccrrrr
........................
label 0: 0 forced, 132 chosen, 0 void
label 1: 0 forced, 28 chosen, 0 void
label 2: 8 forced, 0 chosen, 0 void
label 255: 0 forced, 0 chosen, 24 void
"""


def run(*command) -> str:
    words = [str(word) for word in command]
    done = subprocess.run(words, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def tool(name: str) -> str:
    beside = Path(sys.executable).parent / name
    return str(beside) if beside.exists() else name


def configure(source: Path, build: Path, *options: str) -> None:
    generator = ["-G", "Ninja", f"-DCMAKE_MAKE_PROGRAM={shutil.which(tool('ninja'))}"]
    run(tool("cmake"), *generator, "-S", source, "-B", build, *options)
    run(tool("cmake"), "--build", build, "--parallel", "2")


def functions_of(header: str) -> set[str]:
    return set(re.findall(r"^LSU_API .*?(lsu_\w+)\(", header, flags=re.MULTILINE))


@pytest.fixture(scope="module")
def prefix(tmp_path_factory) -> Path:
    """The C library alone, installed as docs/c_library.md says."""
    folder = tmp_path_factory.mktemp("library")
    alone = ("-DLSU_PYTHON=OFF", "-DLSU_CUDA=OFF", "-DTENSORRT_INCLUDE=")
    configure(ROOT, folder / "build", *alone, "-DCMAKE_INSTALL_LIBDIR=lib")
    run(tool("cmake"), "--install", folder / "build", "--prefix", folder / "prefix")
    return folder / "prefix"


@pytest.mark.parametrize(
    ("language", "standard"), [("c", "c11"), ("c", "c17"), ("c++", "c++17"), ("c++", "c++20")]
)
def test_the_header_is_plain_c_and_cpp(tmp_path, language, standard) -> None:
    source = tmp_path / "source"
    source.write_text("#include <lsu/constrained_argmax.h>\nint main(void) { return LSU_OK; }\n")
    run("cc", "-x", language, f"-std={standard}", *STRICT, "-fsyntax-only", f"-I{HEADER.parents[1]}", source)


def test_the_installation_holds_the_library_and_its_header_only(prefix) -> None:
    installed = {str(path.relative_to(prefix)) for path in prefix.rglob("*") if path.is_file()}
    assert installed == {"lib/liblsu.so", "include/lsu/constrained_argmax.h"}


def test_the_exported_symbols_are_the_functions_of_the_header(prefix) -> None:
    defined = run("nm", "-D", "--defined-only", prefix / "lib" / "liblsu.so")
    functions = functions_of(HEADER.read_text(encoding="utf-8"))
    assert {"lsu_head_create", "lsu_head_run", "lsu_head_destroy", "lsu_status_text"} <= functions
    assert {line.split()[-1] for line in defined.splitlines()} == functions


def test_the_library_needs_only_the_system(prefix) -> None:
    dynamic = run("readelf", "-d", prefix / "lib" / "liblsu.so")
    needed = {name.split(".")[0] for name in re.findall(r"NEEDED.*\[(.*)\]", dynamic)}
    loader = {name for name in needed if name.startswith("ld-linux")}
    assert needed - loader <= {"libstdc++", "libm", "libgcc_s", "libc", "libpthread", "libdl"}


def test_the_example_built_by_cc_prints_what_is_promised(prefix, tmp_path) -> None:
    program = tmp_path / "segment"
    link = [f"-L{prefix / 'lib'}", f"-Wl,-rpath,{prefix / 'lib'}", "-llsu"]
    sources = [EXAMPLE / "segment.c", f"-I{prefix / 'include'}"]
    run("cc", "-std=c11", *STRICT, *sources, *link, "-o", program)
    assert run(program) == PRINTED


def test_the_example_built_by_cmake_prints_the_same(prefix, tmp_path) -> None:
    configure(EXAMPLE, tmp_path, f"-DCMAKE_PREFIX_PATH={prefix}")
    assert run(tmp_path / "segment") == PRINTED


def test_the_python_package_brings_the_same_library(tmp_path) -> None:
    files = {str(file): Path(str(file.locate())) for file in importlib.metadata.files("lsu") or []}
    header = files["lsu/runtime/include/lsu/constrained_argmax.h"]
    library = files["lsu/runtime/liblsu.so"]
    assert functions_of(header.read_text(encoding="utf-8")) == functions_of(
        HEADER.read_text(encoding="utf-8")
    )
    program = tmp_path / "segment"
    include = f"-I{header.parents[1]}"
    run("cc", EXAMPLE / "segment.c", include, library, f"-Wl,-rpath,{library.parent}", "-o", program)
    assert run(program) == PRINTED


def test_the_page_shows_the_commands_and_the_output_that_are_tested() -> None:
    page = (ROOT / "docs" / "c_library.md").read_text(encoding="utf-8")
    assert PRINTED in page
    for target in re.findall(r"\]\(([^)#]+)\)", page):
        assert (ROOT / "docs" / target).exists(), target


def test_the_commands_of_the_page_build_and_run_the_example() -> None:
    page = (ROOT / "docs" / "c_library.md").read_text(encoding="utf-8")
    block = re.search(r"```sh\n(.*?)```", page, re.DOTALL)
    assert block is not None
    tools = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-ec", block.group(1)], cwd=ROOT, env=tools, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(PRINTED)


def test_the_page_explains_every_status() -> None:
    page = (ROOT / "docs" / "c_library.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"enum lsu_status \{(.*?)\}", HEADER.read_text(encoding="utf-8"), re.DOTALL)
    statuses = re.findall(r"^ +(LSU_\w+)", block, re.MULTILINE)
    assert "LSU_NO_MEMORY" in statuses
    for status in statuses:
        assert f"`{status}`" in page, status
