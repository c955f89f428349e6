"""The learning rate of each step: pure functions of the configuration and the step's number."""

import math

from .config import FitConfig

POLY_POWER = 0.9
"""Chen et al. 2017 (DeepLab), arXiv 1606.00915, section 4.1."""

_RISE, _START, _END = 0.3, 25.0, 1e4
"""One-cycle: the share of steps that rise, and by how much start and end lie below the peak and the start."""


def learning_rate(config: FitConfig, step: int) -> float:
    """The learning rate of step 0, 1, ...: a linear rise over `warmup_steps`, then the schedule.

    `cosine` falls to 0 as half a cosine (Loshchilov and Hutter 2017, arXiv 1608.03983, equation 5 with one
    period), `poly` as (1 - share of steps) ** 0.9 (POLY_POWER), `constant` stays.

    `one-cycle` rises and falls by half cosines over all steps (Smith and Topin 2018, arXiv 1708.07120,
    section 3, with the shape and the constants of torch.optim.lr_scheduler.OneCycleLR); it starts low by
    itself, and a warm-up lowers its first steps further.
    """
    peak, warmup = config.learning_rate, config.warmup_steps
    if config.schedule == "one-cycle":
        rise = min(1.0, (step + 1) / warmup) if warmup else 1.0
        return peak * rise * _one_cycle(step, config.steps)
    if step < warmup:
        return peak * (step + 1) / warmup
    done = (step - warmup) / max(1, config.steps - warmup)
    if config.schedule == "cosine":
        return peak * 0.5 * (1 + math.cos(math.pi * done))
    if config.schedule == "poly":
        return peak * float((1 - done) ** POLY_POWER)
    return peak


def _one_cycle(step: int, steps: int) -> float:
    """The share of the peak at a step; the peak is reached after `_RISE` of the steps."""
    top, last = _RISE * steps - 1, steps - 1
    if step <= top:
        return _between(1 / _START, 1.0, step / top)
    return _between(1.0, 1 / (_START * _END), (step - top) / (last - top))


def _between(start: float, end: float, share: float) -> float:
    """Half a cosine from `start` at share 0 to `end` at share 1."""
    return end + (start - end) * 0.5 * (1 + math.cos(math.pi * share))
