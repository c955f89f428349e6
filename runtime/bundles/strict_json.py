"""JSON of manifests, read so that it has one meaning only.

Python's reader keeps the last of two equal keys, takes NaN and guesses among encodings, and others do
otherwise: a manifest that two readers understand differently could be signed as one thing and used as
another.
"""

import json
import math
from collections.abc import Mapping
from typing import Any, TypeVar

from lsu.runtime.errors import InputError

_DEEPEST = 32
_T = TypeVar("_T")


def table_from_json(data: bytes, where: str) -> dict[str, Any]:
    """The object in the bytes of a UTF-8 JSON file; `where` names them in errors.

    Raises:
        InputError: not JSON or not an object; or a repeated key, a number that is not finite, or more than
            32 levels.
    """
    try:
        value = json.loads(
            data.decode(),
            object_pairs_hook=_table,
            parse_float=_finite,
            parse_constant=_finite,
        )
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}: not a JSON file: {error}") from error
    if not isinstance(value, dict):
        raise InputError(f"{where}: not a table")
    level: list[Any] = [value]
    for _ in range(_DEEPEST):
        level = [inner for outer in level for inner in _parts(outer)]
    if level:
        raise InputError(f"{where}: nested more than {_DEEPEST} levels deep")
    return value


def take(table: Mapping[str, Any], key: str, kind: type[_T], where: str) -> _T:
    """The value of a key, which must be there and of that type; InputError that names `where` otherwise."""
    if key not in table:
        raise InputError(f"{where}: the key {key!r} is missing")
    value = table[key]
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise InputError(f"{where}: {key} is {value!r}, which is not a {kind.__name__}")
    return value


def one_of(table: Mapping[str, Any], key: str, known: tuple[str, ...], where: str) -> str:
    """The text under a key if it is one of the known ones; InputError that names `where` otherwise."""
    value = take(table, key, str, where)
    if value not in known:
        raise InputError(f"{where}: {key} is {value!r}; known: {', '.join(known)}")
    return value


def _table(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table: dict[str, Any] = {}
    for key, value in pairs:
        if key in table:
            raise ValueError(f"the key {key!r} stands twice in one table")
        table[key] = value
    return table


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"the number {text[:20]} is not finite")
    return number


def _parts(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []
