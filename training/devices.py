"""The devices and processes of a fit: Lightning Fabric, started by itself or by torchrun."""

import logging
import os

import torch
from lightning_fabric import Fabric
from torch import nn

from lsu.runtime import InputError
from lsu.runtime.errors import first_line

from .config import FitConfig


def launched(settings: FitConfig, *, all_used: bool = True) -> Fabric:
    """Lightning Fabric on the asked devices, its own messages below warnings kept quiet.

    Under torchrun the processes are there already and `fit.devices` 1 or `auto` means all of them.

    Args:
        settings: precision and devices.
        all_used: every parameter gets a gradient in every step; else DDP has to look each time which do.

    Raises:
        InputError: the settings do not go with this machine or with torchrun's processes.
    """
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    if settings.precision == "16-mixed" and (
        settings.accelerator == "cpu" or not torch.cuda.is_available()
    ):  # before Fabric, which warns and takes another
        raise InputError("fit.precision 16-mixed needs a GPU; on a CPU use bf16-mixed or 32-true")
    devices, nodes = _asked(settings)
    _refuse_crowd(settings, devices)
    if devices != "auto":  # before the other processes start, which would all say it
        _refuse_odd_share(settings, int(devices) * nodes)
    alone = (devices, nodes) == (1, 1)
    try:
        fabric = Fabric(
            accelerator=settings.accelerator,
            strategy="auto" if all_used or alone else "ddp_find_unused_parameters_true",
            devices=devices,
            num_nodes=nodes,
            precision=settings.precision,
        )
        fabric.launch()
    except (RuntimeError, ValueError, TypeError) as error:
        raise InputError(
            f"fit.accelerator {settings.accelerator!r} with fit.devices {devices!r} cannot be used "
            f"here: {first_line(error)}"
        ) from error
    _refuse_odd_share(settings, fabric.world_size)
    return fabric


def ended() -> None:
    """Leave the other processes of a fit, if there are any.

    Without this the threads of gloo are still alive when the interpreter ends, which aborts it now and then.
    """
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def _refuse_crowd(settings: FitConfig, devices: int | str) -> None:
    """Refuse more CPU processes than processors: each is a whole copy of the fit."""
    processors = max(2, len(os.sched_getaffinity(0)))
    on_cpu = settings.accelerator == "cpu" or not torch.cuda.is_available()
    if on_cpu and "TORCHELASTIC_RUN_ID" not in os.environ and devices != "auto" and int(devices) > processors:
        raise InputError(
            f"fit.devices {devices}: without a GPU at most {processors} processes run here: choose fewer"
        )


def _refuse_odd_share(settings: FitConfig, devices: int) -> None:
    if settings.batch_size % devices:
        raise InputError(
            f"fit.batch_size {settings.batch_size} cannot be shared by {devices} devices: choose a multiple"
        )


def leads_here() -> bool:
    """Whether this process is the first of its fit, before anything was launched."""
    return os.environ.get("RANK", os.environ.get("LOCAL_RANK", "0")) == "0"


def with_synced_norms(network: nn.Module, fabric: Fabric) -> nn.Module:
    """The network with batch statistics over all devices (torch.nn.SyncBatchNorm); weights keep their names.

    Raises:
        InputError: the devices are CPUs, which torch has no such layer for.
    """
    if fabric.world_size == 1:
        return network
    if fabric.device.type == "cpu":
        raise InputError("fit.sync_batch_norm needs GPUs: torch has none for CPUs, set it to false")
    synced: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
    return synced


def _asked(settings: FitConfig) -> tuple[int | str, int]:
    """Devices per machine and machines."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return settings.devices, 1
    here, all_of_them = int(os.environ["LOCAL_WORLD_SIZE"]), int(os.environ["WORLD_SIZE"])
    if settings.devices not in (1, "auto", here):
        raise InputError(
            f"fit.devices is {settings.devices}, but torchrun started {here} processes: leave fit.devices out"
        )
    return here, all_of_them // here
