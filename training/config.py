"""The configuration of a fit: a TOML file, checked whole before anything starts.

Unknown keys are errors. `key=value` overrides on the command line use dotted keys: `fit.steps=500`,
`data.0.weight=2`.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from lsu.runtime import InputError
from lsu.runtime.errors import near_names
from lsu.runtime.files import read_toml, toml_value

Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Factor = Annotated[float, Field(ge=0.01, le=100)]
Size = Annotated[tuple[int, int], Field(description="(H, W) in pixels")]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def _refuse_odd_size(name: str, size: tuple[int, int]) -> None:
    if any(side < 32 or side % 32 for side in size):
        raise ValueError(f"{name} {list(size)} must be multiples of 32")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class NetworkConfig(_Strict):
    """A network of segmentation_models_pytorch over a timm encoder.

    Attributes:
        architecture: `fpn`, `deeplabv3plus`, `segformer` or `pan`: those whose head enlarges as a step of
            its own, which is left out here.
        encoder: the encoder's name as segmentation_models_pytorch knows it; `tu-NAME` takes any of timm.
        decoder_channels: width of the decoder, None for the architecture's own.
        pretrained: the name of encoder weights to fetch (`imagenet`), or None to learn from scratch.
        input_size: (H, W) that every image is resized to when the network runs, multiples of 32, or None
            to take images as they are. It does not touch training: choose `fit.scale` to match.
        mean: per channel, of RGB in 0 to 1; torchvision's ImageNet statistics by default.
        std: likewise.
    """

    architecture: Literal["fpn", "deeplabv3plus", "segformer", "pan"] = "fpn"
    encoder: str = "resnet18"
    decoder_channels: Annotated[int, Field(ge=1, le=4096)] | None = 64
    pretrained: str | None = None
    input_size: Size | None = None
    mean: tuple[Share, Share, Share] = IMAGENET_MEAN
    std: tuple[Positive, Positive, Positive] = IMAGENET_STD

    @model_validator(mode="after")
    def _check(self) -> "NetworkConfig":
        if self.input_size is not None:
            _refuse_odd_size("input_size", self.input_size)
        return self


class DataConfig(_Strict):
    """One split to learn from or to score on.

    Attributes:
        dataset: a `dataset.toml`, its folder, or a catalogue name; relative to the configuration file.
        split: the split's name.
        root: where a catalogue data set lies.
        weight: how often each of its frames is drawn, relative to the frames of entries with weight 1.
        relation: a relation's TOML file or catalogue name: the labels are foreign ones and each teaches that
            one of its allowed classes is right (NLL+), without a teacher; None where they are the classes.
    """

    dataset: str
    split: str = "train"
    root: str | None = None
    relation: str | None = None
    weight: Factor = 1.0


class FitConfig(_Strict):
    """How long and how to learn.

    Attributes:
        steps: optimiser steps.
        batch_size: images in a step, over all devices.
        crop: (H, W) of a training crop, multiples of 32.
        scale: an image is enlarged by a factor drawn log-uniformly from this range before cropping.
        learning_rate: the peak, after `warmup_steps`; then it falls to 0 as half a cosine.
        weight_decay: of AdamW.
        class_balance: how much rare classes are lifted, 0 (not) to 1 (median frequency balancing).
        label_smoothing: the share of a label's weight that is spread over all classes.
        colour_jitter: the largest relative change of brightness, contrast and saturation.
        white_balance: the largest relative change of each colour channel by itself.
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
    """

    steps: Annotated[int, Field(ge=1)] = 1000
    batch_size: Annotated[int, Field(ge=2)] = 8
    crop: Size = (256, 256)
    scale: tuple[Factor, Factor] = (0.5, 2.0)
    learning_rate: Annotated[float, Field(gt=0, le=100)] = 1e-3
    warmup_steps: Annotated[int, Field(ge=0)] = 50
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    class_balance: Annotated[float, Field(ge=0, le=1)] = 0.0
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    colour_jitter: Annotated[float, Field(ge=0, lt=1)] = 0.3
    white_balance: Annotated[float, Field(ge=0, lt=1)] = 0.0
    check_data: bool = True
    seed: Annotated[int, Field(ge=0, lt=1 << 62)] = 0
    workers: Annotated[int, Field(ge=0, le=1024)] = 0
    save_every: Annotated[int, Field(ge=1)] = 500
    score_every: Annotated[int, Field(ge=0)] = 0
    precision: Literal["32-true", "16-mixed", "bf16-mixed"] = "32-true"
    devices: Annotated[int, Field(ge=1)] | Literal["auto"] = 1
    accelerator: Literal["auto", "cpu", "cuda"] = "auto"
    threads: Annotated[int, Field(ge=0, le=1024)] = 0

    @model_validator(mode="after")
    def _check(self) -> "FitConfig":
        _refuse_odd_size("crop", self.crop)
        if self.scale[0] > self.scale[1]:
            raise ValueError(f"scale {list(self.scale)} must rise")
        return self


class Config(_Strict):
    """A whole fit.

    Attributes:
        output: the folder for checkpoints and logs, relative to the configuration file.
        network: what is fitted.
        data: what it learns from; all entries speak the same label space.
        validation: what it is scored on, or None.
        fit: how.
    """

    output: str
    network: NetworkConfig = NetworkConfig()
    data: Annotated[tuple[DataConfig, ...], Field(min_length=1)]
    validation: DataConfig | None = None
    fit: FitConfig = FitConfig()

    @classmethod
    def load(cls, path: Path, overrides: Sequence[str] = ()) -> "Config":
        """The configuration in a TOML file with `key=value` overrides applied.

        Relative paths in the file become absolute, so that the result means the same from anywhere.

        Raises:
            InputError: not TOML, an unknown key, a value that does not fit, or a wrong override.
        """
        table = read_toml(path)
        for override in overrides:
            _apply(table, override)
        config = cls.from_dict(table, str(path))
        return config._relative_to(path.parent.absolute())

    @classmethod
    def from_dict(cls, table: dict[str, Any], where: str) -> "Config":
        """The checked configuration; `where` names its origin in errors.

        Raises:
            InputError: an unknown key or a value that does not fit, the first one in one line.
        """
        try:
            return cls.model_validate(table)
        except ValidationError as error:
            raise InputError(f"{where}: {_first_problem(error)}") from error

    def _relative_to(self, folder: Path) -> "Config":
        def moved(data: DataConfig) -> DataConfig:
            dataset = data.dataset
            if dataset.endswith(".toml") or "/" in dataset or (folder / dataset / "dataset.toml").is_file():
                dataset = str(folder / dataset)
            root = None if data.root is None else str(folder / data.root)
            relation = data.relation
            if relation is not None and (relation.endswith(".toml") or "/" in relation):
                relation = str(folder / relation)
            return data.model_copy(update={"dataset": dataset, "root": root, "relation": relation})

        return self.model_copy(
            update={
                "output": str(folder / self.output),
                "data": tuple(moved(d) for d in self.data),
                "validation": None if self.validation is None else moved(self.validation),
            }
        )


def _apply(table: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise InputError(f"override {override!r} is not key=value, such as fit.steps=500")
    *parents, last = key.split(".")
    place: Any = table
    for parent in parents:
        try:
            place = place[int(parent)] if isinstance(place, list) else place.setdefault(parent, {})
        except (ValueError, IndexError, AttributeError) as error:
            raise InputError(f"override {override!r}: there is no {parent!r}") from error
    if not isinstance(place, dict):
        raise InputError(f"override {override!r}: {'.'.join(parents)} is not a table")
    place[last] = toml_value(text)


def _first_problem(error: ValidationError) -> str:
    problem = error.errors()[0]
    place = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        return f"unknown key {place!r}; {near_names(str(problem['loc'][-1]), _known_keys(problem['loc']))}"
    if problem["type"] == "missing":
        return f"the key {place!r} is missing"
    value = problem["input"]
    shown = f" (got {json.dumps(value)})" if isinstance(value, str | int | float | bool | list) else ""
    return f"{place or 'configuration'}: {problem['msg'].removeprefix('Value error, ')}{shown}"


def _known_keys(place: tuple[int | str, ...]) -> list[str]:
    sections: dict[str, type[BaseModel]] = {
        "network": NetworkConfig,
        "data": DataConfig,
        "validation": DataConfig,
        "fit": FitConfig,
    }
    model = sections.get(str(place[0]), Config) if len(place) > 1 else Config
    return list(model.model_fields)
