"""A folder of stored scores: a teacher that was asked before, or that only somebody else can run.

    scores.json         what all files have in common
    label_space.toml    channel k is class k; a last channel more means void, where there is one
    SPLIT/KEY.npz       one frame (score_file.py); a key may hold slashes

docs/scores.md is the format for those who write one without lsu.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt

from lsu.runtime.bundles.strict_json import one_of, table_from_json, take
from lsu.runtime.errors import InputError
from lsu.runtime.files import digest_of, read_limited, refuse_unknown_keys
from lsu.runtime.label_space import LabelSpace
from lsu.runtime.model import ScoreKind, Size
from lsu.runtime.segmenter import Scores

from .score_file import checksum_of, read_scores

TABLE, SPACE, FORMAT = "scores.json", "label_space.toml", 1
StoredKind = Literal["logits", "probabilities", "log-probabilities"]
"""Half precision holds no probability below 6e-8; their logarithms are for those who constrain them."""
_KINDS = ("logits", "probabilities", "log-probabilities")
_MOST_OF_TABLE = 1 << 16
_SLACK = 0.01
"""How far beyond 0 and 1 a probability may lie: rounding of whoever made it, not another kind."""


@dataclass(frozen=True)
class ScoreStore:
    """A folder of scores that is read.

    Attributes:
        folder: where it lies.
        label_space: of the channels.
        kind: what the numbers in the files are.
        void_channel: the channel that means void, always the last one, or None.
    """

    folder: Path
    label_space: LabelSpace
    kind: StoredKind
    void_channel: int | None

    @property
    def channels(self) -> int:
        """Channels of each map: the classes and, if there is one, the void channel."""
        return len(self.label_space) + (self.void_channel is not None)

    @classmethod
    def open(cls, folder: Path) -> "ScoreStore":
        """The store in a folder.

        Raises:
            InputError: no such folder, a newer format, or a table that contradicts its label space.
        """
        path = folder / TABLE
        if folder.is_dir() and not path.exists():
            raise InputError(f"{folder} is no folder of scores: it has no {TABLE}; see docs/scores.md")
        table, where = table_from_json(read_limited(path, _MOST_OF_TABLE), str(path)), str(path)
        number = take(table, "format", int, where)
        if number != FORMAT:
            raise InputError(f"{path}: format {number} is not known, this lsu reads {FORMAT}: update it")
        refuse_unknown_keys(table, {"format", "kind", "void_channel", "label_space", "identity"}, where)
        name = take(table, "label_space", str, where)
        if "/" in name or not name.endswith(".toml"):
            raise InputError(f"{path}: label_space is {name!r}; the name of a TOML file beside it is needed")
        space = LabelSpace.load(folder / name)
        identity = take(table, "identity", str, where)
        if space.identity != identity:
            raise InputError(f"{path}: identity is {identity!r}; that of {name} is {space.identity!r}")
        void = len(space) if take(table, "void_channel", bool, where) else None
        return cls(folder, space, cast(StoredKind, one_of(table, "kind", _KINDS, where)), void)

    @property
    def read_kind(self) -> ScoreKind:
        """What `read` gives."""
        return "logits" if self.kind == "logits" else "probabilities"

    def path(self, split: str, key: str) -> Path:
        """The file of a frame, which need not be there.

        Raises:
            InputError: the names lead elsewhere.
        """
        parts = f"{split}/{key}".split("/")
        if any(not part or part.startswith(".") or not part.isprintable() for part in parts):
            raise InputError(
                f"frame {key!r} of split {split!r}: no part may be empty, start with '.' or hold "
                "unprintable characters"
            )
        return self.folder / split / f"{key}.npz"

    def read(self, split: str, key: str, size: Size) -> Scores:
        """The scores of a frame whose image has this (H, W), float32 [C,h,w], as `read_kind` says.

        Raises:
            InputError: its file is missing, damaged, or not of such an image.
        """
        path = self.path(split, key)
        scores = read_scores(path, size, channels=self.channels, identity=self.label_space.identity)
        self.check_range(scores.values, str(path))
        if self.kind == "log-probabilities":
            return Scores(np.exp(scores.values), scores.canvas)
        return scores

    def check_range(self, values: npt.NDArray[np.float32], where: str) -> None:
        """Raise InputError that names `where` when probabilities are far beyond 0 and 1."""
        low, high = float(values.min()), float(values.max())
        if self.kind == "probabilities" and (low < -_SLACK or high > 1 + _SLACK):
            raise InputError(
                f"{where}: probabilities are 0 to 1, these {low:.4g} to {high:.4g}: logits are another kind"
            )
        if self.kind == "log-probabilities" and high > _SLACK:
            raise InputError(f"{where}: logarithms of probabilities are at most 0, these reach {high:.4g}")

    def digest(self, split: str, keys: Iterable[str]) -> str:
        """What tells the scores of these frames from others: SHA-256 over the files' own checksums."""
        content: list[Any] = [self.kind, self.void_channel, self.label_space.identity]
        content += [(key, self._checksum(split, key)) for key in keys]
        return digest_of(json.dumps(content).encode())

    def _checksum(self, split: str, key: str) -> str:
        try:
            return checksum_of(self.path(split, key))
        except InputError:  # told frame by frame, when they are read
            return ""
