"""From a bundle to an engine: a child process builds the plan, the bundle gets it with a manifest.

The bundle itself stays as it is. No torch is needed: a vehicle builds its own engines.
"""

import os
import platform
from contextlib import closing
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import lsu.runtime
from lsu.runtime.bundles.bundle import Bundle
from lsu.runtime.bundles.engine_manifest import (
    EngineHead,
    EngineManifest,
    SizeRange,
    Target,
    engine_parts,
    engine_tag,
)
from lsu.runtime.bundles.manifest import MODEL, MODEL_WITH_PLUGIN
from lsu.runtime.bundles.stored_engine import ENGINES, StoredEngine, refuse_existing_engine, write_engine
from lsu.runtime.engines.tensorrt import this_platform
from lsu.runtime.errors import InputError
from lsu.runtime.files import digest_of, refuse_blocked
from lsu.runtime.model import placed

from .builder_process import builder_answers
from .engine_network import BuildRequest
from .heartbeat import Heartbeat

_USUAL = ((256, 256), (512, 1024), (1024, 2048))
"""The sizes of an engine when the bundle's size is free and nothing else is asked for."""


@dataclass(frozen=True)
class EngineOptions:
    """What a user may choose about an engine.

    Attributes:
        target: the library.
        sms: compute capabilities, for TensorRT-RTX; none takes this machine's GPU.
        sizes: of the input; None takes the bundle's, or for free sizes those that are usual.
        batch: the largest number of images at once.
        head: `scores`, or `plugin` for TensorRT and a bundle with `model_with_plugin.onnx`.
        plugin: `liblsu_tensorrt.so`; None looks beside the runtime.
        timing_cache: what TensorRT's builder has timed; None keeps it in the user's cache folder.
    """

    target: Target
    sms: tuple[int, ...] = ()
    sizes: SizeRange | None = None
    batch: int = 1
    head: EngineHead = "scores"
    plugin: Path | None = None
    timing_cache: Path | None = None

    def __post_init__(self) -> None:
        if self.target == "tensorrt" and self.sms:
            raise InputError(
                "--sm is for tensorrt-rtx: TensorRT builds for the GPU of the machine it runs on"
            )
        if self.target == "tensorrt-rtx" and self.head == "plugin":
            raise InputError("TensorRT-RTX has no plugin layers: use --head scores, the head runs after it")
        if self.batch < 1:
            raise InputError(f"batch is {self.batch}; 1 or more is allowed")


@dataclass(frozen=True)
class Plan:
    """What a build will make, or has made.

    Attributes:
        tag: the name of the engine's folder.
        sizes: of the input.
        facts: `library`, `sms`, `driver`, `inputs`, `outputs` and `layers`, as the library says.
        engine: the stored engine, None for a dry run.
    """

    tag: str
    sizes: SizeRange
    facts: dict[str, Any]
    engine: StoredEngine | None


def build_engine(bundle: Bundle, options: EngineOptions, *, dry_run: bool = False) -> Plan:
    """Build an engine and add it to the bundle; with `dry_run` parse the network and say what would be made.

    Raises:
        InputError: the options do not go with the bundle, it is read-only, or an engine of this tag is there.
        BackendError: the library is missing or failed, or its process died. Nothing is written then.
    """
    request, model = _request(bundle, options, dry_run=dry_run)
    with (
        Heartbeat(f"build {options.target}") as heart,
        closing(builder_answers(request, model, heart)) as answers,
    ):
        facts = next(answers)
        tag = _tag(request, facts)
        refuse_existing_engine(bundle.path / ENGINES / tag)
        if not dry_run:
            refuse_blocked(bundle.path / ENGINES / tag)  # not after minutes of building
        built = next(answers)
    engine = None if dry_run else _stored(bundle, request, facts, built)
    return Plan(tag, request.sizes, facts, engine)


