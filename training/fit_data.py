"""What a fit learns from and is scored on, opened and held against each other before anything starts."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from torch import Tensor

from lsu.runtime import InputError, Split

from .batches import batches_of
from .config import Config, FitConfig
from .frames import Batch, open_relation, open_split, pixels_per_class
from .guide import Guide
from .losses import class_weights
from .partial_labels import LabelSets, common_label_space, refuse_relation

_COUNTED = 1000


@dataclass(frozen=True, eq=False)
class FitData:
    """The data of a fit.

    Attributes:
        splits: its data entries.
        validation: what it is scored on, or None.
        sets: what their labels are called in training.
    """

    splits: tuple[Split, ...]
    validation: Split | None
    sets: LabelSets

    @classmethod
    def opened(cls, config: Config, guide: Guide | None = None) -> "FitData":
        """The data that a configuration names.

        Args:
            config: the fit.
            guide: its teachers; they say which classes there are where no label is learned from.

        Raises:
            InputError: an entry is missing, has no labels though it needs them, or speaks another label space
                than the others and the teachers.
        """
        if config.validation is not None:
            refuse_relation(config.validation.relation)
        distillation = config.distillation
        splits = [
            open_split(data, labels_needed=distillation is None or data.relation is not None)
            for data in config.data
        ]
        validation = None if config.validation is None else open_split(config.validation)
        labels = distillation is None or distillation.labels > 0
        taught = [labels and split.frames[0].label is not None for split in splits]
        if not any(taught):
            refuse_label_settings(config.fit)
        relations = [open_relation(data) for data in config.data]
        space = None if guide is None else guide.label_space
        sets = LabelSets.of(splits, relations, taught=taught, space=space)
        if guide is not None:
            guide.label_space.require_same(sets.space, "distillation.teachers", "the data")
        if validation is not None and any(taught):
            pairs = [
                pair for pair, used in zip(zip(splits, relations, strict=True), taught, strict=True) if used
            ]
            common_label_space([s for s, _ in pairs] + [validation], [r for _, r in pairs] + [None])
        elif validation is not None:
            sets.space.require_same(validation.label_space, "distillation.teachers", "validation")
        return cls(tuple(splits), validation, sets)

    def notes(self) -> list[str]:
        """What a user should know of the data, a line each."""
        splits = self.splits if self.validation is None else (*self.splits, self.validation)
        return [note for split in splits if (note := split.count_note())]

    def class_weights(self, config: Config) -> Tensor | None:
        """The weights of the classes in the labels' loss, float32 [C], or None; reads all data if asked to.

        Raises:
            InputError: a frame cannot be used.
        """
        weights = None
        if config.fit.check_data or config.fit.class_balance:
            pixels = pixels_per_class(self.splits, self.sets)
            weights = class_weights(pixels, config.fit.class_balance) if config.fit.class_balance else None
        if config.fit.check_data and self.validation is not None:
            pixels_per_class([self.validation], LabelSets.of([self.validation], [None]))
        return weights

    def answers(self, config: Config, guide: Guide | None) -> npt.NDArray[np.int64] | None:
        """How often the teachers answer each class, int64 [C], or None where no loss asks for it.

        Counted on the first thousand crops that the fit draws, so at the sizes, and in the mixture, in which
        the teachers will be asked.

        Raises:
            InputError: an image cannot be used.
            BackendError: a teacher failed.
        """
        if guide is None or config.distillation is None:
            return None
        asked = any(loss.used_class_weights for loss in config.distillation.losses)
        if not asked:
            return None
        return guide.cells_per_class(_first(_COUNTED, batches_of(config, self.splits, self.sets)))


def _first(samples: int, batches: Iterator[Batch]) -> Iterator[Batch]:
    """Batches until they have so many samples."""
    for batch in batches:
        yield batch
        samples -= len(batch.labels)
        if samples <= 0:
            return


def refuse_label_settings(settings: FitConfig) -> None:
    """Raise InputError where a setting is about labels, of which none is learned from."""
    for name in ("class_balance", "label_smoothing", "centroids"):
        if getattr(settings, name):
            raise InputError(f"fit.{name} has no effect where no label is learned from: set it to 0")
    if settings.mix == "classmix":
        raise InputError("fit.mix: classmix needs labels, and none is learned from: try cutmix")
