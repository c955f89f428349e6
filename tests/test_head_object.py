"""A kept head: its reused outputs, packed maps, threads, forks, and what it leaves unread."""

import ctypes
import mmap
import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from head_problems import same, table_of

from lsu.runtime import _native
from lsu.runtime.errors import InputError
from lsu.runtime.head import METHODS, Head, Labelling

SIZE = (96, 37)
NO_ACCESS = 0  # PROT_NONE, which mmap has no name for
TABLE = table_of(4, {0: {0, 1, 2, 3}, 1: {1, 3}, 2: {2}})


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def labels_of(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 4, shape, dtype=np.uint8)


def everything(head: Head, scores: np.ndarray, size: tuple[int, int], **options: Any) -> Labelling:
    return head(scores, size, margin=True, agreement=True, **options)


def garbage(*batch: int) -> Labelling:
    return Labelling(
        np.full((*batch, *SIZE), 77, np.uint8),
        np.full((*batch, 256, 4), -77, np.int64),
        np.full((*batch, *SIZE), 78, np.uint8),
    )


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("batch", [(), (1,), (3,)])
def test_out_is_overwritten_and_returned(method: str, batch: tuple[int, ...]) -> None:
    head = Head(2, method=method)
    for seed in range(3):
        scores, labels = noise(*batch, 4, 12, 5, seed=seed), labels_of(*batch, *SIZE, seed=seed)
        fresh = everything(head, scores, SIZE, labels=labels, table=TABLE)
        out = garbage(*batch)
        assert everything(head, scores, SIZE, labels=labels, table=TABLE, out=out) is out
        assert same(out, fresh)


def test_out_of_an_empty_batch_and_an_empty_size_is_accepted() -> None:
    head = Head(1)
    assert everything(head, noise(0, 4, 3, 3), SIZE, out=garbage(0)).classes.shape == (0, *SIZE)
    out = Labelling(np.zeros((0, 5), np.uint8), np.full((256, 3), 9, np.int64))
    assert not head(noise(4, 3, 3), (0, 5), out=out).counts.any()


def read_only(array: np.ndarray) -> np.ndarray:
    array.flags.writeable = False
    return array


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"classes": np.zeros((96, 36), np.uint8)}, r"out.classes is \(96, 36\); \(96, 37\) is needed"),
        ({"classes": np.zeros((1, *SIZE), np.uint8)}, r"out.classes is \(1, 96, 37\); \(96, 37\) is needed"),
        ({"classes": np.zeros(SIZE, np.int8)}, r"out.classes is int8; uint8 is allowed"),
        ({"classes": np.zeros((96, 74), np.uint8)[:, ::2]}, r"out.classes .* contiguous, aligned memory"),
        ({"classes": read_only(np.zeros(SIZE, np.uint8))}, r"out.classes is read-only"),
        ({"counts": np.zeros((256, 3), np.int64)}, r"out.counts is \(256, 3\); \(256, 4\) is needed"),
        ({"counts": np.zeros((256, 4), np.int32)}, r"out.counts is int32; int64 is allowed"),
        ({"counts": read_only(np.zeros((256, 4), np.int64))}, r"out.counts is read-only"),
        ({"margin": None}, r"out has no margin, and margin=True was asked"),
        ({"margin": np.zeros(SIZE, np.int16)}, r"out.margin is int16; uint8 is allowed"),
        ({"margin": read_only(np.zeros(SIZE, np.uint8))}, r"out.margin is read-only"),
    ],
)
def test_out_that_does_not_fit_is_refused(changes: dict[str, Any], match: str) -> None:
    arrays = {**vars(garbage()), **changes}
    if arrays["margin"] is not None and arrays["classes"].shape != SIZE:
        arrays["margin"] = np.zeros(arrays["classes"].shape, np.uint8)
    before = {name: None if array is None else array.copy() for name, array in arrays.items()}
    with pytest.raises(InputError, match=match):
        everything(Head(1), noise(4, 12, 5), SIZE, out=Labelling(**arrays))
    for name, array in arrays.items():
        assert array is None or np.array_equal(array, before[name])


def test_a_margin_that_is_not_asked_for_is_refused() -> None:
    out = Labelling(np.zeros(SIZE, np.uint8), np.zeros((256, 3), np.int64), np.zeros(SIZE, np.uint8))
    with pytest.raises(InputError, match=r"out has a margin, and margin=False was asked"):
        Head(1)(noise(4, 12, 5), SIZE, out=out)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("width", [1, 3, 4, 5, 63, 517])
