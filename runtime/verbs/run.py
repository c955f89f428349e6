"""`lsu run`: a bundle on images, a video or a camera, with latencies by stage."""

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lsu.runtime.errors import InputError
from lsu.runtime.terminal import (
    BELOW_LEVEL,
    JsonFlag,
    TrustOption,
    print_json,
    print_note,
    print_table,
    progress,
)

if TYPE_CHECKING:
    from lsu.runtime.stream.loop import StreamReport


def run(  # noqa: PLR0913 - the options of one command
    bundle: Annotated[Path, typer.Argument(help="The bundle's folder.")],
    *,
    source: Annotated[
        str, typer.Option(help="A folder or glob of images, an image, a video, camera or camera:N.")
    ],
    output: Annotated[
        Path | None, typer.Option(help="A folder, or an .mp4 or .avi file for overlays.")
    ] = None,
    overlay: Annotated[bool, typer.Option(help="Write overlays.")] = True,
    classes: Annotated[bool, typer.Option(help="Write class maps, in a folder only.")] = True,
    frames: Annotated[int | None, typer.Option(min=1, help="Stop after so many frames.")] = None,
    warm_up: Annotated[int, typer.Option(min=0, help="Untimed runs on the first frame.")] = 5,
    deadline_ms: Annotated[float | None, typer.Option(help="Count answers that take longer.")] = None,
    allow_misses: Annotated[
        float, typer.Option(min=0, max=1, help="Exit with 1 when a larger share misses the deadline.")
    ] = 1.0,
    backend: Annotated[str, typer.Option(help="auto, onnxruntime, tensorrt or tensorrt-rtx.")] = "auto",
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads; all by default.")] = None,
    self_test: Annotated[bool, typer.Option(help="Compare with the golden frames first.")] = True,
    trust: TrustOption = None,
    json_output: JsonFlag = False,
) -> None:
    """Segment a stream and measure read, network, head and write on every frame.

    Without --output only the measurements remain. A camera runs until it is interrupted.

    Example: [bold]lsu run student/ --source drive.mp4 --output overlays.mp4 --deadline-ms 50[/bold]
    """
    from lsu.runtime.bundles.bundle import Bundle
    from lsu.runtime.bundles.trust import Trust
    from lsu.runtime.engines import engine_for
    from lsu.runtime.files import refuse_blocked
    from lsu.runtime.overlay import palette
    from lsu.runtime.segmenter import Segmenter
    from lsu.runtime.stream.loop import head_of, run_stream
    from lsu.runtime.stream.outputs import output_for
    from lsu.runtime.stream.sources import open_source

    if output is not None:
        refuse_blocked(output)
    if output is not None and output.exists() and output.resolve() == Path(source).resolve():
        raise InputError(f"--output {output} is the source itself; name another place")
    opened = Bundle.open(bundle, trust=Trust.from_files(trust or ()))
    stream = open_source(source)
    colours = palette(opened.spec.label_space)
    written = output_for(output, colours, overlays=overlay, classes=classes, rate=stream.rate)
    with closing(engine_for(opened, backend, threads=threads)) as engine:
        if self_test:
            opened.self_test(engine)
        segmenter = Segmenter(engine, threads=threads)
        with written as write, progress("running", frames or stream.total or 0) as advance:
            report = run_stream(
                stream,
                segmenter.scores,
                head_of(segmenter),
                write,
                warm_up=warm_up,
                limit=frames,
                deadline_ms=deadline_ms,
                on_frame=advance,
            )
    if json_output:
        print_json({"bundle": opened.digest, "source": source, **report.to_dict()})
    else:
        _print_report(report, f"{bundle.resolve().name} on {Path(source).name or source}")
    if report.miss_share > allow_misses:
        raise SystemExit(BELOW_LEVEL)


def _print_report(report: "StreamReport", title: str) -> None:
    rows = [
        (name, *(f"{ms:.2f}" for ms in (latency.p50, latency.p95, latency.p99, latency.max)))
        for name, latency in report.stages.items()
    ]
    print_table(title, ("milliseconds", "p50", "p95", "p99", "max"), rows)
    print(f"{report.frames} frames, {report.frames_per_second:.1f} frames/s")
    if report.deadline_ms is not None:
        print(f"{report.misses} answers ({report.miss_share:.1%}) took longer than {report.deadline_ms:g} ms")
    print_note(
        f"answer = network + head + write; {report.warm_up} warm-up runs on the first frame are not counted"
    )
