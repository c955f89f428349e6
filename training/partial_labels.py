"""Labels that allow several classes, learned from as they are: no teacher, no pseudo-labels.

A data entry with a relation speaks a foreign label space; each of its labels becomes the set of classes that
the relation allows. Labels of one class each are the usual kind, and both kinds stand in one numbering: 0 to
C - 1 are the classes, 255 is void, other numbers are sets of two classes or more.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lsu.runtime import VOID, InputError, LabelSpace, Relation, Split


@dataclass(frozen=True, eq=False)
class LabelSets:
    """What the labels of all data entries allow.

    Void beside classes has no effect, as in the head of a network without a void channel; a label that
    allows void alone is void.

    Attributes:
        space: the classes.
        members: which classes each number allows, bool [numbers, C]; row 255 is empty.
        numbers: per entry the number of each foreign label, int64 [256].
    """

    space: LabelSpace
    members: npt.NDArray[np.bool_]
    numbers: tuple[npt.NDArray[np.int64], ...]

    @classmethod
    def of(cls, splits: Sequence[Split], relations: Sequence[Relation | None]) -> "LabelSets":
        """The sets of some splits, each with its relation, or None where its labels are the classes.

        Raises:
            InputError: a split's labels are not the relation's, or the sources are not one label space.
        """
        space = common_label_space(splits, relations)
        classes = len(space)
        known = {frozenset([c]): c for c in range(classes)}
        numbers = []
        for relation in relations:
            table = np.full(256, VOID, np.int64)
            rows = [frozenset([c]) for c in range(classes)] if relation is None else relation.allowed
            for label, row in enumerate(rows):
                table[label] = _number_of(row, known)
            if relation is not None:
                table[VOID] = _number_of(relation.void_allowed, known)
            numbers.append(table)
        members = np.zeros((max([VOID, *known.values()]) + 1, classes), bool)
        for row, number in known.items():
            members[number, sorted(row)] = True
        return cls(space, members, tuple(numbers))

    @property
    def partial(self) -> bool:
        """Whether some label allows more than one class."""
        return bool((self.members.sum(axis=1) > 1).any())


def common_label_space(splits: Sequence[Split], relations: Sequence[Relation | None]) -> LabelSpace:
    """The one label space that all splits teach, through their relations where they have one.

    Raises:
        InputError: two of them differ; relabelling under a relation, or learning through one, is the repair.
    """
    taught: list[tuple[LabelSpace, str]] = []
    for split, relation in zip(splits, relations, strict=True):
        if relation is None:
            taught.append((split.label_space, f"data set {split.dataset!r}"))
            continue
        name = f"relation {relation.name!r}"
        relation.foreign.require_same(
            split.label_space, f"the foreign side of {name}", f"data set {split.dataset!r}"
        )
        taught.append((relation.source, f"the source of {name}"))
    (first, whose), *others = taught
    for space, other in others:
        first.require_same(space, whose, other)
    return first


def _number_of(row: frozenset[int], known: dict[frozenset[int], int]) -> int:
    """The number of a set; a new one gets the next that is free, and 255 stays void's."""
    row = row - {VOID}
    if not row:
        return VOID
    if row not in known:
        number = max(known.values()) + 1
        known[row] = number + (number == VOID)
    return known[row]


def refuse_relation(relation: str | None) -> None:
    """Raise InputError where validation data names a relation: scores need labels of one class each."""
    if relation is not None:
        raise InputError(
            "validation.relation: a score needs labels of the classes themselves; score through a relation "
            "with `lsu evaluate --relation`"
        )
