"""The folder of a fit: what its files are called, and the checkpoint of an earlier call in it."""

import json
import re
from pathlib import Path

from lsu.runtime import InputError
from lsu.runtime.files import refuse_blocked

from .checkpoint import Checkpoint
from .config import Config

FINISHED, UNFINISHED = "checkpoint.safetensors", "unfinished.safetensors"
"""The result, and what `--resume` continues from; the second is gone when the first is there."""

LOG, SCORE, CURVES, CONFUSION = "log.jsonl", "score.json", "curves.png", "confusion.png"
"""The numbers of the steps, the last evaluation, and what is drawn of both."""

_MAY_CHANGE = {"output", "fit.workers", "fit.save_every", "fit.score_every", "fit.check_data"}
"""Settings that a continued fit may have changed: they do not touch the weights."""


_READ = re.compile(r"network\.members\.\d+\.(network|classes)\b")
"""Keys that a fit fills in from files; those of the checkpoint hold."""


def earlier_checkpoint(folder: Path, config: Config, *, resume: bool) -> Checkpoint | None:
    """The finished checkpoint, else the one to continue from, or None to start anew.

    Raises:
        InputError: there is a fit and `resume` was not asked for, or it is a fit of another configuration.
    """
    refuse_blocked(folder)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is not a folder: choose another output")
    found = [folder / name for name in (FINISHED, UNFINISHED) if (folder / name).exists()]
    if not found:
        return None
    if not resume:
        raise InputError(f"{found[0]} is there already: add --resume, or choose another output")
    checkpoint = Checkpoint.load(found[0])
    ours, theirs = _flat(config.model_dump(mode="json")), _flat(checkpoint.config.model_dump(mode="json"))
    may_change = _MAY_CHANGE - ({"fit.score_every"} if config.fit.patience else set())  # it counts scores
    for key in {**theirs, **ours}:
        if key not in may_change and not _READ.match(key) and ours.get(key) != theirs.get(key):
            raise InputError(
                f"{found[0]} was made with {key} = {json.dumps(theirs.get(key))}, now it is "
                f"{json.dumps(ours.get(key))}: choose another output"
            )
    return checkpoint


def _flat(table: object, prefix: str = "") -> dict[str, object]:
    """Nested tables and lists of tables as `dotted.key` -> value."""
    if isinstance(table, list) and table and isinstance(table[0], dict):
        table = {str(k): entry for k, entry in enumerate(table)}
    if not isinstance(table, dict):
        return {prefix.rstrip("."): table}
    return {k: v for name, value in table.items() for k, v in _flat(value, f"{prefix}{name}.").items()}
