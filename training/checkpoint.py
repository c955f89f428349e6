"""Checkpoints: one safetensors file with weights, label space and configuration; no pickle anywhere.

A checkpoint to continue from also holds the optimiser's state; both kinds are read by the same code.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from lsu.runtime import InputError, LabelSpace, ModelSpec
from lsu.runtime.errors import first_line
from lsu.runtime.files import digest_of, read_bytes, write_atomically

from .config import Config
from .networks import MULTIPLE, Normalise, build_network, score_kind
from .patience import Best

FORMAT = 1
_WEIGHTS, _OPTIMISER, _AVERAGE, _BEST = "network.", "optimiser.", "average.", "best."


@dataclass(frozen=True)
class Checkpoint:
    """A network's weights and all that is needed to run or to continue it.

    Attributes:
        config: the configuration that it was fitted with.
        label_space: channel k of the scores is class k of it.
        step: optimiser steps done.
        weights: the network's state dictionary; where the fit is finished, what it chose to keep.
        optimiser: the optimiser's tensors by `parameter index.name`, empty in a finished checkpoint.
        average: the state dictionary of averaged weights (`fit.ema`), empty in a finished checkpoint.
        best: the best score (`fit.patience`); its weights are empty in a finished checkpoint.
        teachers: the identities of the networks whose answers it learned from, in their order.
        digest: SHA-256 of the file that it was read from, empty before it is written.
    """

    config: Config
    label_space: LabelSpace
    step: int
    weights: Mapping[str, Tensor]
    optimiser: Mapping[str, Tensor]
    average: Mapping[str, Tensor] = field(default_factory=dict)
    best: Best = field(default_factory=Best)
    teachers: tuple[str, ...] = ()
    digest: str = ""

    @classmethod
    def load(cls, path: Path) -> "Checkpoint":
        """The checkpoint in a file.

        Raises:
            InputError: it cannot be read, is not a checkpoint of lsu, or is of a newer format.
        """
        data = read_bytes(path)
        try:
            tensors = load(data)
            header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
            about = json.loads(header["__metadata__"]["lsu"])
            newer = about["format"] > FORMAT
            config, space, step = about["config"], about["label_space"], int(about["step"])
            best = Best(**about.get("best", {}), weights=_with_prefix(tensors, _BEST))
            teachers = tuple(str(teacher) for teacher in about.get("teachers", ()))
        except (SafetensorError, KeyError, ValueError, TypeError) as error:
            raise InputError(f"{path}: not a checkpoint of lsu: {first_line(error)}") from error
        if newer:
            raise InputError(
                f"{path}: checkpoint format {about['format']} is newer than {FORMAT}: update lsu"
            )
        return cls(
            config=Config.from_dict(config, str(path)),
            label_space=LabelSpace.from_dict(space),
            step=step,
            weights=_with_prefix(tensors, _WEIGHTS),
            optimiser=_with_prefix(tensors, _OPTIMISER),
            average=_with_prefix(tensors, _AVERAGE),
            best=best,
            teachers=teachers,
            digest=digest_of(data),
        )

    def save(self, path: Path) -> None:
        """Write the checkpoint, all of it or nothing.

        Raises:
            BackendError: the disk refused it.
        """
        about = {
            "format": FORMAT,
            "step": self.step,
            "config": self.config.model_dump(mode="json"),
            "label_space": self.label_space.to_dict(),
        }
        if self.best.step:
            about["best"] = {"step": self.best.step, "score": self.best.score, "stale": self.best.stale}
        if self.teachers:
            about["teachers"] = list(self.teachers)
        parts = {
            _WEIGHTS: self.weights,
            _OPTIMISER: self.optimiser,
            _AVERAGE: self.average,
            _BEST: self.best.weights,
        }
        tensors = {
            prefix + name: value.detach().cpu().contiguous()
            for prefix, part in parts.items()
            for name, value in part.items()
        }
        write_atomically(path, save(tensors, metadata={"lsu": json.dumps(about, sort_keys=True)}))

    def network(self) -> nn.Module:
        """The network with these weights, in evaluation mode.

        Raises:
            InputError: the weights belong to another network, or its encoder is unknown here.
        """
        config = self.config.network.model_copy(update={"pretrained": None})
        network = build_network(config, len(self.label_space))
        self.load_into(network)
        return network.eval()

    def load_into(self, network: nn.Module) -> None:
        """Give a network these weights.

        Raises:
            InputError: they belong to another network.
        """
        try:
            network.load_state_dict(dict(self.weights))
        except RuntimeError as error:
            raise InputError("the checkpoint's weights do not belong to its configured network") from error

    def normalisation(self) -> Normalise:
        """The step from uint8 images to the network's input."""
        return Normalise(self.config.network)

    @property
    def spec(self) -> ModelSpec:
        """The network's contract: images resized to the configured size, or padded to multiples of 32."""
        grey = round(255 * sum(self.config.network.mean) / 3)
        size, space = self.config.network.input_size, self.label_space
        kind = score_kind(self.config.network)
        if size is not None:
            return ModelSpec(label_space=space, fit="resize", size=size, pad_value=grey, scores=kind)
        return ModelSpec(label_space=space, fit="pad", multiple=MULTIPLE, pad_value=grey, scores=kind)


def optimiser_tensors(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimiser's state as `parameter index.name` -> tensor; its settings belong to the configuration."""
    state: dict[int, dict[str, Any]] = optimiser.state_dict()["state"]
    return {f"{index}.{name}": value for index, entry in state.items() for name, value in entry.items()}


def restore_optimiser(optimiser: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Give an optimiser the state that `optimiser_tensors` took."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        index, _, name = key.partition(".")
        state.setdefault(int(index), {})[name] = value
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})


def _with_prefix(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
