"""The plan of rounds: which fits and relabellings follow each other, and whether all of them can be done.

Everything that a step would refuse is refused here, before the first step: a relation that does not fit its
data set is a matter of seconds now, and of days when the teacher is already fitted.
"""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import torch

from lsu.runtime import InputError, LabelSpace, ModelSpec, Relation, Split
from lsu.runtime.bundles.trust import Trust
from lsu.runtime.files import refuse_blocked
from lsu.runtime.relabel.pipeline import Request
from lsu.runtime.relabel.teachers import Network

from .batches import batches_of
from .centroids import boosts_from_names
from .checkpoint import Checkpoint
from .config import Config, DataConfig, FitConfig
from .fit import FINISHED
from .frames import open_split, pixels_per_class
from .learner import Learner
from .partial_labels import LabelSets, common_label_space, refuse_relation
from .rounds_config import ForeignConfig, RoundsConfig
from .s_net_members import with_members
from .teachers import teacher_engine
from .torch_engine import TorchEngine

TEACHER = "teacher"


@dataclass(frozen=True)
class FitStep:
    """A network is fitted: the first teacher in round 0, a student in each other one."""

    name: str
    round: int
    config: Config

    @property
    def total(self) -> int:
        """How many optimiser steps it makes."""
        return self.config.fit.steps


@dataclass(frozen=True)
class ScoreStep:
    """A teacher that was given is scored on the validation split, for the table's first row."""

    name: str
    round: int
    teacher: Path
    settings: FitConfig
    data: DataConfig
    split: Split

    @property
    def total(self) -> int:
        """How many frames are scored."""
        return len(self.split.frames)


@dataclass(frozen=True)
class RelabelStep:
    """A teacher relabels one foreign entry.

    Attributes:
        name: the folder of its data set, below the output folder.
        round: counted from 1.
        teacher: a checkpoint or a bundle's folder; not there yet where an earlier step makes it.
        settings: of the fit that made the teacher: where it runs.
        entry: the foreign entry.
        request: the same as that of `lsu relabel`.
        before: the name of the same entry's step one round earlier, or None.
    """

    name: str
    round: int
    teacher: Path
    settings: FitConfig
    entry: ForeignConfig
    request: Request
    before: str | None

    @property
    def total(self) -> int:
        """How many frames are gone through."""
        return self.request.total


Step = FitStep | ScoreStep | RelabelStep


@dataclass(frozen=True)
class Plan:
    """Rounds that can be done.

    Attributes:
        config: what was asked for.
        space: the classes that teachers and students speak.
        steps: in their order.
        teacher_digest: SHA-256 that names the given teacher, "" where one is fitted.
        notes: what a user should know of the data, a line each.
        trust: whose signature the given bundle needs.
    """

    config: RoundsConfig
    space: LabelSpace
    steps: tuple[Step, ...]
    teacher_digest: str
    notes: tuple[str, ...]
    trust: Trust

    @property
    def folder(self) -> Path:
        """Where all of it goes; names of steps are folders below."""
        return Path(self.config.output)

    @classmethod
    def of(cls, config: RoundsConfig, *, trust: Trust | None = None) -> "Plan":
        """The plan of a configuration; data sets, relations, networks and the teacher are tried out.

        Raises:
            InputError: something that a step would refuse.
            BackendError: the library of the teacher's bundle cannot load it.
        """
        refuse_blocked(Path(config.output))
        if "TORCHELASTIC_RUN_ID" in os.environ:
            raise InputError("rounds run in one process: start them without torchrun")
        data = _Opened.of(config)
        steps = tuple(_steps(config, data))
        trust = trust or Trust()
        digest = _checked_teacher(config, data, trust)
        _check_fits(config, data, [step.config for step in steps if isinstance(step, FitStep)])
        return cls(config, data.space, steps, digest, data.notes(), trust)


@dataclass(frozen=True)
class _Opened:
    """All data sets and relations of a configuration; they belong together."""

    space: LabelSpace
    source: tuple[Split, ...]
    foreign: tuple[Split, ...]
    relations: tuple[Relation, ...]
    validation: Split | None

    @classmethod
    def of(cls, config: RoundsConfig) -> "_Opened":
        source = tuple(open_split(entry) for entry in config.source)
        foreign = tuple(open_split(entry) for entry in config.foreign)
        relations = tuple(Relation.load(entry.relation) for entry in config.foreign)
        validation = None if config.validation is None else open_split(config.validation)
        if config.validation is not None:
            refuse_relation(config.validation.relation)
        plain = [*source, *([] if validation is None else [validation])]
        space = common_label_space([*plain, *foreign], [*(None for _ in plain), *relations])
        return cls(space, source, foreign, relations, validation)

    def names(self) -> list[str]:
        """A folder's name for each foreign entry: its data set's, numbered where that stands twice."""
        names: list[str] = []
        for split in self.foreign:
            plain = re.sub(r"[^\w-]", "_", split.dataset) or "_"
            free = (name for k in count(1) if (name := plain if k == 1 else f"{plain}-{k}") not in names)
            names.append(next(free))
        return names

    def notes(self) -> tuple[str, ...]:
        splits = [*self.source, *self.foreign, *([] if self.validation is None else [self.validation])]
        notes = [note for split in splits if (note := split.count_note())]
        for relation in self.relations:
            if relation.unreachable():
                classes = ", ".join(relation.unreachable())
                notes.append(
                    f"relation {relation.name!r}: no label allows {classes}; no constrained label will be it"
                )
        return tuple(dict.fromkeys(notes))


