"""What a measurement says about the machine that it was taken on: processor, clocks, GPUs, versions."""

import os
import platform
import subprocess
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

LIBRARIES = (
    "lsu",
    "numpy",
    "opencv-python",
    "onnxruntime",
    "onnxruntime-gpu",
    "tensorrt",
    "tensorrt-rtx-cu13",
    "torch",
    "pycuda",
    "polygraphy",
)
"""Distributions whose version can change a figure."""

_CPU = Path("/sys/devices/system/cpu")
_GPU_FIELDS = ("name", "driver_version", "clocks.sm", "clocks.mem", "clocks.max.sm", "memory.total")


def processor() -> str:
    """The processor's name where Linux tells it, else its kind."""
    return _cpuinfo("model name")[:1][0] if _cpuinfo("model name") else platform.machine()


def clocks() -> dict[str, Any]:
    """Governors and MHz of the processors that this process may use, read now; None where nobody tells.

    A governor other than `performance`, or MHz that differ between two readings, make latencies doubtful.
    """
    used = sorted(os.sched_getaffinity(0))
    governors = {_read(_CPU / f"cpu{k}/cpufreq/scaling_governor") for k in used} - {""}
    kilohertz = [_read(_CPU / f"cpu{k}/cpufreq/scaling_cur_freq") for k in used]
    told = [float(text) / 1000 for text in kilohertz if text] or [float(t) for t in _cpuinfo("cpu MHz")]
    return {
        "governors": sorted(governors) or None,
        "mhz_least": min(told) if told else None,
        "mhz_most": max(told) if told else None,
    }


def gpus() -> list[dict[str, str]]:
    """Name, driver, clocks (MHz) and memory (MiB) of each NVIDIA GPU as nvidia-smi tells them now.

    Empty where there is none. A Jetson's nvidia-smi knows few of these: it then says `[N/A]`.
    """
    lines = said(["nvidia-smi", f"--query-gpu={','.join(_GPU_FIELDS)}", "--format=csv,noheader,nounits"])
    rows = [[cell.strip() for cell in line.split(",")] for line in lines.splitlines()]
    return [dict(zip(_GPU_FIELDS, row, strict=True)) for row in rows if len(row) == len(_GPU_FIELDS)]


def versions() -> dict[str, str]:
    """Python's version and those of the installed libraries that can change a figure."""
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def machine() -> dict[str, Any]:
    """All of the above, as plain JSON types."""
    return {
        "processor": processor(),
        "processors": len(os.sched_getaffinity(0)),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "clocks": clocks(),
        "gpus": gpus(),
        "versions": versions(),
    }


def said(command: Sequence[str]) -> str:
    """What a command prints, nothing if there is no such command or it does not end within 10 s."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()


def _cpuinfo(key: str) -> list[str]:
    lines = _read(Path("/proc/cpuinfo")).splitlines()
    return [line.partition(":")[2].strip() for line in lines if line.startswith(key)]


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
