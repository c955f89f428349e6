"""What `lsu evaluate --json` wrote, read again for a model card."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lsu.runtime.errors import InputError
from lsu.runtime.files import read_bytes


@dataclass(frozen=True)
class RecordedEvaluation:
    """The scores of a network on one split.

    Attributes:
        bundle: the digest of the bundle that was evaluated.
        data: the data set's name.
        split: the split's name.
        frames: how many images.
        label_space: (name, identity) of the label space that was scored in.
        mean_iou: 0 to 1, None where no class occurred.
        classes: (name, IoU, boundary F) per class, shares of 0 to 1 or None.
    """

    bundle: str
    data: str
    split: str
    frames: int
    label_space: tuple[str, str]
    mean_iou: float | None
    classes: tuple[tuple[str, float | None, float | None], ...]

    @classmethod
    def load(cls, path: Path) -> "RecordedEvaluation":
        """The evaluation in a file.

        Raises:
            InputError: it cannot be read or is not what `lsu evaluate --json` prints.
        """
        try:
            table = json.loads(read_bytes(path))
            return cls(
                bundle=str(table["bundle"]),
                data=str(table["data"]),
                split=str(table["split"]),
                frames=int(table["frames"]),
                label_space=(str(table["label_space"]["name"]), str(table["label_space"]["identity"])),
                mean_iou=_share(table["mean_iou"]),
                classes=tuple(_scores_of(entry) for entry in table["classes"]),
            )
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise InputError(
                f"{path}: not an evaluation: write one with `lsu evaluate BUNDLE ... --json > {path.name}`"
            ) from error


def _scores_of(entry: Mapping[str, Any]) -> tuple[str, float | None, float | None]:
    return str(entry["name"]), _share(entry["iou"]), _share(entry["boundary_f"])


def _share(value: Any) -> float | None:
    if value is None:
        return None
    share = float(value)
    if not 0 <= share <= 1:
        raise ValueError(f"{share} is no share")
    return share
