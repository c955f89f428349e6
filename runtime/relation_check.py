"""What a careful reader would ask of a relation: row by row, and held against the concepts."""

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from .derivation import relation_from_concepts
from .errors import InputError
from .label_space import VOID, LabelSpace
from .relation import Relation

Kind = Literal["forced", "choice", "void"]
"""One class; several answers, void among them or not; void alone."""


@dataclass(frozen=True)
class Row:
    """One foreign label's row.

    Attributes:
        label: the foreign label, `void` for void pixels.
        allowed: the names of its classes in the source's order, `void` last.
        kind: its cardinality.
        forbidden: what the concepts of both spaces allow and the row does not.
        beyond: what the row allows and the concepts do not: annotators' habits, or a mistake.
        reason: why the row forbids what the concepts allow, as its file says.
        suspicion: what should make a reader look twice; empty if nothing does.
    """

    label: str
    allowed: tuple[str, ...]
    kind: Kind
    forbidden: tuple[str, ...] = ()
    beyond: tuple[str, ...] = ()
    reason: str = ""
    suspicion: str = ""


@dataclass(frozen=True)
class RelationCheck:
    """A relation's rows and what is odd about them.

    Attributes:
        relation: what was looked at.
        rows: one for each foreign class, then that of void pixels.
        without_concepts: why the rows could not be held against the concepts; empty if they were.
    """

    relation: Relation
    rows: tuple[Row, ...]
    without_concepts: str = ""

    @classmethod
    def of(cls, relation: Relation) -> "RelationCheck":
        """Look at every row of a relation."""
        reason = ""
        implied: Relation | None = None
        try:
            implied = relation_from_concepts(relation.source, relation.foreign)
        except InputError as error:
            reason = str(error)
        rows = [
            _row(relation, label, members, None if implied is None else implied.allowed[k])
            for k, (label, members) in enumerate(zip(relation.foreign.names, relation.allowed, strict=True))
        ]
        void = Row("void", tuple(relation.names_of(relation.void_allowed)), _kind(relation.void_allowed))
        return cls(relation, (*rows, void), reason)

    @cached_property
    def cardinalities(self) -> dict[Kind, int]:
        """How many foreign classes have one class, several answers, and void alone."""
        counted = Counter(row.kind for row in self.rows[:-1])
        return {kind: counted[kind] for kind in ("forced", "choice", "void")}

    @property
    def suspicious(self) -> tuple[Row, ...]:
        """The rows that a reader should look at."""
        return tuple(row for row in self.rows if row.suspicion)

    @property
    def passed(self) -> bool:
        """Whether no foreign class lacks a row and no row is suspicious."""
        return not self.relation.unmapped and not self.suspicious

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain JSON types."""
        relation = self.relation
        return {
            "relation": relation.name,
            "identity": relation.identity,
            "source": _space(relation.source),
            "foreign": _space(relation.foreign),
            **{
                key: relation.about[key]
                for key in ("origin", "licence", "note", "repairs")
                if key in relation.about
            },
            "cardinalities": self.cardinalities,
            "unmapped": list(relation.unmapped),
            "unreachable": list(relation.unreachable()),
            "void_without_effect": list(relation.void_without_effect()),
            "without_concepts": self.without_concepts,
            "passed": self.passed,
            "rows": [
                {
                    "label": row.label,
                    "allowed": list(row.allowed),
                    "kind": row.kind,
                    "forbidden": list(row.forbidden),
                    "beyond": list(row.beyond),
                    "reason": row.reason,
                    "suspicion": row.suspicion,
                }
                for row in self.rows
            ],
        }


def _row(relation: Relation, label: str, members: frozenset[int], implied: frozenset[int] | None) -> Row:
    members = members or frozenset({VOID})
    forbidden = frozenset() if implied is None else implied - members
    beyond = frozenset() if implied is None else members - implied
    reason = relation.reasons.get(label, "")
    return Row(
        label=label,
        allowed=tuple(relation.names_of(members)),
        kind=_kind(members),
        forbidden=tuple(relation.names_of(forbidden)) if forbidden else (),
        beyond=tuple(relation.names_of(beyond)) if beyond else (),
        reason=reason,
        suspicion=_suspicion(relation, label, members, implied),
    )


def _suspicion(
    relation: Relation, label: str, members: frozenset[int], implied: frozenset[int] | None
) -> str:
    reason, classes = relation.reasons.get(label, ""), relation.source.names
    if implied is not None:
        forbidden = implied - members
        if forbidden and not reason:
            names = ", ".join(relation.names_of(forbidden))
            return f"forbids {names}, which the concepts allow, without a reason"
        if not forbidden and reason:
            return "gives a reason, but forbids nothing that the concepts allow"
        if not implied & members:
            return "allows nothing of what the concepts allow"
    if label in classes and classes.index(label) not in members and not reason:
        return f"does not allow the class of its own name, {label!r}, and gives no reason"
    if len(members - {VOID}) == len(classes) > 1:
        return "allows every class: it says nothing"
    return ""


def _kind(members: frozenset[int]) -> Kind:
    if not members - {VOID}:
        return "void"
    return "forced" if len(members) == 1 else "choice"


def _space(space: LabelSpace) -> dict[str, Any]:
    return {"name": space.name, "identity": space.identity, "classes": len(space)}
