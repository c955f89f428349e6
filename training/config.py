"""The configuration of a fit: a TOML file, checked whole before anything starts.

Unknown keys are errors. `key=value` overrides on the command line use dotted keys: `fit.steps=500`,
`data.0.weight=2`.
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator
from typing_extensions import Self

from .config_file import FileConfig, StrictModel
from .distillation_config import DistillationConfig
from .network_config import NetworkConfig, Share, Size, refuse_odd_size

Factor = Annotated[float, Field(ge=0.01, le=100)]


class DataConfig(StrictModel):
    """One split to learn from or to score on.

    Attributes:
        dataset: a `dataset.toml`, its folder, or a catalogue name; relative to the configuration file.
        split: the split's name.
        root: where a catalogue data set lies.
        weight: how often each of its frames is drawn, relative to the frames of entries with weight 1.
        until: the share of the steps after which it is drawn no more, so that real labels have the end to
            themselves.
        scale: its images are enlarged by this beside `fit.scale`, so that a data set of smaller images shows
            things as large as the others do.
        per_batch: how many of each batch are of this entry, frames without replacement; every entry has such
            a number or none has, and their sum is `fit.batch_size`.
        relation: a relation's TOML file or catalogue name: the labels are foreign ones and each teaches that
            one of its allowed classes is right (NLL+), without a teacher; None where they are the classes.
    """

    dataset: str
    split: str = "train"
    root: str | None = None
    relation: str | None = None
    weight: Factor = 1.0
    until: Annotated[float, Field(gt=0, le=1)] = 1.0
    scale: Factor = 1.0
    per_batch: Annotated[int, Field(ge=1)] | None = None

    def relative_to(self, folder: Path) -> Self:
        """The entry with its relative paths taken from a folder; catalogue names stay as they are."""
        dataset, relation = self.dataset, self.relation
        if dataset.endswith(".toml") or "/" in dataset or (folder / dataset / "dataset.toml").is_file():
            dataset = str(folder / dataset)
        root = None if self.root is None else str(folder / self.root)
        if relation is not None and (relation.endswith(".toml") or "/" in relation):
            relation = str(folder / relation)
        return self.model_copy(update={"dataset": dataset, "root": root, "relation": relation})


class FitConfig(StrictModel):
    """How long and how to learn.

    Attributes:
        steps: optimiser steps.
        batch_size: images in a step, over all devices.
        crop: (H, W) of a training crop, multiples of 32.
        scale: an image is enlarged by a factor drawn log-uniformly from this range before cropping.
        crop_order: `fixed`, or a fast schedule of crops, the smaller ones in larger batches: `coarse2fine`,
            `fine2coarse` or `alternating`, see crop_plan.py.
        crop_factors: the crops of a fast schedule as shares of `crop`, rounded to multiples of 32.
        crop_period: of `alternating`: steps between two crops.
        centroids: the share of the samples that is drawn class by class, around the centres of what the
            labels show; 0.5 in Zhu et al.'s code, 0 draws frames alike. See centroids.py and sampling.py.
        centroid_tile: height and width in pixels of the tiles in which centres are counted.
        centroid_boost: factors for single classes, by name.
        learning_rate: the peak, after `warmup_steps`; see `schedule`.
        schedule: how it falls: `cosine`, `one-cycle`, `poly` or `constant`, see schedule.py.
        encoder_rate: the encoder learns with this share of the learning rate; 0 keeps its weights.
        weight_decay: of AdamW.
        clip_norm: the largest norm of a step's gradient, which is shortened to it; 0 leaves all as they are.
        ema: the momentum of an average of the weights, which is what is scored and kept; 0 keeps the last
            weights, see average.py.
        patience: after so many scores without a better mean IoU on `validation` the fit stops, and its best
            weights are kept; 0 makes all steps and keeps the last weights.
        class_balance: how much rare classes are lifted, 0 (not) to 1 (median frequency balancing).
        label_smoothing: the share of a label's weight that is spread over all classes.
        colour_jitter: the largest relative change of brightness, contrast and saturation.
        white_balance: the largest relative change of each colour channel by itself.
        blur: the largest standard deviation, in pixels, of a Gaussian blur of half of the crops.
        mix: paste a part of the next sample of a batch over each one: `classmix`, half of its classes, or
            `cutmix`, a box; see mixing.py.
        check_data: read every frame once before the first step, so that a bad one is found then.
        seed: of weights, sampling and augmentation.
        workers: processes that read and augment; 0 does it in the main process.
        save_every: steps between checkpoints that `--resume` continues from.
        score_every: steps between scores on `validation`; 0 scores at the end only.
        precision: Lightning Fabric's name, `32-true`, `bf16-mixed` or, on a GPU, `16-mixed`, whose loss scale
            starts anew when a fit is resumed.
        devices: a number of devices or `auto`.
        accelerator: Lightning Fabric's name: `auto`, `cpu`, `cuda`.
        threads: CPU threads of torch, 0 for its own choice.
        compile: let torch.compile translate the network before the first step.
        sync_batch_norm: on several GPUs, take batch statistics over all of them.
    """

    steps: Annotated[int, Field(ge=1)] = 1000
    batch_size: Annotated[int, Field(ge=2)] = 8
    crop: Size = (256, 256)
    scale: tuple[Factor, Factor] = (0.5, 2.0)
    crop_order: Literal["fixed", "coarse2fine", "fine2coarse", "alternating"] = "fixed"
    crop_factors: Annotated[tuple[Annotated[float, Field(gt=0, le=1)], ...], Field(min_length=2)] = (
        0.5,
        0.75,
        1.0,
    )
    crop_period: Annotated[int, Field(ge=1)] = 50
    centroids: Share = 0.0
    centroid_tile: Annotated[int, Field(ge=32)] = 1024
    centroid_boost: dict[str, Factor] = Field(default_factory=dict)
    learning_rate: Annotated[float, Field(gt=0, le=100)] = 1e-3
    warmup_steps: Annotated[int, Field(ge=0)] = 50
    schedule: Literal["cosine", "one-cycle", "poly", "constant"] = "cosine"
    encoder_rate: Share = 1.0
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    clip_norm: Annotated[float, Field(ge=0)] = 0.0
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.0
    patience: Annotated[int, Field(ge=0)] = 0
    class_balance: Annotated[float, Field(ge=0, le=1)] = 0.0
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    colour_jitter: Annotated[float, Field(ge=0, lt=1)] = 0.3
    white_balance: Annotated[float, Field(ge=0, lt=1)] = 0.0
    blur: Annotated[float, Field(ge=0, le=20)] = 0.0
    mix: Literal["none", "classmix", "cutmix"] = "none"
    check_data: bool = True
    seed: Annotated[int, Field(ge=0, lt=1 << 62)] = 0
    workers: Annotated[int, Field(ge=0, le=1024)] = 0
    save_every: Annotated[int, Field(ge=1)] = 500
    score_every: Annotated[int, Field(ge=0)] = 0
    precision: Literal["32-true", "16-mixed", "bf16-mixed"] = "32-true"
    devices: Annotated[int, Field(ge=1)] | Literal["auto"] = 1
    accelerator: Literal["auto", "cpu", "cuda"] = "auto"
    threads: Annotated[int, Field(ge=0, le=1024)] = 0
    compile: bool = False
    sync_batch_norm: bool = False

    @model_validator(mode="after")
    def _check(self) -> "FitConfig":
        refuse_odd_size("crop", self.crop)
        if self.scale[0] > self.scale[1]:
            raise ValueError(f"scale {list(self.scale)} must rise")
        if self.centroid_boost and not self.centroids:
            raise ValueError("centroid_boost has no effect without centroids: set centroids to 0.5, say")
        if self.patience and not self.score_every:
            raise ValueError("patience counts scores: set score_every, or patience to 0")
        return self


class Config(FileConfig):
    """A whole fit.

    Attributes:
        output: the folder for checkpoints and logs, relative to the configuration file.
        network: what is fitted.
        start: a checkpoint whose weights the network begins with, relative to the configuration file; None
            takes those that `network` says.
        data: what it learns from; all entries that have labels speak the same label space.
        validation: what it is scored on, or None.
        distillation: which teachers it learns from besides, or None.
        fit: how.
    """

    output: str
    network: NetworkConfig = NetworkConfig()
    start: str | None = None
    data: Annotated[tuple[DataConfig, ...], Field(min_length=1)]
    validation: DataConfig | None = None
    distillation: DistillationConfig | None = None
    fit: FitConfig = FitConfig()

    @model_validator(mode="after")
    def _check_end(self) -> "Config":
        if all(entry.until < 1 for entry in self.data):
            raise ValueError("data: each entry ends before the fit: leave until out of one")
        return self

    @model_validator(mode="after")
    def _check_patience(self) -> "Config":
        if self.fit.patience and self.validation is None:
            raise ValueError("fit.patience needs scores: name a validation split, or set it to 0")
        return self

    @model_validator(mode="after")
    def _check_counts(self) -> "Config":
        counts = [entry.per_batch for entry in self.data if entry.per_batch is not None]
        if not counts:
            return self
        if len(counts) < len(self.data):
            raise ValueError("data: per_batch is for all entries or for none")
        if sum(counts) != self.fit.batch_size:
            raise ValueError(
                f"data: per_batch adds up to {sum(counts)}, fit.batch_size is {self.fit.batch_size}: "
                "make them equal"
            )
        if self.fit.crop_order != "fixed" or self.fit.centroids:
            raise ValueError("data: per_batch goes with neither fit.crop_order nor fit.centroids")
        if any(entry.weight != 1 or entry.until != 1 for entry in self.data):
            raise ValueError("data: with per_batch neither weight nor until has an effect: delete them")
        return self

    @model_validator(mode="after")
    def _check_distillation(self) -> "Config":
        if self.distillation is None:
            return self
        if self.network.architecture == "mask2former":
            raise ValueError("distillation: mask2former can be a teacher, not a student")
        if self.distillation.labels == 0 and any(entry.relation is not None for entry in self.data):
            raise ValueError("data: relation has no effect where distillation.labels is 0: delete it")
        return self

    def relative_to(self, folder: Path) -> "Config":
        """The configuration with its relative paths taken from a folder."""
        validation, distillation = self.validation, self.distillation
        return self.model_copy(
            update={
                "output": str(folder / self.output),
                "network": self.network.relative_to(folder),
                "start": None if self.start is None else str(folder / self.start),
                "distillation": None if distillation is None else distillation.relative_to(folder),
                "data": tuple(entry.relative_to(folder) for entry in self.data),
                "validation": None if validation is None else validation.relative_to(folder),
            }
        )
