"""The outcome of a relabelling, per foreign label and, with confidence, per class."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lsu.runtime.label_space import VOID
from lsu.runtime.relation import Relation

from .confidence import ClassConfidence
from .journal import Entry


@dataclass(frozen=True)
class LabelSummary:
    """What became of the pixels of one foreign label.

    Attributes:
        name: the label; `void` for void labels, `all` where labels were not read.
        allowed: names of the classes that it allows, or None for all.
        pixels: how many.
        forced: how many had one class allowed.
        chosen: how many the network chose a class for.
        void: how many are void now.
        agreeing: how many would be the same without the constraint.
    """

    name: str
    allowed: tuple[str, ...] | None
    pixels: int
    forced: int
    chosen: int
    void: int
    agreeing: int

    @property
    def agreement(self) -> float:
        """The share of pixels that would be the same without the constraint, 0 to 1."""
        return self.agreeing / self.pixels if self.pixels else 0.0


@dataclass(frozen=True)
class Summary:
    """The outcome of a relabelling.

    Attributes:
        frames: how many were written.
        skipped: (key, reason) of the frames that could not be used.
        labels: one row per foreign label that occurs; with confidence, before it makes pixels void.
        confidence: one row per class that was answered, or None where confidence was not asked for.
    """

    frames: int
    skipped: tuple[tuple[str, str], ...]
    labels: tuple[LabelSummary, ...]
    confidence: tuple[ClassConfidence, ...] | None = None

    @classmethod
    def from_entries(
        cls,
        entries: Sequence[Entry],
        relation: Relation | None,
        confidence: Sequence[ClassConfidence] | None = None,
    ) -> "Summary":
        """The sum of all journal entries of a relabelling under this relation."""
        totals = np.zeros((256, 4), np.int64)
        for entry in entries:
            for label, row in entry.counts.items():
                totals[label] += row
        rows = [
            _label_summary(label, totals[label].tolist(), relation)
            for label in np.flatnonzero(totals[:, :3].any(axis=1)).tolist()
        ]
        skipped = tuple((entry.key, entry.error) for entry in entries if entry.error)
        levels = None if confidence is None else tuple(confidence)
        return cls(len(entries) - len(skipped), skipped, tuple(rows), levels)

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain JSON types."""
        document: dict[str, Any] = {
            "frames": self.frames,
            "skipped": [{"frame": key, "reason": reason} for key, reason in self.skipped],
            "labels": [
                {
                    "label": row.name,
                    "allowed": None if row.allowed is None else list(row.allowed),
                    "pixels": row.pixels,
                    "forced": row.forced,
                    "chosen": row.chosen,
                    "void": row.void,
                    "agreement": round(row.agreement, 6),
                }
                for row in self.labels
            ],
        }
        if self.confidence is not None:
            document["confidence"] = [
                {
                    "class": row.name,
                    "threshold": round(row.threshold, 6),
                    "pixels": row.pixels,
                    "kept": round(row.kept / row.pixels, 6) if row.pixels else None,
                    "forced": row.forced,
                }
                for row in self.confidence
            ]
        return document


def _label_summary(label: int, counts: Sequence[int], relation: Relation | None) -> LabelSummary:
    forced, chosen, void, agreeing = counts
    name, allowed = "all", None
    if relation is not None:
        name = "void" if label == VOID else relation.foreign.names[label]
        members = relation.void_allowed if label == VOID else relation.allowed[label]
        if len(members - {VOID}) < len(relation.source):
            allowed = tuple("void" if m == VOID else relation.source.names[m] for m in sorted(members))
    return LabelSummary(name, allowed, forced + chosen + void, forced, chosen, void, agreeing)
