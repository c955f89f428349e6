"""The members of an S-Net: what they are and with which weights they begin."""

from pathlib import Path

from torch import nn

from lsu.runtime import InputError

from .checkpoint import Checkpoint
from .config import Config
from .network_config import NetworkConfig


def with_members(config: Config) -> Config:
    """The configuration with what its network's members are, read from their checkpoints.

    Raises:
        InputError: a checkpoint cannot be read, or is an S-Net itself.
    """
    members = []
    for member in config.network.members:
        try:
            checkpoint = Checkpoint.load(Path(member.checkpoint))
        except InputError as error:
            raise InputError(f"network.members: {error}") from error
        network = checkpoint.config.network
        if network.members:
            raise InputError(f"network.members: {member.checkpoint} is an s-net itself: name its members")
        members.append(
            member.model_copy(
                update={
                    "network": network.model_copy(update={"pretrained": None}),
                    "classes": len(checkpoint.label_space),
                }
            )
        )
    network = config.network.model_copy(update={"members": tuple(members)})
    return config.model_copy(update={"network": network})


def load_members(network: nn.Module, config: NetworkConfig) -> None:
    """Give the members of a network their checkpoints' weights; nothing happens to one without members.

    Raises:
        InputError: a checkpoint cannot be read or has changed since `with_members`.
    """
    for number, member in enumerate(config.members):
        checkpoint = Checkpoint.load(Path(member.checkpoint))
        try:
            checkpoint.load_into(network.get_submodule(f"members.{number}"))
        except InputError as error:
            raise InputError(f"network.members: {member.checkpoint} is another network now") from error
