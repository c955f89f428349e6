"""The files of a data set's split: found by globs, paired by keys, chosen by lists and patterns.

The texts that a glob's wildcards matched, joined by `/`, are a file's key. Images and labels of one key
belong together; lists and patterns of a split choose keys.
"""

import glob
import itertools
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lsu.runtime.errors import InputError
from lsu.runtime.files import read_bytes

_WILDCARD = re.compile(r"\*\*/|\*\*|\*|\?|\[!?\]?[^\]]*\]")
_SHOWN = 6  # entries of a folder in a message
_TRIED = 400  # folders that are tried as another root


@dataclass(frozen=True)
class Found:
    """What one glob found.

    Attributes:
        pattern: the absolute glob.
        files: key -> file, at least one.
    """

    pattern: str
    files: dict[str, Path]


def wildcards_of(pattern: str) -> list[str]:
    """The wildcards of a glob that take part in keys, in order: `*`, `**` or `?` each."""
    return [w.rstrip("/") for w in _WILDCARD.findall(pattern) if not w.startswith("[")]


def first_found(root: Path, patterns: Sequence[str], what: str, where: str) -> Found:
    """What the first of the globs that matches anything finds.

    Args:
        root: what relative globs start at.
        patterns: alternatives: a set may come in several layouts.
        what: `image` or `label`, for the message.
        where: the data set and the split, for the message.

    Raises:
        InputError: none matches; the line says what was looked for, what the root holds and, where a folder
            near it would fit, names that one.
    """
    for pattern in patterns:
        absolute = _absolute_glob(root, pattern)
        files = _files_by_key(absolute)
        if files:
            return Found(absolute, files)
    looked = " or ".join(patterns)
    if all(pattern.startswith("/") for pattern in patterns):
        raise InputError(f"{where}: no {what} matches {looked}")
    other = _fitting_root(root, patterns)
    hint = "" if other is None else f"; {other} would fit: give it as the root"
    raise InputError(f"{where}: no {what} matches {looked} in {root}, which {_contents(root)}{hint}")


def labels_found(root: Path, patterns: Sequence[str], where: str) -> dict[str, Path]:
    """The labels that the globs find, by key; where several find one of a key, the first glob decides.

    A set may mix layouts: ApolloScape's first road has label files of two kinds of names.

    Raises:
        InputError: as `first_found`.
    """
    files = dict(first_found(root, patterns, "label", where).files)
    for pattern in patterns[1:]:
        files = _files_by_key(_absolute_glob(root, pattern)) | files
    return files


def keys_in_list(root: Path, names: Sequence[str], found: Found, where: str) -> list[str]:
    """The keys that a list file names, in its order.

    A line is a key, or the image's path, absolute or relative to the root, to the list's folder or to the
    folder where the glob's wildcards begin; what follows a tab, a comma or a blank is not looked at unless
    the line's beginning means nothing. The first line of a `.csv` file is its header.

    Args:
        root: the data set's folder.
        names: the list files that may be there; the first one that is decides.
        found: the images.
        where: the data set and the split, for the message.

    Raises:
        InputError: no list file is there, or it is empty or names a frame twice or one that is not there.
    """
    path = next((root / name for name in names if (root / name).is_file()), None)
    if path is None:
        raise InputError(
            f"{where}: its list of frames {' or '.join(names)} is not in {root}, which {_contents(root)}"
        )
    key_of_path = {os.path.normpath(file): key for key, file in found.files.items()}
    bases = (root, path.parent, _fixed_folder(found.pattern))
    keys = []
    for line in _lines_of(path):
        key = next(_keys_of_line(line, found.files, key_of_path, bases), None)
        if key is None:
            raise InputError(f"{where}: frame {line!r} of {path} is matched by no file of {found.pattern}")
        keys.append(key)
    if not keys:
        raise InputError(f"{where}: the list of frames {path} is empty")
    repeated = [key for key, n in Counter(keys).items() if n > 1]
    if repeated:
        raise InputError(f"{where}: frame {repeated[0]!r} of {path} stands twice")
    return keys


def refuse_unpaired(images: Mapping[str, Path], labels: Mapping[str, Path], where: str) -> None:
    """Raise InputError when an image has no label or a label no image."""
    for what, other, having, lacking in (
        ("image", "label", images, labels),
        ("label", "image", labels, images),
    ):
        alone = sorted(having.keys() - lacking.keys())
        if alone:
            raise InputError(
                f"{where}: {len(alone)} of {len(having)} {what}s have no {other}, first {having[alone[0]]}"
            )


