"""Palettes, overlays, sheets and the confusion matrix's picture."""

import numpy as np
import numpy.typing as npt
import pytest

from lsu.runtime.confusion_picture import confusion_picture
from lsu.runtime.drawing import paper, put_text, text_ink
from lsu.runtime.errors import InputError
from lsu.runtime.label_space import VOID, LabelClass, LabelSpace
from lsu.runtime.overlay import colours_from_classes, legend, overlay, palette, picture_sheet

RED, BLUE = (200, 10, 20), (10, 20, 200)
COLOURED = LabelSpace("two", (LabelClass("a", colour=RED), LabelClass("b", colour=BLUE)))


def flat(value: int, height: int = 4, width: int = 6) -> npt.NDArray[np.uint8]:
    return np.full((height, width, 3), value, np.uint8)


def test_a_palette_holds_the_label_spaces_colours_and_black_void() -> None:
    colours = palette(COLOURED)
    assert colours.shape == (256, 3)
    assert colours.dtype == np.uint8
    assert colours[0].tolist() == list(RED)
    assert colours[1].tolist() == list(BLUE)
    assert not colours[2:].any()
    assert not colours[VOID].any()


def test_missing_colours_are_generated_and_all_differ() -> None:
    bare = LabelSpace("bare", tuple(LabelClass(f"c{k}") for k in range(255)))
    colours = palette(bare)
    assert len(np.unique(colours, axis=0)) == 256
    np.testing.assert_array_equal(colours, palette(bare))


def test_a_generated_colour_is_never_one_that_a_class_has() -> None:
    generated = tuple(palette(LabelSpace("one", (LabelClass("a"),)))[0].tolist())
    mixed = LabelSpace("mixed", (LabelClass("a"), LabelClass("b", colour=generated)))
    assert palette(mixed)[0].tolist() != list(generated)
    assert palette(mixed)[1].tolist() == list(generated)


def test_classes_are_painted_with_their_colours() -> None:
    painted = colours_from_classes(np.array([[0, 1, VOID]], np.uint8), palette(COLOURED))
    assert painted.tolist() == [[list(RED), list(BLUE), [0, 0, 0]]]


def test_an_overlay_mixes_image_and_colour_by_opacity() -> None:
    classes = np.zeros((4, 6), np.uint8)
    mixed = overlay(flat(100), classes, palette(COLOURED), opacity=0.25)
    assert mixed[0, 0].tolist() == [125, 78, 80]  # 0.75 * 100 + 0.25 * (200, 10, 20), halves to even
    assert (overlay(flat(100), classes, palette(COLOURED), opacity=0) == 100).all()
    assert (overlay(flat(100), classes, palette(COLOURED), opacity=1) == RED).all()


def test_void_darkens_an_overlay() -> None:
    mixed = overlay(flat(100), np.full((4, 6), VOID, np.uint8), palette(COLOURED), opacity=0.5)
    assert (mixed == 50).all()


def test_an_overlay_of_another_size_or_opacity_is_refused() -> None:
    with pytest.raises(InputError, match="give one size"):
        overlay(flat(1), np.zeros((4, 5), np.uint8), palette(COLOURED))
    with pytest.raises(InputError, match=r"opacity is 1.5; 0 to 1"):
        overlay(flat(1), np.zeros((4, 6), np.uint8), palette(COLOURED), opacity=1.5)


def test_a_legend_names_every_class_and_void() -> None:
    assert legend(COLOURED) == [("a", RED), ("b", BLUE), ("void", (0, 0, 0))]


def test_a_sheet_shows_every_picture_once_and_the_legends_colours() -> None:
    rows = [[flat(10), flat(60)], [flat(110), np.full((4, 6), 160, np.uint8)]]
    sheet = picture_sheet(rows, ["left", "right"], legend=legend(COLOURED), cell_width=60)
    for value in (10, 60, 110, 160):
        assert (sheet == value).all(axis=2).sum() == 60 * 40
    for _, colour in legend(COLOURED):
        assert (sheet == colour).all(axis=2).sum() >= 14 * 14
    assert (sheet[:, :20] == 255).all()


def test_a_sheet_keeps_the_proportions_of_each_picture() -> None:
    sheet = picture_sheet([[flat(10, 40, 60), flat(60, 60, 20)]], ["wide", "tall"], cell_width=60)
    assert (sheet == 60).all(axis=2).any(axis=1).sum() == 40
    assert abs(int((sheet == 60).all(axis=2).any(axis=0).sum()) - 40 / 3) <= 1


def test_a_sheet_without_a_legend_ends_below_its_pictures() -> None:
    sheet = picture_sheet([[flat(10)]], ["t"], cell_width=60)
    assert sheet.shape == (20 + 28 + 40 + 20, 20 + 60 + 20, 3)


def test_a_row_with_a_picture_missing_is_refused() -> None:
    with pytest.raises(InputError, match=r"rows of 2 pictures; rows hold \[1\]"):
        picture_sheet([[flat(1)]], ["one", "two"])
    with pytest.raises(InputError):
        picture_sheet([], ["one"])


def test_text_is_centred_on_its_middle() -> None:
    picture = paper(41, 201)
    put_text(picture, "HEIGHT", (20, 100))
    rows, columns = np.nonzero(picture.min(axis=2) < 128)
    assert abs((rows.min() + rows.max()) / 2 - 20) <= 1.5
    assert abs((columns.min() + columns.max()) / 2 - 100) <= 1.5


def test_an_empty_text_has_no_ink() -> None:
    assert not text_ink("").any()
    assert not text_ink(" ").any()


def cell_colours(confusion: list[list[int]]) -> list[list[list[int]]]:
    """RGB in the corner of each cell of a picture for two classes and void."""
    picture = confusion_picture(np.array(confusion, np.int64), COLOURED, title="title")
    bottom, right = picture.shape[0] - 20, picture.shape[1] - 20
    # Cells are 34 pixels with one pixel of paper between; the void column stands 10 pixels apart.
    lefts = (right - 112, right - 78, right - 34)
    return [[picture[bottom - 34 * rows + 2, left + 2].tolist() for left in lefts] for rows in (2, 1)]


def test_a_confusion_picture_is_darkest_where_the_share_is_largest() -> None:
    [row, _] = cell_colours([[90, 10, 0], [0, 1, 0]])
    assert sum(row[0]) < sum(row[1]) < sum(row[2])


def test_a_confusion_picture_shows_shares_of_each_row() -> None:
    few, many = cell_colours([[3, 1, 0], [3000, 1000, 0]])
    assert few == many


def test_a_class_without_true_pixels_has_a_row_unlike_zero() -> None:
    known, empty = cell_colours([[5, 0, 0], [0, 0, 0]])
    assert empty[0] == empty[1] == empty[2] != known[2]


def test_a_confusion_matrix_of_another_label_space_is_refused() -> None:
    with pytest.raises(InputError, match=r"confusion is \(3, 4\); \(2, 3\) is needed for 2 classes"):
        confusion_picture(np.zeros((3, 4), np.int64), COLOURED)
