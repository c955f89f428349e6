"""The commands of docs/distillation.md, run in small."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pictures import FOREIGN, write_dataset

from lsu.runtime import Dataset, LabelSpace
from lsu.runtime.relabel.score_writer import ScoreWriter
from lsu.training.checkpoint import Checkpoint
from lsu.training.config import Config

PAGE = (Path(__file__).parent.parent / "docs/distillation.md").read_text()
SMALL = [
    "fit.steps=2",
    "fit.crop=[32,32]",
    "fit.batch_size=8",
    "fit.threads=1",
    "fit.accelerator=cpu",
    "network.input_size=[32,32]",
]
ENCODER = "network.encoder=tu-mobilenetv3_small_050"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, flags=re.DOTALL)


def run(script: str, folder: Path) -> str:
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    command = ["bash", "-euo", "pipefail", "-c", script]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def smaller(block: str, *more: str) -> str:
    """The commands of a block, its fits with few steps."""
    lines = block.replace("\\\n", " ").splitlines()
    settings = shlex.join([*SMALL, *more])
    return "\n".join(f"{line} {settings}" if line.startswith("lsu fit ") else line for line in lines)


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """`data/camvid11` and `data/idd_lite`, which are of one small label space here, and city.toml."""
    folder = tmp_path_factory.mktemp("place")
    for name, seed in (("data/camvid11", 1), ("data/idd_lite", 2), ("town", 3)):
        write_dataset(folder / name, frames=8, size=(48, 64), seed=seed)
    (folder / "city.toml").write_text('output = "runs/city"\ndata = [{ dataset = "data/camvid11" }]\n')
    (folder / "student.toml").write_text('output = "x"\ndata = [{ dataset = "town" }]\n')
    for name in ("city", "a", "b"):
        run(smaller(f"lsu fit city.toml output=runs/{name}", ENCODER), folder)
    run("lsu export onnx runs/b/checkpoint.safetensors -o runs/b/bundle", folder)
    return folder


def of_small_sets(toml: str) -> str:
    """The page's configuration with the folders of the small sets instead of names of the catalogue."""
    return re.sub(r'dataset = "(\w+)", root = "data/\w+"', r'dataset = "data/\1"', toml)


@pytest.mark.parametrize("number", range(2), ids=["t-net", "s-net"])
def test_the_pages_configurations_are_fits(place: Path, number: int) -> None:
    toml = of_small_sets(blocks("toml")[number])
    (place / "page.toml").write_text(toml)
    run(smaller("lsu fit page.toml"), place)
    output = Config.load(place / "page.toml").output
    assert Checkpoint.load(Path(output) / "checkpoint.safetensors").label_space == FOREIGN
    run(f"lsu export onnx {output}/checkpoint.safetensors -o {output}/bundle", place)


def test_a_student_learns_from_labels_and_a_teacher(place: Path) -> None:
    (block,) = (b for b in blocks("sh") if "lsu relabel" not in b)
    run(smaller(block), place)
    assert (place / "runs/small/checkpoint.safetensors").exists()


def test_the_way_from_a_black_box_to_a_student(place: Path) -> None:
    split = Dataset.load(place / "town").split("train")
    writer = ScoreWriter(place / "blackbox", FOREIGN, kind="probabilities")
    generator = np.random.default_rng(0)
    for frame in split.frames:
        odds = generator.random((3, 6, 8)).astype(np.float32)
        writer.write("train", frame.key, odds / odds.sum(0), (48, 64))
    (block,) = (b for b in blocks("sh") if "lsu relabel" in b)
    tables = run(smaller(block, ENCODER), place)
    assert "threshold" in tables
    assert (place / "runs/student/checkpoint.safetensors").exists()
    assert LabelSpace.load(place / "runs/labels-2/label_space.toml").names == FOREIGN.names
    labels = Dataset.load(place / "runs/labels-2").split("train")
    void = np.mean([(labels.read_labels(frame) == 255).mean() for frame in labels.frames])
    assert 0.3 < void < 0.8


def test_every_linked_file_is_there() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", PAGE):
        assert (Path(__file__).parent.parent / "docs" / target).exists(), target
