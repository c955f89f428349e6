from dataclasses import replace

import pytest

from lsu.runtime import VOID, InputError, LabelClass, LabelSpace, Relation
from lsu.runtime.concepts import Vocabulary
from lsu.runtime.derivation import chain, inverse, relation_from_concepts


def space(name: str, **concepts: str) -> LabelSpace:
    """A label space whose classes cover the concepts in the texts."""
    return LabelSpace(name, tuple(LabelClass(c, concepts=tuple(w.split())) for c, w in concepts.items()))


FINE = space("fine", road="road", cyclist="bicyclist", bike="bicycle", walker="pedestrian", crop="crops")
COARSE = space("coarse", ground="road low_grass", bicyclist="rider bicycle", person="pedestrian")


def test_a_group_stands_for_its_concepts_and_an_unknown_word_is_refused() -> None:
    vocabulary = Vocabulary.load()
    assert vocabulary.leaves(["tree", "van"]) == {"tree_crown", "tree_trunk", "tree_root", "van"}
    with pytest.raises(InputError, match="no concept 'tree_trunc'; did you mean 'tree_trunk'"):
        vocabulary.leaves(["tree_trunc"])


def test_classes_that_share_a_concept_may_share_a_pixel() -> None:
    derived = relation_from_concepts(FINE, COARSE)
    assert [derived.names_of(row) for row in derived.allowed] == [
        ["road", "void"],  # low_grass is in no class of FINE
        ["cyclist", "bike", "void"],  # nor are the other riders
        ["walker"],
    ]
    assert derived.void_allowed == {VOID}
    back = relation_from_concepts(COARSE, FINE)
    assert [back.names_of(row) for row in back.allowed] == [
        ["ground"],
        ["bicyclist"],
        ["bicyclist"],
        ["person"],
        ["void"],  # crops are nothing that COARSE knows
    ]


def test_a_class_without_concepts_is_named() -> None:
    bare = LabelSpace("bare", (LabelClass("a", concepts=("car",)), LabelClass("b")))
    with pytest.raises(InputError, match="'bare' says no concepts for 'b': add concepts"):
        relation_from_concepts(FINE, bare)


def relation(
    source: LabelSpace, foreign: LabelSpace, rows: list[set[int]], void: set[int] | None = None
) -> Relation:
    return Relation(
        "r", source, foreign, tuple(map(frozenset, rows)), frozenset({VOID} if void is None else void)
    )


def test_an_inverse_says_the_same_pairs() -> None:
    first = relation(FINE, COARSE, [{0}, {1, 2, VOID}, {3}], void={VOID, 0})
    turned = inverse(first)
    assert turned.source is COARSE
    assert turned.foreign is FINE
    assert [set(row) for row in turned.allowed] == [{0, VOID}, {1}, {1}, {2}, {VOID}]
    pairs = {(c, y) for y, row in enumerate(first.allowed) for c in row if c != VOID}
    assert {(c, y) for c, row in enumerate(turned.allowed) for y in row if y != VOID} == pairs
    assert turned.name == "fine-to-coarse"
    assert turned.about == {"origin": "the inverse of r"}
    again = inverse(turned)
    assert [row - {VOID} for row in again.allowed] == [row - {VOID} for row in first.allowed]


def test_a_chain_unites_what_the_middle_allows_and_opens_where_the_middle_may_be_void() -> None:
    last = space("last", a="car", b="bus", c="truck")
    second = relation(last, FINE, [{0}, {0, 1}, {1, 2}, set(), {2}])
    first = relation(FINE, COARSE, [{0, 1}, {2, VOID}, {VOID}])
    rows = [set(row) for row in chain(first, second).allowed]
    assert rows == [{0, 1}, {0, 1, 2, VOID}, {VOID}]
    through_nothing = chain(replace(first, allowed=(frozenset({3}), frozenset(), frozenset({0, 3}))), second)
    assert [set(row) for row in through_nothing.allowed] == [{VOID}, {VOID}, {0, VOID}]


def test_a_chain_carries_void_pixels_along_and_says_what_it_is() -> None:
    last = space("last", a="car", b="bus", c="truck")
    second = replace(relation(last, FINE, [{0}, {0, 1}, {1, 2}, set(), {2}]), name="late")
    first = replace(relation(FINE, COARSE, [{0}, {0}, {0}], void={1, 4}), name="early")
    over = chain(first, second)
    assert over.void_allowed == {0, 1, 2}
    assert chain(replace(first, void_allowed=frozenset({VOID})), second).void_allowed == {VOID}
    assert over.name == "coarse-to-last"
    assert over.about == {"origin": "the chain of early and late"}


def test_a_chain_needs_one_label_space_in_the_middle() -> None:
    first = relation_from_concepts(FINE, COARSE)
    with pytest.raises(InputError, match="no chain: .* ends in 'fine', .* starts from 'coarse'"):
        chain(first, first)


def test_a_chain_of_sound_relations_never_forbids_the_truth() -> None:
    """Concepts are the truth here: a row with classes allows at least what they imply directly."""
    spaces = [
        FINE,
        COARSE,
        space("odd", wheels="bicycle motorcycle", people="pedestrian rider", rest="road crops low_grass"),
    ]
    for source in spaces:
        for middle in spaces:
            for foreign in spaces:
                direct = relation_from_concepts(source, foreign)
                over = chain(relation_from_concepts(middle, foreign), relation_from_concepts(source, middle))
                for implied, allowed in zip(direct.allowed, over.allowed, strict=True):
                    assert allowed == {VOID} or implied <= allowed
