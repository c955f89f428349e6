"""Label spaces: the ordered classes that a data set's labels or a network's scores speak of.

Files hold *ids* chosen by whoever made the data set; everything inside lsu holds *dense indices*, the
positions of the classes in the label space, and 255 for void. The translation happens once, where a label
file is read (label_image.py).
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from .errors import InputError, near_names
from .files import read_toml, refuse_unknown_keys, table_of, texts_of, toml_from_table
from .lookup import CATALOGUE, catalogue_file

VOID = 255
"""The dense index of pixels without a class. Never a class."""

MAX_CLASSES = 255

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class LabelClass:
    """One name of a label space, as label files hold it.

    Attributes:
        name: unique within its label space; `void` is reserved.
        id: the value in id-coded files, 0 to 65535. None in all classes of a label space means that files
            hold dense indices.
        colour: RGB, 0 to 255 each, in colour-coded files and in pictures.
        concepts: what its pixels may show, in the words of the catalogue's concepts (concepts.py), from which
            relations are derived; empty where nobody wrote it down.
    """

    name: str
    id: int | None = None
    colour: Colour | None = None
    concepts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.name or self.name != self.name.strip():
            raise InputError(f"class name {self.name!r}: names are not empty and have no blanks around them")
        if self.id is not None and not 0 <= self.id <= 65535:
            raise InputError(f"class {self.name!r}: id {self.id} is outside 0 to 65535")
        if self.colour is not None and (
            len(self.colour) != 3 or not all(isinstance(v, int) and 0 <= v <= 255 for v in self.colour)
        ):
            raise InputError(f"class {self.name!r}: colour {list(self.colour)} is not three numbers 0 to 255")


@dataclass(frozen=True)
class LabelSpace:
    """Ordered classes and the names that mean void.

    Attributes:
        name: a short name, such as `camvid11`.
        classes: class k has the dense index k; at most 255.
        void: names whose pixels have no class; a relation may give them a row of their own.
        source: where these facts come from.
        licence: the licence of these facts.
        note: what a reader should know.
        repairs: mistakes in published copies of these facts that are mended here, one sentence each.
    """

    name: str
    classes: tuple[LabelClass, ...]
    void: tuple[LabelClass, ...] = ()
    source: str = ""
    licence: str = ""
    note: str = ""
    repairs: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 1 <= len(self.classes) <= MAX_CLASSES:
            raise InputError(
                f"label space {self.name!r} has {len(self.classes)} classes; 1 to {MAX_CLASSES} are possible"
            )
        everything = self.classes + self.void
        if any(c.name == "void" for c in self.classes):
            raise InputError(
                f"label space {self.name!r}: the class name 'void' is reserved; list it under `void`"
            )
        self._refuse_repeats("name", [c.name for c in everything])
        self._refuse_repeats("id", [c.id for c in everything if c.id is not None])
        if len({c.id is None for c in self.classes}) > 1:
            without = next(c.name for c in self.classes if c.id is None)
            raise InputError(
                f"label space {self.name!r}: class {without!r} has no id; give ids to all or to none"
            )
        if self.classes[0].id is None and any(
            c.id is not None and c.id < len(self.classes) for c in self.void
        ):
            raise InputError(f"label space {self.name!r}: a void id is a class's index; give the classes ids")

    def _refuse_repeats(self, what: str, values: Iterable[object]) -> None:
        seen = set()
        for value in values:
            if value in seen:
                raise InputError(f"label space {self.name!r}: the {what} {value!r} stands twice")
            seen.add(value)

    @classmethod
    def load(cls, name_or_path: str | Path, *, beside: Path | None = None) -> "LabelSpace":
        """The label space in a TOML file, or the one of that name in the catalogue.

        Args:
            name_or_path: a catalogue name or a TOML file.
            beside: the file that names it; a relative path starts in that file's folder.

        Raises:
            InputError: nothing has that name, or the file does not describe a label space.
        """
        path = catalogue_file("label_spaces", name_or_path)
        if beside is not None and CATALOGUE not in path.parents:
            path = beside.parent / path
        table = read_toml(path)
        inline = table.get("label_space")
        if isinstance(inline, str):  # a data set that speaks a label space with a file of its own
            return cls.load(inline, beside=path)
        if inline is not None:
            about = {key: table[key] for key in ("name", "source", "licence") if key in table}
            table = about | table_of(inline, f"{path}: label_space")
        try:
            return cls._from_table(table, str(path))
        except KeyError as error:
            raise InputError(f"{path}: the key {error.args[0]!r} is missing") from error
        except InputError as error:
            raise InputError(f"{path}: {error}") from error

    @classmethod
    def _from_table(cls, table: Mapping[str, Any], where: str) -> "LabelSpace":
        texts = ("name", "source", "licence", "note")
        refuse_unknown_keys(table, {*texts, "classes", "void", "repairs"}, where)
        return cls(
            classes=_classes_from_list(table["classes"], "classes"),
            void=_classes_from_list(table.get("void", []), "void"),
            repairs=texts_of(table.get("repairs", []), "repairs"),
            **{key: str(table[key]) for key in texts if key in table or key == "name"},
        )

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> "LabelSpace":
        """The inverse of `to_dict`, for bundles and checkpoints."""
        return cls._from_table(fields, "label space")

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain JSON types, in the order in which files hold it."""
        about = {
            "name": self.name,
            "source": self.source,
            "licence": self.licence,
            "note": self.note,
            "repairs": list(self.repairs),
        }
        return {
            **{key: value for key, value in about.items() if value or key == "name"},
            "classes": [_table_from_class(c) for c in self.classes],
            **({"void": [_table_from_class(c) for c in self.void]} if self.void else {}),
        }

    def with_dense_ids(self) -> "LabelSpace":
        """The same label space for files that hold dense indices, and 255 for void."""
        classes = tuple(replace(c, id=k) for k, c in enumerate(self.classes))
        return replace(self, classes=classes, void=tuple(replace(c, id=None) for c in self.void))

    def to_toml(self) -> str:
        """The text of a TOML file that `load` reads back."""
        return toml_from_table(self.to_dict())

    @cached_property
    def identity(self) -> str:
        """SHA-256 of the ordered class names and the void names, the first 16 hexadecimal digits.

        Names and order decide what an index means; ids, colours and the short name do not.
        """
        names = {"classes": [c.name for c in self.classes], "void": sorted(c.name for c in self.void)}
        return hashlib.sha256(json.dumps(names).encode()).hexdigest()[:16]

    def __len__(self) -> int:
        """The number of classes."""
        return len(self.classes)

    @property
    def names(self) -> tuple[str, ...]:
        """The class names in order."""
        return tuple(c.name for c in self.classes)

    def index(self, name: str) -> int:
        """The dense index of a class name, 255 for `void` and for void names.

        Raises:
            InputError: no such name; the near ones are listed.
        """
        if name == "void" or any(c.name == name for c in self.void):
            return VOID
        try:
            return self.names.index(name)
        except ValueError:
            known = [*self.names, *(c.name for c in self.void), "void"]
            raise InputError(
                f"label space {self.name!r} has no class {name!r}; {near_names(name, known)}"
            ) from None

    def require_same(self, other: "LabelSpace", ours: str, theirs: str) -> None:
        """Raise InputError that shows both sides unless `other` has the same identity.

        Args:
            other: the label space to compare with.
            ours: what this label space belongs to, for the message, such as "the bundle".
            theirs: what the other one belongs to.
        """
        if self.identity != other.identity:
            only_void = ", in the names of what is void alone" if self.names == other.names else ""
            raise InputError(
                f"label spaces differ{only_void}: {ours} speaks {self.name!r} ({len(self)} classes, "
                f"{self.identity}), {theirs} speaks {other.name!r} ({len(other)} classes, {other.identity})"
            )


