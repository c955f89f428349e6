"""The proof of a bundle on this machine: everybody who can answer is compared with one reference.

The reference is onnxruntime on the CPU followed by our head. Compared are the portable head in ONNX, torch
from the checkpoint, every engine that runs here, and other bundles of the same label space; whoever cannot
answer is listed with the reason.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from lsu.runtime.bundles.bundle import Bundle
from lsu.runtime.bundles.manifest import Precision
from lsu.runtime.errors import InputError, LsuError
from lsu.runtime.machine import machine
from lsu.runtime.mixed_cells import mixed_share

from .answers import FREE, Answer, Backend, StoredBackend
from .comparison import Comparing, Comparison, Tally
from .material import Asked, Material, golden_name
from .participants import REFERENCE, Absent, Others, Participant, Roll, reference_of, roll_of
from .scores_check import ATOL, RTOL, ScoresCheck, Tolerance, checked_scores, polygraphy_there

LEAST_EQUAL: dict[Precision, float] = {"float32": 0.9999, "float16": 0.995, "int8": 0.97}
"""The asked share of equal pixels, over all images, by the lower precision of the two that are compared."""
WORST = 3


@dataclass(frozen=True)
class Options:
    """What a user may choose.

    Attributes:
        agreement: the asked share of equal pixels, 0 to 1; `LEAST_EQUAL` if None.
        rtol: of Polygraphy's check of the scores; by precision if None.
        atol: alike, in the unit of the scores.
        worst: how many images are kept to be looked at, of each comparison.
    """

    agreement: float | None = None
    rtol: float | None = None
    atol: float | None = None
    worst: int = WORST

    def __post_init__(self) -> None:
        if self.agreement is not None and not 0 <= self.agreement <= 1:
            raise InputError(f"agreement is {self.agreement}; a share from 0 to 1 is needed, such as 0.9999")
        for name, value in (("rtol", self.rtol), ("atol", self.atol)):
            if value is not None and not (math.isfinite(value) and value >= 0):
                raise InputError(f"{name} is {value}; 0 or more is needed, such as 0.001")

    def least(self, precision: Precision) -> float:
        """The asked share of equal pixels."""
        return LEAST_EQUAL[precision] if self.agreement is None else self.agreement

    def tolerance(self, precision: Precision) -> Tolerance:
        """Of Polygraphy's check."""
        return Tolerance(
            RTOL[precision] if self.rtol is None else self.rtol,
            ATOL[precision] if self.atol is None else self.atol,
        )


@dataclass(frozen=True, eq=False)
class Verification:
    """What was found.

    Attributes:
        bundle: what was verified.
        material: on which images.
        mixed_shares: the share of mixed cells of the reference's scores, one per image.
        comparisons: one per backend and mode.
        absent: who could not be compared, and why.
        tolerances: Polygraphy's, by backend; empty where it is not installed.
        machine: where.
    """

    bundle: Bundle
    material: Material
    mixed_shares: tuple[float, ...]
    comparisons: tuple[Comparison, ...]
    absent: tuple[Absent, ...]
    tolerances: Mapping[str, Tolerance]
    machine: Mapping[str, Any]

    @property
    def mixed_share(self) -> float:
        """The mean share of mixed cells."""
        return sum(self.mixed_shares) / len(self.mixed_shares)

    @property
    def passed(self) -> bool:
        """Whether somebody was compared, everybody agrees, and nobody failed on the way."""
        agree = all(comparison.passed for comparison in self.comparisons)
        return bool(self.comparisons) and agree and not any(entry.failed for entry in self.absent)

    def to_dict(self) -> dict[str, Any]:
        """Everything but the pictures as plain JSON types."""
        return {
            "format": 1,
            "passed": self.passed,
            "bundle": {
                "path": str(self.bundle.path),
                "name": self.bundle.name,
                "digest": self.bundle.digest,
                "precision": self.bundle.precision,
            },
            "reference": f"{REFERENCE} and our head",
            "images": {
                "source": self.material.source,
                "count": len(self.mixed_shares),
                "truth": "labels" if self.material.labelled else "the reference's answer",
                "label_space": self.material.label_space.name,
                "relation": None if self.material.relation is None else self.material.relation.name,
                "mixed_share": self.mixed_share,
                "mixed_shares": list(self.mixed_shares),
            },
            "comparisons": [comparison.to_dict() for comparison in self.comparisons],
            "absent": [vars(entry) for entry in self.absent],
            "polygraphy": {name: vars(tolerance) for name, tolerance in self.tolerances.items()} or None,
            "machine": dict(self.machine),
        }


