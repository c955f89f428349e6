"""Engines: one file per kind of thing that runs a bundle's network; its library is imported only there."""

from lsu.runtime.bundles.bundle import Bundle
from lsu.runtime.bundles.engine_manifest import TARGETS
from lsu.runtime.bundles.stored_engine import engines_of
from lsu.runtime.bundles.trust import Trust
from lsu.runtime.errors import BackendError, InputError, near_names
from lsu.runtime.model import Engine

BACKENDS = ("auto", "onnxruntime", *TARGETS)


def engine_for(
    bundle: Bundle,
    backend: str = "auto",
    *,
    threads: int | None = None,
    trust: Trust | None = None,
) -> Engine:
    """An engine that runs the bundle on this machine.

    Args:
        bundle: what is run.
        backend: one of `BACKENDS`; `auto` takes a stored engine that this machine can run, else onnxruntime.
        threads: CPU threads of the engine, all that this process may use if None.
        trust: whose signature a stored engine needs; None asks for what the bundle was opened with.

    Raises:
        InputError: the backend is unknown, the bundle has no engine for it, or an engine was changed.
        BackendError: its library or device is missing or cannot load the network.
    """
    if backend not in BACKENDS:
        raise InputError(f"unknown backend {backend!r}; {near_names(backend, BACKENDS)}")
    if backend != "onnxruntime":
        engine = _stored(bundle, backend, trust)
        if engine is not None:
            return engine
    from .ort import OnnxRuntimeEngine

    return OnnxRuntimeEngine(bundle, threads=threads)


def _stored(bundle: Bundle, backend: str, trust: Trust | None) -> Engine | None:
    """The stored engine of a backend; with `auto` none where none fits this machine."""
    from .tensorrt import TensorRTEngine, fitting_engine

    engines = engines_of(bundle, trust)
    there = {engine.manifest.target for engine in engines if engine.manifest.head == "scores"}
    for target in TARGETS:
        if backend == target or (backend == "auto" and target in there):
            try:
                chosen = fitting_engine(engines, target, bundle)
            except BackendError:
                if backend != "auto":
                    raise
            else:
                return TensorRTEngine(bundle, chosen)
    return None
