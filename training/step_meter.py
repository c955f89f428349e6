"""What the steps since the last report were like: their loss, their speed, and how long data kept them."""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from .frames import Batch


@dataclass(frozen=True)
class StepReport:
    """What a fit says of a step.

    Attributes:
        step: its number, counted from 1.
        loss: the mean loss since the last report.
        images_per_second: of all devices since the last report, scoring and saving left out.
        waiting: the share of that time that the first process waited for a batch, 0 to 1. On a GPU
            work that was started before may go on meanwhile, so this is the most that faster data could save.
        scores_left: scores without a better one until the fit stops, None without `fit.patience`.
    """

    step: int
    loss: float
    images_per_second: float
    waiting: float = 0.0
    scores_left: int | None = None


class StepMeter:
    """Measures steps from one report to the next."""

    def __init__(self) -> None:
        self._losses: list[Tensor] = []
        self._restart()

    def _restart(self) -> None:
        self._losses.clear()
        self._images, self._waited, self._since = 0, 0.0, time.monotonic()

    def waited(self, coming: Iterable[Batch]) -> Iterator[Batch]:
        """The same batches; the time until each came is noted."""
        batches = iter(coming)
        while True:
            begin = time.monotonic()
            batch = next(batches, None)
            self._waited += time.monotonic() - begin
            if batch is None:
                return
            yield batch

    def add(self, loss: Tensor, images: int) -> None:
        """One more step with its loss, float [], and its images."""
        self._losses.append(loss)
        self._images += images

    @contextmanager
    def paused(self) -> Iterator[None]:
        """What happens in here takes no time."""
        begin = time.monotonic()
        yield
        self._since += time.monotonic() - begin

    def take(self) -> tuple[Tensor, float, float]:
        """The mean loss, float [], images per second and the share of waiting; measuring starts anew."""
        loss = torch.stack(self._losses).mean()
        seconds = max(time.monotonic() - self._since, 1e-9)
        taken = loss, self._images / seconds, min(1.0, self._waited / seconds)
        self._restart()
        return taken
