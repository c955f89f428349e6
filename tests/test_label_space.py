import pytest
from pictures import FOREIGN, SOURCE

from lsu.runtime import VOID, InputError, LabelClass, LabelSpace


def test_a_class_index_is_its_position_and_void_is_255() -> None:
    assert [SOURCE.index(n) for n in ("road", "car", "person", "sky", "void")] == [0, 1, 2, 3, VOID]
    assert FOREIGN.index("ego") == VOID


def test_a_misspelt_class_lists_the_near_ones() -> None:
    with pytest.raises(InputError, match=r"'source' has no class 'rode'; did you mean 'road'"):
        SOURCE.index("rode")


def test_identity_follows_names_and_order_and_void_alone() -> None:
    recoloured = LabelSpace(
        "other name",
        tuple(LabelClass(c.name, k + 90, (k, k, k)) for k, c in enumerate(FOREIGN.classes)),
        (LabelClass("ego"),),
    )
    assert recoloured.identity == FOREIGN.identity
    assert LabelSpace("foreign", FOREIGN.classes[::-1], FOREIGN.void).identity != FOREIGN.identity
    assert LabelSpace("foreign", FOREIGN.classes).identity != FOREIGN.identity


def test_the_toml_text_reads_back_as_the_same_label_space(tmp_path) -> None:
    path = tmp_path / "space.toml"
    odd = LabelSpace("odd", (LabelClass('a "quoted" näme', 3, (1, 2, 3)), LabelClass("back\\slash 🚗", 4)))
    for space in (FOREIGN, SOURCE, odd):
        path.write_text(space.to_toml())
        assert LabelSpace.load(path) == space


def test_dense_ids_keep_the_identity() -> None:
    dense = FOREIGN.with_dense_ids()
    assert [c.id for c in dense.classes] == [0, 1, 2]
    assert dense.identity == FOREIGN.identity


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ((), "has 0 classes; 1 to 255"),
        (tuple(LabelClass(f"c{k}") for k in range(256)), "has 256 classes"),
        ((LabelClass("void"),), "the class name 'void' is reserved"),
        ((LabelClass("a"), LabelClass("a")), "the name 'a' stands twice"),
        ((LabelClass("a", 1), LabelClass("b", 1)), "the id 1 stands twice"),
        ((LabelClass("a", 1), LabelClass("b")), "class 'b' has no id; give ids to all or to none"),
    ],
)
def test_a_label_space_that_cannot_be_is_refused(classes, message) -> None:
    with pytest.raises(InputError, match=message):
        LabelSpace("x", classes)


def test_a_void_id_that_is_a_classs_index_is_refused() -> None:
    with pytest.raises(InputError, match="a void id is a class's index"):
        LabelSpace("x", (LabelClass("a"), LabelClass("b")), (LabelClass("v", 1),))


@pytest.mark.parametrize(
    "text", ["classes = 3", 'classes = ["a"]', "classes = [3]", "[classes]", 'void = "v"']
)
def test_a_file_of_another_shape_is_refused_in_one_line(tmp_path, text) -> None:
    path = tmp_path / "x.toml"
    text = f"classes = [{{ name = 'a' }}]\n{text}" if text.startswith("void") else text
    path.write_text(f'name = "x"\n{text}\n')
    with pytest.raises(
        InputError, match=r"x.toml: .*is not a table|x.toml: .*, not a list such as"
    ) as caught:
        LabelSpace.load(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ('{ name = "a", id = 70000 }', "id 70000 is outside 0 to 65535"),
        ('{ name = "a", id = "1" }', "id '1' is not a whole number"),
        ('{ name = "a", colour = [1, 2] }', r"colour \[1, 2\] is not three numbers"),
        ('{ name = "a", colour = [1, 2, 300] }', r"colour \[1, 2, 300\] is not three numbers"),
        ('{ name = " a" }', "have no blanks around them"),
        ('{ name = "a", color = [1, 2, 3] }', "unknown key 'color'; did you mean 'colour'"),
        ("{ id = 1 }", "'name' is missing"),
    ],
)
def test_a_wrong_entry_of_a_file_is_named(tmp_path, entry, message) -> None:
    path = tmp_path / "x.toml"
    path.write_text(f'name = "x"\nclasses = [{entry}]\n')
    with pytest.raises(InputError, match=message) as caught:
        LabelSpace.load(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_catalogue_name_lists_the_near_ones() -> None:
    with pytest.raises(InputError, match="did you mean .*'camvid11'"):
        LabelSpace.load("camvid12")


def test_different_label_spaces_are_both_shown() -> None:
    with pytest.raises(InputError, match=r"the bundle speaks 'source' \(4 .* the data speaks 'foreign' \(3"):
        SOURCE.require_same(FOREIGN, "the bundle", "the data")
