"""CSV files that measurements are added to, and that are never half-written."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lsu.runtime.errors import InputError
from lsu.runtime.files import read_bytes, write_atomically

Row = Mapping[str, object]


def refuse_other_table(path: Path, columns: Sequence[str]) -> None:
    """Raise InputError when a file is there that is not such a table, before the work."""
    if path.exists():
        _with_rows(path, columns, [])


def append_rows(path: Path, columns: Sequence[str], rows: Sequence[Row]) -> None:
    """Add rows to a table, or begin one; the file is replaced as a whole, so it is never half-written.

    Raises:
        InputError: the file has other columns.
        BackendError: the disk refused it.
    """
    write_atomically(path, _with_rows(path, columns, rows))


def _with_rows(path: Path, columns: Sequence[str], rows: Sequence[Row]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    if path.exists():
        before = read_bytes(path)
        first = before.split(b"\n", 1)[0].strip().decode(errors="replace")
        if first != ",".join(columns):
            raise InputError(f"{path}: its columns are not those that are to be added: name another file")
        end = b"" if before.endswith(b"\n") else b"\n"
    else:
        before, end = b"", b""
        writer.writeheader()
    writer.writerows(rows)
    return before + end + text.getvalue().encode()


def versions_text(machine: Mapping[str, Any]) -> str:
    """The versions of `machine.machine()` in one cell."""
    return ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
