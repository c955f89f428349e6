"""The catalogue as a whole: every file loads, is canonical, names its source, and holds against concepts."""

import pytest
import tomllib

from lsu.runtime import LabelSpace, Relation
from lsu.runtime.concepts import Vocabulary
from lsu.runtime.files import toml_from_table
from lsu.runtime.lookup import CATALOGUE, catalogue_file, catalogue_names
from lsu.runtime.relation_check import RelationCheck

FILES = sorted(CATALOGUE.rglob("*.toml"))


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(CATALOGUE)))
def test_a_file_is_in_the_one_canonical_form(path) -> None:
    text = path.read_text("utf-8")
    assert text == toml_from_table(tomllib.loads(text))


@pytest.mark.parametrize("name", catalogue_names("label_spaces"))
def test_a_label_space_names_itself_its_source_its_licence_and_its_concepts(name) -> None:
    space = LabelSpace.load(name)
    assert space.name == name
    assert space.source
    assert space.licence
    covered = Vocabulary.load().of_classes(space)
    assert len(covered) == len(space)


@pytest.mark.parametrize("name", catalogue_names("relations"))
def test_a_relation_is_named_by_its_sides_and_forbids_nothing_without_a_reason(name) -> None:
    relation = Relation.load(name)
    assert name == relation.name == f"{relation.foreign.name}-to-{relation.source.name}"
    assert relation.about["origin"]
    check = RelationCheck.of(relation)
    assert not check.without_concepts
    assert {row.label: row.suspicion for row in check.suspicious} == {}
    assert relation.unmapped == ()


@pytest.mark.parametrize("name", catalogue_names("datasets"))
def test_a_data_set_says_where_its_facts_are_from(name) -> None:
    table = tomllib.loads(catalogue_file("datasets", name).read_text("utf-8"))
    assert table["name"] == name
    assert table["source"]
    assert table["licence"]


def test_every_concept_is_used_by_a_label_space() -> None:
    vocabulary = Vocabulary.load()
    spaces = [LabelSpace.load(name) for name in catalogue_names("label_spaces")]
    used = frozenset().union(*(leaves for space in spaces for leaves in vocabulary.of_classes(space)))
    assert set(vocabulary.concepts) - used == set()
    named = {word for space in spaces for entry in space.classes for word in entry.concepts}
    inner = {member for members in vocabulary.groups.values() for member in members}
    assert set(vocabulary.groups) - named - inner == set()
