"""The timed loop: latencies from a clock that the tests move, and how a loop ends."""

from collections.abc import Generator

import numpy as np
import numpy.typing as npt
import pytest

from lsu.runtime.errors import InputError
from lsu.runtime.label_space import LabelClass, LabelSpace
from lsu.runtime.model import ModelSpec
from lsu.runtime.segmenter import Segmenter
from lsu.runtime.stream.loop import STAGES, Latency, head_of, run_stream
from lsu.runtime.stream.sources import NamedImage

Pixels = npt.NDArray[np.uint8]


def picture(red: int, height: int = 32, width: int = 48) -> Pixels:
    return np.full((height, width, 3), (red, 20, 60), np.uint8)


class ListSource:
    """Images from memory."""

    total = None
    rate = None

    def __init__(self, images: list[NamedImage], *, endless: bool = False) -> None:
        self.images, self.endless, self.closed = images, endless, False

    def frames(self) -> Generator[NamedImage, None, None]:
        """Each image; an endless source is interrupted after the last."""
        try:
            yield from self.images
            if self.endless:
                raise KeyboardInterrupt
        finally:
            self.closed = True


class NoisyEngine:
    """Scores [1,4,2,3] that are the same for every image; the last channel is void."""

    identity = "noisy"
    spec = ModelSpec(LabelSpace("abc", tuple(map(LabelClass, "abc"))), multiple=64, void_channel=3)

    def infer(self, images: Pixels) -> npt.NDArray[np.float32]:
        """Random scores."""
        return np.random.default_rng(0).random((len(images), 4, 2, 3), np.float32)

    def close(self) -> None:
        """Nothing to free."""


def test_scores_and_head_as_two_steps_answer_as_segment_does() -> None:
    segmenter = Segmenter(NoisyEngine())
    image = picture(1)  # 32x48 on a canvas of 64x64
    classes = head_of(segmenter)(segmenter.scores(image), (32, 48))
    np.testing.assert_array_equal(classes, segmenter.segment(image).classes)
    assert 255 in classes


class FakeClock:
    """Nanoseconds that only move when a step says how long it took."""

    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> int:
        """Now."""
        return self.now

    def take(self, milliseconds: float) -> None:
        """Let time pass."""
        self.now += round(milliseconds * 1e6)


def test_latency_percentiles_are_nearest_ranks() -> None:
    latency = Latency.of([round(k * 1e6) for k in range(200, 0, -1)])
    assert (latency.p50, latency.p95, latency.p99, latency.max) == (100.0, 190.0, 198.0, 200.0)
    assert Latency.of([3_000_000]) == Latency(3.0, 3.0, 3.0, 3.0)
    assert Latency.of([1_000_000, 2_000_000, 4_000_000]) == Latency(2.0, 4.0, 4.0, 4.0)


def test_each_stage_is_measured_and_late_answers_are_counted() -> None:
    clock, networks, written = FakeClock(), iter([500.0, 500.0, 10.0, 20.0, 30.0]), []

    class SlowSource(ListSource):
        def frames(self) -> Generator[NamedImage, None, None]:
            for named in self.images:
                clock.take(5)
                yield named

    def network(image: Pixels) -> Pixels:
        clock.take(next(networks))
        return image

    def head(scores: Pixels, size: tuple[int, int]) -> Pixels:
        clock.take(2)
        return np.zeros(size, np.uint8)

    def write(name: str, image: Pixels, classes: Pixels) -> None:
        clock.take(1)
        written.append((name, image.shape, classes.shape))

    source = SlowSource([(name, picture(1)) for name in "abc"])
    report = run_stream(
        source,
        network,
        head,
        write,
        warm_up=2,
        deadline_ms=23,
        clock=clock,
        on_frame=lambda: clock.take(1000),
    )
    assert report.frames == 3
    assert report.warm_up == 2
    assert tuple(report.stages) == STAGES
    assert report.stages["read"] == Latency(5.0, 5.0, 5.0, 5.0)
    assert report.stages["network"] == Latency(20.0, 30.0, 30.0, 30.0)
    assert report.stages["head"].max == 2.0
    assert report.stages["write"].max == 1.0
    assert report.stages["answer"] == Latency(23.0, 33.0, 33.0, 33.0)
    assert report.stages["total"] == Latency(28.0, 38.0, 38.0, 38.0)
    assert report.misses == 1  # 13, 23 and 33 ms: 23 is in time
    assert report.miss_share == 1 / 3
    assert report.seconds == pytest.approx(0.084)
    assert report.frames_per_second == pytest.approx(3 / 0.084)
    assert written == [(name, (32, 48, 3), (32, 48)) for name in "abc"]
    assert report.to_dict()["milliseconds"]["network"] == {"p50": 20.0, "p95": 30.0, "p99": 30.0, "max": 30.0}


def run_simply(source: ListSource, **options: int | float) -> tuple[int, list[str]]:
    names: list[str] = []

    def head(scores: Pixels, size: tuple[int, int]) -> Pixels:
        return np.zeros(size, np.uint8)

    def write(name: str, image: Pixels, classes: Pixels) -> None:
        names.append(name)

    report = run_stream(source, lambda image: image, head, write, **options)  # type: ignore[arg-type]
    return report.frames, names


def test_a_limit_ends_the_loop_and_closes_the_source() -> None:
    source = ListSource([(name, picture(1)) for name in "abcd"])
    assert run_simply(source, limit=2) == (2, ["a", "b"])
    assert source.closed


def test_an_interrupt_is_the_good_end_of_an_endless_source_only() -> None:
    assert run_simply(ListSource([("a", picture(1))], endless=True)) == (1, ["a"])
    with pytest.raises(KeyboardInterrupt):
        run_simply(ListSource([], endless=True))

    class Interrupted(ListSource):
        def frames(self) -> Generator[NamedImage, None, None]:
            yield "a", picture(1)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_simply(Interrupted([]))


def test_options_out_of_range_are_refused() -> None:
    for option, value, message in (
        ("warm_up", -1, "warm-up is -1"),
        ("limit", 0, "the limit is 0 frames"),
        ("deadline_ms", 0, "the deadline is 0 ms"),
        ("deadline_ms", float("nan"), "the deadline is nan ms"),
    ):
        with pytest.raises(InputError, match=message):
            run_simply(ListSource([("a", picture(1))]), **{option: value})


def test_a_source_without_a_frame_is_refused() -> None:
    with pytest.raises(InputError, match="the source gave no frame"):
        run_simply(ListSource([]))
