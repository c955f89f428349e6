"""A public set by its name and a root in the verbs, and what they say of a number that is not official."""

from pathlib import Path

import numpy as np
import pytest
from layouts import write_picture, write_text

from lsu.runtime import Dataset

pytest.importorskip("torch")

from lsu.training.config import Config
from lsu.training.fit import fit
from lsu.training.frames import open_split

NOTE = (
    "kitti_semantics split 'train': 3 frames, officially 200 "
    "(mseg/dataset_lists/kitti-34 of mseg-dataset/mseg-api)"
)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Three frames of KITTI's layout and the configuration of a fit that names the set and its root."""
    generator = np.random.default_rng(0)
    for k in range(3):
        name = f"00000{k}_10.png"
        write_picture(
            tmp_path / "kitti/training/image_2" / name,
            generator.integers(0, 255, (48, 64, 3)).astype(np.uint8),
        )
        ids = np.where(np.arange(64) < 32, 7, 23).astype(np.uint8)
        write_picture(tmp_path / "kitti/training/semantic" / name, np.tile(ids, (48, 1)))
    write_text(
        tmp_path / "fit.toml",
        'output = "out"\n[network]\nencoder = "tu-mobilenetv3_small_050"\narchitecture = "segformer"\n'
        'decoder_channels = 32\n[[data]]\ndataset = "kitti_semantics"\nroot = "kitti"\n'
        '[fit]\nsteps = 1\nbatch_size = 2\ncrop = [32, 32]\naccelerator = "cpu"\nthreads = 1\n',
    )
    return tmp_path


def test_a_fit_takes_a_public_set_by_name_and_root(place, monkeypatch) -> None:
    monkeypatch.chdir("/")
    split = open_split(Config.load(place / "fit.toml").data[0])
    assert split.dataset == "kitti_semantics"
    assert np.unique(split.read(split.frames[0]).labels).tolist() == sorted(
        split.label_space.index(name) for name in ("road", "sky")
    )


def test_a_fit_notes_numbers_that_are_not_the_official_ones(place) -> None:
    notes: list[str] = []
    fit(Config.load(place / "fit.toml"), on_note=notes.append)
    assert notes == [NOTE]


def test_a_split_of_the_catalogue_tells_its_official_number(place) -> None:
    split = Dataset.load("kitti_semantics", place / "kitti").split("train")
    assert (split.count, len(split.frames), split.count_note()) == (200, 3, NOTE)
