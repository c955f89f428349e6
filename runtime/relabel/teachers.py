"""Teachers: whatever gives a frame's scores when a data set is relabelled.

A network, scores that were stored before, or several of both whose probabilities are averaged.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from lsu.runtime.datasets.dataset import Frame, Split
from lsu.runtime.errors import InputError
from lsu.runtime.label_space import LabelSpace
from lsu.runtime.model import Engine, ScoreKind
from lsu.runtime.segmenter import Scores, Segmenter

from .score_grid import probabilities_of, resampled
from .score_store import ScoreStore
from .views import BASE, View, check_views, merged_scores


class Teacher(Protocol):
    """Gives scores of frames, on a grid of its own; used by one thread."""

    @property
    def label_space(self) -> LabelSpace:
        """Channel k of the scores is class k."""

    @property
    def void_channel(self) -> int | None:
        """The channel that means void, always the last one, or None."""

    @property
    def kind(self) -> ScoreKind:
        """What the scores are."""

    def facts(self) -> dict[str, Any]:
        """What tells this teacher from others, plain JSON types, for the journal's header."""

    def check(self, split: Split) -> None:
        """Raise InputError when it cannot serve the split."""

    def scores(self, frame: Frame, image: npt.NDArray[np.uint8]) -> Scores:
        """The scores float32 [C,h,w] of a frame and its image uint8 [H,W,3] RGB.

        Raises:
            InputError: it has none for this frame or for an image of this size.
            BackendError: its device failed.
        """


class Network:
    """A network as a teacher; the engine stays the caller's to close.

    Args:
        engine: what runs it.
        views: see views.py; the base view is the first. With others its scores are probabilities.

    Raises:
        InputError: the first view is another one.
    """

    def __init__(self, engine: Engine, views: Sequence[View] = (BASE,)) -> None:
        if not views or views[0] != BASE:
            raise InputError("the first view must be the unscaled one, not mirrored")
        spec = engine.spec
        self.label_space, self.void_channel = spec.label_space, spec.void_channel
        self.kind: ScoreKind = spec.scores if len(views) == 1 else "probabilities"
        self._segmenter = Segmenter(engine, threads=1)
        self._views = tuple(views)

    def facts(self) -> dict[str, Any]:
        """The network's identity, its label space and the views."""
        return {
            "network": self._segmenter.engine.identity,
            "label_space": self.label_space.identity,
            "views": [str(view) for view in self._views],
        }

    def check(self, split: Split) -> None:  # noqa: ARG002 - a network serves all
        """Raise InputError when the network cannot take all views."""
        check_views(self._views, self._segmenter.engine.spec)

    def scores(self, frame: Frame, image: npt.NDArray[np.uint8]) -> Scores:  # noqa: ARG002
        """The network's own scores, or the mean of the views' probabilities."""
        return merged_scores(self._segmenter, image, self._views)


class StoredScores:
    """A folder of stored scores (docs/scores.md) as the teacher of one split.

    Args:
        folder: where they lie.
        split: whose frames they are.

    Raises:
        InputError: the folder is no such folder, or its table is damaged.
    """

    def __init__(self, folder: Path, split: Split) -> None:
        store = self._store = ScoreStore.open(folder)
        self._split = split
        self.label_space, self.void_channel = store.label_space, store.void_channel
        self.kind: ScoreKind = store.read_kind

    def facts(self) -> dict[str, Any]:
        """A digest over the scores of all frames, and their label space."""
        digest = self._store.digest(self._split.name, [frame.key for frame in self._split.frames])
        return {"scores": digest, "label_space": self.label_space.identity}

    def check(self, split: Split) -> None:
        """Raise InputError unless it is the split that this was made for and each frame has a file."""
        own = self._split
        if (split.dataset, split.name, split.frames) != (own.dataset, own.name, own.frames):
            raise InputError(f"{self._store.folder}: opened for split {own.name!r}, not {split.name!r}")
        paths = [self._store.path(split.name, frame.key) for frame in split.frames]
        missing = [path for path in paths if not path.is_file()]
        if missing:
            raise InputError(
                f"{len(missing)} of {len(paths)} frames have no stored scores, the first is {missing[0]}: "
                "write them, or leave these frames out of the split"
            )

    def scores(self, frame: Frame, image: npt.NDArray[np.uint8]) -> Scores:
        """The stored scores of a frame, of whose image only the size counts."""
        return self._store.read(self._split.name, frame.key, (image.shape[0], image.shape[1]))


class Ensemble:
    """The weighted mean of the members' probabilities, on the grid of the first.

    Each member's probabilities, over all channels, are taken on its own grid and then resampled.

    Args:
        teachers: one or more of the same label space, with a void channel all or none.
        shares: a number above 0 each, equal ones if None; only their ratios count.

    Raises:
        InputError: the members do not belong together, or not so many or other shares.
    """

    kind: ScoreKind = "probabilities"

    def __init__(self, teachers: Sequence[Teacher], shares: Sequence[float] | None = None) -> None:
        if not teachers:
            raise InputError("an ensemble without a teacher: give one or more")
        first, *others = self._teachers = tuple(teachers)
        self._shares = normalised_shares(len(teachers), shares)
        for number, other in enumerate(others, 2):
            other.label_space.require_same(first.label_space, f"teacher {number}", "teacher 1")
            if other.void_channel != first.void_channel:
                raise InputError(
                    f"of teacher 1 and teacher {number} only one has a void channel: all or none must have it"
                )
        self.label_space, self.void_channel = first.label_space, first.void_channel

    def facts(self) -> dict[str, Any]:
        """The members' facts and their shares."""
        return {
            "ensemble": [teacher.facts() for teacher in self._teachers],
            "shares": list(self._shares),
            "label_space": self.label_space.identity,
        }

    def check(self, split: Split) -> None:
        """Raise InputError when a member cannot serve the split."""
        for teacher in self._teachers:
            teacher.check(split)

    def scores(self, frame: Frame, image: npt.NDArray[np.uint8]) -> Scores:
        """The mean, float32 [C,h,w] on the first member's grid."""
        members = [probabilities_of(t.scores(frame, image), t.kind) for t in self._teachers]
        base = members[0]
        total = base.values * np.float32(self._shares[0])
        for member, share in zip(members[1:], self._shares[1:], strict=True):
            total += resampled(member, base) * np.float32(share)
        return Scores(total, base.canvas)


def normalised_shares(count: int, shares: Sequence[float] | None) -> tuple[float, ...]:
    """A share for each of so many teachers; their sum is 1.

    Raises:
        InputError: not so many, or one is not a finite number above 0.
    """
    if shares is None:
        return (1 / count,) * count
    if len(shares) != count:
        raise InputError(f"{len(shares)} shares for {count} teachers: give one to each")
    if not all(0 < share < 1e100 for share in shares):
        raise InputError(f"shares are {', '.join(f'{s:g}' for s in shares)}; numbers above 0 are needed")
    total = math.fsum(shares)
    return tuple(share / total for share in shares)
