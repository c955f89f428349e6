"""The native look-up of ids and colours, against a table asked pixel by pixel."""

import numpy as np
import pytest

from lsu.runtime import _native

UNKNOWN = 256


def runs(
    generator: np.random.Generator, values: np.ndarray, size: tuple[int, int], longest: int
) -> np.ndarray:
    """Random runs of the values in an array of this size."""
    count = size[0] * size[1]
    lengths = generator.integers(1, longest + 1, count)
    return np.repeat(generator.choice(values, count), lengths)[:count].reshape(size)


def table_of(known: dict[int, int]) -> np.ndarray:
    table = np.full(1 << 16, UNKNOWN, np.uint16)
    for value, dense in known.items():
        table[value] = dense
    return table


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize("longest", [1, 3, 9, 50])
@pytest.mark.parametrize("size", [(1, 1), (1, 7), (1, 8), (3, 5), (2, 8), (17, 33), (40, 64)])
def test_ids_become_what_the_table_says(kind, longest, size) -> None:
    generator = np.random.default_rng(longest)
    known = {0: 3, 7: 0, 200: 254, 255: 255, 33: 1}
    ids = runs(generator, np.array(list(known)), size, longest).astype(kind)
    dense = np.full(size, 77, np.uint8)
    assert _native.dense_from_ids(ids, table_of(known), dense)
    assert dense.tolist() == [[known[v] for v in row] for row in ids.tolist()]


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize("place", range(19))
def test_one_unknown_id_anywhere_is_told_and_becomes_void(kind, place) -> None:
    ids = np.full((1, 19), 7, kind)
    ids[0, place] = 8
    dense = np.zeros((1, 19), np.uint8)
    assert not _native.dense_from_ids(ids, table_of({7: 5}), dense)
    assert dense[0].tolist() == [255 if k == place else 5 for k in range(19)]


@pytest.mark.parametrize("longest", [1, 3, 9, 50])
@pytest.mark.parametrize("size", [(1, 1), (1, 7), (1, 8), (3, 5), (2, 8), (17, 33), (40, 64)])
def test_colours_become_their_classes(longest, size) -> None:
    generator = np.random.default_rng(longest)
    colours = generator.choice(1 << 24, 300, replace=False).astype(np.uint32)
    colours[0] = 0
    classes = (np.arange(300) % 256).astype(np.uint8)
    which = runs(generator, np.arange(300), size, longest)
    rgb = colours[which]
    bgr = np.stack([rgb & 255, rgb >> 8 & 255, rgb >> 16], -1).astype(np.uint8)
    dense = np.full(size, 77, np.uint8)
    assert _native.dense_from_colours(bgr, colours, classes, dense)
    assert np.array_equal(dense, classes[which])


@pytest.mark.parametrize("place", range(19))
@pytest.mark.parametrize("channel", range(3))
def test_one_unknown_colour_anywhere_is_told_and_becomes_void(place, channel) -> None:
    pixels = np.full((1, 19, 3), 5, np.uint8)
    pixels[0, place, channel] = 6
    dense = np.zeros((1, 19), np.uint8)
    colours, classes = np.array([0x050505], np.uint32), np.array([9], np.uint8)
    assert not _native.dense_from_colours(pixels, colours, classes, dense)
    assert dense[0].tolist() == [255 if k == place else 9 for k in range(19)]


def test_colours_of_one_place_in_the_table_are_told_apart() -> None:
    colours = np.arange(255, dtype=np.uint32) << 16  # neighbours in red alone
    pixels = np.zeros((1, 255, 3), np.uint8)
    pixels[0, :, 2] = np.arange(255)
    dense = np.zeros((1, 255), np.uint8)
    assert _native.dense_from_colours(pixels, colours, np.arange(255, dtype=np.uint8), dense)
    assert dense[0].tolist() == list(range(255))


def test_a_picture_that_begins_in_black_is_not_taken_for_the_run_before_it() -> None:
    dense = np.zeros((1, 9), np.uint8)
    black = np.array([0], np.uint32), np.array([4], np.uint8)
    assert _native.dense_from_colours(np.zeros((1, 9, 3), np.uint8), *black, dense)
    assert dense[0].tolist() == [4] * 9
    assert _native.dense_from_ids(np.zeros((1, 9), np.uint8), table_of({0: 3}), dense)
    assert dense[0].tolist() == [3] * 9


def test_no_colours_at_all_know_nothing() -> None:
    dense = np.zeros((2, 2), np.uint8)
    nothing = np.zeros(0, np.uint32), np.zeros(0, np.uint8)
    assert not _native.dense_from_colours(np.zeros((2, 2, 3), np.uint8), *nothing, dense)
    assert dense.tolist() == [[255, 255], [255, 255]]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dense": np.zeros((3, 2), np.uint8)}, "values and dense differ in size"),
        ({"table": np.zeros(256, np.uint16)}, "the table has not 65536 entries"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(changes, message) -> None:
    fitting = {
        "values": np.zeros((2, 2), np.uint8),
        "table": table_of({}),
        "dense": np.zeros((2, 2), np.uint8),
    }
    with pytest.raises(ValueError, match=message):
        _native.dense_from_ids(**{**fitting, **changes})


def test_colour_arrays_that_do_not_fit_are_refused() -> None:
    fitting = {
        "values": np.zeros((2, 2, 3), np.uint8),
        "colours": np.zeros(1, np.uint32),
        "classes": np.zeros(1, np.uint8),
        "dense": np.zeros((2, 2), np.uint8),
    }
    for name, wrong in (("values", np.zeros((2, 2, 4), np.uint8)), ("classes", np.zeros(2, np.uint8))):
        with pytest.raises(ValueError, match="differ in"):
            _native.dense_from_colours(**{**fitting, name: wrong})
