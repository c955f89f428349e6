"""Which files a split has: alternatives, lists, patterns, numbers, and what a wrong root is told."""

from pathlib import Path

import numpy as np
import pytest
from layouts import write_text
from pictures import FOREIGN, write_png

from lsu.runtime import Dataset, InputError
from lsu.runtime.files import toml_from_table


def described(root: Path, *, counts_source: str = "", **split: object) -> Dataset:
    """A data set in FOREIGN, described beside `root`, with one split `one`."""
    folder = root.parent / "described"
    write_text(folder / "foreign.toml", FOREIGN.to_toml())
    about = {"counts_source": counts_source} if counts_source else {}
    table = {"name": "n", "label_space": "foreign.toml", **about, "splits": {"one": split}}
    write_text(folder / "dataset.toml", toml_from_table(table))
    return Dataset.load(folder, root)


def files(root: Path, *names: str) -> Path:
    """Images (`.jpg` and all others) or ids (`.png`) of these names below `root`."""
    for name in names:
        write_png(root / name, np.full((2, 2) if name.endswith(".png") else (2, 2, 3), 7, np.uint8))
    return root


def keys(dataset: Dataset) -> list[str]:
    return [frame.key for frame in dataset.split("one").frames]


def refusal(dataset: Dataset) -> str:
    with pytest.raises(InputError) as caught:
        dataset.split("one")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_first_glob_that_matches_anything_is_used(tmp_path) -> None:
    root = files(tmp_path / "r", "old/a.jpg", "old/a.png", "new/b.jpg", "new/b.png", "new/c.jpg", "new/c.png")
    globs = {"images": ["none/*.jpg", "new/*.jpg", "old/*.jpg"], "labels": ["none/*.png", "new/*.png"]}
    assert keys(described(root, **globs)) == ["b", "c"]
    assert described(root, **globs).split("one").image_glob == f"{root}/new/*.jpg"


def test_a_label_is_the_first_that_the_globs_find_for_its_key(tmp_path) -> None:
    root = files(tmp_path / "r", "i/a.jpg", "i/b.jpg", "l/a.png", "l/b.png", "l/a_bin.png")
    (root / "list.txt").write_text("a\nb\n")
    split = described(root, images="i/*.jpg", labels=["l/*_bin.png", "l/*.png"], frames="list.txt").split(
        "one"
    )
    assert [frame.label.name for frame in split.frames if frame.label] == ["a_bin.png", "b.png"]


def test_a_missing_root_and_a_file_as_root_are_named(tmp_path) -> None:
    assert refusal(described(tmp_path / "r", images="i/*.jpg")) == (
        f"data set 'n', split 'one': no image matches i/*.jpg in {tmp_path}/r, which does not exist"
    )
    (tmp_path / "r").write_text("")
    assert refusal(described(tmp_path / "r", images="i/*.jpg")).endswith("which is not a folder")


def test_a_wrong_root_says_what_it_holds(tmp_path) -> None:
    root = files(tmp_path / "deep/deep/r", *(f"{name}/x.png" for name in "hgfedcba"), "z.jpg")
    assert refusal(described(root, images=["i/*.jpg", "j/*.jpg"])) == (
        f"data set 'n', split 'one': no image matches i/*.jpg or j/*.jpg in {root}, which holds "
        "a/, b/, c/, d/, e/, f/ and 3 more"
    )


@pytest.mark.parametrize("inner", ["sub", "sub/sub"])
def test_a_folder_below_that_fits_is_proposed(tmp_path, inner) -> None:
    root = files(tmp_path / "r", f"{inner}/i/a.jpg", "other/b.jpg")
    message = refusal(described(root, images="i/*.jpg"))
    assert message.endswith(f"which holds other/, sub/; {root / inner} would fit: give it as the root")


