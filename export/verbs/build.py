"""`lsu export build`: an engine of a bundle, for the machines that are named."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from lsu.runtime.errors import InputError
from lsu.runtime.terminal import JsonFlag, TrustOption, print_json

if TYPE_CHECKING:
    from lsu.export.engines.to_engine import Plan
    from lsu.runtime.bundles.engine_manifest import SizeRange


def build(  # noqa: PLR0913 - the options of one command
    bundle: Annotated[Path, typer.Argument(help="A bundle's folder.")],
    *,
    target: Annotated[
        Literal["tensorrt", "tensorrt-rtx"], typer.Option(help="The library that will run it.")
    ],
    sm: Annotated[
        str | None,
        typer.Option(
            help="GPUs as compute capabilities, one engine for all, tensorrt-rtx only. \\[default: this GPU]"
        ),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(help="The input, HxW, or a range MIN,OPT,MAX of them. \\[default: the bundle's]"),
    ] = None,
    batch: Annotated[int, typer.Option(min=1, help="The most images at once.")] = 1,
    head: Annotated[
        Literal["scores", "plugin"],
        typer.Option(help="`plugin`: classes come out of the engine, tensorrt only, not for `lsu run`."),
    ] = "scores",
    plugin: Annotated[Path | None, typer.Option(help="liblsu_tensorrt.so, where it is elsewhere.")] = None,
    timing_cache: Annotated[
        Path | None, typer.Option(help="What tensorrt has timed. \\[default: in the user's cache]")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Parse the network and say what would be built.")
    ] = False,
    trust: TrustOption = None,
    json: JsonFlag = False,
) -> None:
    """Build an engine and add it to the bundle, with a manifest of its own; the bundle stays as it is.

    tensorrt-rtx builds for GPUs that are not there, tensorrt for the one of this machine.

    Example: [bold]lsu export build town.bundle --target tensorrt-rtx --sm 86,89,120[/bold]
    """
    from lsu.export.engines.to_engine import EngineOptions, build_engine
    from lsu.runtime.bundles.bundle import Bundle
    from lsu.runtime.bundles.trust import Trust

    options = EngineOptions(
        target=target,
        sms=() if sm is None else _numbers(sm),
        sizes=None if size is None else _sizes(size),
        batch=batch,
        head=head,
        plugin=plugin,
        timing_cache=timing_cache,
    )
    opened = Bundle.open(bundle, trust=Trust.from_files(trust or ()))
    _report(build_engine(opened, options, dry_run=dry_run), json=json)


def _numbers(text: str) -> tuple[int, ...]:
    parts = text.split(",")
    if not all(part.isdecimal() for part in parts):
        raise InputError(f"--sm {text!r} is not a list of compute capabilities, such as 86,89,120")
    return tuple(int(part) for part in parts)


def _sizes(text: str) -> "SizeRange":
    from lsu.runtime.bundles.engine_manifest import SizeRange

    sizes = [part.split("x") for part in text.split(",")]
    if len(sizes) not in (1, 3) or not all(len(s) == 2 and all(p.isdecimal() for p in s) for s in sizes):
        raise InputError(f"--size {text!r} is neither HxW nor MIN,OPT,MAX, such as 64x64,512x1024,1024x2048")
    whole = [(int(height), int(width)) for height, width in sizes]
    return SizeRange(*(whole * 3 if len(whole) == 1 else whole))


def _report(plan: "Plan", *, json: bool) -> None:
    facts = plan.facts
    document: dict[str, Any] = {"tag": plan.tag, "sizes": str(plan.sizes), **facts, "engine": None}
    machines = ", ".join(str(sm) for sm in facts["sms"])
    line = f"{plan.tag}: {facts['layers']} layers, input {plan.sizes}, for SM {machines}"
    if plan.engine is None:
        line += f"; would be built by {facts['library']}, nothing was"
    else:
        about = plan.engine.manifest
        document |= {"engine": str(plan.engine.path), "bytes": about.plan_bytes, "seconds": about.seconds}
        document["log"] = list(about.log)
        line += f"; {about.plan_bytes:,} bytes in {about.seconds:.1f} s, {len(about.log)} warnings"
    if json:
        print_json(document)
    else:
        print(line)
