"""Engines: one file per kind of thing that runs a bundle's network; its library is imported only there."""

from lsu.runtime.bundle import Bundle
from lsu.runtime.errors import InputError, near_names
from lsu.runtime.model import Engine

BACKENDS = ("auto", "onnxruntime", "tensorrt", "tensorrt-rtx")


def engine_for(bundle: Bundle, backend: str = "auto", *, threads: int | None = None) -> Engine:
    """An engine that runs the bundle on this machine.

    Args:
        bundle: what is run.
        backend: one of `BACKENDS`; `auto` takes the best that is there, today onnxruntime.
        threads: CPU threads of the engine, all that this process may use if None.

    Raises:
        InputError: the backend is unknown or not available yet.
        BackendError: its library is missing or cannot load the network.
    """
    if backend in ("auto", "onnxruntime"):
        from .ort import OnnxRuntimeEngine

        return OnnxRuntimeEngine(bundle, threads=threads)
    if backend in BACKENDS:
        raise InputError(f"backend {backend!r} is not available yet: use onnxruntime")
    raise InputError(f"unknown backend {backend!r}; {near_names(backend, BACKENDS)}")
