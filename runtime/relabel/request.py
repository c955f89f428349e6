"""What a relabelling is asked for, beside the teacher."""

from dataclasses import dataclass
from typing import Any

from lsu.runtime.datasets.dataset import Split
from lsu.runtime.errors import InputError
from lsu.runtime.relation import Relation

from .output import digest_of_labels
from .teachers import Teacher


@dataclass(frozen=True)
class Request:
    """What to relabel and how.

    Attributes:
        split: the frames; its labels are read where there is a relation.
        relation: from the teacher's label space to the split's, or None for labels without constraint.
        free: allow every class wherever the relation allows one: the baseline without its knowledge.
        confidence: `relative` makes pixels void whose answer is not surer than the mean of its class
            (confidence.py); None keeps all.
        keep_scores: also keep the teacher's scores, rounded to float16, as a folder of stored scores.
    """

    split: Split
    relation: Relation | None
    free: bool = False
    confidence: str | None = None
    keep_scores: bool = False

    def __post_init__(self) -> None:
        if self.confidence not in (None, "relative"):
            raise InputError(f"unknown confidence {self.confidence!r}; known: relative")

    @property
    def applied(self) -> Relation | None:
        """The relation that constrains: with `free` it allows every class wherever it allowed one."""
        return self.relation.unconstrained() if self.relation is not None and self.free else self.relation

    @property
    def total(self) -> int:
        """How many frames are gone through: with confidence each one twice."""
        return len(self.split.frames) * (1 if self.confidence is None else 2)

    def check(self, teacher: Teacher) -> None:
        """Raise InputError unless the teacher, the relation and the split belong together."""
        teacher.check(self.split)
        if self.relation is None:
            if not self.free:
                raise InputError("a relation is needed: give --relation FILE, or --free for none")
            return
        name = f"relation {self.relation.name!r}"
        teacher.label_space.require_same(self.relation.source, "the teacher", f"the source of {name}")
        self.relation.foreign.require_same(
            self.split.label_space, f"the foreign side of {name}", f"data set {self.split.dataset!r}"
        )
        if any(frame.label is None for frame in self.split.frames):
            raise InputError(
                f"data set {self.split.dataset!r}, split {self.split.name!r} has no labels to be constrained "
                "by; give --free without a relation"
            )

    def header(self, teacher: Teacher) -> dict[str, Any]:
        """What the journal holds a later run against."""
        header = {
            "format": 1,
            **teacher.facts(),
            "relation": None if self.relation is None else self.relation.identity,
            "free": self.free,
            "data": f"{self.split.dataset}/{self.split.name}",
            "images": self.split.image_glob,
            "labels": digest_of_labels(self.split),
        }
        # Journals of older versions lack what they could not be asked for.
        if self.confidence is not None:
            header["confidence"] = self.confidence
        if self.keep_scores:
            header["keep_scores"] = True
        return header
