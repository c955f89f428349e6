"""Teachers as engines: a checkpoint through torch, a bundle through the runtime."""

import os
from dataclasses import replace
from pathlib import Path

import torch

from lsu.runtime import Bundle, Engine, InputError
from lsu.runtime.bundles.trust import Trust
from lsu.runtime.engines import engine_for

from .checkpoint import Checkpoint
from .config import FitConfig
from .distillation_config import DistillationConfig
from .guide import Guide
from .torch_engine import TorchEngine


def teacher_engine(
    path: Path, settings: FitConfig, trust: Trust | None = None, *, any_size: bool = False
) -> Engine:
    """An engine that runs a teacher.

    Args:
        path: a checkpoint, or the folder of a bundle.
        settings: where a checkpoint runs, and on how many CPU threads. A bundle runs where its library runs
            it first: onnxruntime on a GPU that it has, whatever the fit runs on.
        trust: whose signature a bundle needs; None asks for none.
        any_size: let a checkpoint see images as they are, also where it resizes them otherwise.

    Raises:
        InputError: neither of both, damaged, or of a newer format.
        BackendError: the bundle's library cannot load it.
    """
    if path.is_dir():
        bundle = Bundle.open(path, trust=trust or Trust())
        return engine_for(bundle, threads=settings.threads or None)
    if not path.exists():
        raise InputError(f"teacher: {path} is not there: name a checkpoint or the folder of a bundle")
    checkpoint = Checkpoint.load(path)
    if any_size:
        network = checkpoint.config.network.model_copy(update={"input_size": None})
        config = checkpoint.config.model_copy(update={"network": network})
        checkpoint = replace(checkpoint, config=config)
    return TorchEngine.from_checkpoint(checkpoint, device=_device(settings))


def open_guide(config: DistillationConfig, settings: FitConfig, trust: Trust | None = None) -> Guide:
    """The teachers of a distillation.

    Args:
        config: which ones.
        settings: where they run and on how many CPU threads.
        trust: as of `teacher_engine`.

    Raises:
        InputError: one cannot be opened, or they speak several label spaces.
        BackendError: a bundle's library cannot load it.
    """
    engines: list[Engine] = []
    try:
        for teacher in config.teachers:
            engines.append(teacher_engine(Path(teacher), settings, trust, any_size=True))
        return Guide(engines, [f"teacher {teacher}" for teacher in config.teachers])
    except BaseException:
        for engine in engines:
            engine.close()
        raise


def _device(settings: FitConfig) -> str:
    """The device of this process: with several, each has its own."""
    if settings.accelerator == "cpu" or not torch.cuda.is_available():
        return "cpu"
    return f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
