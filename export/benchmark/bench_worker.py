"""A contender of a benchmark: one bundle on one backend in a process of its own, measured block by block.

The process is fresh, so its peak of memory is its own, and a library that one contender loads cannot slow
another. It works when it is told to and waits in between.
"""

import resource
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lsu.export.drawn import drawn_frames
from lsu.runtime.bundles.bundle import Bundle
from lsu.runtime.bundles.trust import Trust
from lsu.runtime.engines import engine_for
from lsu.runtime.errors import LsuError
from lsu.runtime.head import Head
from lsu.runtime.image import image_from_bytes, png_from_pixels
from lsu.runtime.mixed_cells import mixed_share
from lsu.runtime.model import Engine, ModelSpec, Size, placed

STAGES = ("decode", "fit", "copy_in", "engine", "head", "copy_out", "total")
"""In the order of work, but for `copy_out`, which comes before the head. `fit` pads or resizes the image."""
BLOCK, END = "block", "end"
DRAWN_SIZE = (512, 1024)
"""(H, W) of drawn frames for a network of free size."""

Times = dict[str, int]
Encoded = tuple[str, bytes]


@dataclass(frozen=True)
class Job:
    """What a contender does.

    Attributes:
        name: short and unique.
        bundle: the bundle's folder.
        backend: one of `engines.BACKENDS`.
        images: names and encoded files; without any, `frames` are drawn as the network takes them.
        frames: how many are drawn.
        warm_up: untimed runs before the first block.
        threads: of engine and head, all that the process may use if None.
        trust: whose signature the bundle needs.
    """

    name: str
    bundle: Path
    backend: str
    images: tuple[Encoded, ...] = ()
    frames: int = 10
    warm_up: int = 5
    threads: int | None = None
    trust: Trust | None = None


class Contender:
    """An engine and a head that answer encoded images and say how long each stage took."""

    def __init__(self, job: Job, clock: Callable[[], int] = time.perf_counter_ns) -> None:
        """Load the bundle, its engine and the images; `clock` gives nanoseconds.

        Raises:
            InputError: the bundle or the backend cannot be used.
            BackendError: the backend is not there.
        """
        self.bundle = Bundle.open(job.bundle, trust=job.trust or Trust())
        self._clock = clock
        self._images = job.images or drawn_images(self.bundle.spec, job.frames)
        self._engine: Engine = engine_for(self.bundle, job.backend, threads=job.threads, trust=job.trust)
        self._head = Head(job.threads)
        for k in range(job.warm_up):
            self._answered(self._images[k % len(self._images)])

    def block(self) -> list[Times]:
        """Nanoseconds per stage of each image; the first is run once more before, with nothing counted."""
        self._answered(self._images[0])
        return [self._answered(image)[0] for image in self._images]

    def about(self) -> dict[str, Any]:
        """What ran, as plain JSON types."""
        shares = []
        sizes = set()
        for image in self._images:
            _, scores, size = self._answered(image)
            shares.append(mixed_share(scores))
            sizes.add(f"{size[0]}x{size[1]}")
        kind = type(self._engine).__name__
        return {
            "digest": self.bundle.digest,
            "precision": self.bundle.precision,
            "engine": f"{kind} {getattr(self._engine, 'provider', '')}".strip(),
            "engine_identity": self._engine.identity,
            "image_sizes": sorted(sizes),
            "mixed_share": sum(shares) / len(shares),
            "copies_apart": hasattr(self._engine, "on_step"),
        }

    def close(self) -> None:
        """Free the engine."""
        self._engine.close()

    def _answered(self, image: Encoded) -> tuple[Times, npt.NDArray[np.float32], Size]:
        name, data = image
        marks = [self._clock()]
        pixels = image_from_bytes(data, Path(name))
        marks.append(self._clock())
        fitted = placed(pixels, self._engine.spec)
        marks.append(self._clock())
        scores, steps = self._inferred(fitted.pixels[np.newaxis])
        marks.append(self._clock())
        size = (pixels.shape[0], pixels.shape[1])
        self._head(scores, size, void_channel=self._engine.spec.void_channel, canvas=fitted.canvas)
        marks.append(self._clock())
        decode, fit, network, head = (b - a for a, b in pairwise(marks))
        times = {"decode": decode, "fit": fit, "engine": network, "head": head}
        if len(steps) == 2:  # after copy in and after the network; what follows is the copy out
            copy_in, engine = steps[0] - marks[2], steps[1] - steps[0]
            times |= {"copy_in": copy_in, "engine": engine, "copy_out": network - copy_in - engine}
        return {**times, "total": marks[-1] - marks[0]}, scores, size

    def _inferred(self, images: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.float32], list[int]]:
        steps: list[int] = []
        if hasattr(self._engine, "on_step"):
            self._engine.on_step = lambda: steps.append(self._clock())
        return self._engine.infer(images)[0], steps


def drawn_images(spec: ModelSpec, frames: int) -> tuple[Encoded, ...]:
    """Drawn frames as PNG, a little smaller than the input where the fit allows it."""
    sized = spec if spec.size else replace(spec, size=_rounded(DRAWN_SIZE, spec.multiple), multiple=1)
    pictures = drawn_frames(sized, frames)
    return tuple((f"drawn {k}", png_from_pixels(p, rgb=True)) for k, p in enumerate(pictures))


def serve(connection: Connection, job: Job) -> None:
    """The life of a contender's process: load, tell about itself, then a block whenever one is asked for."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent is interrupted too and ends this one
    try:
        contender = Contender(job)
        connection.send(contender.about())
        while connection.recv() == BLOCK:
            connection.send(contender.block())
        connection.send(peak_memory())
        contender.close()
    except LsuError as error:
        connection.send(error)
    except (EOFError, ConnectionError):  # the parent is gone, or has no more use for this one
        return


def peak_memory() -> int:
    """The most bytes of memory that this process has held at once.

    Linux's VmHWM: ru_maxrss counts what the parent held when it started this process.
    """
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    told = [line.split()[1] for line in lines if line.startswith("VmHWM:")]
    return int(told[0]) * 1024 if told else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def columns(blocks: Sequence[Times]) -> dict[str, list[int]]:
    """Stage -> its times, for the stages that were measured."""
    return {stage: [times[stage] for times in blocks] for stage in STAGES if stage in blocks[0]}


def _rounded(size: Size, multiple: int) -> Size:
    return (-(-size[0] // multiple) * multiple, -(-size[1] // multiple) * multiple)
