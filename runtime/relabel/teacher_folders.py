"""The teachers that a command names: folders of bundles and of stored scores, opened as one teacher."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from lsu.runtime.bundles.bundle import Bundle
from lsu.runtime.bundles.trust import Trust
from lsu.runtime.datasets.dataset import Split
from lsu.runtime.engines import engine_for
from lsu.runtime.errors import InputError

from .score_store import TABLE
from .teachers import Ensemble, Network, StoredScores, Teacher, normalised_shares
from .views import BASE, View, views_from_text


@dataclass(frozen=True)
class TeacherFolders:
    """Which folders teach, in their order.

    Attributes:
        folders: each with whether it holds scores.
        shares: one for each, or None for equal ones.
        views: of the bundles.
    """

    folders: tuple[tuple[Path, bool], ...]
    shares: tuple[float, ...] | None
    views: tuple[View, ...]

    @classmethod
    def of(
        cls, folders: Sequence[Path], scores: Sequence[Path], *, shares: str = "", views: str = ""
    ) -> "TeacherFolders":
        """The teachers of a command.

        Args:
            folders: of bundles or of scores; the latter hold a scores.json.
            scores: folders of scores.
            shares: numbers such as `0.7,0.3` in the order `folders`, `scores`; empty for equal ones.
            views: further views of the bundles, see `views_from_text`.

        Raises:
            InputError: no folder, a share that is no number or not one for each, or views without a bundle.
        """
        named = [(path, (path / TABLE).exists()) for path in folders] + [(path, True) for path in scores]
        if not named:
            raise InputError("no teacher is named: give a bundle's folder, or --scores DIR")
        wanted = views_from_text(views)
        if wanted != (BASE,) and all(stored for _, stored in named):
            raise InputError(f"views {views!r} need a bundle: stored scores are as they are")
        numbers = _shares_from_text(shares) if shares else None
        normalised_shares(len(named), numbers)  # its checks
        return cls(tuple(named), numbers, wanted)

    def refuse_inside(self, out: Path) -> None:
        """Raise InputError when `out` lies in one of the folders."""
        for path, stored in self.folders:
            if path.resolve() in (out.resolve(), *out.resolve().parents):
                kind = "folder of scores" if stored else "bundle"
                raise InputError(f"{out} is inside the {kind}, which must not change: choose another --out")

    @contextmanager
    def opened(self, split: Split, trust: Trust, backend: str = "auto") -> Iterator[Teacher]:
        """The teacher of a split; its engines are closed in the end.

        Raises:
            InputError: a folder is damaged or not trusted, or the teachers do not belong together.
            BackendError: the backend is missing or cannot load a network.
        """
        with ExitStack() as stack:
            teachers: list[Teacher] = []
            for path, stored in self.folders:
                if stored:
                    teachers.append(StoredScores(path, split))
                    continue
                engine = engine_for(Bundle.open(path, trust=trust), backend)
                stack.callback(engine.close)
                teachers.append(Network(engine, self.views))
            yield teachers[0] if len(teachers) == 1 else Ensemble(teachers, self.shares)


def _shares_from_text(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise InputError(f"shares are {text!r}; numbers such as 0.7,0.3 are needed") from error
