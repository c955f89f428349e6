from dataclasses import replace

from test_derivation import COARSE, FINE

from lsu.runtime import VOID, LabelClass, LabelSpace, Relation
from lsu.runtime.derivation import relation_from_concepts
from lsu.runtime.relation_check import RelationCheck

IMPLIED = relation_from_concepts(FINE, COARSE)  # ground road|void, bicyclist cyclist|bike|void, person walker


def with_row(index: int, members: set[int], **reasons: str) -> RelationCheck:
    rows = list(IMPLIED.allowed)
    rows[index] = frozenset(members)
    return RelationCheck.of(replace(IMPLIED, allowed=tuple(rows), reasons=reasons))


def test_what_the_concepts_imply_passes() -> None:
    check = RelationCheck.of(IMPLIED)
    assert check.passed
    assert check.cardinalities == {"forced": 1, "choice": 2, "void": 0}
    assert [row.kind for row in check.rows] == ["choice", "choice", "forced", "void"]


def test_a_row_that_forbids_what_the_concepts_allow_needs_a_reason() -> None:
    check = with_row(1, {1, VOID})
    assert [row.label for row in check.suspicious] == ["bicyclist"]
    assert "forbids bike, which the concepts allow, without a reason" in check.rows[1].suspicion
    assert with_row(1, {1, VOID}, bicyclist="bikes are never drawn apart").passed


def test_a_reason_that_explains_nothing_is_suspicious() -> None:
    check = with_row(2, {3}, person="none")
    assert "gives a reason, but forbids nothing" in check.rows[2].suspicion


def test_what_goes_beyond_the_concepts_is_told_and_accepted() -> None:
    check = with_row(2, {3, 1})
    assert check.passed
    assert check.rows[2].beyond == ("cyclist",)


def test_a_row_that_shares_nothing_with_the_concepts_is_suspicious_even_with_a_reason() -> None:
    assert "allows nothing of what" in with_row(2, {0}, person="because").rows[2].suspicion


def test_a_class_of_the_labels_own_name_is_expected() -> None:
    plain = LabelSpace("plain", (LabelClass("car"), LabelClass("bus")))
    swapped = Relation("swapped", plain, plain, (frozenset({1}), frozenset({1})))
    check = RelationCheck.of(swapped)
    assert "does not allow the class of its own name, 'car'" in check.rows[0].suspicion
    assert check.rows[1].suspicion == ""
    assert "says no concepts" in check.without_concepts


def test_a_row_of_all_classes_says_nothing() -> None:
    plain = LabelSpace("plain", (LabelClass("car"), LabelClass("bus")))
    check = RelationCheck.of(Relation("open", plain, plain, (frozenset({0, 1}), frozenset({1}))))
    assert "it says nothing" in check.rows[0].suspicion


def test_unmapped_labels_fail_the_check() -> None:
    relation = Relation.from_names("r", FINE, COARSE, allow={"ground": ["road", "void"]}, default=["void"])
    check = RelationCheck.of(relation)
    assert relation.unmapped == ("bicyclist", "person")
    assert not check.passed
    assert check.to_dict()["unmapped"] == ["bicyclist", "person"]