def _absolute_glob(root: Path, pattern: str) -> str:
    return pattern if pattern.startswith("/") else f"{glob.escape(str(root))}/{pattern}"


def _fixed_folder(pattern: str) -> str:
    """The folder in which an absolute glob's wildcards begin, `glob.escape` undone."""
    escaped = re.compile(r"\[([*?[])\]")
    parts = itertools.takewhile(lambda part: not _WILDCARD.search(escaped.sub("", part)), pattern.split("/"))
    return escaped.sub(r"\1", "/".join(parts))


def _files_by_key(pattern: str) -> dict[str, Path]:
    """The files that an absolute glob matches, by the texts that its wildcards matched."""
    expression, position = "", 0
    for match in _WILDCARD.finditer(pattern):
        expression += re.escape(pattern[position : match.start()])
        wildcard, position = match.group(), match.end()
        one = {"**/": "(?:(.*)/)?", "**": "(.*)", "*": "([^/]*)", "?": "([^/])"}
        expression += one[wildcard] if wildcard in one else _set_expression(wildcard)
    compiled = re.compile(expression + re.escape(pattern[position:]))
    files: dict[str, Path] = {}
    for name in glob.iglob(pattern, recursive=True):
        matched = compiled.fullmatch(name)
        if matched is None:
            continue
        key = "/".join(g for g in matched.groups() if g is not None)
        _refuse_key(key, name)
        if key in files:
            raise InputError(f"{name} and {files[key]} have the same key {key!r}; make the glob more exact")
        files[key] = Path(name)
    return files


def _set_expression(wildcard: str) -> str:
    """A set such as `[ab0-9]` or `[!ab]` of a glob as a regular expression."""
    negated, members = wildcard[1] == "!", wildcard[1:-1].removeprefix("!")
    escaped = re.sub(r"([\\^\[\]&~|])", r"\\\1", members)
    return f"[{'^' if negated else ''}{escaped}]"


def _refuse_key(key: str, name: str) -> None:
    """Keys name files and stand in lists, one a line: refuse those that would not survive it."""
    if not key.isprintable() or any(not part or part.startswith(".") for part in key.split("/")):
        raise InputError(
            f"{name!r}: the wildcards match {key!r}; a match must not be empty, start with '.' or hold "
            "unprintable characters: rename the file or make the glob more exact"
        )


def _lines_of(path: Path) -> list[str]:
    try:
        lines = read_bytes(path).decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text: {error}") from error
    return [line for line in lines[path.suffix == ".csv" :] if line.strip()]


def _keys_of_line(
    line: str, files: Mapping[str, Path], key_of_path: Mapping[str, str], bases: Sequence[str | Path]
) -> Iterator[str]:
    """The keys that a line can mean, the likeliest first."""
    for text in (line, *line.split("\t"), *line.split(","), *line.split()):
        if text in files:
            yield text
        for place in (*(f"{base}/{text}" for base in bases), text):
            named = os.path.normpath(place)
            if named in key_of_path:
                yield key_of_path[named]


def _contents(root: Path) -> str:
    if not root.is_dir():
        return "is not a folder" if root.exists() else "does not exist"
    try:
        names = sorted(entry.name + "/" * entry.is_dir() for entry in root.iterdir())
    except OSError as error:
        return f"cannot be read: {error.strerror or error}"
    if not names:
        return "is empty"
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"holds {', '.join(names[:_SHOWN])}{more}"


def _fitting_root(root: Path, patterns: Sequence[str]) -> Path | None:
    """A folder up to two levels above or below `root` where one of the globs matches.

    A glob that begins with `**` is not tried: it has seen all below, and above it could walk a whole disk.
    """
    patterns = [pattern for pattern in patterns if not pattern.startswith(("**", "/"))]
    below = (Path(name) for depth in ("*/", "*/*/") for name in glob.iglob(_absolute_glob(root, depth)))
    for folder in (*itertools.islice(root.parents, 2), *itertools.islice(below, _TRIED)):
        for pattern in patterns:
            if next(glob.iglob(_absolute_glob(folder, pattern), recursive=True), None) is not None:
                return folder
    return None
