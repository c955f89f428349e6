"""Configuration files: TOML with overrides over a preset, and their faults in one line each."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, ValidationError
from typing_extensions import Self

from lsu.runtime import InputError
from lsu.runtime.errors import near_names
from lsu.runtime.files import read_toml, toml_value

from .preset import with_preset

_CHOICES = ("constrained-", "literal[")
"""How pydantic names, in the place of an error, which of a field's types it tried."""


class StrictModel(BaseModel):
    """A table of a configuration: frozen, without unknown keys, without infinite numbers."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class FileConfig(StrictModel):
    """A configuration that is a file."""

    @classmethod
    def load(cls, path: Path, overrides: Sequence[str] = ()) -> Self:
        """The configuration in a TOML file with `key=value` overrides applied, over the preset that it names.

        Relative paths in the file become absolute, so that the result means the same from anywhere.

        Raises:
            InputError: not TOML, an unknown key, a value that does not fit, or a wrong override.
        """
        config = cls.from_dict(table_from_file(path, overrides), str(path))
        return config.relative_to(path.parent.resolve())

    @classmethod
    def from_dict(cls, table: dict[str, Any], where: str) -> Self:
        """The checked configuration; `where` names its origin in errors.

        Raises:
            InputError: an unknown key or a value that does not fit, the first one in one line.
        """
        try:
            return cls.model_validate(table)
        except ValidationError as error:
            raise InputError(f"{where}: {first_problem(error, cls)}") from error

    def relative_to(self, folder: Path) -> Self:
        """The configuration with its relative paths taken from a folder."""
        raise NotImplementedError


def table_from_file(path: Path, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """The table in a TOML file with `key=value` overrides applied, over the preset that it names.

    Raises:
        InputError: not TOML, a wrong override, or an unknown preset.
    """
    table = read_toml(path)
    for override in overrides:
        _apply(table, override)
    return with_preset(table, str(path))


def first_problem(error: ValidationError, model: type[BaseModel]) -> str:
    """The first thing that is wrong with a table for `model`; near keys beside an unknown one."""
    problem = error.errors()[0]
    place = ".".join(str(part) for part in problem["loc"] if not str(part).startswith(_CHOICES))
    if problem["type"] == "extra_forbidden":
        known = _keys_at(model, problem["loc"][:-1])
        return f"unknown key {place!r}; {near_names(str(problem['loc'][-1]), known)}"
    if problem["type"] == "missing":
        return f"the key {place!r} is missing"
    value = problem["input"]
    shown = (
        f" (got {json.dumps(value, default=str)})"
        if isinstance(value, str | int | float | bool | list)
        else ""
    )
    return f"{place or 'configuration'}: {problem['msg'].removeprefix('Value error, ')}{shown}"


def _apply(table: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise InputError(f"override {override!r} is not key=value, such as fit.steps=500")
    *parents, last = key.split(".")
    place: Any = table
    for parent in parents:
        try:
            place = place[int(parent)] if isinstance(place, list) else place.setdefault(parent, {})
        except (ValueError, IndexError, AttributeError) as error:
            raise InputError(f"override {override!r}: there is no {parent!r}") from error
    if not isinstance(place, dict):
        raise InputError(f"override {override!r}: {'.'.join(parents)} is not a table")
    place[last] = toml_value(text)


def _keys_at(model: type[BaseModel], place: Sequence[int | str]) -> list[str]:
    """The keys of a nested table; those at the top have the preset's beside them."""
    inner: type[BaseModel] | None = model
    for part in place:
        if isinstance(part, str) and inner is not None:
            inner = _model_in(inner.model_fields[part].annotation)
    known = [] if inner is None else list(inner.model_fields)
    return known if place else [*known, "preset"]


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model that a field's annotation speaks of, in a tuple or an option too."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = (_model_in(argument) for argument in get_args(annotation))
    return next((model for model in found if model is not None), None)
