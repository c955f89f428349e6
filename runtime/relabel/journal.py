"""The journal of a relabelling: what was asked for, and what became of each frame.

The first line says which teacher, relation and data this is; a run that asks for something else is refused.
Each further line is one frame, written after its files. A line that a kill cut off is dropped, and its frame
is done again.
"""

import contextlib
import fcntl
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from lsu.runtime.errors import BackendError, InputError
from lsu.runtime.files import read_bytes, table_of


@dataclass(frozen=True)
class Entry:
    """What became of a frame.

    Attributes:
        key: the frame's key.
        digest: SHA-256 of the written label file, empty where the frame was skipped.
        counts: foreign label (dense index, 255 = void) -> pixels forced, chosen, void, agreeing.
        error: why the frame was skipped, empty where it was not.
        scores: checksum of the frame's kept scores, empty where they are not kept.
        confidence: SHA-256 of the written confidence, empty where there is none.
        sums: class -> what its confidence adds up to; see confidence.py.
    """

    key: str
    digest: str
    counts: Mapping[int, tuple[int, int, int, int]]
    error: str = ""
    scores: str = ""
    confidence: str = ""
    sums: Mapping[int, tuple[int, int, int]] = field(default_factory=dict)


class Journal:
    """The journal file of one output folder, held by one process at a time.

    Args:
        path: the file; it is made if it is not there.
        header: what was asked for, plain JSON types.

    Raises:
        InputError: the file belongs to another request or is in use by another process.
    """

    def __init__(self, path: Path, header: Mapping[str, Any]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Unbuffered: what could not be written must not be tried again when the file is closed.
        self._file = path.open("a+b", buffering=0)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._file.close()
            raise InputError(f"{path}: another process is relabelling into this folder") from error
        try:
            self.done = self._continued(path, header)
        except BaseException:
            self._file.close()
            raise

    def _continued(self, path: Path, header: Mapping[str, Any]) -> dict[str, Entry]:
        """The frames that are done; the file is cut to its whole lines and has a header afterwards."""
        data = read_bytes(path)
        whole = data[: data.rfind(b"\n") + 1]
        self._file.truncate(len(whole))
        if not whole:
            self._append(header)
            return {}
        first, *lines = whole.splitlines(keepends=True)
        entries, good = [], len(first)
        try:
            asked = table_of(json.loads(first), "the first line")
            for line in lines:  # what stands behind a damaged line, after a power cut say, is done again
                with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError):
                    entries.append(_entry_from_dict(json.loads(line)))
                    good += len(line)
                    continue
                break
        except (ValueError, InputError) as error:
            raise InputError(f"{path}: damaged journal; delete the folder to start anew") from error
        self._file.truncate(good)
        different = [key for key in {**asked, **header} if asked.get(key) != header.get(key)]
        if different:
            key = different[0]
            raise InputError(
                f"{path.parent} holds a relabelling with another {key} ({asked.get(key)!r}, now "
                f"{header.get(key)!r}): choose another --out, or delete it"
            )
        return {entry.key: entry for entry in entries}

    def add(self, entry: Entry) -> None:
        """Write down what became of a frame.

        Raises:
            BackendError: the disk refused it.
        """
        record: dict[str, Any] = {"key": entry.key}
        if entry.error:
            record["error"] = entry.error
        else:
            record["digest"] = entry.digest
            record["counts"] = {str(label): list(row) for label, row in entry.counts.items()}
            if entry.scores:
                record["scores"] = entry.scores
            if entry.confidence:
                record["confidence"] = entry.confidence
                record["sums"] = {str(k): list(row) for k, row in entry.sums.items()}
        self._append(record)
        self.done[entry.key] = entry

    def _append(self, record: Mapping[str, Any]) -> None:
        try:
            left = json.dumps(record).encode() + b"\n"
            while left:  # a nearly full disk takes a part and refuses the rest
                left = left[self._file.write(left) :]
        except OSError as error:
            raise BackendError(f"{self._file.name}: cannot be written: {error.strerror or error}") from error

    def __enter__(self) -> "Journal":
        """The journal itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file and let others have it."""
        self._file.close()


def _entry_from_dict(record: Mapping[str, Any]) -> Entry:
    counts = {int(label): tuple(row) for label, row in record.get("counts", {}).items()}
    if "error" not in record and "digest" not in record:
        raise KeyError("digest")
    sums = {int(k): (int(n), int(total), int(f)) for k, (n, total, f) in record.get("sums", {}).items()}
    return Entry(
        record["key"],
        record.get("digest", ""),
        counts,
        record.get("error", ""),
        record.get("scores", ""),
        record.get("confidence", ""),
        sums,
    )
