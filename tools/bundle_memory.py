"""The resident memory that a bundle adds to a process: loaded by onnxruntime, and run on one image.

It is a program of its own, since memory is measured in a process that has done nothing else. The high water
mark is VmHWM of Linux, which begins anew with each program; `ru_maxrss` does not, and a child of a process
that holds torch would start with its parent's memory.

Example: python tools/bundle_memory.py town.bundle --size 512x1024
"""

import argparse
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime  # noqa: F401 - imported before the first measurement, as everything here

from lsu.runtime import InputError, Segmenter
from lsu.runtime.bundles.bundle import Bundle
from lsu.runtime.engines.ort import OnnxRuntimeEngine


def main() -> None:
    """Print the bytes that the bundle adds at the most."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--size", required=True, help="HxW of the image")
    arguments = parser.parse_args()
    height, width = (int(side) for side in arguments.size.split("x"))
    print(added_bytes(arguments.bundle, (height, width)))


def added_bytes(bundle: Path, size: tuple[int, int]) -> int:
    """VmHWM of this process after the bundle ran on one image, minus VmRSS before it was loaded.

    The CPU and one thread are used; the image is noise of this (H, W).
    """
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    before = told_by_linux("VmRSS")
    engine = OnnxRuntimeEngine(Bundle.open(bundle), threads=1, cpu=True)
    Segmenter(engine, threads=1).segment(image)
    return told_by_linux("VmHWM") - before


def added_bytes_in_fresh_process(bundle: Path, size: tuple[int, int]) -> int:
    """The same, measured in a new process.

    Raises:
        InputError: the bundle cannot be run.
    """
    command = [sys.executable, __file__, str(bundle), "--size", f"{size[0]}x{size[1]}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise InputError(f"{bundle}: memory was not measured: {(done.stderr.splitlines() or [''])[-1]}")
    return int(done.stdout)


def told_by_linux(field: str) -> int:
    """Bytes of a field of /proc/self/status."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))


if __name__ == "__main__":
    main()
