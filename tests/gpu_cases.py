"""What a GPU has to show: the CPU head's bits on any problem, graphs, streams, and memory that does not grow.

Plain functions without pytest, so that `python tests/gpu_cases.py` runs them on a bare CUDA machine; pytest
runs them through test_cuda_gpu.py. `--small` leaves out what would take long under compute-sanitizer.
"""

import resource
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from gpu_memory import Driver, buffers

from lsu.runtime.device_head import DeviceHead
from lsu.runtime.head import constrained_argmax

Problem = tuple[np.ndarray, dict[str, Any]]
LAUNCHES = 100_000
# More rows of tiles than 65535: a cell-wise tile has at most 64 rows of pixels, a dense one 8.
TALL_SCORES, TALL_FOR_CELLS, TALL_FOR_DENSE = (1, 2, 1 << 18, 1), (1 << 23, 2), (1 << 20, 1)
RATIOS = (0.4, 1.0, 1.7, 2.0, 2.5, 4.0, 8.0, 11.3, 16.0)


def waves(generator: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Regions of one class each, with borders between them."""
    y, x = np.mgrid[: shape[-2], : shape[-1]] / 4.0
    angle, phase = generator.uniform(0, 2 * np.pi, (2, *shape[:-2], 1, 1))
    return np.sin(np.cos(angle) * x + np.sin(angle) * y + phase)


def scores_of(generator: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    kind = generator.choice(["waves", "noise", "ties", "near ties", "tiny", "huge", "holes"])
    scores = generator.standard_normal(shape) if kind == "noise" else waves(generator, shape)
    if kind == "ties":
        scores = np.round(2 * scores)
    elif kind == "near ties":
        scores = 1 + np.round(3 * scores) * 2.0**-23
    elif kind == "tiny":
        scores = np.round(4 * scores) * 2.0**-149
    elif kind == "huge":
        scores = scores * 3.4e38
    elif kind == "holes":
        scores[generator.random(shape) < 0.02] = generator.choice([np.nan, np.inf, -np.inf])
    with np.errstate(over="ignore"):
        return scores.astype(generator.choice([np.float32, np.float16]))


def problem(generator: np.random.Generator, most: int) -> Problem:
    """Scores [N, C, h, w] and the options of a call; `most` bounds the sides of the answer."""
    channels = int(generator.choice([1, 2, 3, 5, 11, 19, 32, 33, 64, 65, 150, 255]))
    ratio = generator.choice(RATIOS, 2)
    canvas = tuple(int(side) for side in generator.integers(1, most, 2))
    sides = [max(1, int(whole / r)) for whole, r in zip(canvas, ratio, strict=True)]
    offset = tuple(int(generator.integers(0, whole // 2 + 1)) for whole in canvas)
    size = tuple(int(generator.integers(1, w - b + 1)) for w, b in zip(canvas, offset, strict=True))
    batch = int(generator.integers(1, 4))
    options: dict[str, Any] = {"size": size, "canvas": canvas, "offset": offset}
    options["void_channel"] = None if generator.random() < 0.5 else int(generator.integers(channels))
    constrained = generator.choice(["free", "one row", "labels"])
    if constrained != "free":
        rows = 256 if constrained == "labels" else 1
        allowed = generator.random((rows, 64 * -(-channels // 64))) < generator.choice(
            [0.0, 0.1, 0.6, 1.0], (rows, 1)
        )
        allowed[:, channels:] = False
        options["table"] = np.packbits(allowed, axis=1, bitorder="little").view(np.uint64)
    if constrained == "labels":
        step = int(generator.choice([1, 5, 16, 64]))
        coarse = generator.choice(
            generator.integers(0, 256, 5), (batch, -(-size[0] // step), -(-size[1] // step))
        )
        options["labels"] = np.kron(coarse, np.ones((1, step, step)))[:, : size[0], : size[1]].astype(
            np.uint8
        )
    return scores_of(generator, (batch, channels, *sides)), options


class Device:
    """The head on device 0 and the memory around it."""

    def __init__(self) -> None:
        self.driver = Driver()
        self.head = DeviceHead(0)

    def differs(self, scores: np.ndarray, options: dict[str, Any], **how: Any) -> str:
        """Which output differs from the CPU head's, "" if none does."""
        options = dict(options)
        size, labels, table = options.pop("size"), options.pop("labels", None), options.pop("table", None)
        extras, packed = how.get("extras", False), how.get("packed", False)
        width = 4 * -(-size[1] // 4) if packed else size[1]
        maps = (len(scores), size[0], width)
        rows = labels
        if packed and labels is not None:
            rows = np.full(maps, 9, np.uint8)
            rows[..., : size[1]] = labels
        counts = np.full((len(scores), 256, 4 if extras else 3), -1, np.int64)
        outputs = np.full(maps, 254, np.uint8), counts, np.full(maps, 254, np.uint8) if extras else None
        inputs = np.ascontiguousarray(scores), rows, table
        with buffers(self.driver, *inputs, *outputs, shift=how.get("shift", 0)) as made:
            arrays = [None if buffer is None else buffer.array() for buffer in made]
            self.head.run(
                arrays[0],
                size,
                arrays[3],
                **options,
                labels=arrays[1],
                table=arrays[2],
                counts=arrays[4],
                margin=arrays[5],
                agreement=extras,
                packed=packed,
                stream=how.get("stream", 0),
            )
            self.driver.synchronize()
            got = [None if buffer is None else buffer.read() for buffer in made[3:]]
        want = constrained_argmax(
            scores, size, labels=labels, table=table, **options, margin=extras, agreement=extras
        )
        return _difference(got, [want.classes, want.counts, want.margin], size[1])


def _difference(got: list[np.ndarray | None], want: list[np.ndarray | None], width: int) -> str:
    for name, one, other in zip(("classes", "counts", "margin"), got, want, strict=True):
        if one is None or other is None:
            continue
        pixels = one if name == "counts" else one[..., :width]
        if not np.array_equal(pixels, other):
            return f"{name}: {np.count_nonzero(pixels != other)} of {other.size} differ"
        if name != "counts" and np.any(one[..., width:] != 255):
            return f"{name}: pad bytes are not 255"
    return ""


def check_random_problems(
    device: Device, *, seconds: float = 60.0, most: int = 400, least: int = 200
) -> None:
    end, seed = time.monotonic() + seconds, 0
    while seed < least or time.monotonic() < end:
        generator = np.random.default_rng(seed)
        scores, options = problem(generator, most)
        how = {
            "extras": bool(generator.random() < 0.3),
            "packed": bool(generator.random() < 0.4),
            "shift": int(generator.choice([0, 0, 1, 2, 3])),
        }
        found = device.differs(scores, options, **how)
        assert not found, f"seed {seed}, scores {scores.shape} {scores.dtype}, {how}: {found}"
        seed += 1
    print(f"   {seed} random problems: equal bits", flush=True)


def check_a_few_random_problems(device: Device) -> None:
    check_random_problems(device, seconds=0.0, most=120, least=40)


def check_full_size(device: Device) -> None:
    generator = np.random.default_rng(1)
    for stride in (4, 8, 16):
        scores = waves(generator, (2, 19, 1024 // stride, 2048 // stride)).astype(np.float32)
        for extras in (False, True):
            assert not device.differs(scores, {"size": (1024, 2048)}, extras=extras), (stride, extras)


def check_grids_beyond_65535(device: Device) -> None:
    """Blocks stride over images and rows of tiles that the grid's y and z have no room for."""
    generator = np.random.default_rng(2)
    many = generator.standard_normal((70000, 2, 1, 1)).astype(np.float32)
    assert not device.differs(many, {"size": (2, 2)})
    tall = generator.standard_normal(TALL_SCORES).astype(np.float32)
    assert not device.differs(tall, {"size": TALL_FOR_CELLS})
    assert not device.differs(tall, {"size": TALL_FOR_DENSE}, extras=True)


def check_a_stream_and_a_graph(device: Device) -> None:
    """Replays answer what lies in the inputs at that moment, and count from zero."""
    generator, stream = np.random.default_rng(3), device.driver.stream()
    shape, size = (2, 5, 16, 20), (128, 160)
    first, second = (waves(generator, shape).astype(np.float32) for _ in range(2))
    assert not device.differs(first, {"size": size}, stream=stream)
    classes, counts = np.zeros((2, *size), np.uint8), np.zeros((2, 256, 3), np.int64)
    with buffers(device.driver, first, classes, counts) as made:
        given, answer, tallies = (buffer.array() for buffer in made)
        replay = device.driver.captured(
            stream, lambda: device.head.run(given, size, answer, counts=tallies, stream=stream)
        )
        for scores in (first, second, first):
            made[0].write(scores)
            device.driver.synchronize()
            for _ in range(3):
                replay()
            device.driver.synchronize()
            want = constrained_argmax(scores, size)
            assert np.array_equal(made[1].read(), want.classes)
            assert np.array_equal(made[2].read(), want.counts)


def check_many_launches_without_growth(device: Device, launches: int = LAUNCHES) -> None:
    scores = waves(np.random.default_rng(4), (1, 19, 16, 32)).astype(np.float32)
    classes, counts = np.zeros((1, 128, 256), np.uint8), np.zeros((1, 256, 3), np.int64)
    with buffers(device.driver, scores, classes, counts) as made:
        given, answer, tallies = (buffer.array() for buffer in made)
        free = resident = 0
        for launch in range(launches):
            device.head.run(given, (128, 256), answer, counts=tallies)
            if launch == launches // 10:  # whatever is made at first has been made
                device.driver.synchronize()
                free = device.driver.free_bytes()
                resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        device.driver.synchronize()
        assert device.driver.free_bytes() >= free, "memory of the device was not given back"
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - resident
        assert grown < 4096, f"the process grew by {grown} KiB"
        assert np.array_equal(made[1].read(), constrained_argmax(scores, (128, 256)).classes)


SMALL = (check_a_few_random_problems, check_a_stream_and_a_graph)
ALL: tuple[Callable[..., None], ...] = (
    check_a_few_random_problems,
    check_full_size,
    check_grids_beyond_65535,
    check_a_stream_and_a_graph,
    check_many_launches_without_growth,
    check_random_problems,
)


def main() -> None:
    device = Device()
    for check in SMALL if "--small" in sys.argv else ALL:
        begin = time.monotonic()
        check(device)
        print(f"ok {check.__name__} ({time.monotonic() - begin:.1f} s)", flush=True)


if __name__ == "__main__":
    main()