def _steps(config: RoundsConfig, data: _Opened) -> list[Step]:
    folder, steps = Path(config.output), list[Step]()
    settings = config.teacher_fit or config.fit
    if config.teacher is None:
        steps.append(FitStep(TEACHER, 0, config.fit_of(folder / TEACHER, teacher=True)))
        teacher = folder / TEACHER / FINISHED
    else:
        teacher = Path(config.teacher)
        if config.validation is not None and data.validation is not None:
            steps.append(ScoreStep(TEACHER, 0, teacher, settings, config.validation, data.validation))
    for number in range(1, config.rounds + 1):
        learned: list[DataConfig] = []
        for name, entry, split, relation in zip(
            data.names(), config.foreign, data.foreign, data.relations, strict=True
        ):
            request = _request(entry, split, relation)
            before = f"round-{number - 1}/labels/{name}" if number > 1 else None
            labels = f"round-{number}/labels/{name}"
            steps.append(RelabelStep(labels, number, teacher, settings, entry, request, before))
            learned.append(entry.relabelled(folder / labels))
        learned += [entry.as_data for entry in config.foreign if entry.mix_relation]
        student = f"round-{number}/student"
        steps.append(FitStep(student, number, config.fit_of(folder / student, learned)))
        teacher, settings = folder / student / FINISHED, config.fit
    return steps


def _checked_teacher(config: RoundsConfig, data: _Opened, trust: Trust) -> str:
    """Whether each round's teacher can relabel everything; the digest of a given one, or ""."""
    digest = ""
    specs = (
        [_spec_of(config.fit_of(Path(config.output), config.foreign), data.space)]
        if config.rounds > 1
        else []
    )
    if config.teacher is None:
        specs.append(_spec_of(config.fit_of(Path(config.output), teacher=True), data.space))
    else:
        if Path(config.teacher).resolve() in (
            Path(config.output).resolve(),
            *Path(config.output).resolve().parents,
        ):
            raise InputError(f"output {config.output} is inside the teacher's bundle, which must not change")
        engine = teacher_engine(Path(config.teacher), config.fit, trust)
        digest = engine.identity
        specs.append(engine.spec)
        engine.close()
        engine.spec.label_space.require_same(
            data.space, "the teacher", f"data set {data.source[0].dataset!r}"
        )
    for spec in specs:
        nothing = Network(TorchEngine(lambda images: images, spec, identity=""), config.all_views)
        for entry, split, relation in zip(config.foreign, data.foreign, data.relations, strict=True):
            _request(entry, split, relation).check(nothing)
    return digest


def _request(entry: ForeignConfig, split: Split, relation: Relation) -> Request:
    return Request(split, relation, free=not entry.constrained, confidence=entry.confidence)


def _spec_of(config: Config, space: LabelSpace) -> ModelSpec:
    return Checkpoint(config=config, label_space=space, step=0, weights={}, optimiser={}).spec


def _check_fits(config: RoundsConfig, data: _Opened, fits: Sequence[Config]) -> None:
    """Raise InputError unless the networks can be made, and every entry is drawn and can be read."""
    mixed = [k for k, entry in enumerate(config.foreign) if entry.mix_relation]
    learned = [*data.source, *(data.foreign[k] for k in mixed)]
    plain: list[Relation | None] = [None for _ in data.source]
    sets = LabelSets.of(learned, [*plain, *(data.relations[k] for k in mixed)])
    drawn = [*data.source, *data.foreign, *(data.foreign[k] for k in mixed)]  # before they are relabelled
    relations = [*plain, *data.relations, *(data.relations[k] for k in mixed)]
    threads = torch.get_num_threads()
    try:
        if config.teacher is None:
            _check_fit(fits[0], data.source, LabelSets.of(data.source, plain))
            Learner(with_members(fits[0]), data.space)
        _check_fit(fits[-1], drawn, LabelSets.of(drawn, relations))
        members = torch.from_numpy(sets.members) if sets.partial else None
        Learner(with_members(fits[-1]), data.space, members=members)
    finally:
        torch.set_num_threads(threads)
    if config.fit.check_data:
        pixels_per_class(learned, sets)
        if data.validation is not None:
            pixels_per_class([data.validation], LabelSets.of([data.validation], [None]))
        for split in data.foreign:
            _refuse_unreadable(split)


def _check_fit(fit: Config, splits: Sequence[Split], sets: LabelSets) -> None:
    """Raise InputError unless these settings go with these entries; no frame is read."""
    boosts_from_names(fit.fit.centroid_boost, sets.space)
    unread = fit.model_copy(update={"fit": fit.fit.model_copy(update={"centroids": 0.0})})
    try:
        batches_of(unread, splits, sets)
    except InputError as error:
        raise InputError(f"{Path(fit.output).name}'s fit: {error}") from error


def _refuse_unreadable(split: Split) -> None:
    """Raise InputError when no frame can be read: relabelling leaves bad frames out, but not all of them."""
    first: InputError | None = None
    for frame in split.frames:
        try:
            split.read(frame)
        except InputError as error:
            first = first or error
        else:
            return
    raise InputError(f"no frame can be relabelled, the first because: {first}") from first