def test_packed_is_unpacked_with_rows_of_whole_words(method: str, width: int) -> None:
    scores, labels = noise(2, 4, 9, 9), labels_of(2, 30, width)
    plain = everything(Head(2, method=method), scores, (30, width), labels=labels, table=TABLE)
    pitch = (width + 3) // 4 * 4
    for pad in (0, 1, 2, 255):  # labels of the pad bytes never matter
        padded = np.full((2, 30, pitch), pad, np.uint8)
        padded[:, :, :width] = labels
        classes, margin = np.full((2, 2, 30, pitch), 77, np.uint8)
        counts = np.full((2, 256, 4), -1, np.int64)
        _native.Head(2, METHODS[method]).answer(
            scores,
            padded,
            TABLE,
            classes,
            counts,
            margin,
            size=(30, width),
            canvas=(30, width),
            offset=(0, 0),
            void_channel=-1,
            margin_scale=1.0,
            packed=True,
        )
        assert same(Labelling(classes[:, :, :width], counts, margin[:, :, :width]), plain)
        assert np.all(classes[:, :, width:] == 255)
        assert np.all(margin[:, :, width:] == 255)


def test_many_callers_share_one_head() -> None:
    head, size = Head(2), (64, 640)
    maps = [noise(5, 8, 9 + seed % 3, seed=seed) for seed in range(12)]
    alone = [everything(Head(1), scores, size) for scores in maps]
    with ThreadPoolExecutor(6) as pool:
        together = list(pool.map(lambda scores: everything(head, scores, size), maps))
    assert all(same(one, other) for one, other in zip(alone, together, strict=True))


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("threads", [1, 3])
def test_a_child_of_fork_uses_and_drops_the_head(threads: int) -> None:
    scores, size = noise(3, 50, 5), (400, 40)
    head = Head(threads)
    expected = everything(head, scores, size)
    threading.Event().wait(0.05)  # until the threads wait for work
    child = os.fork()
    if child == 0:  # no pytest in here: the exit status alone speaks
        signal.signal(signal.SIGALRM, signal.SIG_DFL)  # the test runner's own would not end the child
        signal.alarm(20)
        right = same(everything(head, scores, size), expected)
        del head
        os._exit(0 if right else 1)
    _, status = os.waitpid(child, 0)
    assert status == 0
    assert same(everything(head, scores, size), expected)


class Forbidden:
    """Scores that nobody may read: whole pages without access."""

    def __init__(self, *shape: int) -> None:
        pages = -(-4 * int(np.prod(shape)) // mmap.PAGESIZE) * mmap.PAGESIZE
        self.memory = mmap.mmap(-1, pages)
        self.scores = np.frombuffer(self.memory, np.float32, int(np.prod(shape))).reshape(shape)
        self._protect = ctypes.CDLL(None, use_errno=True).mprotect
        self._place = (ctypes.c_void_p(self.scores.ctypes.data), ctypes.c_size_t(pages))

    def __enter__(self) -> np.ndarray:
        assert self._protect(*self._place, NO_ACCESS) == 0
        return self.scores

    def __exit__(self, *_: object) -> None:
        assert self._protect(*self._place, mmap.PROT_READ | mmap.PROT_WRITE) == 0


@pytest.mark.parametrize("method", METHODS)
def test_one_class_sets_read_no_scores(method: str) -> None:
    labels = labels_of(512, 512)
    table = table_of(5, {0: {3}, 1: {4}, 2: {0}, 3: set(), 9: {0, 1, 2, 3, 4}})  # no pixel has label 9
    with Forbidden(5, 64, 64) as scores:
        answered = Head(2, method=method)(scores, (512, 512), labels=labels, table=table, margin=True)
        alone = Head(1, method=method)(scores, (512, 512), table=table[1:2])
    assert np.array_equal(answered.classes, np.array([3, 4, 0, 255], np.uint8)[labels])
    assert answered.margin is not None
    assert np.array_equal(answered.margin, np.where(labels == 3, 0, 255))
    assert np.all(alone.classes == 4)


def test_arrays_that_share_memory_are_refused() -> None:
    head = Head(1)
    scores = np.zeros((3, 4, 4), np.float32)
    table = table_of(3, {0: {0, 1}, 1: {2}})
    previous = head(scores, (32, 32), labels=np.zeros((32, 32), np.uint8), table=table, margin=True)
    assert previous.margin is not None
    with pytest.raises(InputError, match=r"out.classes shares memory with labels; each needs its own"):
        head(scores, (32, 32), labels=previous.classes, table=table, margin=True, out=previous)
    both = Labelling(previous.classes, previous.counts, previous.classes)
    with pytest.raises(InputError, match=r"out.classes shares memory with out.margin"):
        head(scores, (32, 32), margin=True, out=both)


def test_an_out_of_another_kind_is_refused() -> None:
    with pytest.raises(InputError, match=r"out is a tuple; a Labelling is allowed"):
        Head(1)(np.zeros((3, 4, 4), np.float32), (8, 8), out=(1, 2))  # type: ignore[arg-type]
