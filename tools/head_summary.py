"""The asked levels of the head's speed against what a table of measurements says."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

OURS, DENSE, ONE_THREAD, COPY = "lsu", "lsu_dense", "lsu_1_thread", "copy"
OWN_WORK = "opencv_running_best"  # the fastest that we found to write with OpenCV, beside the plain use of it
NOISE, STUDENT = "noise", "student"
LABEL_NOISE = "label noise"
STRIDE, CLASSES, MOST_MIXED = 8, 19, 20.0


@dataclass(frozen=True)
class Row:
    """One contender in one race.

    Attributes:
        threads: of every contender, unless its name says otherwise.
        stride: of the scores.
        classes: how many.
        scores: `student`, `noise`, or `student, N % mixed`.
        mode: a relation or `free`, and what is asked besides it: `groups, margin`.
        rival: who.
        mixed_share: percent of the cells whose four corners have not one best class.
        untiled_share: the same of the map before it was made larger.
        median_ms: and the percentiles, milliseconds.
        p10_ms: see there.
        p90_ms: see there.
        ratio_to_ours: its median by that of `lsu` in the same race and mode.
        equal_share: percent of the pixels with the class of `lsu`, void ones aside; None for a copy.
        instructions: of one call, or None.
        repeats: timed calls.
    """

    threads: int
    stride: int
    classes: int
    scores: str
    mode: str
    rival: str
    mixed_share: float
    untiled_share: float
    median_ms: float
    p10_ms: float
    p90_ms: float
    ratio_to_ours: float
    equal_share: float | None
    instructions: int | None
    repeats: int


@dataclass(frozen=True)
class Level:
    """One line of the summary; `met` is empty where nothing was asked."""

    question: str
    scope: str
    asked: str
    measured: float
    met: str
    decided_by: str


@dataclass(frozen=True)
class _Figure:
    """A ratio and the row that it comes from."""

    value: float
    row: Row


def summary(rows: Sequence[Row]) -> list[Level]:
    """What was asked and what was measured: of several rows the worst one decides."""
    near = [r for r in rows if (r.stride, r.classes) == (STRIDE, CLASSES) and r.mixed_share <= MOST_MIXED]
    head = [r for r in near if r.threads == 1]
    scope = f"stride {STRIDE}, {CLASSES} classes, 1 thread, at most {MOST_MIXED:.0f} % mixed"
    everywhere = [r for r in rows if r.scores == STUDENT]
    free = [r for r in head if r.mode == "free"]
    plain = [r for r in head if "," not in r.mode]
    others = [f for f in _over_free(plain) if f.row.mode != "one_to_one"]
    levels = [
        _least("torch eager argmax / ours, free", scope, 100, _ratios(free, {"torch_argmax"})),
        _least("fastest rival / ours, free", scope, 25, _ratios(free, _rivals(free))),
        _least("fastest named rival / ours, free", scope, 25, _ratios(free, _rivals(free) - {OWN_WORK})),
        _most(
            "ours 1:1 / ours free", scope, 1.2, [f for f in _over_free(plain) if f.row.mode == "one_to_one"]
        ),
        _most("ours otherwise constrained / ours free", scope, 2, others),
        _least("dense constrained / ours constrained", scope, 1, _ratios(_constrained(plain), {DENSE})),
        _least(
            "dense constrained / ours constrained",
            "the student's maps, all strides, classes and threads",
            1,
            _ratios(_constrained([r for r in everywhere if "," not in r.mode]), {DENSE}),
        ),
        _least(
            "1 thread / 2 threads, ours free",
            scope.replace("1 thread", "2 threads"),
            1.8,
            _ratios([r for r in near if r.threads == 2 and r.mode == "free"], {ONE_THREAD}),
        ),
        _most("ours / dense", "score noise", 1.15, _inverse([r for r in rows if r.scores == NOISE])),
        _most(
            "ours / dense",
            "label noise on the student's maps",
            1.15,
            _inverse([r for r in everywhere if LABEL_NOISE in r.mode]),
        ),
    ]
    for extra in ("margin", "agreement", "float16"):
        levels.append(_most(f"ours with {extra} / without", scope, None, _over_plain(head, extra)))
    levels.append(_most("ours / copy of the answer, free", scope, None, _inverse(free, "copy_answer")))
    return [level for level in levels if level is not None]


def _rivals(rows: Iterable[Row]) -> set[str]:
    """Who is neither ours nor a copy."""
    return {r.rival for r in rows if not r.rival.startswith((OURS, COPY))}


def _constrained(rows: Iterable[Row]) -> list[Row]:
    return [r for r in rows if r.mode != "free"]


def _ratios(rows: Iterable[Row], rivals: set[str]) -> list[_Figure]:
    return [_Figure(r.ratio_to_ours, r) for r in rows if r.rival in rivals]


def _inverse(rows: Iterable[Row], rival: str = DENSE) -> list[_Figure]:
    return [_Figure(1 / r.ratio_to_ours, r) for r in rows if r.rival == rival]


def _race_of(row: Row) -> tuple[int, int, int, str]:
    return row.threads, row.stride, row.classes, row.scores


def _over_free(rows: Iterable[Row]) -> list[_Figure]:
    """Ours of every constrained mode by ours of the free one of the same race."""
    own = [r for r in rows if r.rival == OURS]
    free = {_race_of(r): r.median_ms for r in own if r.mode == "free"}
    return [_Figure(r.median_ms / free[_race_of(r)], r) for r in _constrained(own) if _race_of(r) in free]


def _over_plain(rows: Iterable[Row], extra: str) -> list[_Figure]:
    """Ours with an extra by ours without it, of the same race and relation."""
    own = [r for r in rows if r.rival == OURS]
    plain = {(_race_of(r), r.mode): r.median_ms for r in own}
    suffix = f", {extra}"
    return [
        _Figure(r.median_ms / plain[_race_of(r), r.mode.removesuffix(suffix)], r)
        for r in own
        if r.mode.endswith(suffix)
    ]


def _least(question: str, scope: str, asked: float, figures: list[_Figure]) -> Level | None:
    """The smallest figure decides; above 1 is asked where the level is 1."""
    if not figures:
        return None
    worst = min(figures, key=lambda figure: figure.value)
    met = worst.value > 1 if asked == 1 else worst.value >= asked
    return _level(question, scope, "> 1" if asked == 1 else f">= {asked:g}", worst, met)


def _most(question: str, scope: str, asked: float | None, figures: list[_Figure]) -> Level | None:
    """The largest figure decides."""
    if not figures:
        return None
    worst = max(figures, key=lambda figure: figure.value)
    if asked is None:
        return _level(question, scope, "", worst, None)
    return _level(question, scope, f"<= {asked:g}", worst, worst.value <= asked)


def _level(question: str, scope: str, asked: str, worst: _Figure, met: bool | None) -> Level:
    row = worst.row
    decided = f"{row.mode}; {row.rival}; {row.scores}; {row.mixed_share:.1f} % mixed; stride {row.stride}"
    decided += f"; {row.classes} classes; threads {row.threads}"
    answer = "" if met is None else "yes" if met else "no"
    return Level(question, scope, asked, round(worst.value, 3), answer, decided)
