"""`lsu export bench`: bundles and backends side by side, each stage by itself."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lsu.runtime.terminal import (
    BELOW_LEVEL,
    JsonFlag,
    TrustOption,
    print_json,
    print_line,
    print_note,
    print_table,
    progress,
)

if TYPE_CHECKING:
    from lsu.export.benchmark.bench import Benchmark
    from lsu.export.benchmark.bench_worker import Job
    from lsu.runtime.bundles.trust import Trust


def bench(  # noqa: PLR0913 - the options of one command
    bundles: Annotated[list[Path], typer.Argument(help="Folders of one or more bundles.")],
    *,
    backend: Annotated[
        list[str] | None,
        typer.Option(help="auto, onnxruntime, tensorrt or tensorrt-rtx; repeatable. \\[default: auto]"),
    ] = None,
    images: Annotated[
        str | None, typer.Option(help="A folder or glob of images; else frames are drawn.")
    ] = None,
    frames: Annotated[int, typer.Option(min=1, help="Images of a block.")] = 20,
    repeats: Annotated[int, typer.Option(min=1, help="Blocks of each contender, in turns.")] = 10,
    warm_up: Annotated[int, typer.Option(min=0, help="Untimed runs of each before its first block.")] = 10,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads; all by default.")] = None,
    csv: Annotated[Path | None, typer.Option(help="Add the figures to this table.")] = None,
    trust: TrustOption = None,
    json: JsonFlag = False,
) -> None:
    """Measure decode, fit, copies, engine and head of every bundle on every backend, in turns.

    Each runs in a process of its own. Copies are "-" where there are none, as on a CPU, or where the backend
    does not tell them. Who cannot run here, or fails, is listed with the reason; the exit code is then 1.

    Example: [bold]lsu export bench town.bundle town16.bundle --repeats 20 --csv bench.csv[/bold]
    """
    from lsu.export.benchmark.bench import bench as measure
    from lsu.export.benchmark.bench_table import COLUMNS, rows_of
    from lsu.export.csv_table import append_rows, refuse_other_table
    from lsu.runtime.bundles.trust import Trust
    from lsu.runtime.files import refuse_blocked

    if csv is not None:
        refuse_blocked(csv)
        refuse_other_table(csv, COLUMNS)
    encoded = () if images is None else _encoded(images, frames)
    trusted = Trust.from_files(trust or ())
    jobs = [
        _job(path, kind, encoded, frames=frames, warm_up=warm_up, threads=threads, trust=trusted)
        for path in bundles
        for kind in backend or ["auto"]
    ]
    with progress("measuring", repeats * len(jobs)) as advance:
        result = measure(jobs, repeats=repeats, on_block=advance)
    if json:
        print_json(result.to_dict())
    else:
        _print(result)
    if csv is not None:
        append_rows(csv, COLUMNS, rows_of(result, shlex.join(["lsu", *sys.argv[1:]])))
    if result.absent:
        raise SystemExit(BELOW_LEVEL)


def _encoded(images: str, frames: int) -> tuple[tuple[str, bytes], ...]:
    from lsu.runtime.errors import InputError
    from lsu.runtime.files import read_bytes
    from lsu.runtime.stream.sources import ImageSource, open_source

    source = open_source(images)
    if not isinstance(source, ImageSource):
        raise InputError(f"--images {images}: a folder, a glob or an image is needed, not a video")
    return tuple((str(path), read_bytes(path)) for path in [*source.files.values()][:frames])


def _job(  # noqa: PLR0913 - what the options name
    path: Path,
    backend: str,
    images: tuple[tuple[str, bytes], ...],
    *,
    frames: int,
    warm_up: int,
    threads: int | None,
    trust: "Trust",
) -> "Job":
    from lsu.export.benchmark.bench_worker import Job
    from lsu.runtime.bundles.bundle import Bundle
    from lsu.runtime.engines import BACKENDS
    from lsu.runtime.errors import InputError, near_names

    if backend not in BACKENDS:
        raise InputError(f"unknown backend {backend!r}; {near_names(backend, BACKENDS)}")
    Bundle.open(path, trust=trust)  # what cannot be opened is refused before anything is measured
    return Job(f"{path} {backend}", path, backend, images, frames, warm_up, threads, trust)


def _print(result: "Benchmark") -> None:
    for entry in result.measured:
        rows = [
            (stage, *("----" if latency is None else (f"{ms:.2f}" for ms in vars(latency).values())))
            for stage, latency in entry.stages.items()
        ]
        print_table(entry.job.name, ("milliseconds", "p50", "p95", "p99", "max"), rows)
        print_line(
            f"{entry.frames_per_second:.1f} frames/s, {entry.peak_memory / 2**20:.0f} MiB at most, "
            f"{entry.about['engine']}, {entry.about['precision']}, "
            f"images {' '.join(entry.about['image_sizes'])}, "
            f"{100 * entry.about['mixed_share']:.2f} % of the cells mixed"
        )
    for name, reason in result.absent:
        print_line(f"not measured: {name}: {reason}")
    machine = result.machine
    print_note(
        f"{machine['processor']}, {result.measured[0].frames} frames each in {result.repeats} turns; "
        f"clocks {machine['clocks']} before, {result.clocks_after} after"
    )
