"""Polygraphy's comparators on scores, where Polygraphy is installed: a second opinion by other hands.

It asks of each score |a - b| <= atol + rtol * |b|. That is stricter than equal classes, on which the
verdict rests: a score may move where no class changes.
"""

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
import numpy.typing as npt

from lsu.runtime.bundles.manifest import Precision

RTOL: dict[Precision, float] = {"float32": 1e-3, "float16": 2e-2, "int8": 1e-1}
ATOL: dict[Precision, float] = {"float32": 1e-3, "float16": 5e-2, "int8": 1.0}
"""By the precision of the weights; in the unit of the scores."""


@dataclass(frozen=True)
class Tolerance:
    """What is allowed between two scores: |a - b| <= atol + rtol * |b|."""

    rtol: float
    atol: float


@dataclass(frozen=True)
class ScoresCheck:
    """Polygraphy's verdict on one image's scores.

    Attributes:
        passed: every score is within the tolerance.
        max_absdiff: the largest difference.
        mean_absdiff: the mean one.
        max_reldiff: the largest difference as a share of the reference's score.
        mean_reldiff: the mean one.
    """

    passed: bool
    max_absdiff: float
    mean_absdiff: float
    max_reldiff: float
    mean_reldiff: float

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON types."""
        return dict(vars(self))


def polygraphy_there() -> bool:
    """Whether Polygraphy is installed."""
    return find_spec("polygraphy") is not None


def checked_scores(
    other: npt.NDArray[np.float32], reference: npt.NDArray[np.float32], tolerance: Tolerance
) -> ScoresCheck:
    """What Polygraphy says of scores float32 [C,h,w] against the reference's.

    Scores of different shapes fail with infinite differences; Polygraphy would broadcast them.
    """
    if other.shape != reference.shape:
        return ScoresCheck(False, *[float("inf")] * 4)
    from polygraphy import comparator
    from polygraphy.logger import G_LOGGER

    # Up to 0.49 it was made by a method of CompareFunc, which newer versions warn of.
    simple: Any = getattr(comparator, "SimpleCompareFunc", None) or comparator.CompareFunc.simple
    with G_LOGGER.verbosity(G_LOGGER.CRITICAL):  # it would print on stdout
        compare = simple(rtol=tolerance.rtol, atol=tolerance.atol, check_error_stat="elemwise")
        answers = (comparator.IterationResult({"scores": scores}) for scores in (other, reference))
        result = compare(*answers)["scores"]
    figures = (result.max_absdiff, result.mean_absdiff, result.max_reldiff, result.mean_reldiff)
    return ScoresCheck(bool(result), *(float(figure) for figure in figures))