def _classes_from_list(entries: object, key: str) -> tuple[LabelClass, ...]:
    if not isinstance(entries, list):
        raise InputError(f'{key} is {entries!r}, not a list such as [{{ name = "road", id = 0 }}]')
    return tuple(_class_from_table(table_of(entry, f"an entry of {key}")) for entry in entries)


def _class_from_table(entry: Mapping[str, Any]) -> LabelClass:
    refuse_unknown_keys(entry, {"name", "id", "colour", "concepts"}, f"class {entry.get('name', entry)!r}")
    colour = entry.get("colour")
    number = entry.get("id")
    if number is not None and (not isinstance(number, int) or isinstance(number, bool)):
        raise InputError(f"class {entry.get('name')!r}: id {number!r} is not a whole number")
    return LabelClass(
        name=str(entry["name"]),
        id=number,
        colour=None if colour is None else _colour_from_list(colour),
        concepts=texts_of(entry.get("concepts", []), f"class {entry['name']!r}: concepts"),
    )


def _colour_from_list(values: list[int]) -> Colour:
    if not isinstance(values, list | tuple) or len(values) != 3:
        raise InputError(f"colour {values!r} is not three numbers 0 to 255")
    return (values[0], values[1], values[2])


def _table_from_class(entry: LabelClass) -> dict[str, Any]:
    table: dict[str, Any] = {"name": entry.name}
    if entry.id is not None:
        table["id"] = entry.id
    if entry.colour is not None:
        table["colour"] = list(entry.colour)
    if entry.concepts:
        table["concepts"] = list(entry.concepts)
    return table
