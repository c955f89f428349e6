"""What every committed measurement says about itself, and how its table is written."""

import csv
import io
import platform
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from lsu.runtime.files import write_atomically


def write_csv(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    """The rows as a CSV file, all of it or nothing."""
    if not rows:
        return
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_atomically(path, text.getvalue().encode())


def processor() -> str:
    """The processor's name where Linux tells it, else its kind."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def commit() -> str:
    """The commit that is measured, with `+` behind it when files differ from it."""
    git = ["git", "-C", str(Path(__file__).parent)]
    return said([*git, "rev-parse", "--short", "HEAD"]) + (
        "+" if said([*git, "status", "--porcelain"]) else ""
    )


def said(command: Sequence[str]) -> str:
    """What a command prints, nothing if there is no such command."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    except OSError:
        return ""
