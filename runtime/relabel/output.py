"""The folder that a relabelling or a conversion writes: label files, a journal, and in the end a data set.

    labels/SPLIT/KEY.png        what the data set speaks of
    candidates/SPLIT/KEY.png    the answers before low confidence makes some void
    confidence/SPLIT/KEY.png    their relative confidence, 16 bits
    scores/                     the teacher's scores (score_store.py)

All but the first are there only where they were asked for.
"""

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lsu.runtime.datasets.dataset import Frame, Split
from lsu.runtime.datasets.frame_files import wildcards_of
from lsu.runtime.errors import InputError
from lsu.runtime.files import digest_of, read_bytes, refuse_blocked, toml_from_table, write_atomically
from lsu.runtime.label_space import LabelSpace
from lsu.runtime.relation import Relation

from .confidence import ClassConfidence
from .journal import Entry, Journal
from .score_file import checksum_of
from .summary import Summary

JOURNAL, SUMMARY = "journal.jsonl", "summary.json"
LABELS, CANDIDATES, CONFIDENCE, SCORES = "labels", "candidates", "confidence", "scores"


def digest_of_labels(split: Split) -> str:
    """What a journal holds against a later run: how the split's label files are read."""
    return digest_of(json.dumps([split.label_space.to_dict(), split.decoder.encoding]).encode())


class Output:
    """The labels of one split in a folder of their own.

    Args:
        folder: new, empty, or begun by the same request.
        split: whose frames are written.
        journal: what was done already.
    """

    def __init__(self, folder: Path, split: Split, journal: Journal) -> None:
        self.folder = folder
        self.split = split
        self._journal = journal

    @classmethod
    @contextmanager
    def opened(cls, folder: Path, split: Split, header: Mapping[str, Any]) -> Iterator["Output"]:
        """The folder, held by this process alone.

        Args:
            folder: the folder to write.
            split: whose frames are written.
            header: what was asked for; a folder of another request is refused.

        Raises:
            InputError: `folder` holds something else, or another process writes it.
        """
        refuse_blocked(folder)
        if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
            raise InputError(f"{folder} is not a folder: choose another --out")
        if folder.exists() and not (folder / JOURNAL).exists() and any(folder.iterdir()):
            raise InputError(f"{folder} is not empty and holds no labels of this kind: choose another --out")
        with Journal(folder / JOURNAL, header) as journal:
            for part in folder.rglob(".*.part"):  # left by a kill
                part.unlink()
            yield cls(folder, split, journal)

    def frames_left(self) -> list[Frame]:
        """The frames that are not done: no entry, or a file that is not the one it speaks of."""
        return [frame for frame in self.split.frames if not self._is_done(frame)]

    def write(self, frame: Frame, png: bytes, part: str = LABELS) -> str:
        """Write a frame's file in a part of the folder and return its digest; its entry is the caller's."""
        write_atomically(self.path(frame, part), png, durable=False)
        return digest_of(png)

    def path(self, frame: Frame, part: str = LABELS) -> Path:
        """A frame's file in a part of the folder, such as the labels."""
        return self.folder / part / self.split.name / f"{frame.key}.png"

    def finish(self, entries: Iterator[Entry], done: Callable[[int], object]) -> list[Entry]:
        """Journal the entries as they come, and return those of all frames, earlier runs' included."""
        for entry in entries:
            self._journal.add(entry)
            done(1)
        return [self._journal.done[frame.key] for frame in self.split.frames]

    def withdraw(self) -> None:
        """Make the folder no data set until its labels are written anew."""
        for name in ("dataset.toml", SUMMARY):
            (self.folder / name).unlink(missing_ok=True)

    def make_dataset(self, name: str, space: LabelSpace, entries: Sequence[Entry]) -> None:
        """Make the folder a data set: the original images by their absolute glob, and the written labels.

        Label files hold dense indices, so the label space is written anew with these as its ids.

        Raises:
            InputError: no frame is good.
        """
        split, frames = self.split, f"frames-{self.split.name}.txt"
        good = [entry.key for entry in entries if not entry.error]
        if not good:
            raise InputError(f"no frame could be used, the first because: {entries[0].error}")
        write_atomically(self.folder / frames, "".join(f"{key}\n" for key in good).encode())
        space_file = self.folder / "label_space.toml"
        write_atomically(space_file, space.with_dense_ids().to_toml().encode())
        table = {
            "name": name,
            "label_space": space_file.name,
            "splits": {
                split.name: {
                    "images": split.image_glob,
                    "labels": f"labels/{split.name}/{'/'.join(wildcards_of(split.image_glob))}.png",
                    "encoding": "ids",
                    "frames": frames,
                }
            },
        }
        write_atomically(self.folder / "dataset.toml", toml_from_table(table).encode())

    def summarise(
        self,
        entries: Sequence[Entry],
        relation: Relation | None,
        confidence: Sequence[ClassConfidence] | None = None,
    ) -> Summary:
        """The sum of all entries, written beside the labels too."""
        summary = Summary.from_entries(entries, relation, confidence)
        write_atomically(self.folder / SUMMARY, (json.dumps(summary.to_dict(), indent=2) + "\n").encode())
        return summary

    def _is_done(self, frame: Frame) -> bool:
        entry = self._journal.done.get(frame.key)
        if entry is None or not entry.digest:
            return False
        digests = {LABELS: entry.digest}
        if entry.confidence:  # the labels are made of these, in the end
            digests = {CANDIDATES: entry.digest, CONFIDENCE: entry.confidence}
        written = all(_has(self.path(frame, part), digest) for part, digest in digests.items())
        return written and self._has_scores(frame, entry)

    def _has_scores(self, frame: Frame, entry: Entry) -> bool:
        """Whether the kept scores are there; their directory alone is read, a reader verifies the rest."""
        if not entry.scores:
            return True
        with contextlib.suppress(InputError):
            path = self.folder / SCORES / self.split.name / f"{frame.key}.npz"
            return path.is_file() and checksum_of(path) == entry.scores
        return False


def _has(path: Path, digest: str) -> bool:
    return path.exists() and digest_of(read_bytes(path)) == digest