def verify(
    bundle: Bundle,
    material: Material,
    others: Others | None = None,
    options: Options | None = None,
    on_image: Callable[[], object] = lambda: None,
) -> Verification:
    """Compare everybody with the reference on every image.

    Args:
        bundle: what is verified.
        material: the images, from `golden_material` or `split_material`.
        others: who is asked besides what the bundle holds.
        options: what is asked of them.
        on_image: called after each image.

    Raises:
        InputError: an image, a checkpoint or another bundle does not fit, or there is nobody to compare.
        BackendError: the reference cannot be run here.
    """
    others, options = others or Others(), options or Options()
    reference = reference_of(bundle, threads=others.threads)
    try:
        roll = roll_of(bundle, others)
        try:
            if material.golden:
                roll.present.insert(0, _stored(bundle))
            _refuse_nobody(roll)
            return _compared(bundle, material, reference, roll, options=options, on_image=on_image)
        finally:
            roll.close()
    finally:
        reference.close()


def _stored(bundle: Bundle) -> Participant:
    frames = {golden_name(number): frame for number, frame in enumerate(bundle.golden_frames())}
    return Participant(StoredBackend("stored in the bundle", frames), bundle.precision)


def _refuse_nobody(roll: Roll) -> None:
    if not roll.present:
        reasons = "; ".join(f"{entry.name}: {entry.reason}" for entry in roll.absent)
        raise InputError(
            "nobody to compare with the reference: give --checkpoint or --against, export with "
            f"--head function, or build an engine ({reasons})"
        )


class _Contest:
    """One participant's comparisons while images come in."""

    def __init__(self, participant: Participant, material: Material, options: Options) -> None:
        self.backend = participant.backend
        self.tolerance = options.tolerance(participant.precision)
        self._least, self._worst = options.least(participant.precision), options.worst
        self._material = material
        self._modes: dict[str, Comparing] = {}
        self._tally = Tally(material.label_space)
        self._checks: list[ScoresCheck] = []

    def add(self, asked: Asked, reference: Answer) -> None:
        """One more image."""
        question, answer = asked.question, self.backend.answer(asked.question)
        for mode in answer.classes:
            if mode not in self._modes:
                self._modes[mode] = Comparing(self.backend.name, mode, least=self._least, worst=self._worst)
            self._modes[mode].add(question.name, question.image, reference, answer)
        classes, truth = self._material.scored(answer.classes[FREE], reference.classes[FREE], asked)
        self._tally.add(truth, classes)
        if polygraphy_there():
            self._checks.append(checked_scores(answer.scores, reference.scores, self.tolerance))

    def comparisons(self, reference: Tally) -> list[Comparison]:
        """What follows from all images; IoU and the scores' check stand with the free mode."""
        free = self._modes[FREE].comparison(self._tally.evaluation(), reference.evaluation(), self._checks)
        return [free, *(seen.comparison() for mode, seen in self._modes.items() if mode != FREE)]


def _compared(  # noqa: PLR0913 - what `verify` has prepared
    bundle: Bundle,
    material: Material,
    reference: Backend,
    roll: Roll,
    *,
    options: Options,
    on_image: Callable[[], object],
) -> Verification:
    contests = [_Contest(participant, material, options) for participant in roll.present]
    tally, mixed = Tally(material.label_space), []
    absent = list(roll.absent)
    for asked in material.asked():
        answer = reference.answer(asked.question)
        classes, truth = material.scored(answer.classes[FREE], answer.classes[FREE], asked)
        tally.add(truth, classes)
        mixed.append(mixed_share(answer.scores))
        for contest in list(contests):
            try:
                contest.add(asked, answer)
            except LsuError as error:
                contests.remove(contest)
                reason = f"failed on {asked.question.name}: {error}"
                absent.append(Absent(contest.backend.name, reason, failed=True))
        on_image()
    return Verification(
        bundle=bundle,
        material=material,
        mixed_shares=tuple(mixed),
        comparisons=tuple(entry for contest in contests for entry in contest.comparisons(tally)),
        absent=tuple(absent),
        tolerances={c.backend.name: c.tolerance for c in contests} if polygraphy_there() else {},
        machine=machine(),
    )
