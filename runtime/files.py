"""Reading and writing whole files so that nothing is ever half-written.

A file is read once: the bytes that are hashed are the bytes that are parsed. A file is written beside its
final name, flushed to the disk and moved over it, so that a reader, a kill or a full disk sees either the
old file or the new one.
"""

import contextlib
import hashlib
import json
import os
import re
import shutil
import stat
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .errors import BackendError, InputError, near_names

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def digest_of(data: bytes) -> str:
    """SHA-256 of the bytes in hexadecimal, 64 characters."""
    return hashlib.sha256(data).hexdigest()


def read_bytes(path: Path) -> bytes:
    """The whole file.

    Raises:
        InputError: it is missing, a folder, or not readable.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error


def read_limited(path: Path, limit: int) -> bytes:
    """The whole of a regular file of at most `limit` bytes; a larger one is refused unread.

    Raises:
        InputError: missing, not readable, not a regular file, or larger.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a pipe would wait for its writer
        with os.fdopen(descriptor, "rb") as file:
            about = os.fstat(descriptor)
            if not stat.S_ISREG(about.st_mode):
                raise InputError(f"{path}: cannot be read: not a regular file")
            # `read` makes room for what is asked for, so never ask for the limit
            data = file.read(about.st_size + 1) if about.st_size <= limit else b""
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    if about.st_size > limit:
        raise InputError(f"{path}: {about.st_size:,} bytes; at most {limit:,} are allowed")
    if len(data) != about.st_size:
        raise InputError(f"{path}: changed while it was read: wait for its writer and try again")
    return data


def read_toml(path: Path) -> dict[str, Any]:
    """The parsed TOML file.

    Raises:
        InputError: it cannot be read or is not TOML.
    """
    try:
        table: dict[str, Any] = tomllib.loads(read_bytes(path).decode())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"{path}: not a TOML file: {error}") from error
    return table


def toml_text(text: str) -> str:
    """The text as a basic string of TOML, quotes included."""
    return json.dumps(text, ensure_ascii=False)  # a JSON string without escaped surrogates is one of TOML


def toml_from_table(table: Mapping[str, Any]) -> str:
    """The table as the text of a TOML file, in the one form that the catalogue's files have.

    Keys keep their order, those of sub-tables come last; a list of tables has one to a line, a list of
    texts that is too long for a line has one text to a line.
    """
    return "\n".join(_toml_lines(table, "")) + "\n"


_LINE = 110  # columns


def _toml_lines(table: Mapping[str, Any], prefix: str) -> list[str]:
    lines: list[str] = []
    for key, value in table.items():
        if not isinstance(value, Mapping):
            line = f"{_toml_key(key)} = {_toml_inline(value)}"
            if isinstance(value, list) and value and (isinstance(value[0], Mapping) or len(line) > _LINE):
                lines += [f"{_toml_key(key)} = [", *(f"  {_toml_inline(entry)}," for entry in value), "]"]
            else:
                lines.append(line)
    for key, value in table.items():
        if isinstance(value, Mapping):
            name = f"{prefix}{_toml_key(key)}"
            inner = _toml_lines(value, f"{name}.")
            headed = not value or any(not isinstance(v, Mapping) for v in value.values())
            lines += ["", f"[{name}]", *inner] if headed else inner
    return lines


def _toml_key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else toml_text(key)


def _toml_inline(value: object) -> str:
    if isinstance(value, str):
        return toml_text(value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(map(_toml_inline, value))}]"
    if isinstance(value, Mapping):
        return f"{{ {', '.join(f'{_toml_key(k)} = {_toml_inline(v)}' for k, v in value.items())} }}"
    return str(value)


def toml_value(text: str) -> object:
    """The value that a text such as `500`, `[1, 2]` or `"a"` has in TOML; any other text is itself."""
    try:
        value: object = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    return value


def refuse_blocked(path: Path) -> None:
    """Raise InputError when `path` can never be written: a folder above is in truth a file, or read-only."""
    for parent in path.parents:
        if parent.exists():
            if not parent.is_dir():
                raise InputError(f"{path}: {parent} is not a folder: choose another place")
            if not os.access(parent, os.W_OK | os.X_OK):
                raise InputError(f"{path}: {parent} cannot be written to: choose another place")
            return


def write_atomically(path: Path, data: bytes, *, durable: bool = True) -> None:
    """Write `data` to `path`, all of it or nothing; folders above are made.

    Args:
        path: the file's final name.
        data: all of its bytes.
        durable: wait until the disk has it. Without, a power cut (not a kill) can leave an empty file:
            right for many small files that a digest elsewhere vouches for.

    Raises:
        BackendError: the disk refused it (full, read-only); `path` is as it was before.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("xb") as file:
            file.write(data)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        raise BackendError(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink()


def left_by_a_kill(path: Path) -> bool:
    """Whether the name is that of a file or folder that `write_atomically` or `write_folder` never finished.

    The reader of a folder that is written to later passes these over: nothing in them was ever in force.
    """
    return path.name.startswith(".") and path.suffix == ".part"


def write_folder(path: Path, files: Mapping[str, bytes]) -> None:
    """Write a new folder with files in it (name -> bytes), all or nothing: built beside and moved there.

    Raises:
        BackendError: the disk refused it, or the name was taken meanwhile; nothing is left behind.
    """
    part = path.absolute().with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.part")
    try:
        part.mkdir(parents=True)
        for name, data in files.items():
            (part / name).parent.mkdir(exist_ok=True)
            with (part / name).open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        part.rename(path)  # fails where somebody else was faster
    except OSError as error:
        raise BackendError(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(OSError):
            shutil.rmtree(part)


def table_of(value: object, where: str) -> dict[str, Any]:
    """`value` if it is a TOML table; InputError that names `where` otherwise."""
    if not isinstance(value, dict):
        raise InputError(f"{where}: {value!r} is not a table of key = value lines")
    return value


def texts_of(value: object, where: str) -> tuple[str, ...]:
    """`value` as texts if it is a list of them without repeats; InputError that names `where` otherwise."""
    if not isinstance(value, list | tuple) or not all(isinstance(text, str) for text in value):
        raise InputError(f"{where}: {value!r} is not a list of texts")
    repeated = sorted({text for text in value if list(value).count(text) > 1})
    if repeated:
        raise InputError(f"{where}: {', '.join(repeated)} stands twice")
    return tuple(value)


def refuse_unknown_keys(table: Mapping[str, Any], known: set[str], where: str) -> None:
    """Raise InputError when `table` has a key that is not in `known`; `where` names the place in a file."""
    for key in table:
        if key not in known:
            raise InputError(f"{where}: unknown key {key!r}; {near_names(key, known)}")
