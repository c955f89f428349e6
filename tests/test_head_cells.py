"""Answering by cells: on score maps that have cells with one winner, the bits are those of the dense loop.

The maps here are smooth, as a network's are, so that the short cuts are taken; the slow truth settles small
ones and the dense loop large ones.
"""

from typing import Any

import cv2
import numpy as np
import pytest
import reference
from head_problems import INF, LARGEST, NAN, same, table_of

from lsu.runtime.head import METHODS, Head, Labelling

UNIT = 2.0**-149
STRIDES = [(2, 2), (4, 4), (8, 8), (16, 16), (5.3, 5.3), (4, 16), (37.1, 37.1), (0.7, 6)]
KINDS = ["smooth", "rounded", "leader", "holes", "half", "subnormal", "near ties", "huge", "patches"]
HEADS = {(method, threads): Head(threads, method=method) for method in METHODS for threads in (1, 3)}


def smooth(generator: np.random.Generator, channels: int, height: int, width: int) -> np.ndarray:
    """Blurred noise [C, h, w] of about unit spread."""
    planes = generator.standard_normal((channels, height, width)).astype(np.float32)
    blurred = np.stack([cv2.GaussianBlur(plane, (0, 0), 2.0) for plane in planes])
    return blurred / max(float(blurred.std()), 1e-3)


def field(generator: np.random.Generator, kind: str, channels: int, height: int, width: int) -> np.ndarray:
    base = smooth(generator, channels, height, width)
    wide = base.astype(np.float64)
    if kind == "leader":
        wide[generator.integers(channels)] += 5
    if kind == "holes":
        wide = np.where(
            generator.random(base.shape) < 0.02, generator.choice([NAN, INF, -INF], base.shape), wide
        )
    made = {
        "rounded": np.round(wide),
        "subnormal": UNIT * np.round(3 * wide),
        "near ties": 1 + 1e-7 * np.round(2 * wide),
        "huge": np.clip(2e38 * wide, -LARGEST, LARGEST),
        "patches": wide > 1,
    }
    return made.get(kind, wide).astype(np.float16 if kind == "half" else np.float32)