@pytest.mark.parametrize("inner", ["i", "i/train"])
def test_a_folder_above_that_fits_is_proposed(tmp_path, inner) -> None:
    root = files(tmp_path / "r", "i/train/a.jpg")
    message = refusal(described(root / inner, images="i/train/*.jpg"))
    assert message.endswith(f"; {root} would fit: give it as the root")


def test_a_glob_that_seeks_everywhere_is_not_tried_above(tmp_path) -> None:
    root = files(tmp_path / "r", "i/train/a.jpg", "other/b.png")
    message = refusal(described(root / "other", images="**/train/*.jpg"))
    assert message.endswith(f"in {root}/other, which holds b.png")


def test_missing_labels_are_told_like_missing_images(tmp_path) -> None:
    root = files(tmp_path / "r", "i/a.jpg")
    message = refusal(described(root, images="i/*.jpg", labels="l/*.png"))
    assert message == f"data set 'n', split 'one': no label matches l/*.png in {root}, which holds i/"


@pytest.mark.parametrize(
    "line",
    [
        "d/a",
        "i/d/a.jpg",
        "d/a.jpg",
        "../i/d/a.jpg",
        "i/d/a.jpg l/d/a.png",
        "i/d/a.jpg\tl/d/a.png",
        "77,i/d/a.jpg,x",
    ],
)
def test_a_list_names_frames_by_key_or_by_path(tmp_path, line) -> None:
    root = files(tmp_path / "r", "i/d/a.jpg", "i/d/b.jpg", "l/d/a.png", "l/d/b.png", "l/d/stray.png")
    write_text(root / "lists/one.lst", f"{line}\n\n")
    dataset = described(root, images="i/*/*.jpg", labels="l/*/*.png", frames=["one.lst", "lists/one.lst"])
    assert keys(dataset) == ["d/a"]


def test_a_list_may_name_whole_paths(tmp_path) -> None:
    root = files(tmp_path / "r", "i/a.jpg", "i/b.jpg")
    (root / "l.txt").write_text(f"{root}/i/a.jpg\n")
    assert keys(described(root, images="i/*.jpg", frames="l.txt")) == ["a"]


def test_a_list_is_understood_below_a_root_with_two_dots(tmp_path) -> None:
    root = files(tmp_path / "r", "i/a.jpg", "i/b.jpg")
    (root / "l.txt").write_text("i/b.jpg\n")
    described(root, images="i/*.jpg", frames="l.txt")
    assert keys(Dataset.load(tmp_path / "described", root / "i" / "..")) == ["b"]


def test_an_empty_list_is_refused(tmp_path) -> None:
    root = files(tmp_path / "r", "i/a.jpg")
    (root / "l.txt").write_text("\n\n")
    message = refusal(described(root, images="i/*.jpg", frames="l.txt"))
    assert message.endswith(f"the list of frames {root}/l.txt is empty")


def test_a_table_of_frames_has_a_header(tmp_path) -> None:
    root = files(tmp_path / "r", "i/a.jpg", "i/b.jpg")
    (root / "one.csv").write_text("id,path\n1,i/b.jpg\n")
    assert keys(described(root, images="i/*.jpg", frames="one.csv")) == ["b"]


def test_keys_and_paths_with_blanks_are_whole_lines(tmp_path) -> None:
    root = files(tmp_path / "r [1]", "i/Camera 5/a b.jpg", "i/Camera 6/a b.jpg")
    for line in ("Camera 5/a b", "i/Camera 5/a b.jpg", "i/Camera 5/a b.jpg\tx.png"):
        (root / "l.txt").write_text(line)
        assert keys(described(root, images="i/*/*.jpg", frames="l.txt")) == ["Camera 5/a b"]


def test_a_missing_list_is_named_with_what_is_there(tmp_path) -> None:
    root = files(tmp_path / "r", "i/a.jpg")
    message = refusal(described(root, images="i/*.jpg", frames=["a.txt", "b/a.txt"]))
    assert (
        message
        == f"data set 'n', split 'one': its list of frames a.txt or b/a.txt is not in {root}, which holds i/"
    )


