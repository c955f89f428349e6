"""The relations and labels that the head's benchmark constrains it with."""

import ast
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "tools"))

import head_modes

from lsu.runtime import VOID, LabelSpace, Relation

TOOLS = Path(__file__).parent.parent / "tools"
RNG = np.random.default_rng


def test_bits_stand_where_the_head_looks_for_them() -> None:
    allowed = np.zeros((256, 66), bool)
    allowed[3, [0, 5, 64, 65]] = True
    table = head_modes.table_from_allowed(allowed)
    assert table.shape == (256, 2)
    assert table[3].tolist() == [1 | 1 << 5, 0b11]
    relation = Relation.load("idd_lite-to-camvid11")
    assert np.array_equal(
        head_modes.table_from_allowed(head_modes.allowed_from_relation(relation, 11)), relation.table()
    )


def test_the_groups_are_those_of_the_trial() -> None:
    tree = ast.parse((TOOLS / "trials.py").read_text())
    (value,) = [n.value for n in tree.body if isinstance(n, ast.Assign) and n.targets[0].id == "GROUPS"]
    assert ast.literal_eval(value) == head_modes.GROUPS


def test_added_classes_are_allowed_like_the_class_that_they_copy() -> None:
    allowed = head_modes.allowed_from_relation(head_modes.groups_relation(), 65)
    assert all(np.array_equal(allowed[:, k], allowed[:, k % 11]) for k in range(65))


def test_a_true_class_becomes_the_first_foreign_label_that_allows_it() -> None:
    relation = Relation.load("idd_lite-to-camvid11")
    foreign = head_modes.foreign_from_source(relation)
    source = LabelSpace.load("camvid11")
    names = {name: relation.foreign.names[foreign[source.index(name)]] for name in source.names}
    assert names["Road"] == "drivable"
    assert names["Pavement"] == "non-drivable"
    assert names["Bicyclist"] == "living-things"
    assert names["Building"] == "roadside-objects"
    assert names["Tree"] == "far-objects"
    assert (foreign[11:] == VOID).all()


@pytest.mark.parametrize("classes", [11, 19, 65])
def test_the_sets_of_the_modes_have_the_sizes_that_they_say(classes) -> None:
    truth = np.array([[0, 3, 10, VOID]], np.uint8)
    sizes = {name: make(truth, classes) for name, make in head_modes.CONSTRAINTS.items()}
    of_pixels = {name: c.allowed.sum(1)[c.labels][0].tolist() for name, c in sizes.items()}
    assert of_pixels["one_to_one"] == [1, 1, 1, 0]
    assert of_pixels["one_class"] == [1, 1, 1, 1]
    assert of_pixels["all_but_next"] == of_pixels["all_but_own"] == [classes - 1] * 3 + [classes]
    if classes == 11:
        assert of_pixels["groups"] == [2, 2, 3, 0]
        assert of_pixels["idd_lite"] == [1, 1, 2, 0]
    own, following = (sizes[name].allowed for name in ("all_but_own", "all_but_next"))
    assert not own[3, 3]
    assert not following[3, 4]
    assert not following[classes - 1, 0]


def test_label_noise_keeps_the_table_and_the_labels_that_occur() -> None:
    constraint = head_modes.groups(np.tile(np.array([0, 1, VOID], np.uint8), (30, 40)), 11)
    noisy = head_modes.with_label_noise(constraint, RNG(0))
    assert noisy.labels.dtype == np.uint8
    assert noisy.labels.shape == constraint.labels.shape
    assert set(np.unique(noisy.labels)) == set(np.unique(constraint.labels))
    assert np.array_equal(noisy.allowed, constraint.allowed)
