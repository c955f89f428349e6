"""What a fit leaves behind to look at: `log.jsonl` for programs and TensorBoard files for people."""

import fcntl
import json
import math
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

import numpy as np
import numpy.typing as npt
from torch.utils.tensorboard import SummaryWriter

from lsu.runtime import InputError
from lsu.runtime.files import read_bytes

from .run_folder import LOG


class FitLog:
    """Writes the numbers of a fit, step by step; a continued fit drops what came after its checkpoint.

    Args:
        folder: where `log.jsonl` and `tensorboard/` go.
        start: the step that the fit starts or continues from.
        silent: write nothing; for all processes of a fit but one.

    Raises:
        InputError: another process holds the folder.
    """

    def __init__(self, folder: Path, *, start: int, silent: bool = False) -> None:
        self._silent = silent
        if silent:
            return
        folder.mkdir(parents=True, exist_ok=True)
        self._file = (folder / LOG).open("a+", encoding="utf-8")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._file.close()
            raise InputError(f"{folder}: another process is fitting into this folder") from error
        kept = [line for line in _lines_of(folder / LOG) if _step_of(line) <= start]
        self._file.truncate(0)
        self._file.writelines(line + "\n" for line in kept)
        self._file.flush()
        self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=start + 1)

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """Write the values of a step, by name such as `loss` or `score/mean_iou`."""
        if self._silent or not values:
            return
        finite = {name: value if math.isfinite(value) else None for name, value in values.items()}
        self._file.write(json.dumps({"step": step, **finite}) + "\n")
        self._file.flush()
        for name, value in values.items():
            self._board.add_scalar(name, value, step)

    def add_figure(self, step: int, name: str, picture: npt.NDArray[np.uint8]) -> None:
        """Show a picture uint8 [H,W,3] RGB on the board."""
        if not self._silent:
            self._board.add_image(name, picture, step, dataformats="HWC")

    def __enter__(self) -> "FitLog":
        """The log itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close both files."""
        if not self._silent:
            self._file.close()
            self._board.close()


def read_log(folder: Path) -> dict[str, dict[int, float]]:
    """The numbers in a run folder's log, name -> step -> value; not a number where a fit had none."""
    found: dict[str, dict[int, float]] = {}
    for line in _lines_of(folder / LOG):
        step = _step_of(line)
        if math.isfinite(step):
            for name, value in json.loads(line).items():
                if name != "step" and isinstance(value, int | float | None):
                    found.setdefault(name, {})[int(step)] = math.nan if value is None else float(value)
    return found


def _lines_of(path: Path) -> list[str]:
    """The whole lines of a JSONL file; a last line that a kill cut off is left out."""
    if not path.exists():
        return []
    text = read_bytes(path).decode(errors="replace")
    return text[: text.rfind("\n") + 1].splitlines()


def _step_of(line: str) -> float:
    """The step that a line of the log speaks of; infinity where a power cut left something else."""
    try:
        return int(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return math.inf
