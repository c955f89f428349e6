"""The package as a user gets it: the wheel's contents, a wheel install, licences of what it needs."""

import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from importlib.metadata import PackageNotFoundError, distribution, requires
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
C_HEADER = "lsu/runtime/include/lsu/constrained_argmax.h"
PERMISSIVE = (
    "MIT",
    "BSD",
    "Apache",
    "ISC",
    "PSF",
    "Python Software Foundation",
    "Python-2.0",
    "Zlib",
    "MIT-CMU",
    "Unlicense",
    "0BSD",
    "CNRI",
)

NOT_IN_METADATA = {
    # Packages whose metadata names no licence, read in their repositories.
    "opencv-python": "Apache-2.0",
}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """A wheel built from the files that git would commit."""
    folder = tmp_path_factory.mktemp("wheel")
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in listed.stdout.splitlines():
        if (ROOT / name).is_file():
            (folder / "source" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / "source" / name)
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "-w", str(folder), str(folder / "source")], check=True)
    (built,) = folder.glob("lsu-*.whl")
    return built


def test_the_wheel_holds_the_three_layers_the_native_part_and_the_catalogue(wheel) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert any(re.fullmatch(r"lsu/runtime/_native\..*so", n) for n in names)
    assert {"lsu/runtime/liblsu.so", C_HEADER} <= names
    for name in ("lsu/runtime/cli.py", "lsu/training/cli.py", "lsu/export/cli.py", "lsu/runtime/_native.pyi"):
        assert name in names
    for path in [*(ROOT / "runtime/catalogue").rglob("*.toml"), *(ROOT / "training/presets").glob("*.toml")]:
        assert "lsu/" + str(path.relative_to(ROOT)) in names
    assert {n.split("/")[0] for n in names if ".dist-info" not in n} == {"lsu"}
    names.remove(C_HEADER)
    assert not [n for n in names if re.search(r"csrc|CMake|\.cpp$|\.h$|\.cu$|tests/|__pycache__", n)]
    assert "lsu/__init__.py" not in names  # a namespace package


def test_an_installed_wheel_runs(wheel, tmp_path) -> None:
    installed = tmp_path / "site"
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "-q",
        "--no-deps",
        "--target",
        str(installed),
        str(wheel),
    ]
    subprocess.run(command, check=True)
    # -S leaves the editable install's hook out; what lsu needs comes from this environment all the same.
    paths = [str(installed), sysconfig.get_paths()["purelib"]]
    program = (
        f"import sys; sys.path[:0] = {paths[:1]!r}; sys.path += {paths[1:]!r}\n"
        "import numpy as np, lsu.runtime\n"
        f"assert lsu.runtime.__file__.startswith({str(installed)!r})\n"
        "found = lsu.runtime.constrained_argmax(np.eye(2, dtype=np.float32)[:, None], (1, 2))\n"
        "assert found.classes.tolist() == [[0, 1]]\n"
        "assert len(lsu.runtime.LabelSpace.load('camvid11')) == 11\n"
    )
    subprocess.run([sys.executable, "-S", "-c", program], check=True, cwd=tmp_path)


def closure(extras: set[str]) -> set[str]:
    """Every distribution that lsu with these extras brings along, as installed here."""
    from packaging.requirements import Requirement

    seen: set[str] = set()
    queue = [("lsu", frozenset(extras))]
    while queue:
        name, asked = queue.pop()
        try:
            needed = requires(name) or []
        except PackageNotFoundError:
            continue
        for text in needed:
            need = Requirement(text)
            if need.marker and not any(need.marker.evaluate({"extra": e}) for e in asked | {""}):
                continue
            key = need.name.lower().replace("_", "-")
            if key not in seen:
                seen.add(key)
                queue.append((need.name, frozenset(need.extras)))
    return seen - {"lsu"}


def licence_of(name: str) -> str:
    about = distribution(name).metadata
    classifiers = [c.split(" :: ")[-1] for c in about.get_all("Classifier", []) if c.startswith("License ::")]
    said = about.get("License-Expression") or "; ".join(classifiers) or (about.get("License") or "")[:80]
    return said or NOT_IN_METADATA.get(name, "")


def test_every_dependency_has_a_permissive_licence() -> None:
    names = closure({"cpu", "train", "mask2former", "export"})
    assert {"numpy", "opencv-python", "typer", "torch", "timm", "onnx", "onnxruntime"} <= names
    assert {"transformers", "scipy"} <= names
    odd = {}
    for name in sorted(names):
        # NVIDIA's own libraries come with torch's CUDA build under NVIDIA's terms; lsu does not ship them.
        if name.startswith(("nvidia-", "cuda-")):
            continue
        try:
            said = licence_of(name)
        except PackageNotFoundError:
            continue  # needed on another platform only
        if not any(word.lower() in said.lower() for word in PERMISSIVE) or re.search(r"\bA?GPL", said):
            odd[name] = said
    assert odd == {}


def test_the_wheel_and_the_checkout_carry_the_licence(wheel) -> None:
    assert "Apache License" in (ROOT / "LICENSE").read_text()
    assert any(n.endswith("licenses/LICENSE") for n in zipfile.ZipFile(wheel).namelist())


def test_no_file_is_over_a_megabyte() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in filter(None, listed.stdout.split("\0")):
        assert not (ROOT / name).is_file() or (ROOT / name).stat().st_size < 1 << 20, name
