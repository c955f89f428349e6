"""A tiny place for rounds: data sets of both label spaces, the relation between them, and a configuration."""

from pathlib import Path

import numpy as np
from pictures import SOURCE, write_dataset, write_png

from lsu.runtime.image import grey_from_bytes

CLASS_OF_ID = {7: 0, 20: 1, 33: 3, 0: 2}
"""What the foreign set's ids are in SOURCE: ground road, object car, above sky, ego person."""

RELATION = """
name = "r"
source = "town/source.toml"
foreign = "east/foreign.toml"
[allow]
ground = ["road"]
object = ["car", "person"]
above = ["sky", "person"]
"""

CONFIG = """
output = "run"
rounds = 2
views = "flip"

[network]
architecture = "segformer"
encoder = "tu-mobilenetv3_small_050"
decoder_channels = 32

[fit]
steps = 4
batch_size = 2
crop = [32, 32]
save_every = 2
accelerator = "cpu"
threads = 1

[teacher_fit]
steps = 5

[[source]]
dataset = "town"

[[foreign]]
dataset = "east"
relation = "r.toml"
weight = 0.5

[[foreign]]
dataset = "west"
relation = "r.toml"
constrained = false
mix_relation = true

[validation]
dataset = "town"
"""


def write_town(folder: Path) -> None:
    """A data set in SOURCE made of one in FOREIGN."""
    path = write_dataset(folder, frames=4, size=(48, 64), seed=3)
    for label in sorted((folder / "labels/train").iterdir()):
        ids = grey_from_bytes(label.read_bytes(), label)
        table = np.zeros(256, np.uint8)
        table[list(CLASS_OF_ID)] = list(CLASS_OF_ID.values())
        write_png(label, table[ids])
    (folder / "source.toml").write_text(SOURCE.with_dense_ids().to_toml())
    path.write_text(path.read_text().replace("foreign.toml", "source.toml").replace("blocks", "town"))


def write_place(folder: Path) -> Path:
    """Everything; the configuration's file."""
    write_town(folder / "town")
    for seed, name in enumerate(("east", "west")):
        path = write_dataset(folder / name, frames=3, size=(48, 64), seed=seed)
        path.write_text(path.read_text().replace("blocks", name))
    (folder / "r.toml").write_text(RELATION)
    (folder / "rounds.toml").write_text(CONFIG)
    return folder / "rounds.toml"
