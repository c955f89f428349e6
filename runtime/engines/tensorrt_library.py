"""TensorRT and TensorRT-RTX as one: two modules of the same names, loaded where they are needed.

Builder, parser and runtime are called alike in TensorRT 10.3 to 11.4 and TensorRT-RTX 1.7; what only some of
them have is asked for by `getattr` where it is used.
"""

import importlib
from typing import Any

from lsu.runtime.bundles.engine_manifest import Target
from lsu.runtime.errors import BackendError, first_line

_MODULES: dict[Target, str] = {"tensorrt": "tensorrt", "tensorrt-rtx": "tensorrt_rtx"}
_OLDEST: dict[Target, tuple[int, int]] = {"tensorrt": (10, 3), "tensorrt-rtx": (1, 7)}
_REPAIRS: dict[Target, str] = {
    "tensorrt": "a Jetson has it in the system's Python (docs/jetson.md), else pip install 'lsu[tensorrt]'",
    "tensorrt-rtx": "pip install 'lsu[tensorrt-rtx]'",
}


def tensorrt_library(target: Target) -> Any:
    """The module `tensorrt` or `tensorrt_rtx`.

    Raises:
        BackendError: missing, not loadable, or older than what is served.
    """
    name = _MODULES[target]
    try:
        library = importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise BackendError(f"the Python module {name} is missing: {_REPAIRS[target]}") from error
    except Exception as error:  # its loader raises OSError, RuntimeError and others for missing libraries
        raise BackendError(f"{name} cannot be loaded: {first_line(error)}: {_REPAIRS[target]}") from error
    version, oldest = str(library.__version__), _OLDEST[target]
    if tuple(int(part) for part in version.split(".")[:2]) < oldest:
        raise BackendError(f"{name} {version} is older than {'.'.join(map(str, oldest))}: {_REPAIRS[target]}")
    return library


def kept_messages(library: Any) -> Any:
    """A logger for the library that prints nothing and keeps `warnings` and `errors`, lists of lines."""

    class KeptMessages(library.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            library.ILogger.__init__(self)
            self.warnings: list[str] = []
            self.errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            line = " ".join(message.split())
            if severity in (library.ILogger.Severity.INTERNAL_ERROR, library.ILogger.Severity.ERROR):
                self.errors.append(line)
            elif severity == library.ILogger.Severity.WARNING and line not in self.warnings:
                self.warnings.append(line)

    return KeptMessages()
