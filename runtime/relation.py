"""Relations: which source classes each foreign label allows.

A relation is what a person knows about two label spaces. Compiled to a constraint table it restricts the
argmax of a network that speaks the source label space to what an existing foreign label allows, pixel by
pixel (Backhaus et al. 2025, arXiv 2502.19177).
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import InputError
from .files import read_toml, refuse_unknown_keys, table_of, texts_of, toml_from_table
from .label_space import VOID, LabelSpace
from .lookup import catalogue_file

_ABOUT = ("origin", "licence", "note", "repairs")
"""What a relation's file says of itself."""


@dataclass(frozen=True)
class Relation:
    """For each foreign label, the set of source classes that its pixels may have.

    Attributes:
        name: a short name, such as `idd_lite-to-camvid11`.
        source: the label space of the network and of the answers.
        foreign: the label space of the existing labels.
        allowed: one set per foreign class in dense order; members are dense indices of `source` and 255
            for void. The empty set and {255} both force void.
        void_allowed: the set of pixels whose foreign label is void; by default they stay void.
        unmapped: the foreign classes that had no row of their own and took the default.
        about: what the relation's file says of itself: `origin`, `licence`, `note`, `repairs`.
        reasons: foreign label -> why its row forbids a class that the concepts of both spaces would allow.
    """

    name: str
    source: LabelSpace
    foreign: LabelSpace
    allowed: tuple[frozenset[int], ...]
    void_allowed: frozenset[int] = frozenset({VOID})
    unmapped: tuple[str, ...] = ()
    about: Mapping[str, Any] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.allowed) != len(self.foreign):
            raise InputError(
                f"relation {self.name!r} has {len(self.allowed)} rows; "
                f"label space {self.foreign.name!r} has {len(self.foreign)} classes"
            )
        for members in (*self.allowed, self.void_allowed):
            if any(m != VOID and not 0 <= m < len(self.source) for m in members):
                raise InputError(
                    f"relation {self.name!r}: {sorted(members)} holds an index outside "
                    f"label space {self.source.name!r}"
                )

    @classmethod
    def load(cls, name_or_path: str | Path) -> "Relation":
        """The relation in a TOML file, or the one of that name in the catalogue.

        `source` and `foreign` in the file are catalogue names or paths relative to the file.

        Raises:
            InputError: a file cannot be read, a name is unknown, or a foreign label has no row.
        """
        path = catalogue_file("relations", name_or_path)
        table = read_toml(path)
        refuse_unknown_keys(
            table, {"name", "source", "foreign", "default", "allow", *_ABOUT, "reasons"}, str(path)
        )
        try:
            spaces = [LabelSpace.load(str(table[side]), beside=path) for side in ("source", "foreign")]
            allow = table_of(table["allow"], "allow")
            plain = cls.from_names(str(table["name"]), *spaces, allow=allow, default=table.get("default"))
            reasons = _reasons_from_table(table.get("reasons", {}), plain.foreign)
            about = {key: table[key] for key in _ABOUT if key in table}
            return replace(plain, about=about, reasons=reasons)
        except KeyError as error:
            raise InputError(f"{path}: the key {error.args[0]!r} is missing") from error
        except InputError as error:
            raise InputError(f"{path}: {error}") from error

    @classmethod
    def from_names(
        cls,
        name: str,
        source: LabelSpace,
        foreign: LabelSpace,
        *,
        allow: Mapping[str, Sequence[str]],
        default: Sequence[str] | None = None,
    ) -> "Relation":
        """A relation from names: `allow` maps a foreign label to the names of its allowed classes.

        Args:
            name: the relation's own name.
            source: the label space of the answers.
            foreign: the label space of the existing labels.
            allow: foreign class name (or `void`, or a void name) -> source class names or `void`.
            default: the set of every foreign class without a row; None makes such a class an error.

        Raises:
            InputError: an unknown name (the near ones are listed), or a foreign class without a row.
        """
        rows = {
            label: frozenset(source.index(c) for c in texts_of(members, f"row {label!r}"))
            for label, members in allow.items()
        }
        for label in rows:
            foreign.index(label)
        missing = [c for c in foreign.names if c not in rows]
        if missing and default is None:
            raise InputError(
                f"relation {name!r} has no row for {', '.join(map(repr, missing))} of {foreign.name!r}; "
                'add them under [allow], or a line such as default = ["void"]'
            )
        fallback = frozenset(source.index(c) for c in texts_of([] if default is None else default, "default"))
        void_rows = {rows[label] for label in rows if foreign.index(label) == VOID}
        if len(void_rows) > 1:
            raise InputError(
                f"relation {name!r}: the void names of {foreign.name!r} are one label and have different rows"
            )
        return cls(
            name=name,
            source=source,
            foreign=foreign,
            allowed=tuple(rows.get(c, fallback) for c in foreign.names),
            void_allowed=void_rows.pop() if void_rows else frozenset({VOID}),
            unmapped=tuple(missing),
        )

    def to_toml(self, *, source: str | None = None, foreign: str | None = None) -> str:
        """The text of a TOML file that `load` reads back, each foreign label with its row.

        Args:
            source: what the file calls the source label space, its own name if None.
            foreign: the same for the foreign one.
        """
        rows = dict(zip(self.foreign.names, self.allowed, strict=True))
        if self.void_allowed != {VOID}:
            rows |= {entry.name: self.void_allowed for entry in self.foreign.void} or {
                "void": self.void_allowed
            }
        return toml_from_table(
            {
                "name": self.name,
                "source": source or self.source.name,
                "foreign": foreign or self.foreign.name,
                **self.about,
                "allow": {label: self.names_of(members) for label, members in rows.items()},
                **({"reasons": dict(self.reasons)} if self.reasons else {}),
            }
        )

    def names_of(self, members: frozenset[int]) -> list[str]:
        """The names of a row's classes in the source's order, `void` last."""
        return [name for k, name in enumerate(self.source.names) if k in members] + (
            ["void"] if VOID in members or not members else []
        )

    @cached_property
    def identity(self) -> str:
        """SHA-256 of both label spaces' identities and all rows, the first 16 hexadecimal digits."""
        content: list[Any] = [self.source.identity, self.foreign.identity]
        content += [sorted(members) for members in (*self.allowed, self.void_allowed)]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]

    def table(self, void_channel: int | None = None) -> npt.NDArray[np.uint64]:
        """The constraint table, uint64 [256, ceil(channels / 64)].

        Bit c % 64 of word c // 64 in row y is set when class c is allowed for foreign label y. Row 255
        belongs to void labels; rows of indices that no foreign class has are empty.

        Args:
            void_channel: the channel of a network that can answer void; void as a member of a set is
                this channel's bit. None for a network that cannot: void is then the answer of a row
                without classes only.
        """
        channels = max(len(self.source), -1 if void_channel is None else void_channel + 1)
        table = np.zeros((256, -(-channels // 64)), np.uint64)
        for label, members in [*enumerate(self.allowed), (VOID, self.void_allowed)]:
            for member in members:
                channel = void_channel if member == VOID else member
                if channel is not None:
                    table[label, channel // 64] |= np.uint64(1 << (channel % 64))
        return table

    def unconstrained(self) -> "Relation":
        """The same relation with every class allowed wherever at least one is: the free baseline.

        Pixels that this relation forces to void stay void, so that both cover the same pixels.
        """
        everything = frozenset(range(len(self.source)))
        return Relation(
            name=f"{self.name}-unconstrained",
            source=self.source,
            foreign=self.foreign,
            allowed=tuple(m | everything if m - {VOID} else m for m in self.allowed),
            void_allowed=self.void_allowed | everything if self.void_allowed - {VOID} else self.void_allowed,
        )

    def unreachable(self) -> tuple[str, ...]:
        """Source classes that no foreign label allows: the relabelled set will never show them."""
        reached = frozenset().union(*self.allowed, self.void_allowed)
        return tuple(name for k, name in enumerate(self.source.names) if k not in reached)

    def void_without_effect(self) -> tuple[str, ...]:
        """Foreign labels with void beside classes: without a void channel, void can never be chosen."""
        rows = [*zip(self.foreign.names, self.allowed, strict=True), ("void", self.void_allowed)]
        return tuple(name for name, members in rows if VOID in members and len(members) > 1)


def _reasons_from_table(value: object, foreign: LabelSpace) -> Mapping[str, str]:
    reasons = table_of(value, "reasons")
    for label, reason in reasons.items():
        foreign.index(label)
        if not isinstance(reason, str):
            raise InputError(f"the reason of {label!r}: {reason!r} is not a text")
    return reasons
