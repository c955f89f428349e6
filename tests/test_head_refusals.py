"""What the head refuses: one line that says what came, what is allowed and how to repair it."""

from typing import Any

import numpy as np
import pytest

from lsu.runtime.errors import InputError
from lsu.runtime.head import Labelling, constrained_argmax

SCORES = np.zeros((3, 4, 6), np.float32)
SIZE = (8, 12)
LABELS = np.zeros(SIZE, np.uint8)
TABLE = np.full((256, 1), 0b111, np.uint64)


def wide_bit() -> np.ndarray:
    table = TABLE.copy()
    table[7] = 0b1000
    return table


def misaligned() -> np.ndarray:
    return np.frombuffer(bytes(4 * SCORES.size + 1), np.float32, offset=1).reshape(SCORES.shape)


@pytest.mark.parametrize(
    ("scores", "match"),
    [
        (
            SCORES.astype(np.float64),
            r"scores is float64; float32 or float16 is allowed: use .astype\(np.float32\)",
        ),
        (SCORES.astype(">f4"), r"scores is >f4; float32 or float16 is allowed"),
        (SCORES.tolist(), r"scores is a list; a numpy array of float32 or float16 is allowed: convert it"),
        (SCORES[:, :, ::2], r"strides .*; contiguous, aligned memory is allowed: use np.ascontiguousarray"),
        (np.asfortranarray(SCORES), r"contiguous, aligned memory is allowed"),
        (misaligned(), r"contiguous, aligned memory is allowed: .*\.copy\(\) if it is misaligned"),
        (
            SCORES[None, None],
            r"scores have shape \(1, 1, 3, 4, 6\); \[C, h, w\] or \[N, C, h, w\] is allowed",
        ),
        (SCORES[0], r"scores have shape \(4, 6\); \[C, h, w\] or \[N, C, h, w\] is allowed"),
        (np.zeros((256, 1, 1), np.float32), r"scores have 256 classes; 1 to 255 are allowed"),
        (np.zeros((0, 1, 1), np.float32), r"scores have 0 classes; 1 to 255 are allowed"),
        (np.zeros((3, 0, 1), np.float32), r"scores are 0x1; a side of 1 to 8388608 is allowed"),
    ],
)
def test_scores_that_do_not_fit_are_refused(scores: Any, match: str) -> None:
    with pytest.raises(InputError, match=match) as caught:
        constrained_argmax(scores, SIZE)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"size": (8, -1)}, r"size is 8x-1; 0 to 8388608 is allowed for each"),
        ({"size": (8, 1 << 24)}, r"size is 8x16777216; 0 to 8388608 is allowed for each"),
        ({"size": (8, 1.5)}, r"size is \(8, 1.5\); two integers \(y, x\) are allowed"),
        ({"size": 8}, r"size is 8; two integers \(y, x\) are allowed"),
        ({"size": (8, 12, 3)}, r"size is \(8, 12, 3\); two integers \(y, x\) are allowed"),
        ({"offset": (0, -1)}, r"offset is 0x-1; 0 to 8388608 is allowed for each"),
        (
            {"canvas": (8, 11)},
            r"the window 8x12 at \(0, 0\) reaches outside the canvas 8x11: .* at least 8x12",
        ),
        (
            {"offset": (1, 0)},
            r"the window 8x12 at \(1, 0\) reaches outside the canvas 8x12: .* at least 9x12",
        ),
        (
            {"labels": LABELS},
            r"labels came without a table; both or neither are allowed: give the relation's table",
        ),
        ({"labels": LABELS.astype(np.int64), "table": TABLE}, r"labels is int64; uint8 is allowed"),
        ({"labels": LABELS[:, ::-1], "table": TABLE}, r"labels \(8, 12\) has strides .*; contiguous"),
        ({"labels": LABELS[1:], "table": TABLE}, r"labels are \(7, 12\); \(8, 12\) is allowed"),
        ({"labels": LABELS, "table": TABLE.astype(np.int64)}, r"table is int64; uint64 is allowed"),
        ({"labels": LABELS, "table": TABLE[:1]}, r"table is \(1, 1\); \(256, 1\) is allowed .* with labels"),
        ({"table": TABLE}, r"table is \(256, 1\); \(1, 1\) is allowed for 3 classes without labels"),
        ({"table": np.zeros((1, 2), np.uint64)}, r"table is \(1, 2\); \(1, 1\) is allowed for 3 classes"),
        ({"labels": LABELS, "table": wide_bit()}, r"table row 7 has a bit at or beyond class 3"),
        ({"void_channel": 3}, r"void_channel is 3; 0 to 2 is allowed: give None"),
        ({"void_channel": -1}, r"void_channel is -1; 0 to 2 is allowed: give None"),
        ({"void_channel": 1.0}, r"void_channel is 1.0; an integer is allowed"),
        ({"threads": 0}, r"threads is 0; 1 or more is allowed: give None"),
        ({"threads": "2"}, r"threads is '2'; an integer is allowed"),
        ({"margin_scale": "a"}, r"margin_scale is 'a'; a number above 0 is allowed"),
        ({"margin_scale": 0.0}, r"margin_scale is 0.0; a finite float32 above 0 is allowed"),
        ({"margin_scale": float("nan")}, r"margin_scale is nan; a finite float32 above 0 is allowed"),
        ({"margin_scale": float("inf")}, r"margin_scale is inf; a finite float32 above 0 is allowed"),
        ({"margin_scale": 1e-45}, r"margin_scale is 1e-45; a finite float32 above 0 is allowed"),
    ],
)
def test_options_that_do_not_fit_are_refused(options: dict[str, Any], match: str) -> None:
    size = options.pop("size", SIZE) if "size" in options else SIZE
    with pytest.raises(InputError, match=match) as caught:
        constrained_argmax(SCORES, size, **options)
    assert "\n" not in str(caught.value)


def test_a_table_of_whole_words_has_no_bit_beyond() -> None:
    scores = np.zeros((64, 1, 1), np.float32)
    table = np.array([[2**64 - 1]], np.uint64)
    assert constrained_argmax(scores, (1, 1), table=table).classes.tolist() == [[0]]


def test_a_labelling_refuses_a_margin_of_another_size() -> None:
    with pytest.raises(InputError, match=r"margin is \(1, 2\) and classes \(2, 2\)"):
        Labelling(np.zeros((2, 2), np.uint8), np.zeros((256, 3), np.int64), np.zeros((1, 2), np.uint8))
