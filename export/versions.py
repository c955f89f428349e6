"""Which versions made a bundle."""

import platform
from importlib.metadata import PackageNotFoundError, version


def versions_of(*packages: str) -> dict[str, str]:
    """The versions of lsu, Python and these packages; `unknown` for one that runs without being installed."""
    found = {"lsu": _version("lsu")} | {package: _version(package) for package in packages}
    return found | {"python": platform.python_version()}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"