def test_a_frame_of_the_list_that_is_missing_is_named(tmp_path) -> None:
    root = files(tmp_path / "r", "i/a.jpg")
    (root / "l.txt").write_text("a\ni/lost.jpg l/lost.png\n")
    message = refusal(described(root, images="i/*.jpg", frames="l.txt"))
    assert f"frame 'i/lost.jpg l/lost.png' of {root}/l.txt is matched by no file of {root}/i/*.jpg" in message


def test_only_and_leave_out_choose_by_patterns(tmp_path) -> None:
    root = files(tmp_path / "r", *(f"i/{v}/{k}.jpg" for v in ("trail", "trail-3", "park") for k in "ab"))
    assert keys(described(root, images="i/*/*.jpg", only=["trail/*", "park/*"], leave_out="*/b")) == [
        "park/a",
        "trail/a",
    ]
    assert "none of 6 images is left by `only` and `leave_out`" in refusal(
        described(root, images="i/*/*.jpg", only="x")
    )


def test_frames_that_are_left_out_need_no_partner(tmp_path) -> None:
    root = files(tmp_path / "r", "i/a.jpg", "i/b.jpg", "l/a.png", "l/c.png")
    globs = {"images": "i/*.jpg", "labels": "l/*.png"}
    assert "1 of 2 images have no label" in refusal(described(root, **globs))
    assert "1 of 2 labels have no image" in refusal(described(root, **globs, leave_out=["b"]))
    assert keys(described(root, **globs, leave_out=["b", "c"])) == ["a"]


def test_labelled_only_leaves_out_images_without_a_label(tmp_path) -> None:
    root = files(tmp_path / "r", "i/a.jpg", "i/b.jpg", "l/a.png")
    assert keys(described(root, images="i/*.jpg", labels="l/*.png", labelled_only=True)) == ["a"]
    (root / "l/lost.png").write_bytes((root / "l/a.png").read_bytes())
    with pytest.raises(InputError, match="1 of 2 labels have no image, first .*lost.png"):
        described(root, images="i/*.jpg", labels="l/*.png", labelled_only=True).split("one")


def test_another_number_of_frames_than_the_official_one_is_noted(tmp_path) -> None:
    root = files(tmp_path / "r", "i/a.jpg", "i/b.jpg")
    assert described(root, images="i/*.jpg").split("one").count_note() is None
    assert described(root, images="i/*.jpg", count=2).split("one").count_note() is None
    note = described(root, images="i/*.jpg", count=3, counts_source="the paper").split("one").count_note()
    assert note == "n split 'one': 2 frames, officially 3 (the paper)"


@pytest.mark.parametrize(
    ("split", "message"),
    [
        ({"images": "i/*.jpg", "count": 0}, "count is 0, not a number of frames"),
        ({"images": "i/*.jpg", "count": "3"}, "count is '3', not a number"),
        ({"images": "i/*.jpg", "count": True}, "count is True, not a number"),
        ({"images": "i/*.jpg", "labelled_only": "yes"}, "labelled_only is 'yes', not true or false"),
        ({"images": 3}, "images is 3, not a text"),
        ({"images": ["i/*.jpg", 3]}, "images is 3, not a text"),
        ({"images": ["i/*.jpg", "j.jpg"]}, "images = 'j.jpg' has no wildcard"),
        ({"images": []}, "the key 'images' is missing"),
        ({"images": "i/*.jpg", "only": 5}, "only is 5, not a text"),
        ({"images": "i/*.jpg", "leaveout": "a"}, "unknown key 'leaveout'; did you mean 'leave_out'"),
    ],
)
def test_a_split_that_cannot_be_is_refused(tmp_path, split, message) -> None:
    with pytest.raises(InputError, match=message):
        described(tmp_path / "r", **split)