def label_map(generator: np.random.Generator, kind: str, size: tuple[int, int]) -> np.ndarray:
    """Labels 0 to 4 and 255: one, blocks that cross cells, or another at every pixel."""
    if kind == "one":
        return np.full(size, generator.integers(5), np.uint8)
    known = np.array([0, 1, 2, 3, 4, 255], np.uint8)
    if kind == "noise":
        return generator.choice(known, size)
    side = int(generator.integers(3, 20))
    blocks = generator.choice(known, (size[0] // side + 1, size[1] // side + 1))
    grown = blocks.repeat(side, axis=0).repeat(side, axis=1)
    return np.ascontiguousarray(grown[: size[0], : size[1]])


def sets(generator: np.random.Generator, channels: int) -> np.ndarray:
    """A choice of all, none, one class, one other class, and about half; a void label chooses of two."""
    half = {c for c in range(channels) if generator.random() < 0.5}
    one, other = int(generator.integers(channels)), int(generator.integers(channels))
    every = set(range(channels))
    return table_of(channels, {0: every, 2: {one}, 3: {other}, 4: half, 255: {one, other}})


def constrained(generator: np.random.Generator, scores: np.ndarray, size: tuple[int, int]) -> dict[str, Any]:
    options: dict[str, Any] = {"size": size}
    kind = str(generator.choice(["free", "one", "blocks", "blocks", "noise"]))
    if kind != "free":
        options["labels"] = label_map(generator, kind, size)
        options["table"] = sets(generator, len(scores))
    if generator.random() < 0.4:
        options["void_channel"] = int(generator.integers(len(scores)))
    return options


def assert_truth(scores: np.ndarray, **options: Any) -> reference.Truth:
    truth = reference.constrained_argmax(scores, **options)
    for head in HEADS.values():
        assert same(head(scores, **options, margin=True, agreement=True), truth)
        plain = head(scores, **options)
        assert np.array_equal(plain.classes, truth.classes)
        assert np.array_equal(plain.counts, truth.counts[:, :3])
    return truth


def assert_as_dense(scores: np.ndarray, **options: Any) -> Labelling:
    dense = HEADS["dense", 1](scores, **options, margin=True, agreement=True)
    for key in [("cells", 1), ("cells", 3), ("auto", 3)]:
        assert same(HEADS[key](scores, **options, margin=True, agreement=True), dense)
        assert np.array_equal(HEADS[key](scores, **options).classes, dense.classes)
    return dense


# By hand.


def corners(*rows: list[float]) -> np.ndarray:
    """Scores [C, 2, 2] of one cell: per class top left, top right, bottom left, bottom right."""
    return np.array(rows, np.float32).reshape(-1, 2, 2)


def test_a_lead_that_rounding_eats_does_not_win() -> None:
    """Halved twice, 3 and 4 units of the smallest number are both 4 units."""
    truth = assert_truth(corners([3 * UNIT] * 4, [4 * UNIT] * 4), size=(33, 33))
    assert truth.classes[16, 16] == 0
    assert truth.classes[0, 0] == 1


def test_a_lead_of_one_rounding_step_is_decided_pixel_by_pixel() -> None:
    step = float(np.nextafter(np.float32(1), np.float32(2)))
    for side in (5, 11, 37):
        truth = assert_truth(corners([1] * 4, [step] * 4), size=(side, side))
        assert set(np.unique(truth.classes)) <= {0, 1}


def test_a_class_that_leads_at_no_corner_can_win_inside() -> None:
    truth = assert_truth(corners([9, 0, 9, 0], [5.5] * 4, [0, 9, 0, 9]), size=(16, 16))
    assert set(np.unique(truth.classes)) == {0, 1, 2}


def test_dominance_counts_within_the_labels_own_set() -> None:
    scores = corners([9] * 4, [2, 2, 1, 1], [1, 1, 2, 2])
    labels = np.where(np.indices((16, 16)).sum(axis=0) % 3 == 0, 4, 6).astype(np.uint8)
    truth = assert_truth(scores, size=(16, 16), labels=labels, table=table_of(3, {4: {1, 2}, 6: {0, 1, 2}}))
    assert set(np.unique(truth.classes)) == {0, 1, 2}


def test_a_hole_takes_its_class_out_of_four_cells_only() -> None:
    scores = np.zeros((2, 5, 5), np.float32)
    scores[1] = 1
    scores[1, 2, 2] = NAN
    truth = assert_truth(scores, size=(40, 40))
    assert np.array_equal(np.argwhere(truth.classes == 0).min(axis=0), [12, 12])
    assert np.count_nonzero(truth.classes == 0) == 256


# Against the slow truth.


@pytest.mark.parametrize("stride", STRIDES, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_every_method_gives_the_truth(stride: tuple[float, float], kind: str) -> None:
    generator = np.random.default_rng([KINDS.index(kind), STRIDES.index(stride)])
    channels = int(generator.choice([2, 3, 5, 19, 65]))
    height, width = (
        max(2, min(9, round(limit / step))) for limit, step in zip((30, 44), stride, strict=True)
    )
    scores = field(generator, kind, channels, height, width)
    size = (round(height * stride[0]), round(width * stride[1]))
    assert_truth(scores, **constrained(generator, scores, size))


# Against the dense loop.


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("low", "size"),
    [
        ((12, 90), (96, 1440)),  # several tiles
        ((3, 2), (200, 1500)),  # cells wider than a tile and taller than a band
        ((40, 9), (160, 41)),  # several blocks of rows
        ((1, 1), (70, 600)),
    ],
    ids=str,
)
def test_large_maps_are_as_dense(kind: str, low: tuple[int, int], size: tuple[int, int]) -> None:
    generator = np.random.default_rng([KINDS.index(kind), *low])
    scores = field(generator, kind, int(generator.choice([2, 7, 40])), *low)
    assert_as_dense(scores, **constrained(generator, scores, size))


def test_windows_at_every_offset_are_crops_of_the_whole() -> None:
    generator = np.random.default_rng(5)
    scores, canvas, stride = smooth(generator, 4, 6, 7), (48, 56), 8
    labels, table = label_map(generator, "blocks", canvas), sets(generator, 4)
    whole = assert_as_dense(scores, size=canvas, labels=labels, table=table)
    for top in range(stride):
        for left in range(stride):
            height, width = 48 - stride - top // 2, 56 - stride - left // 3
            rows, columns = slice(top, top + height), slice(left, left + width)
            window = HEADS["cells", 1](
                scores,
                (height, width),
                labels=labels[rows, columns].copy(),
                table=table,
                canvas=canvas,
                offset=(top, left),
                margin=True,
            )
            assert np.array_equal(window.classes, whole.classes[rows, columns])
            assert window.margin is not None
            assert whole.margin is not None
            assert np.array_equal(window.margin, whole.margin[rows, columns])


@pytest.mark.parametrize("method", METHODS)
def test_a_batch_is_its_images_one_by_one(method: str) -> None:
    generator = np.random.default_rng(6)
    scores = np.stack([smooth(generator, 5, 20, 6) for _ in range(4)])
    labels = np.stack([label_map(generator, kind, (80, 24)) for kind in ("one", "blocks", "noise", "one")])
    table, head = sets(generator, 5), HEADS[method, 3]
    batch = head(scores, (80, 24), labels=labels, table=table, margin=True, agreement=True)
    assert batch.margin is not None
    for n in range(4):
        alone = head(scores[n], (80, 24), labels=labels[n], table=table, margin=True, agreement=True)
        assert same(Labelling(batch.classes[n], batch.counts[n], batch.margin[n]), alone)


@pytest.mark.parametrize("method", METHODS)
def test_properties_hold_where_cells_have_one_winner(method: str) -> None:
    generator, size = np.random.default_rng(7), (64, 72)
    scores, head = smooth(generator, 6, 8, 9), HEADS[method, 1]
    free = head(scores, size, margin=True)
    everything = head(scores, size, table=table_of(6, {0: set(range(6))})[:1], margin=True)
    assert same(free, everything)
    order = generator.permutation(6)
    permuted = head(scores[order].copy(), size)
    assert free.margin is not None
    clear = free.margin > 0
    assert clear.mean() > 0.9
    assert np.array_equal(order[permuted.classes][clear], free.classes[clear])
    labels, table = label_map(generator, "blocks", size), sets(generator, 6)
    answered = head(scores, size, labels=labels, table=table).classes
    for label, class_id in np.unique(np.stack([labels, answered]).reshape(2, -1), axis=1).T:
        assert class_id == 255 or class_id in reference.classes_of(table[label])
