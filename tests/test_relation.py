import numpy as np
import pytest
from pictures import FOREIGN, SOURCE

from lsu.runtime import VOID, InputError, LabelClass, LabelSpace, Relation

ALLOW = {"ground": ["road"], "object": ["car", "person", "void"], "above": ["void"]}


def relation(**changes) -> Relation:
    return Relation.from_names("r", SOURCE, FOREIGN, **{"allow": ALLOW, **changes})


def test_the_table_has_one_bit_per_allowed_class() -> None:
    table = relation().table()
    assert table.shape == (256, 1)
    assert table.dtype == np.uint64
    assert table[:3, 0].tolist() == [0b0001, 0b0110, 0]
    assert not table[3:].any()


def test_void_is_a_bit_where_the_network_has_a_void_channel() -> None:
    table = relation().table(void_channel=4)
    assert table[:3, 0].tolist() == [0b00001, 0b10110, 0b10000]
    assert table[VOID, 0] == 0b10000


def test_a_void_label_may_have_a_row_of_its_own() -> None:
    assert relation(allow={**ALLOW, "ego": ["road", "sky"]}).table()[VOID, 0] == 0b1001
    assert relation(allow={**ALLOW, "void": ["road"]}).table()[VOID, 0] == 0b0001


def test_more_than_64_classes_take_more_than_one_word() -> None:
    many = LabelSpace("many", tuple(LabelClass(f"c{k}") for k in range(130)))
    table = Relation.from_names("r", many, FOREIGN, allow={}, default=["c0", "c63", "c64", "c129"]).table()
    assert table.shape == (256, 3)
    assert table[0].tolist() == [1 | 1 << 63, 1, 2]


def test_a_foreign_label_without_a_row_is_an_error_that_names_it() -> None:
    with pytest.raises(InputError, match=r"no row for 'object', 'above' of 'foreign'.*default"):
        relation(allow={"ground": ["road"]})


def test_the_default_serves_labels_without_a_row() -> None:
    assert relation(allow={"ground": ["road"]}, default=["sky"]).allowed[1:] == (frozenset({3}),) * 2


@pytest.mark.parametrize(
    ("allow", "message"),
    [
        ({**ALLOW, "ground": ["rode"]}, "'source' has no class 'rode'; did you mean 'road'"),
        ({**ALLOW, "grond": ["road"]}, "'foreign' has no class 'grond'; did you mean 'ground'"),
        ({**ALLOW, "ground": "road"}, "'road' is not a list"),
        ({**ALLOW, "ground": ["road", "road"]}, "row 'ground': road stands twice"),
        ({**ALLOW, "ego": ["road"], "void": ["sky"]}, "are one label and have different rows"),
    ],
)
def test_a_wrong_row_is_refused(allow, message) -> None:
    with pytest.raises(InputError, match=message):
        relation(allow=allow)


def test_unreachable_classes_and_void_without_effect_are_found() -> None:
    assert relation().unreachable() == ("sky",)
    assert relation().void_without_effect() == ("object",)


def test_the_unconstrained_relation_keeps_what_is_forced_to_void() -> None:
    free = relation().unconstrained()
    assert free.allowed == (frozenset({0, 1, 2, 3}), frozenset({0, 1, 2, 3, VOID}), frozenset({VOID}))
    assert free.void_allowed == frozenset({VOID})


def test_identity_follows_every_row() -> None:
    assert relation().identity == relation(allow=dict(reversed(ALLOW.items()))).identity
    assert relation().identity != relation(allow={**ALLOW, "ego": ["road"]}).identity
    assert relation().identity != relation(allow={**ALLOW, "ground": ["road", "sky"]}).identity


@pytest.mark.parametrize("line", ["allow = 3", "allow = []", 'default = ""', "default = 0"])
def test_a_relation_file_of_another_shape_is_refused_in_one_line(tmp_path, line) -> None:
    (tmp_path / "source.toml").write_text(SOURCE.to_toml())
    (tmp_path / "foreign.toml").write_text(FOREIGN.to_toml())
    path = tmp_path / "r.toml"
    rest = "" if line.startswith("allow") else '\n[allow]\nground = ["road"]'
    path.write_text(f'name = "r"\nsource = "source.toml"\nforeign = "foreign.toml"\n{line}{rest}\n')
    with pytest.raises(InputError, match=r"r.toml: .*(is not a table|is not a list of texts)"):
        Relation.load(path)


def test_a_void_row_with_classes_is_freed_too_and_counts_in_the_identity() -> None:
    with_void = relation(allow={**ALLOW, "void": ["road"]})
    assert with_void.unconstrained().void_allowed == frozenset({0, 1, 2, 3})
    other = Relation(**{**vars_of(with_void), "void_allowed": frozenset({1})})
    assert with_void.identity != other.identity


def vars_of(r: Relation) -> dict[str, object]:
    return {k: getattr(r, k) for k in ("name", "source", "foreign", "allowed", "void_allowed")}


def test_a_file_finds_its_label_spaces_beside_it(tmp_path) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s/source.toml").write_text(SOURCE.to_toml())
    (tmp_path / "foreign.toml").write_text(FOREIGN.to_toml())
    path = tmp_path / "r.toml"
    path.write_text(
        'name = "r"\nsource = "s/source.toml"\nforeign = "foreign.toml"\ndefault = ["void"]\n'
        '[allow]\nground = ["road"]\n'
    )
    assert Relation.load(path).allowed == (frozenset({0}), frozenset({VOID}), frozenset({VOID}))
    path.write_text('name = "r"\nsource = "s/source.toml"\nforeign = "foreign.toml"\n[alow]\n')
    with pytest.raises(InputError, match="unknown key 'alow'; did you mean 'allow'"):
        Relation.load(path)


def test_a_reason_that_is_no_text_is_refused(tmp_path) -> None:
    path = tmp_path / "r.toml"
    path.write_text(Relation.load("camvid32-to-camvid11").to_toml() + 'Sky = ["clouds"]\n')
    with pytest.raises(InputError, match=r"the reason of 'Sky': \['clouds'\] is not a text"):
        Relation.load(path)
