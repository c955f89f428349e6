"""The layers: imports point downward, and the lower ones run without what the upper ones need."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LAYERS = ("runtime", "training", "export")
"""From the lowest to the highest; each may import those before it."""

ONE_CLASS_EACH = {"torch", "onnx", "onnxruntime", "tensorrt", "tensorrt_rtx", "pycuda", "ray"}
BASE_INSTALL = {"numpy", "cv2", "typer", "rich", "cryptography", "tomli"}


def imports_of(path: Path) -> list[tuple[str, int]]:
    """Every imported module with how deep in functions and classes the import stands; types do not count."""
    found = []

    def visit(node: ast.AST, depth: int) -> None:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            return
        if isinstance(node, ast.Import):
            found.extend((alias.name, depth) for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            dots = "." * node.level
            found.append((dots + (node.module or ""), depth))
        deeper = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        for child in ast.iter_child_nodes(node):
            visit(child, depth + deeper)

    visit(ast.parse(path.read_text()), 0)
    return found


def modules(layer: str) -> list[Path]:
    return sorted((ROOT / layer).rglob("*.py"))


@pytest.mark.parametrize("layer", LAYERS)
def test_no_import_points_up_and_none_takes_a_bare_folder(layer) -> None:
    above = LAYERS[LAYERS.index(layer) + 1 :]
    assert modules(layer)
    for path in modules(layer):
        for name, _ in imports_of(path):
            assert not name.startswith(".."), f"{path}: {name}: no `..`"
            assert name.split(".")[0] not in LAYERS, f"{path}: {name}: import lsu.{name}"
            assert name.split(".")[:2] not in [["lsu", up] for up in above], f"{path}: {name} points up"


@pytest.mark.parametrize("folder", ["tests", "tools"])
def test_tests_and_tools_take_no_bare_folder(folder) -> None:
    for path in (ROOT / folder).rglob("*.py"):
        names = {name.split(".")[0] for name, _ in imports_of(path)}
        assert not names & set(LAYERS), path


def test_the_runtime_needs_only_the_base_install_when_it_is_imported() -> None:
    allowed = BASE_INSTALL | {"lsu", "tomllib"} | set(sys.stdlib_module_names)
    for path in modules("runtime"):
        for name, depth in imports_of(path):
            top = name.split(".")[0]
            assert not top or top in allowed or (depth > 0 and top in ONE_CLASS_EACH), f"{path}: {name}"


def test_no_module_has_a_name_that_says_nothing() -> None:
    for layer in LAYERS:
        assert not {p.stem for p in modules(layer)} & {"utils", "util", "common", "helpers", "misc"}


def test_torch_is_needed_in_two_files_of_export_only() -> None:
    needing = {
        p.name
        for p in modules("export")
        if any(
            n.split(".")[0] == "torch" or n.startswith("lsu.training")
            for n, depth in imports_of(p)
            if not depth
        )
    }
    assert needing <= {"graph.py", "to_onnx.py", "proof.py"}


BLOCK = """
import sys

class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {blocked!r}:
            raise ImportError("blocked: " + name)

sys.meta_path.insert(0, Block())
"""


def run(code: str, blocked: set[str]) -> None:
    program = BLOCK.format(blocked=blocked) + code
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_whole_runtime_imports_without_the_frameworks() -> None:
    names = [
        "lsu." + ".".join(p.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for p in modules("runtime")
    ]
    assert "lsu.runtime.relabel.pipeline" in names
    code = f"import importlib\nfor name in {names!r}:\n    importlib.import_module(name)\n"
    run(code, ONE_CLASS_EACH | {"pydantic", "safetensors", "lightning_fabric"})


def test_the_help_imports_neither_numpy_nor_cv2_nor_torch() -> None:
    code = """
import contextlib, io
from lsu.runtime.cli import application
printed = io.StringIO()
with contextlib.redirect_stdout(printed):
    try:
        application()(["--help"])
    except SystemExit as end:
        assert not end.code, end.code
for verb in ("relabel", "evaluate", "run", "inspect", "synth", "fit", "export"):
    assert verb in printed.getvalue(), verb
loaded = {name.split(".")[0] for name in sys.modules}
assert not loaded & {"numpy", "cv2", "torch", "onnxruntime", "pydantic"}, loaded
"""
    run(code, set())


def test_without_torch_the_verbs_that_need_it_are_not_listed() -> None:
    code = """
import importlib.util
real = importlib.util.find_spec
importlib.util.find_spec = lambda name, package=None: None if name == "torch" else real(name, package)
from lsu.runtime.cli import application
names = {c.name or c.callback.__name__ for c in application().registered_commands}
names |= {g.name for g in application().registered_groups}
assert {"relabel", "run", "synth", "export"} <= names, names
assert "fit" not in names, names
"""
    run(code, set())


def test_every_public_name_is_there_and_has_a_docstring() -> None:
    import lsu.runtime

    for name in lsu.runtime.__all__:
        value = getattr(lsu.runtime, name)
        assert isinstance(value, int) or value.__doc__, name
    assert sorted(lsu.runtime._HOME_OF) == sorted(lsu.runtime.__all__)
