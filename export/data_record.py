"""What a network learned from, as it can be told when it is exported: data sets, licences, relations.

A relabelled or converted data set has a journal whose first line says through which relation its labels came,
and from which network. A configuration alone holds paths, which mean nothing on another machine.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lsu.runtime.errors import InputError
from lsu.runtime.files import read_toml
from lsu.runtime.lookup import catalogue_file
from lsu.runtime.relabel.output import JOURNAL

_ABOUT = ("name", "source", "licence")
_ORIGIN = ("relation", "conversion", "network", "data")


def data_records(entries: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One record per entry of a fit's `data`: name, split, weight, and what is still found of its origin.

    Args:
        entries: `dataset`, `split` and `weight` each, as the configuration holds them.

    Returns:
        plain JSON types; `name`, `source` and `licence` from the data set's file, and `relabelled` with the
        journal's relation, network and data, each only where it is found. Data that is gone since the fit is
        no error: its record has only what the configuration says.
    """
    return [_record(entry) for entry in entries]


def _record(entry: Mapping[str, Any]) -> dict[str, Any]:
    dataset = Path(str(entry["dataset"]))
    name = dataset.parent.name if dataset.name == "dataset.toml" else dataset.name
    record = {"name": name, "split": entry["split"], "weight": entry["weight"]}
    try:
        file = dataset / "dataset.toml"
        if not file.is_file():
            file = catalogue_file("datasets", dataset)
        table = read_toml(file)
    except InputError:
        return record
    record |= {key: str(table[key]) for key in _ABOUT if table.get(key)}
    origin = _origin_of(file.parent)
    return record | ({"relabelled": origin} if origin else {})


def _origin_of(folder: Path) -> dict[str, Any]:
    """What the journal in the folder says it was made from; empty without one."""
    try:
        with (folder / JOURNAL).open("rb") as file:
            header = json.loads(file.readline())
    except (OSError, ValueError):
        return {}
    return {key: header[key] for key in _ORIGIN if isinstance(header, dict) and header.get(key)}
