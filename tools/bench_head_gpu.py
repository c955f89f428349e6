"""The head on a CUDA device against torch: 19 classes to 1024x2048, at strides 4, 8 and 16.

Contenders answer the free argmax (torch has no constrained one): torch eager, `interpolate` and `argmax`;
the same compiled by torch.compile; ours, free and with labels. Batches are 1, 16, and as many images as make
the bytes that must be touched exceed the device's L2 twice, so that every byte comes from memory.

Each contender's work is captured in a CUDA graph; the time is that of a replay between two CUDA events, the
median of all rounds, contenders in turns. `must_touch_bytes` is what no implementation can avoid: scores,
labels and classes once each. `copy_ms` is a device-to-device copy of half as many bytes, which reads and
writes as many in all: the bound that memory sets, and `copy_share` what is reached of it; `to_ours` is the
time by ours. Scores are sums of waves, smooth as a network's;
`mixed_percent` is the share of cells whose four corners do not have one best class. Before the race the
answers are compared. torch.compile races at stride 8 only: it takes longer to compile than all races take.

Example: python tools/bench_head_gpu.py --out benchmarks/head_gpu.csv
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measurement import commit, write_csv
from torch.nn.functional import interpolate

from lsu.runtime.device_head import DeviceHead
from lsu.runtime.machine import said

CLASSES, SIZE = 19, (1024, 2048)
STRIDES = (8, 4, 16)
LABELS = 12
LEAST_AGREEMENT = 0.999  # torch rounds differently: equal but for ties
Replay = Callable[[], None]


def scores_of(batch: int, stride: int, dtype: torch.dtype) -> torch.Tensor:
    """[N, C, h, w], regions of some 20 samples across at stride 8 and as large in pixels at any stride."""
    generator = np.random.default_rng(0)
    sides = SIZE[0] // stride, SIZE[1] // stride
    y, x = (torch.arange(side, device="cuda", dtype=torch.float32) * (stride / 64) for side in sides)
    distinct = min(batch, 4)
    scores = torch.zeros((distinct, CLASSES, *sides), device="cuda")
    for _ in range(3):
        angle, phase = torch.as_tensor(generator.uniform(0, 2 * np.pi, (2, distinct, CLASSES, 1, 1))).cuda()
        scores += torch.sin(torch.cos(angle) * x + torch.sin(angle) * y[:, None] + phase)
    return scores.repeat(-(-batch // distinct), 1, 1, 1)[:batch].to(dtype).contiguous()


def labels_of(batch: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Labels [N, H, W] in blocks of 96 pixels and a table [256, 1]; each label allows 6 of the classes."""
    generator = np.random.default_rng(1)
    coarse = generator.integers(0, LABELS, (-(-SIZE[0] // 96), -(-SIZE[1] // 96)), dtype=np.uint8)
    labels = np.kron(coarse, np.ones((96, 96), np.uint8))[: SIZE[0], : SIZE[1]]
    table = np.zeros((256, 1), np.int64)
    for label in range(LABELS):
        table[label] = sum(1 << int(c) for c in generator.choice(CLASSES, 6, replace=False))
    stack = torch.as_tensor(np.ascontiguousarray(labels)).cuda().expand(batch, -1, -1).contiguous()
    return stack, torch.as_tensor(table).cuda()


def mixed_percent(scores: torch.Tensor) -> float:
    """Of the first image's cells, those whose four corners do not have one best class."""
    leaders = scores[:1].argmax(dim=1)
    first = leaders[:, :-1, :-1]
    others = leaders[:, :-1, 1:], leaders[:, 1:, :-1], leaders[:, 1:, 1:]
    same = torch.stack([other == first for other in others]).all(dim=0)
    return 100.0 * (1.0 - same.float().mean().item())


def free_argmax(scores: torch.Tensor) -> torch.Tensor:
    """What everybody writes: enlarge all scores, then pick."""
    enlarged = interpolate(scores, size=SIZE, mode="bilinear", align_corners=False)
    return enlarged.argmax(dim=1)


class Captured:
    """Work in a CUDA graph. It keeps the work, and with it the arrays whose addresses the graph replays."""

    def __init__(self, work: Callable[[int], Any]) -> None:
        self.work, self.graph, stream = work, torch.cuda.CUDAGraph(), torch.cuda.Stream()
        with torch.cuda.stream(stream):
            for _ in range(3):
                work(stream.cuda_stream)
        torch.cuda.synchronize()
        with torch.cuda.graph(self.graph, stream=stream):
            work(stream.cuda_stream)

    def __call__(self) -> None:
        """Put it on the current stream."""
        self.graph.replay()


def milliseconds(replay: Replay, repeats: int) -> float:
    """The device's time per replay."""
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin.record()
    for _ in range(repeats):
        replay()
    end.record()
    end.synchronize()
    return float(begin.elapsed_time(end)) / repeats


def race(contenders: dict[str, Replay], rounds: int = 15) -> dict[str, float]:
    """The median time of each, in turns; a short one is repeated within a round to some 2 ms."""
    times: dict[str, list[float]] = {name: [] for name in contenders}
    repeats = {name: max(1, int(2 / max(milliseconds(run, 1), 1e-3))) for name, run in contenders.items()}
    for _ in range(rounds):
        for name, run in contenders.items():
            times[name].append(milliseconds(run, repeats[name]))
    return {name: statistics.median(values) for name, values in times.items()}


def ours(head: DeviceHead, scores: torch.Tensor, constraint: dict[str, Any]) -> tuple[Replay, torch.Tensor]:
    """Our work and where it writes the classes."""
    classes = torch.empty((len(scores), *SIZE), dtype=torch.uint8, device="cuda")
    counts = torch.empty((len(scores), 256, 3), dtype=torch.int64, device="cuda")
    work = Captured(lambda s: head.run(scores, SIZE, classes, counts=counts, stream=s, **constraint))
    work()
    return work, classes


def torch_contenders(scores: torch.Tensor, answer: torch.Tensor, stride: int) -> dict[str, Replay]:
    """Those that fit the device's memory and answer as we do."""
    found: dict[str, Replay] = {}
    functions = {"torch eager": free_argmax}
    if stride == STRIDES[0]:
        functions["torch.compile"] = torch.compile(free_argmax, dynamic=False)
    for name, function in functions.items():
        try:
            agreement = (function(scores) == answer).float().mean().item()
            if agreement < LEAST_AGREEMENT:
                print(
                    f"   {name} is left out: it and ours agree on {agreement:.4%} of the pixels only",
                    flush=True,
                )
                continue
            found[name] = Captured(lambda _, run=function: run(scores))
        except (torch.cuda.OutOfMemoryError, RuntimeError) as error:
            print(f"   {name} is left out: {str(error).splitlines()[0]}", flush=True)
            torch.cuda.empty_cache()
    return found


def copier(count: int) -> Replay:
    """Reads and writes `count` bytes in all."""
    source = torch.zeros(count // 2, dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)
    return Captured(lambda _: target.copy_(source))


def rows_of(head: DeviceHead, batch: int, stride: int, dtype: torch.dtype) -> list[dict[str, object]]:
    """One race, a row per contender."""
    scores = scores_of(batch, stride, dtype)
    labels, table = labels_of(batch)
    replay, answer = ours(head, scores, {})
    contenders = {"ours": replay, **torch_contenders(scores, answer, stride)}
    contenders["ours, labels"], _ = ours(head, scores, {"labels": labels, "table": table})
    pixels = batch * SIZE[0] * SIZE[1]
    bytes_of_scores = scores.numel() * scores.element_size()
    touched = {name: bytes_of_scores + pixels * (2 if "labels" in name else 1) for name in contenders}
    copies = {f"copy {count}": copier(count) for count in set(touched.values())}
    times = race({**contenders, **copies})
    return [
        {
            "contender": name,
            "batch": batch,
            "stride": stride,
            "scores": str(dtype).removeprefix("torch."),
            "mixed_percent": round(mixed_percent(scores), 1),
            "must_touch_bytes": touched[name],
            "ms": round(times[name], 5),
            "copy_ms": round(times[f"copy {touched[name]}"], 5),
            "copy_share": round(times[f"copy {touched[name]}"] / times[name], 3),
            "to_ours": round(times[name] / times["ours"], 3),
        }
        for name in contenders
    ]


def verdicts(rows: Sequence[Mapping[str, object]]) -> Iterator[str]:
    """The asked levels, each with the worst race that decides it: float32, at most 20 % mixed cells."""
    counted = [row for row in rows if row["scores"] == "float32" and float(str(row["mixed_percent"])) <= 20]
    largest = max((int(str(row["batch"])) for row in counted), default=0)
    asked = [
        ("torch eager / ours", 30, [row["to_ours"] for row in counted if row["contender"] == "torch eager"]),
        (
            "torch.compile / ours",
            5,
            [row["to_ours"] for row in counted if row["contender"] == "torch.compile"],
        ),
        (
            "share of a copy's bandwidth, largest batch",
            0.6,
            [
                r["copy_share"]
                for r in counted
                if r["batch"] == largest and str(r["contender"]).startswith("ours")
            ],
        ),
    ]
    for question, level, values in asked:
        worst = min((float(str(value)) for value in values), default=None)
        met = "not measured" if worst is None else "met" if worst >= level else "NOT met"
        yield f"   {question}: asked {level}, worst {worst}: {met}"


def batch_beyond_l2(stride: int) -> int:
    """How many images touch twice as many bytes as the device's L2 holds."""
    per_image = SIZE[0] * SIZE[1] * (1 + 4 * CLASSES / stride**2)
    return int(2 * torch.cuda.get_device_properties(0).L2_cache_size / per_image) + 1


def circumstances() -> dict[str, str]:
    """What was measured, where and by which versions."""
    return {
        "device": torch.cuda.get_device_name(0),
        "driver": said(["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader", "--id=0"]),
        "torch": torch.__version__,
        "cuda": str(torch.version.cuda),
        "python": sys.version.split()[0],
        "commit": commit(),
    }


def main() -> None:
    """Run all races that the time allows and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=120.0, help="no new race begins after this")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        raise SystemExit("bench_head_gpu.py: torch sees no CUDA device")
    head, told, end, rows = DeviceHead(0), circumstances(), time.monotonic() + options.seconds, []
    races = [(n, stride, torch.float32) for stride in STRIDES for n in (1, 16, batch_beyond_l2(stride))]
    races += [(16, 8, torch.float16)]
    for batch, stride, dtype in dict.fromkeys(races):
        if time.monotonic() > end:
            print(f"out of time before batch {batch}, stride {stride}, {dtype}", file=sys.stderr)
            break
        found = [{**row, **told} for row in rows_of(head, batch, stride, dtype)]
        rows += found
        for row in found:
            print(f"   {row['contender']}: {row['ms']} ms, {row['copy_share']} of a copy's bandwidth")
        options.out.parent.mkdir(parents=True, exist_ok=True)
        write_csv(options.out, rows)  # after each race: what a later one spoils is not lost
        torch.cuda.empty_cache()
    print(*verdicts(rows), sep="\n")


if __name__ == "__main__":
    main()
