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
    def of(
        cls,
        splits: Sequence[Split],
        relations: Sequence[Relation | None],
        *,
        taught: Sequence[bool] | None = None,
        space: LabelSpace | None = None,
    ) -> "LabelSets":
        """The sets of some splits, each with its relation, or None where its labels are the classes.

        Args:
            splits: the data entries.
            relations: of each.
            taught: which entries' labels are learned from, all if None; those of the others may speak any
                label space and are void.
            space: the classes, or None to take those that the taught labels speak.

        Raises:
            InputError: a split's labels are not the relation's, or the sources are not one label space.
        """
        taught = [True] * len(splits) if taught is None else taught
        pairs = [
            pair
            for pair, is_taught in zip(zip(splits, relations, strict=True), taught, strict=True)
            if is_taught
        ]
        if pairs:
            space = common_label_space([split for split, _ in pairs], [relation for _, relation in pairs])
        if space is None:
            raise InputError("no data entry has labels, and nothing else says which classes there are")
        known = {frozenset([c]): c for c in range(len(space))}
        numbers = [
            _numbers_of(relation, len(space), known) if is_taught else np.full(256, VOID, np.int64)
            for relation, is_taught in zip(relations, taught, strict=True)
        ]
        members = np.zeros((max([VOID, *known.values()]) + 1, len(space)), bool)
        for row, number in known.items():
            members[number, sorted(row)] = True
        return cls(space, members, tuple(numbers))

    @property
    def partial(self) -> bool:
        """Whether some label allows more than one class."""
        return bool((self.members.sum(axis=1) > 1).any())


def teaches(numbers: npt.NDArray[np.int64]) -> bool:
    """Whether some label of an entry with these numbers is learned from."""
    return bool((numbers != VOID).any())


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


def _numbers_of(
    relation: Relation | None, classes: int, known: dict[frozenset[int], int]
) -> npt.NDArray[np.int64]:
    """What each label of an entry is called, int64 [256]; sets that are new get a number."""
    table = np.full(256, VOID, np.int64)
    if relation is None:
        table[:classes] = np.arange(classes)
        return table
    for label, row in enumerate(relation.allowed):
        table[label] = _number_of(row, known)
    table[VOID] = _number_of(relation.void_allowed, known)
    return table


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
