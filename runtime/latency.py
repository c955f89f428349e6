"""Latencies: what is told of many measurements of one stage. A mean says nothing about a deadline."""

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Latency:
    """Milliseconds of one stage; percentiles are nearest ranks, so each of them was measured."""

    p50: float
    p95: float
    p99: float
    max: float

    @classmethod
    def of(cls, nanoseconds: Sequence[int]) -> "Latency":
        """The summary of one or more measurements: p is the ceil(p * n)-th smallest of n."""
        ordered = sorted(nanoseconds)
        ranks = (math.ceil(share * len(ordered) / 100) - 1 for share in (50, 95, 99, 100))
        return cls(*(ordered[rank] / 1e6 for rank in ranks))
