"""What tests of relabelling share: a small request, and the files of a folder."""

from pathlib import Path

from pictures import FOREIGN, SOURCE, write_dataset

from lsu.runtime import Dataset, Relation
from lsu.runtime.relabel.pipeline import Request

RELATION = Relation.from_names(
    "r", SOURCE, FOREIGN, allow={"ground": ["road"], "object": ["car", "person"], "above": ["sky", "person"]}
)


def request(tmp_path: Path, **changes) -> Request:
    path = tmp_path / "data/dataset.toml"
    if not path.exists():
        write_dataset(path.parent)
    return Request(**{"split": Dataset.load(path).split("train"), "relation": RELATION, **changes})


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
