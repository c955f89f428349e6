"""What backends are compared on: a bundle's golden frames, or frames of a data set with or without labels."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lsu.runtime.bundles.bundle import Bundle
from lsu.runtime.datasets.dataset import Frame, Split
from lsu.runtime.errors import InputError
from lsu.runtime.evaluate import foreign_answers, require_scorable
from lsu.runtime.label_space import LabelSpace
from lsu.runtime.relation import Relation

from .answers import Classes, Question
from .constraint import Constraint, drawn_constraint

DRAWN, RELATION = "drawn", "relation"


@dataclass(frozen=True, eq=False)
class Asked:
    """One image.

    Attributes:
        question: what every backend is asked.
        labels: uint8 [H,W], dense indices in the data set's label space, or None where there are none.
    """

    question: Question
    labels: npt.NDArray[np.uint8] | None = None


@dataclass(frozen=True, eq=False)
class Material:
    """The images of a verification.

    Attributes:
        source: where they come from, for people.
        images: how many.
        asked: gives them one by one, each time from the first.
        label_space: what is scored.
        relation: from the network's label space to the labels', where they are not one.
        labelled: whether there are labels; without, the reference's answer is the truth.
        golden: whether these are the bundle's golden frames, whose answers are stored.
    """

    source: str
    images: int
    asked: Callable[[], Iterator[Asked]]
    label_space: LabelSpace
    relation: Relation | None = None
    labelled: bool = False
    golden: bool = False

    @property
    def modes(self) -> tuple[str, ...]:
        """The constraints of each image."""
        return (DRAWN,) if self.relation is None else (DRAWN, RELATION)

    def scored(self, classes: Classes, reference: Classes, asked: Asked) -> tuple[Classes, Classes]:
        """Answer and truth to be compared, uint8 [H,W] each, in `label_space`."""
        if asked.labels is None:
            return classes, reference
        if self.relation is None:
            return classes, asked.labels
        return foreign_answers(classes, asked.labels, self.relation)


def golden_material(bundle: Bundle) -> Material:
    """The golden frames.

    Raises:
        InputError: the bundle has none.
    """
    if not bundle.manifest.golden:
        raise InputError(f"{bundle.path}: has no golden frames: give images with --data")

    def asked() -> Iterator[Asked]:
        for number, frame in enumerate(bundle.golden_frames()):
            yield Asked(_question(golden_name(number), frame.image, number, bundle))

    return Material("golden frames", len(bundle.manifest.golden), asked, bundle.spec.label_space, golden=True)


def golden_name(number: int) -> str:
    """The name of a golden frame."""
    return f"golden {number}"


def split_material(
    bundle: Bundle, split: Split, *, relation: Relation | None = None, frames: int | None = None
) -> Material:
    """Frames of a split, evenly spread over it; all for None.

    Raises:
        InputError: the split has labels and label spaces do not belong together.
    """
    chosen = evenly_spread(split.frames, frames)
    labelled = all(frame.label is not None for frame in chosen)
    if labelled:
        require_scorable(bundle.spec.label_space, split, relation)
    elif relation is not None:
        raise InputError(f"{split.dataset} split {split.name!r} has no labels: leave --relation out")
    table = None if relation is None else relation.table(bundle.spec.void_channel)

    def asked() -> Iterator[Asked]:
        for number, frame in enumerate(chosen):
            if not labelled:
                yield Asked(_question(frame.key, split.read_image(frame), number, bundle))
                continue
            sample = split.read(frame)
            given = () if table is None else (Constraint(RELATION, sample.labels, table),)
            yield Asked(_question(frame.key, sample.image, number, bundle, *given), sample.labels)

    space = split.label_space if labelled else bundle.spec.label_space
    return Material(f"{split.dataset} {split.name}", len(chosen), asked, space, relation, labelled)


def evenly_spread(frames: tuple[Frame, ...], count: int | None) -> tuple[Frame, ...]:
    """`count` of the frames, the first and the last among them; all if there are no more."""
    if count is None or count >= len(frames):
        return frames
    last = len(frames) - 1
    return tuple(frames[k * last // max(1, count - 1)] for k in range(count))


def _question(
    name: str, image: npt.NDArray[np.uint8], seed: int, bundle: Bundle, *given: Constraint
) -> Question:
    size = (image.shape[0], image.shape[1])
    return Question(name, image, (drawn_constraint(size, bundle.spec.channels, seed), *given))
