"""Writing a folder of stored scores, as a relabelling keeps them or as any program makes them."""

import io
import json
from pathlib import Path
from typing import get_args

import numpy as np
import numpy.typing as npt

from lsu.runtime.errors import InputError
from lsu.runtime.files import left_by_a_kill, read_bytes, write_atomically
from lsu.runtime.label_space import LabelSpace
from lsu.runtime.model import ScoreKind, Size
from lsu.runtime.segmenter import Scores

from .score_file import bytes_from_scores, checksum_of
from .score_store import FORMAT, SPACE, TABLE, ScoreStore, StoredKind


class ScoreWriter:
    """Writes a store, one frame at a time and from any thread; one that was begun alike is continued.

    Args:
        folder: new, empty, or a store of the same label space and kind.
        label_space: channel k is class k.
        kind: what the numbers are.
        void_channel: whether there is a channel more, the last, that means void.

    Raises:
        InputError: the folder holds something else.
        BackendError: the disk refused it.
    """

    def __init__(
        self, folder: Path, label_space: LabelSpace, *, kind: StoredKind, void_channel: bool = False
    ) -> None:
        void = len(label_space) if void_channel else None
        if kind not in get_args(StoredKind):
            raise InputError(f"unknown kind of scores {kind!r}; known: {', '.join(get_args(StoredKind))}")
        self.store = ScoreStore(folder, label_space, kind, void)
        table = {
            "format": FORMAT,
            "kind": kind,
            "void_channel": void_channel,
            "label_space": SPACE,
            "identity": label_space.identity,
        }
        if (folder / TABLE).exists():
            held = ScoreStore.open(folder)
            held.label_space.require_same(label_space, str(folder), "the teacher")
            if (held.kind, held.void_channel) != (kind, void):
                raise InputError(f"{folder} holds scores of another kind: choose another folder")
            return
        space = label_space.to_toml().encode()
        _refuse_others(folder, space)
        write_atomically(folder / SPACE, space)
        write_atomically(folder / TABLE, (json.dumps(table, indent=2) + "\n").encode())

    def write(
        self,
        split: str,
        key: str,
        values: npt.NDArray[np.float32] | npt.NDArray[np.float16],
        size: Size,
        *,
        canvas: Size | None = None,
    ) -> str:
        """Write the scores of a frame and return their checksum.

        Args:
            split: the name of the split.
            key: the frame's key.
            values: [C,h,w]; rounded to float16, what is beyond it becomes the largest finite half.
            size: the image's (H, W).
            canvas: the (H, W) in pixels of the image that the values cover, `size` if None.

        Raises:
            InputError: not so many channels, a score is not finite, or a probability beyond 0 and 1.
            BackendError: the disk refused it.
        """
        store = self.store
        if values.ndim != 3 or values.shape[0] != store.channels or not values.size:
            raise InputError(f"scores have shape {list(values.shape)}; [{store.channels}, h, w] is needed")
        scores = Scores(np.asarray(values, np.float32), canvas or size)
        store.check_range(scores.values, f"frame {key!r}")
        data = bytes_from_scores(scores, size, store.label_space.identity)
        write_atomically(store.path(split, key), data, durable=False)
        return checksum_of(io.BytesIO(data))


def kept_kind(kind: ScoreKind) -> StoredKind:
    """As what scores are kept: of probabilities the logarithms, in which small ones do not vanish."""
    return "logits" if kind == "logits" else "log-probabilities"


def kept_values(values: npt.NDArray[np.float32], kind: ScoreKind) -> npt.NDArray[np.float32]:
    """Scores float32 [C,h,w] as `kept_kind` has them; a probability of 0 becomes 1e-38."""
    return values if kind == "logits" else np.minimum(np.log(np.maximum(values, np.float32(1e-38))), 0)


def _refuse_others(folder: Path, space: bytes) -> None:
    """Raise InputError unless the folder is new, empty, or what a kill left of a store's beginning."""
    for path in folder.iterdir() if folder.is_dir() else ():
        begun = path.name == SPACE and read_bytes(path) == space
        if not begun and not left_by_a_kill(path):
            raise InputError(f"{folder} is not empty and holds no scores: choose another folder")
