"""What every committed measurement says about itself, and how its table is written."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from lsu.runtime.files import write_atomically
from lsu.runtime.machine import said


def write_csv(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    """The rows as a CSV file, all of it or nothing."""
    if not rows:
        return
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_atomically(path, text.getvalue().encode())


def commit() -> str:
    """The commit that is measured, with `+` behind it when files differ from it."""
    git = ["git", "-C", str(Path(__file__).parent)]
    return said([*git, "rev-parse", "--short", "HEAD"]) + (
        "+" if said([*git, "status", "--porcelain"]) else ""
    )
