"""Early stopping: which weights scored best on validation, and for how many scores none were better."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor


@dataclass(frozen=True)
class Best:
    """The best score so far.

    Attributes:
        step: the step that it was reached after, 0 before there is one.
        score: the mean IoU, 0 to 1; a score without a pixel of a class counts as 0.
        stale: scores since then.
        weights: the state dictionary that scored it, on the CPU; empty before there is one.
    """

    step: int = 0
    score: float = -1.0
    stale: int = 0
    weights: Mapping[str, Tensor] = field(default_factory=dict)

    def judged(self, score: float | None, step: int, weights: Mapping[str, Tensor]) -> "Best":
        """What is best after one more score; weights are copied only where they are."""
        value = 0.0 if score is None else score
        if value <= self.score:
            return Best(self.step, self.score, self.stale + 1, self.weights)
        copied = {name: w.detach().to("cpu", copy=True) for name, w in weights.items()}
        return Best(step, value, 0, copied)