def sizes_for(bundle: Bundle, asked: SizeRange | None) -> SizeRange:
    """The input sizes of an engine: those asked for, the bundle's own, or the usual ones.

    Raises:
        InputError: the bundle's size is another one, or a side is not of the needed multiple.
    """
    spec = bundle.spec
    if spec.size is not None:
        if asked is not None and {asked.least, asked.best, asked.most} != {spec.size}:
            fixed = "x".join(map(str, spec.size))
            raise InputError(f"sizes {asked}: the bundle's input is {fixed} and no other: leave --size out")
        return SizeRange(spec.size, spec.size, spec.size)
    if asked is None:
        return _usual_sizes(bundle)
    for side in (*asked.least, *asked.best, *asked.most):
        if side % spec.multiple:
            near = max(spec.multiple, round(side / spec.multiple) * spec.multiple)
            raise InputError(f"sizes {asked}: sides must be multiples of {spec.multiple}, such as {near}")
    return asked


def _usual_sizes(bundle: Bundle) -> SizeRange:
    """`_USUAL`, made wide enough for the golden frames: they prove the engine."""
    spec = bundle.spec
    least, best, most = ([-(-side // spec.multiple) * spec.multiple for side in size] for size in _USUAL)
    for frame in bundle.golden_frames():
        height, width = placed(frame.image, spec).pixels.shape[:2]
        least = [min(least[0], height), min(least[1], width)]
        most = [max(most[0], height), max(most[1], width)]
    return SizeRange((least[0], least[1]), (best[0], best[1]), (most[0], most[1]))


def default_timing_cache(target: Target) -> Path:
    """Where the builder's timings are kept: `$XDG_CACHE_HOME/lsu`, or `~/.cache/lsu`."""
    home = os.environ.get("XDG_CACHE_HOME") or ""
    return (Path(home) if Path(home).is_absolute() else Path.home() / ".cache") / "lsu" / f"{target}.timing"


def _request(bundle: Bundle, options: EngineOptions, *, dry_run: bool) -> tuple[BuildRequest, bytes]:
    plugin, name = None, MODEL
    if options.head == "plugin":
        name = MODEL_WITH_PLUGIN
        if bundle.manifest.head != "plugin":
            raise InputError(
                f"{bundle.path} has no {name}: export it with --head plugin, or use --head scores"
            )
        plugin = _plugin(options.plugin)
    cache = None
    if options.target == "tensorrt":
        cache = str((options.timing_cache or default_timing_cache(options.target)).absolute())
    request = BuildRequest(
        target=options.target,
        sms=tuple(sorted(set(options.sms))),
        sizes=sizes_for(bundle, options.sizes),
        batch=options.batch,
        precision=bundle.precision,
        head=options.head,
        plugin=plugin,
        timing_cache=cache,
        dry_run=dry_run,
    )
    return request, bundle.read(name)


def _plugin(given: Path | None) -> str:
    path = given or Path(lsu.runtime.__file__).with_name("liblsu_tensorrt.so")
    if not path.is_file():
        raise InputError(f"{path}: no such plugin library: give --plugin (docs/tensorrt_plugin.md builds it)")
    return str(path.absolute())


def _tag(request: BuildRequest, facts: dict[str, Any]) -> str:
    parts = engine_parts(request.precision, request.batch, request.head)
    return engine_tag(request.target, facts["library"], tuple(facts["sms"]), request.sizes, parts)


def _stored(
    bundle: Bundle, request: BuildRequest, facts: dict[str, Any], built: dict[str, Any]
) -> StoredEngine:
    try:
        own = version("lsu")
    except PackageNotFoundError:
        own = "unknown"
    manifest = EngineManifest(
        target=request.target,
        library=facts["library"],
        versions={"lsu": own, "python": platform.python_version(), request.target: facts["library"]},
        sms=tuple(facts["sms"]),
        platform=this_platform(),
        driver=facts["driver"],
        bundle=bundle.digest,
        precision=request.precision,
        head=request.head,
        batch=request.batch,
        sizes=request.sizes,
        plan=digest_of(built["plan"]),
        plan_bytes=len(built["plan"]),
        seconds=built["seconds"],
        log=tuple(built["log"]),
    )
    return write_engine(bundle, manifest, built["plan"])
