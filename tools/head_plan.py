"""Which races are run, and which questions are put in each.

A rival that enlarges all scores takes the same time whatever the scores and the relation are. So all rivals
race in all modes only where the levels are asked (stride 8, 19 classes, one thread, the student's map). They
race free everywhere, and with one relation, `groups`, on one thread at stride 8 and on maps of fixed shares.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product

import numpy as np
from head_modes import CONSTRAINTS, Labels, with_label_noise
from head_rivals import Task
from head_scores import Scores
from head_summary import CLASSES, LABEL_NOISE, NOISE, STRIDE, STUDENT

SHARES = (0.05, 0.1, 0.2, 0.35, 1.0)
EXTRAS = ("free", "groups")  # measured with margin, with agreement and with float16 scores too
NOISY = ("one_to_one", "idd_lite", "groups", "all_but_next")  # measured with label noise too
COUNTED = ("free", "one_to_one", "groups")  # whose instructions are counted

Given = tuple[str | None, ...]
FREE: dict[str, Given] = {"free": (None,)}
GROUPS: dict[str, Given] = FREE | {"groups": ("mask",)}
BOTH: dict[str, Given] = FREE | {"groups": ("mask", "gather")}
ALL: dict[str, Given] = dict.fromkeys(CONSTRAINTS, ("mask",)) | BOTH


@dataclass(frozen=True)
class Setting:
    """One race.

    Attributes:
        threads: of every contender.
        stride: of the scores.
        classes: how many.
        share: of mixed cells; None for the student's map as it is.
        rivals: by mode, the ways in which rivals get the constraint; no rivals race in other modes.
    """

    threads: int
    stride: int
    classes: int
    share: float | None = None
    rivals: Mapping[str, Given] = field(default_factory=dict)

    @property
    def thorough(self) -> bool:
        """Whether the levels are asked here: with extras and label noise."""
        return (self.stride, self.classes) == (STRIDE, CLASSES) and self.share in (None, 1)

    @property
    def scores(self) -> str:
        """What the scores are, for the table."""
        if self.share is None:
            return STUDENT
        return NOISE if self.share == 1 else f"{STUDENT}, {self.share:.0%} mixed"


@dataclass(frozen=True, eq=False)
class Question:
    """A mode of one setting; `half` asks for float16 scores, `extras` for margin or agreement."""

    mode: str
    task: Task
    half: bool = False
    extras: tuple[str, ...] = ()


def settings(threads: Sequence[int], strides: Sequence[int], classes: Sequence[int]) -> list[Setting]:
    """All races: the student's map everywhere, the fixed shares where the levels are asked."""
    chosen = []
    for count, stride, number in product(threads, strides, classes):
        asked = (stride, number) == (STRIDE, CLASSES)
        rivals = (
            (ALL if count == 1 else BOTH) if asked else GROUPS if (count, stride) == (1, STRIDE) else FREE
        )
        chosen.append(Setting(count, stride, number, rivals=rivals))
        for share in SHARES if asked else ():
            chosen.append(Setting(count, stride, number, share, GROUPS if count == 1 else {}))
    return chosen


def quick_settings(threads: Sequence[int], strides: Sequence[int], classes: Sequence[int]) -> list[Setting]:
    """The student's map and noise, with few rivals."""
    chosen = []
    for count, stride, number in product(threads, strides, classes):
        chosen.append(Setting(count, stride, number, rivals=GROUPS if count == 1 else {}))
        chosen.append(Setting(count, stride, number, 1.0))
    return chosen


def questions(
    setting: Setting, scores: Scores, truth: Labels, rng: np.random.Generator, size: tuple[int, int]
) -> Iterator[Question]:
    """All modes of a setting."""
    tasks = {"free": Task(scores, size)}
    tasks |= {name: Task(scores, size, make(truth, setting.classes)) for name, make in CONSTRAINTS.items()}
    for mode, task in tasks.items():
        yield Question(mode, task)
    if not setting.thorough:
        return
    for mode in EXTRAS:
        yield Question(f"{mode}, margin", tasks[mode], extras=("margin",))
        yield Question(f"{mode}, agreement", tasks[mode], extras=("agreement",))
        yield Question(f"{mode}, float16", tasks[mode], half=True)
    for mode in NOISY:
        noisy = with_label_noise(CONSTRAINTS[mode](truth, setting.classes), rng)
        yield Question(f"{mode}, {LABEL_NOISE}", Task(scores, size, noisy))
