"""The README's own words: its commands exist, and on real data they run."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lsu.runtime import LabelSpace
from lsu.runtime.cli import application

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", TEXT, flags=re.DOTALL)


def own_data() -> str:
    (block,) = [b for b in blocks("sh") if "lsu relabel" in b]
    return block


def commands() -> list[list[str]]:
    joined = own_data().replace("\\\n", " ")
    return [shlex.split(line)[1:] for line in joined.splitlines() if line.startswith("lsu ")]


def test_the_two_commands_are_there() -> None:
    for name in ("tools/demo.sh", "tools/check.sh"):
        assert name in TEXT
        assert os.access(ROOT / name, os.X_OK)


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_every_option_of_the_readme_exists(words) -> None:
    verb = words[:2] if words[0] == "export" else words[:1]
    shown = CliRunner().invoke(application(), [*verb, "--help"])
    assert shown.exit_code == 0
    for word in words:
        if word.startswith("-"):
            assert word in shown.output, word


def test_every_linked_file_is_there() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", TEXT):
        assert (ROOT / target).exists(), target


def test_the_readmes_own_set_loads_and_its_relation_is_derived_and_checked(tmp_path, monkeypatch) -> None:
    (toml,) = blocks("toml")
    (lines,) = [b for b in blocks("sh") if "lsu labels relate" in b]
    monkeypatch.chdir(tmp_path)
    Path("town").mkdir()
    Path("town/dataset.toml").write_text(toml)
    assert LabelSpace.load("town/dataset.toml").names == ("drivable", "vehicle")
    commands = [shlex.split(line, comments=True)[1:] for line in lines.splitlines()]
    assert len(commands) == 2
    for words in commands:
        ran = CliRunner().invoke(application(), words)
        assert ran.exit_code == 0, ran.output


def test_every_verb_is_in_the_table() -> None:
    app = application()
    names = {c.name or c.callback.__name__ for c in app.registered_commands}
    for name in names | {"export onnx"}:
        assert f"| `lsu {name}` |" in TEXT, name


@pytest.mark.timeout(900)
def test_the_own_data_lines_run_on_real_data(tmp_path) -> None:
    """Two steps instead of 2000, and every 40th image of IDD-Lite; all else is as the README says it."""
    data = os.environ.get("LSU_DATA")
    if not data:
        pytest.skip("LSU_DATA, the folder of real data sets, is not set")
    (tmp_path / "data").mkdir()
    (tmp_path / "data/camvid11").symlink_to(Path(data) / "camvid11")
    for kind in ("images", "labels"):
        folder = tmp_path / "data/idd_lite" / kind / "train"
        folder.mkdir(parents=True)
        for path in sorted((Path(data) / "idd_lite" / kind / "train").iterdir())[::40]:
            (folder / path.name).symlink_to(path)
    script = (
        own_data()
        .replace("steps = 2000", "steps = 2, crop = [64, 64], batch_size = 2")
        .replace(", crop = [256, 320]", "")
        .replace("resnet18", "tu-mobilenetv3_small_050")
    )
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Bicyclist" in done.stdout  # the evaluation's table
    assert len(list((tmp_path / "runs/frames").rglob("*.png"))) >= 101
