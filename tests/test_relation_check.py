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
    assert check.rows[1].forbidden == ("bike",)
    assert not check.passed
    explained = with_row(1, {1, VOID}, bicyclist="bikes are never drawn apart")
    assert explained.passed
    assert explained.rows[1].reason == "bikes are never drawn apart"
    assert explained.to_dict()["rows"][1]["reason"] == "bikes are never drawn apart"


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
    explained = RelationCheck.of(replace(swapped, reasons={"car": "cars are drawn as buses"}))
    assert explained.passed


def test_a_row_of_all_classes_says_nothing() -> None:
    plain = LabelSpace("plain", (LabelClass("car"), LabelClass("bus")))
    check = RelationCheck.of(Relation("open", plain, plain, (frozenset({0, 1}), frozenset({1}))))
    assert "it says nothing" in check.rows[0].suspicion
    with_void = RelationCheck.of(
        Relation("open", plain, plain, (frozenset({0, 1, VOID}), frozenset({1, VOID})))
    )
    assert [bool(row.suspicion) for row in with_void.rows] == [True, False, False]


def test_a_source_of_one_class_may_be_allowed_everywhere() -> None:
    plain = LabelSpace("plain", (LabelClass("car"),))
    assert RelationCheck.of(Relation("one", plain, plain, (frozenset({0}),))).passed


def test_an_empty_row_is_void_and_passes_where_the_concepts_say_void() -> None:
    source = LabelSpace("source", (LabelClass("car", concepts=("car",)),))
    foreign = LabelSpace("foreign", (LabelClass("sky", concepts=("sky",)),))
    check = RelationCheck.of(Relation("r", source, foreign, (frozenset(),)))
    assert check.passed
    assert check.rows[0].allowed == ("void",)
    assert check.rows[0].beyond == check.rows[0].forbidden == ()
    assert check.cardinalities == {"forced": 0, "choice": 0, "void": 1}


def test_the_report_holds_the_row_of_void_and_what_concerns_the_whole_relation() -> None:
    rows = (frozenset({0}), frozenset({1, VOID}), frozenset({3}))
    about = {"origin": "a test", "repairs": ["one"]}
    report = RelationCheck.of(
        replace(IMPLIED, allowed=rows, void_allowed=frozenset({4, VOID}), about=about)
    ).to_dict()
    assert report["unreachable"] == ["bike"]
    assert report["void_without_effect"] == ["bicyclist", "void"]
    assert report["origin"] == "a test"
    assert report["repairs"] == ["one"]
    assert "note" not in report
    assert report["rows"][-1]["allowed"] == ["crop", "void"]
    assert report["rows"][-1]["kind"] == "choice"


def test_unmapped_labels_fail_the_check() -> None:
    relation = Relation.from_names("r", FINE, COARSE, allow={"ground": ["road", "void"]}, default=["void"])
    check = RelationCheck.of(relation)
    assert relation.unmapped == ("bicyclist", "person")
    assert not check.passed
    whole = RelationCheck.of(replace(relation, allowed=IMPLIED.allowed))
    assert not whole.suspicious
    assert not whole.passed
    assert check.to_dict()["unmapped"] == ["bicyclist", "person"]
