"""Relations that follow from other knowledge: from concepts, by turning one round, by chaining two.

The rules, and what each result may claim. Call a relation *sound* when a row with classes always holds the
pixel's true class, or void where it has none; a row of void alone claims nothing. A set that is too large
costs accuracy, a set that is too small forbids the truth.

- **By concepts**, A(y) = {c : concepts(c) meets concepts(y)}, with void where y covers a concept that no
  class of the source covers. Sound as far as the concepts are; annotators' habits are not in it.
- **Inverse**, A'(c) = {y : c in A(y)}, with void where a void pixel may be c. Sound exactly where A is:
  both say the same pairs. It knows nothing that A did not.
- **Chain**, F over M to S: A(y) = union of A2(m) over m in A1(y). Sound where both are, but not tight: y
  and c may meet the same m without ever sharing a pixel. Where A1(y) has void beside classes, y's pixel may
  be something that M has no name for, of which A2 says nothing: such a row is *open*, it allows every class
  and void. Where A1(y) is void alone the chain claims nothing either, and says void. A void row of A2 is
  taken at its word: nothing in S.
"""

from .concepts import Vocabulary
from .errors import InputError
from .label_space import VOID, LabelSpace
from .relation import Relation


def relation_from_concepts(source: LabelSpace, foreign: LabelSpace) -> Relation:
    """The relation that the concepts of both label spaces imply.

    Pixels whose foreign label is void stay void.

    Args:
        source: the label space of the answers.
        foreign: the label space of the existing labels.

    Raises:
        InputError: a class of either lacks concepts.
    """
    vocabulary = Vocabulary.load()
    ours, theirs = vocabulary.of_classes(source), vocabulary.of_classes(foreign)
    known = frozenset().union(*ours)
    rows = (
        frozenset(c for c, concepts in enumerate(ours) if concepts & label)
        | (frozenset() if label <= known else {VOID})
        for label in theirs
    )
    return Relation(
        name=f"{foreign.name}-to-{source.name}",
        source=source,
        foreign=foreign,
        allowed=tuple(rows),
        about={"origin": "derived from the concepts of both label spaces"},
    )


def inverse(relation: Relation) -> Relation:
    """The same pairs seen from the other side: labels of `relation.source` to classes of `relation.foreign`.

    Pixels that are void in the source stay void.
    """
    rows = []
    for c in range(len(relation.source)):
        members = {y for y, allowed in enumerate(relation.allowed) if c in allowed}
        if c in relation.void_allowed or not members:
            members.add(VOID)
        rows.append(frozenset(members))
    return Relation(
        name=f"{relation.source.name}-to-{relation.foreign.name}",
        source=relation.foreign,
        foreign=relation.source,
        allowed=tuple(rows),
        about={"origin": f"the inverse of {relation.name}"},
    )


def chain(first: Relation, second: Relation) -> Relation:
    """From the labels of `first` to the classes of `second`, over the label space that they share.

    Args:
        first: foreign labels to the shared label space.
        second: labels of the shared label space to the answers.

    Raises:
        InputError: the source of `first` is not the foreign label space of `second`.
    """
    if first.source.identity != second.foreign.identity:
        raise InputError(
            f"no chain: {first.name!r} ends in {first.source.name!r}, "
            f"{second.name!r} starts from {second.foreign.name!r}; they must be one label space"
        )
    everything = frozenset({*range(len(second.source)), VOID})

    def row(middle: frozenset[int]) -> frozenset[int]:
        if middle in (frozenset(), {VOID}):
            return frozenset({VOID})
        if VOID in middle:
            return everything
        return frozenset().union(*(second.allowed[m] or {VOID} for m in middle))

    return Relation(
        name=f"{first.foreign.name}-to-{second.source.name}",
        source=second.source,
        foreign=first.foreign,
        allowed=tuple(map(row, first.allowed)),
        void_allowed=row(first.void_allowed),
        about={"origin": f"the chain of {first.name} and {second.name}"},
    )
