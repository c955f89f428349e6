"""A split as a `dataset.toml` describes it, checked."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from lsu.runtime.errors import InputError
from lsu.runtime.files import refuse_unknown_keys, table_of

from .frame_files import wildcards_of

_LISTS = ("images", "labels", "frames", "only", "leave_out")


@dataclass(frozen=True)
class SplitTable:
    """What `[splits.NAME]` says; texts may stand for lists of one.

    Attributes:
        images: alternative globs relative to the root; the first that matches anything is used.
        labels: globs, of which the first that finds a label for a key decides; none: a split without labels.
        encoding: how labels are coded; label_readers.py lists the ways.
        annotations: the file or folder beside the images that `panoptic` and `nuimages` need.
        frames: alternative list files; the first one there says which frames belong to the split.
        only: patterns; a key that matches none is not of the split.
        leave_out: patterns; a key that matches one is not of the split.
        labelled_only: images without a label are not of the split, instead of an error.
        count: the official number of frames, None if no source tells it.
    """

    images: tuple[str, ...]
    labels: tuple[str, ...] = ()
    encoding: str = "ids"
    annotations: str = ""
    frames: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    leave_out: tuple[str, ...] = ()
    labelled_only: bool = False
    count: int | None = None

    @classmethod
    def from_table(cls, path: Path, name: str, table: Any) -> "SplitTable":
        """The split `name` of the file `path`.

        Raises:
            InputError: an unknown or missing key, a value of the wrong kind, or a glob without a wildcard.
        """
        where = f"{path}, split {name!r}"
        if not re.fullmatch(r"\w[\w.-]*", name):
            raise InputError(f"{where}: a split's name has letters, digits, '_', '.' and '-' only")
        table = table_of(table, where)
        refuse_unknown_keys(table, {*_LISTS, "encoding", "annotations", "labelled_only", "count"}, where)
        if not table.get("images"):
            raise InputError(f"{where}: the key 'images' is missing")
        for key in table.keys() & {"images", "labels"}:
            for pattern in _texts(table[key], key, where):
                if not wildcards_of(pattern):
                    raise InputError(
                        f"{where}: {key} = {pattern!r} has no wildcard such as * to tell frames apart"
                    )
        lists = {key: _texts(table.get(key, []), key, where) for key in _LISTS}
        return cls(
            **lists,
            encoding=_text(table.get("encoding", "ids"), "encoding", where),
            annotations=_text(table.get("annotations", ""), "annotations", where),
            labelled_only=_flag(table.get("labelled_only", False), where),
            count=_count(table.get("count"), where),
        )

    def selected(self, files: Mapping[str, Path]) -> dict[str, Path]:
        """Those of the files, by key, that `only` and `leave_out` let through; `*` matches `/` too."""
        return {
            key: file
            for key, file in files.items()
            if (not self.only or _matches(key, self.only)) and not _matches(key, self.leave_out)
        }


def _matches(key: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(key, pattern) for pattern in patterns)


def _text(value: object, key: str, where: str) -> str:
    if not isinstance(value, str):
        raise InputError(f"{where}: {key} is {value!r}, not a text")
    return value


def _texts(value: object, key: str, where: str) -> tuple[str, ...]:
    values = value if isinstance(value, list) else [value]
    return tuple(_text(entry, key, where) for entry in values)


def _flag(value: object, where: str) -> bool:
    if not isinstance(value, bool):
        raise InputError(f"{where}: labelled_only is {value!r}, not true or false")
    return value


def _count(value: object, where: str) -> int | None:
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
        raise InputError(f"{where}: count is {value!r}, not a number of frames")
    return value
