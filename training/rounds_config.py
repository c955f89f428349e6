"""The configuration of rounds: a TOML file in the manner of `lsu fit`, checked before anything starts.

Its tables are those of a fit (config.py) where they mean the same. Unknown keys are errors, and `key=value`
overrides use dotted keys: `fit.steps=500`, `foreign.0.weight=2`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from lsu.runtime import InputError
from lsu.runtime.relabel.views import View, views_from_text

from .config import Config, DataConfig, FitConfig
from .config_file import FileConfig
from .network_config import NetworkConfig


def _as_text(value: Any) -> Any:
    """A single scale as the text that it is in a list of views."""
    return f"{value:g}" if isinstance(value, float) else value


class ForeignConfig(DataConfig):
    """One split that is relabelled in each round; what else it says holds for its pseudo-labels.

    Attributes:
        relation: from the classes to what the split's labels speak; mandatory.
        constrained: give each pixel the best class within what its label allows; false takes the best of all
            classes wherever the label allows one: free pseudo-labels.
        confidence: `relative` learns from no pixel whose answer is not surer than the mean of its class, as
            `lsu relabel --confidence` has it; None learns from all.
        mix_relation: students learn from the existing labels through the relation too (NLL+), as a further
            entry of the same weight beside the pseudo-labels.
    """

    relation: str
    constrained: bool = True
    confidence: Literal["relative"] | None = None
    mix_relation: bool = False

    @property
    def as_data(self) -> DataConfig:
        """The entry as a fit knows it: the existing labels through the relation."""
        return DataConfig.model_validate({key: getattr(self, key) for key in DataConfig.model_fields})

    def relabelled(self, folder: Path) -> DataConfig:
        """The entry of a student: the pseudo-labels in `folder`, all else as it is."""
        return self.as_data.model_copy(update={"dataset": str(folder), "root": None, "relation": None})


class RoundsConfig(FileConfig):
    """Teacher, pseudo-labels, student, which is the next round's teacher.

    Attributes:
        output: the folder for all of it, relative to the configuration file.
        rounds: how many students are fitted, one after the other.
        views: further views of a teacher to average, as `lsu relabel --views` takes them.
        teacher: a checkpoint or a bundle's folder for round 1, relative to the configuration file; None fits
            one on the source entries.
        network: of the students.
        teacher_network: what the fitted teacher has otherwise than `network`; None where nothing.
        fit: how all of them learn.
        teacher_fit: what the teacher's fit has otherwise than `fit`; None where nothing.
        source: what all learn from: labels of the classes themselves.
        foreign: what is relabelled.
        validation: what all are scored on, or None.
    """

    output: str
    rounds: Annotated[int, Field(ge=1, le=100)] = 1
    views: Annotated[str, BeforeValidator(_as_text)] = ""
    teacher: str | None = None
    network: NetworkConfig = NetworkConfig()
    teacher_network: NetworkConfig | None = None
    fit: FitConfig = FitConfig()
    teacher_fit: FitConfig | None = None
    source: Annotated[tuple[DataConfig, ...], Field(min_length=1)]
    foreign: Annotated[tuple[ForeignConfig, ...], Field(min_length=1)]
    validation: DataConfig | None = None

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, table: Any) -> Any:
        """The teacher's tables, completed by what they leave to the students'."""
        if not isinstance(table, dict):
            return table
        completed = dict(table)
        for name in ("network", "fit"):
            ours, teachers = table.get(name, {}), table.get(f"teacher_{name}")
            if isinstance(ours, dict) and isinstance(teachers, dict):
                completed[f"teacher_{name}"] = {**ours, **teachers}
        return completed

    @model_validator(mode="after")
    def _check(self) -> "RoundsConfig":
        try:
            views_from_text(self.views)
        except InputError as error:
            raise ValueError(str(error)) from error
        for name in ("teacher_network", "teacher_fit"):
            if self.teacher is not None and getattr(self, name) is not None:
                raise ValueError(f"{name} has no effect where `teacher` is given: delete one of them")
        for k, entry in enumerate(self.source):
            if entry.relation is not None:
                raise ValueError(
                    f"source.{k}.relation: source entries have labels of the classes themselves; "
                    "put this one under [[foreign]]"
                )
        try:
            doubled = [entry.as_data for entry in self.foreign if entry.mix_relation]
            self.fit_of(Path(self.output), [*self.foreign, *doubled])
            if self.teacher is None:
                self.fit_of(Path(self.output), teacher=True)
        except ValidationError as error:  # what a fit asks of its tables together
            raise ValueError(error.errors()[0]["msg"].removeprefix("Value error, ")) from error
        if any(fit.devices != 1 for fit in (self.fit, self.teacher_fit or self.fit)):
            raise ValueError(
                "fit.devices must be 1, since all rounds run in one process; --dry-run prints the commands "
                "that run them one by one"
            )
        return self

    @property
    def all_views(self) -> tuple[View, ...]:
        """The views of a teacher, the unscaled one first."""
        return views_from_text(self.views)

    def fit_of(
        self, output: Path, data: Sequence[DataConfig] | None = None, *, teacher: bool = False
    ) -> Config:
        """The configuration of one of the fits, which writes to `output`.

        Args:
            output: its folder.
            data: what it learns from beside the source entries.
            teacher: whether it is the first teacher's.
        """
        return Config(
            output=str(output),
            network=(self.teacher_network if teacher else None) or self.network,
            data=(*self.source, *(data or ())),
            validation=self.validation,
            fit=(self.teacher_fit if teacher else None) or self.fit,
        )

    def relative_to(self, folder: Path) -> "RoundsConfig":
        """The configuration with its relative paths taken from a folder."""
        teacher, validation = self.teacher_network, self.validation
        return self.model_copy(
            update={
                "output": str(folder / self.output),
                "teacher": None if self.teacher is None else str(folder / self.teacher),
                "network": self.network.relative_to(folder),
                "teacher_network": None if teacher is None else teacher.relative_to(folder),
                "source": tuple(entry.relative_to(folder) for entry in self.source),
                "foreign": tuple(entry.relative_to(folder) for entry in self.foreign),
                "validation": None if validation is None else validation.relative_to(folder),
            }
        )
