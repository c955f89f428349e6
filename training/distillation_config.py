"""What a fit learns from teachers' answers: the table `distillation` of its configuration."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from .config_file import StrictModel

LossName = Literal["soft-ce", "cwd", "dist", "tk-l", "tk-smp", "tk-smp-wce"]

_TEMPERATURES = {"soft-ce": 1.0, "cwd": 4.0, "dist": 1.0}
_WEIGHTED = ("tk-l", "tk-smp-wce")


def _loss(value: Any) -> Any:
    """A loss as a table, where it is a name."""
    return {"name": value} if isinstance(value, str) else value


def _several(value: Any) -> Any:
    """A single text or table as a list of one."""
    return (value,) if isinstance(value, str | dict) else value


class DistillationLoss(StrictModel):
    """One loss between student and teachers; their sum is what is learned from teachers.

    Attributes:
        name: `soft-ce`, the cross entropy of softened probabilities; `cwd`, channel-wise distillation;
            `dist`, DIST; `tk-l`, `tk-smp` or `tk-smp-wce`, the losses from S-Net to T-Net.
        weight: of this loss in the sum.
        temperature: None for 1, of `cwd` 4; the `tk` losses have none.
        class_weights: of `tk-l` and `tk-smp-wce`: `median`, the median share of a class over its own, at most
            50, or `inverse`, from 1 for the most to 50 for the least frequent class; None weighs all alike
            in `tk-l` and is `median` in `tk-smp-wce`. Counted on what the teachers answer.
    """

    name: LossName
    weight: Annotated[float, Field(gt=0, le=1e6)] = 1.0
    temperature: Annotated[float, Field(ge=0.01, le=100)] | None = None
    class_weights: Literal["median", "inverse"] | None = None

    @model_validator(mode="after")
    def _check(self) -> "DistillationLoss":
        if self.temperature is not None and self.name not in _TEMPERATURES:
            raise ValueError(f"temperature: {self.name} has none: delete it")
        if self.class_weights is not None and self.name not in _WEIGHTED:
            raise ValueError(
                f"class_weights: {self.name} has none, {' and '.join(_WEIGHTED)} have: delete it"
            )
        return self

    @property
    def used_temperature(self) -> float:
        """The temperature, the loss's own where none is given."""
        return self.temperature or _TEMPERATURES[self.name]

    @property
    def used_class_weights(self) -> str | None:
        """Which weights of the classes, the loss's own where none are given."""
        return self.class_weights or ("median" if self.name == "tk-smp-wce" else None)


class DistillationConfig(StrictModel):
    """Teachers that answer while a student learns; several are an ensemble, the mean of their probabilities.

    Attributes:
        teachers: checkpoints or folders of bundles, relative to the configuration file.
        losses: what holds the student to them; a name is a loss with its own settings.
        labels: the weight of the labels' own loss beside them; with 0 labels are not read, so that data sets
            without labels and of other label spaces serve.
    """

    teachers: Annotated[tuple[str, ...], BeforeValidator(_several), Field(min_length=1)]
    losses: Annotated[
        tuple[Annotated[DistillationLoss, BeforeValidator(_loss)], ...],
        BeforeValidator(_several),
        Field(min_length=1),
    ]
    labels: Annotated[float, Field(ge=0, le=1e6)] = 1.0

    def relative_to(self, folder: Path) -> "DistillationConfig":
        """The table with the teachers' relative paths taken from a folder."""
        return self.model_copy(update={"teachers": tuple(str(folder / teacher) for teacher in self.teachers)})
