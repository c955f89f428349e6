"""What the head is asked for in a measurement: which relation, which labels, and which extras."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lsu.runtime import VOID, LabelSpace, Relation
from lsu.runtime.label_space import LabelClass

Allowed = npt.NDArray[np.bool_]
Labels = npt.NDArray[np.uint8]

GROUPS = {  # as in tools/trials.py
    "above-and-built": ("Sky", "Building"),
    "upright-thin": ("Tree", "Pole"),
    "furniture": ("SignSymbol", "Fence"),
    "ground": ("Road", "Pavement"),
    "moving": ("Car", "Pedestrian", "Bicyclist"),
}


@dataclass(frozen=True, eq=False)
class Constraint:
    """Labels and what they allow.

    Attributes:
        labels: uint8 [H, W].
        allowed: bool [256, classes]: label y allows class c.
    """

    labels: Labels
    allowed: Allowed

    @property
    def table(self) -> npt.NDArray[np.uint64]:
        """The constraint table of the head, uint64 [256, ceil(classes / 64)]."""
        return table_from_allowed(self.allowed)


def table_from_allowed(allowed: Allowed) -> npt.NDArray[np.uint64]:
    """Bit c % 64 of word c // 64 in row y is set where label y allows class c."""
    rows, classes = allowed.shape
    padded = np.zeros((rows, -(-classes // 64) * 64), np.uint8)
    padded[:, :classes] = allowed
    return np.packbits(padded, axis=1, bitorder="little").view("<u8").astype(np.uint64)


def allowed_from_relation(relation: Relation, classes: int) -> Allowed:
    """The relation's table as bool [256, classes]; added class c is allowed where class c % 11 is."""
    bits = relation.table().view(np.uint8)
    base = np.unpackbits(bits, axis=1, bitorder="little")[:, : len(relation.source)].astype(bool)
    return base[:, np.arange(classes) % len(relation.source)]


def foreign_from_source(relation: Relation) -> Labels:
    """uint8 [256]: for each source class the first foreign label whose set holds it, void for the rest."""
    foreign = np.full(256, VOID, np.uint8)
    for label in reversed(range(len(relation.allowed))):
        foreign[[member for member in relation.allowed[label] if member != VOID]] = label
    foreign[VOID] = VOID
    return foreign


def groups_relation() -> Relation:
    """The five groups of camvid11's classes; void stays void."""
    space = LabelSpace("camvid_groups", tuple(LabelClass(name, k) for k, name in enumerate(GROUPS)))
    return Relation.from_names(
        "groups-to-camvid11",
        LabelSpace.load("camvid11"),
        space,
        allow={k: list(v) for k, v in GROUPS.items()},
    )


def one_to_one(truth: Labels, classes: int) -> Constraint:
    """Label c allows class c alone, void allows nothing."""
    allowed = np.zeros((256, classes), bool)
    allowed[:classes] = np.eye(classes, dtype=bool)
    return Constraint(truth, allowed)


def idd_lite(truth: Labels, classes: int) -> Constraint:
    """The catalogue's idd_lite-to-camvid11; a true class becomes the first idd_lite label that allows it."""
    relation = Relation.load("idd_lite-to-camvid11")
    return Constraint(foreign_from_source(relation)[truth], allowed_from_relation(relation, classes))


def groups(truth: Labels, classes: int) -> Constraint:
    """The 5-group merge of tools/trials.py."""
    relation = groups_relation()
    return Constraint(foreign_from_source(relation)[truth], allowed_from_relation(relation, classes))


def all_but_next(truth: Labels, classes: int) -> Constraint:
    """Label c allows all classes but (c + 1) % classes; void allows all."""
    allowed = np.ones((256, classes), bool)
    allowed[np.arange(classes), (np.arange(classes) + 1) % classes] = False
    return Constraint(truth, allowed)


def all_but_own(truth: Labels, classes: int) -> Constraint:
    """Label c allows all classes but c: where the network is right, the runner-up must be found."""
    allowed = np.ones((256, classes), bool)
    allowed[np.arange(classes), np.arange(classes)] = False
    return Constraint(truth, allowed)


def one_class(truth: Labels, classes: int) -> Constraint:
    """Every label, void too, allows one class: the first of its group, Sky for void."""
    relation = groups_relation()
    allowed = np.zeros((256, classes), bool)
    for label, members in enumerate(relation.allowed):
        allowed[label, min(members)] = True
    allowed[~allowed.any(axis=1), 0] = True
    return Constraint(foreign_from_source(relation)[truth], allowed)


CONSTRAINTS: dict[str, Callable[[Labels, int], Constraint]] = {
    "one_to_one": one_to_one,
    "idd_lite": idd_lite,
    "groups": groups,
    "all_but_next": all_but_next,
    "all_but_own": all_but_own,
    "one_class": one_class,
}
"""By the mode's name: the true camvid labels uint8 [H, W] and the number of classes give the constraint."""


def with_label_noise(constraint: Constraint, rng: np.random.Generator) -> Constraint:
    """The same table with a label drawn anew at every pixel, evenly among those that occur."""
    present = np.unique(constraint.labels)
    return Constraint(rng.choice(present, size=constraint.labels.shape), constraint.allowed)
