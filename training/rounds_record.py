"""What a run of rounds remembers in its folder: what was asked for, and what each finished step gave.

The steps themselves are remembered by their own checkpoints and journals, which decide what is done again.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lsu.runtime import InputError
from lsu.runtime.files import left_by_a_kill, read_bytes, table_of, write_atomically

from .rounds_config import RoundsConfig
from .rounds_plan import Plan

RECORD = "progress.json"

_FIT_MAY_CHANGE = ("workers", "save_every", "score_every", "check_data")
_MAY_CHANGE = {
    "rounds",
    *(f"{table}.{key}" for table in ("fit", "teacher_fit") for key in _FIT_MAY_CHANGE),
}
"""Settings that continued rounds may have changed: more rounds follow, the others touch no weights."""


class Record:
    """The file `progress.json` of one output folder.

    Args:
        path: the file.
        asked: what was asked for: `config` and `teacher`, plain JSON types.
        steps: step's name -> what is known of it: `seconds`, and what the step itself adds.
    """

    def __init__(self, path: Path, asked: Mapping[str, Any], steps: dict[str, dict[str, Any]]) -> None:
        self._path = path
        self._asked = asked
        self._steps = steps

    @classmethod
    def opened(cls, plan: Plan, *, resume: bool) -> "Record":
        """The record of a plan's folder; nothing is written.

        Args:
            plan: what is to be done.
            resume: continue what the folder holds; an empty one starts anew.

        Raises:
            InputError: the folder holds something and `resume` was not asked for, or it holds something else.
        """
        folder, path = plan.folder, plan.folder / RECORD
        if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
            raise InputError(f"{folder} is not a folder: choose another output")
        asked = {"config": plan.config.model_dump(mode="json"), "teacher": plan.teacher_digest}
        if not path.exists():
            if folder.exists() and not all(left_by_a_kill(entry) for entry in folder.iterdir()):
                raise InputError(f"{folder} is not empty and holds no rounds: choose another output")
            return cls(path, asked, {})
        if not resume:
            raise InputError(f"{path} is there already: add --resume, or choose another output")
        return cls(path, asked, _steps_of(path, asked))

    def of(self, step: str) -> Mapping[str, Any]:
        """What is known of a step, by its name; empty where nothing is."""
        return self._steps.get(step, {})

    def add(self, step: str, *, seconds: float, **values: Any) -> None:
        """Write down what a step gave and how long it took; the seconds add up over calls.

        Raises:
            BackendError: the disk refused it.
        """
        entry = self._steps.setdefault(step, {"seconds": 0.0})
        entry.update(values, seconds=entry["seconds"] + seconds)
        self.write()

    def write(self) -> None:
        """Write the file.

        Raises:
            BackendError: the disk refused it.
        """
        document = {**self._asked, "steps": self._steps}
        write_atomically(self._path, (json.dumps(document, indent=1) + "\n").encode())


def _steps_of(path: Path, asked: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The steps in the file, if it is of what is asked for now.

    Raises:
        InputError: the file is damaged, or of other rounds.
    """
    try:
        held = table_of(json.loads(read_bytes(path)), str(path))
        before = RoundsConfig.from_dict(held["config"], str(path)).model_dump(mode="json")
        steps, teacher = {k: dict(v) for k, v in held["steps"].items()}, held["teacher"]
        known = all(isinstance(entry["seconds"], int | float) for entry in steps.values())
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: damaged; choose another output") from error
    key = _changed_key(before, asked["config"])
    if key is not None:
        name, old, new = key
        repair = "move it back" if name == "output" else "choose another output"  # students name their labels
        raise InputError(
            f"{path} is of rounds with {name} = {json.dumps(old)}, now it is {json.dumps(new)}: {repair}"
        )
    if teacher != asked["teacher"]:
        raise InputError(f"{path} is of rounds with another teacher in that place: choose another output")
    return steps if known else {}


def _changed_key(before: Any, now: Any, place: str = "") -> tuple[str, Any, Any] | None:
    """The first dotted key that differs, with both its values, or None."""
    if place in _MAY_CHANGE or before == now:
        return None
    pairs: list[tuple[str, Any, Any]] = []
    if isinstance(before, dict) and isinstance(now, dict):
        pairs = [(key, before.get(key), now.get(key)) for key in {**before, **now}]
    elif isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        pairs = [(str(k), *both) for k, both in enumerate(zip(before, now, strict=True))]
    if not pairs or not (isinstance(before, dict) or isinstance(before[0], dict)):
        return place, before, now
    changes = (_changed_key(old, new, f"{place}.{key}".lstrip(".")) for key, old, new in pairs)
    return next((change for change in changes if change is not None), None)
