"""What holds for the head whatever the scores, and at the edges of sizes, types and threads."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import reference
import torch
from head_problems import Problem, problems, same, table_of
from hypothesis import given, settings
from hypothesis import strategies as st

from lsu.runtime.head import Labelling, constrained_argmax


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def everything(scores: np.ndarray, size: tuple[int, int], **options: Any) -> Labelling:
    return constrained_argmax(scores, size, margin=True, agreement=True, **options)


@settings(deadline=None)
@given(problems())
def test_the_answer_is_allowed_or_void(problem: Problem) -> None:
    scores, options = problem
    options["void_channel"] = None
    classes = constrained_argmax(scores, **options).classes
    table = options.get("table", table_of(len(scores), {0: set(range(len(scores)))}))
    labels = options.get("labels", np.zeros(options["size"], np.uint8))
    for label, class_id in {(int(y), int(c)) for y, c in zip(labels.flat, classes.flat, strict=True)}:
        assert class_id == 255 or class_id in reference.classes_of(table[label])


@settings(deadline=None)
@given(problems())
def test_allowing_all_classes_is_the_free_argmax(problem: Problem) -> None:
    scores, options = problem
    options.pop("labels", None)
    free = everything(scores, **{**options, "table": None})
    options["table"] = table_of(len(scores), {0: set(range(len(scores)))})[:1]
    assert same(everything(scores, **options), free)


@settings(deadline=None)
@given(problems())
def test_every_pixel_is_counted_once_under_its_label(problem: Problem) -> None:
    scores, options = problem
    labels = options.get("labels", np.zeros(options["size"], np.uint8))
    counts = constrained_argmax(scores, **options).counts
    assert np.array_equal(counts.sum(axis=1), np.bincount(labels.ravel(), minlength=256))


@settings(deadline=None)
@given(problems(), st.integers(0, 2**32 - 1))
def test_permuting_classes_permutes_the_answer_up_to_ties(problem: Problem, seed: int) -> None:
    scores, options = problem
    options.update(table=None, labels=None, void_channel=None)
    order = np.random.default_rng(seed).permutation(len(scores))
    first = constrained_argmax(scores, **options, margin=True)
    second = constrained_argmax(scores[order].copy(), **options, margin=True)
    assert first.margin is not None
    assert np.array_equal(first.margin, second.margin)
    known = np.append(order, np.zeros(256 - len(order), np.int64))
    back = np.where(second.classes == 255, 255, known[second.classes])
    clear = first.margin > 0
    assert np.array_equal(back[clear], first.classes[clear])


@settings(deadline=None)
@given(problems(), st.data())
def test_a_window_is_the_crop_of_the_whole(problem: Problem, data: st.DataObject) -> None:
    scores, options = problem
    height, width = options.pop("size")
    (top, left), canvas = options.pop("offset"), options.pop("canvas")
    generator = np.random.default_rng(data.draw(st.integers(0, 99)))
    labels = generator.integers(0, 3, canvas, dtype=np.uint8) if "labels" in options else None
    whole = constrained_argmax(scores, canvas, **{**options, "labels": labels}).classes
    rows, columns = slice(top, top + height), slice(left, left + width)
    options["labels"] = None if labels is None else labels[rows, columns].copy()
    window = constrained_argmax(scores, (height, width), **options, canvas=canvas, offset=(top, left)).classes
    assert np.array_equal(window, whole[rows, columns])


@settings(deadline=None)
@given(problems())
def test_float16_scores_are_widened_exactly(problem: Problem) -> None:
    scores, options = problem
    with np.errstate(over="ignore"):
        narrow = scores.astype(np.float16)
    assert same(everything(narrow, **options), everything(narrow.astype(np.float32), **options))


def test_every_float16_is_widened_exactly() -> None:
    patterns = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    finite = patterns[np.isfinite(patterns)]
    values = np.concatenate([finite, np.nextafter(finite, np.float16(0))])
    rival = np.concatenate([finite, finite])  # a wrong widening changes who wins, or loses a tie
    scores = np.ascontiguousarray(np.stack([values, rival])[:, :, None])
    expected = np.argmax(scores.astype(np.float32), axis=0)
    neighbours_are_far = constrained_argmax(scores, scores.shape[1:]).classes
    assert np.array_equal(neighbours_are_far, expected)
    broken = patterns[~np.isfinite(patterns)]
    scores = np.ascontiguousarray(np.stack([broken, np.full_like(broken, -1)])[:, None, :])
    assert np.all(constrained_argmax(scores, scores.shape[1:]).classes == 1)


@pytest.mark.parametrize("labelled", [False, True])
def test_threads_do_not_change_the_answer(labelled: bool) -> None:
    scores, size = noise(5, 7, 17), (77, 1037)  # several blocks of rows and tiles of columns
    options: dict[str, Any] = {}
    if labelled:
        labels = np.random.default_rng(1).integers(0, 4, (11, 61), dtype=np.uint8)
        options["labels"] = labels.repeat(7, axis=0).repeat(17, axis=1)
        options["table"] = table_of(5, {0: {3}, 1: {0, 4}, 2: set(range(5))})
    truth = reference.constrained_argmax(scores, size, **options)
    for threads in (1, 2, 5, 64, None):
        assert same(everything(scores, size, **options, threads=threads), truth)


def test_calls_from_several_threads_do_not_meet() -> None:
    maps = [noise(5, 8, 9, seed=seed) for seed in range(8)]
    alone = [everything(scores, (64, 640)) for scores in maps]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda scores: everything(scores, (64, 640), threads=2), maps))
    assert all(same(one, other) for one, other in zip(alone, together, strict=True))


@pytest.mark.parametrize("size", [(0, 0), (0, 5), (5, 0)])
def test_an_empty_size_gives_an_empty_answer(size: tuple[int, int]) -> None:
    labels = np.zeros(size, np.uint8)
    labelling = everything(noise(3, 4, 5), size, labels=labels, table=table_of(3, {0: {0, 1}}))
    assert labelling.classes.shape == size
    assert labelling.margin is not None
    assert labelling.margin.shape == size
    assert not labelling.counts.any()


@pytest.mark.parametrize(("side", "long"), [((1, 1), (1, 70001)), ((1, 1), (70001, 1)), ((1, 9000), (1, 3))])
def test_enormous_sides_are_answered(side: tuple[int, int], long: tuple[int, int]) -> None:
    scores = noise(2, *side)
    labelling = everything(scores, long)
    assert same(labelling, reference.constrained_argmax(scores, long))


def test_coordinates_stay_exact_on_the_largest_canvas() -> None:
    scores, canvas = noise(3, 1, 4099), (1, 1 << 23)
    for left in (0, 5_000_000, (1 << 23) - 300):
        options: dict[str, Any] = {"canvas": canvas, "offset": (0, left)}
        assert same(
            everything(scores, (1, 300), **options), reference.constrained_argmax(scores, (1, 300), **options)
        )


def test_sixty_five_classes_use_the_second_word() -> None:
    scores = np.zeros((65, 1, 1), np.float32)
    scores[[0, 63, 64], 0, 0] = [1, 2, 3]
    for allowed, expected in [({64}, 64), ({63, 64}, 64), ({0, 63}, 63), ({0, 1}, 0)]:
        table = table_of(65, {0: allowed})[:1]
        assert constrained_argmax(scores, (1, 1), table=table).classes.tolist() == [[expected]]


def test_class_254_of_255_is_not_taken_for_void() -> None:
    scores = np.zeros((255, 1, 1), np.float32)
    scores[254] = 1
    labelling = constrained_argmax(scores, (2, 2))
    assert np.all(labelling.classes == 254)
    assert labelling.counts[0].tolist() == [0, 4, 0]


def test_read_only_scores_are_accepted_and_left_alone() -> None:
    scores = noise(3, 4, 5)
    kept = scores.copy()
    scores.flags.writeable = False
    constrained_argmax(scores, (8, 9))
    assert np.array_equal(scores, kept)


def test_a_caller_that_flushes_subnormals_changes_nothing() -> None:
    scores = np.array([1e-45, 3e-45, 2e-45], np.float32).reshape(3, 1, 1)
    try:
        if not torch.set_flush_denormal(True):
            pytest.skip("this processor cannot flush subnormals")
        classes = constrained_argmax(scores, (1, 1), threads=1).classes
        still_flushing = float(np.float32(1e-38) * np.float32(1e-3)) == 0.0
    finally:
        torch.set_flush_denormal(False)
    assert classes.tolist() == [[1]]
    assert still_flushing, "the caller's mode has to come back"


@pytest.mark.parametrize("size", [(64, 128), (33, 47), (8, 16), (5, 3), (1, 1)])
def test_the_free_argmax_is_that_of_torch_where_it_is_clear(size: tuple[int, int]) -> None:
    scores = noise(19, 8, 16)
    truth = np.sort(reference.enlarged_float64(scores, size), axis=0)
    clear = truth[-1] - truth[-2] > 1e-5 * np.abs(truth).max()
    enlarged = torch.nn.functional.interpolate(
        torch.from_numpy(scores)[None], size=size, mode="bilinear", align_corners=False
    )
    expected = enlarged[0].argmax(0).numpy()
    assert clear.mean() > 0.99
    assert np.array_equal(constrained_argmax(scores, size).classes[clear], expected[clear])


@settings(deadline=None)
@given(problems())
def test_the_winner_scores_best_in_float64_within_rounding(problem: Problem) -> None:
    scores, options = problem
    options.update(table=None, labels=None, void_channel=None)
    classes = constrained_argmax(scores, **options).classes
    where = {name: options[name] for name in ("size", "canvas", "offset")}
    truth = reference.enlarged_float64(scores, **where)
    if len(scores) == 1 or not classes.size:
        return
    known = np.minimum(classes, len(scores) - 1)
    won = np.take_along_axis(truth, known[None].astype(np.int64), axis=0)[0]
    best = np.nanmax(np.where(np.isnan(truth), -np.inf, truth), axis=0)
    finite = np.abs(np.where(np.isfinite(scores), scores, 0)).max().astype(np.float64)
    assert np.array_equal(classes == 255, np.isnan(truth).all(axis=0))
    valid = classes != 255
    assert np.all(best[valid] - won[valid] <= 1e-5 * finite + 1e-44)
