"""The teacher of a round as an engine: a checkpoint through torch, a bundle through the runtime."""

from pathlib import Path

import torch

from lsu.runtime import Bundle, Engine, InputError
from lsu.runtime.bundles.trust import Trust
from lsu.runtime.engines import engine_for

from .checkpoint import Checkpoint
from .config import FitConfig
from .torch_engine import TorchEngine


def teacher_engine(path: Path, settings: FitConfig, trust: Trust | None = None) -> Engine:
    """An engine that runs a teacher.

    Args:
        path: a checkpoint, or the folder of a bundle.
        settings: where it runs and on how many CPU threads.
        trust: whose signature a bundle needs; None asks for none.

    Raises:
        InputError: neither of both, damaged, or of a newer format.
        BackendError: the bundle's library cannot load it.
    """
    if path.is_dir():
        bundle = Bundle.open(path, trust=trust or Trust())
        return engine_for(bundle, threads=settings.threads or None)
    if not path.exists():
        raise InputError(f"teacher: {path} is not there: name a checkpoint or the folder of a bundle")
    return TorchEngine.from_checkpoint(Checkpoint.load(path), device=_device(settings))


def _device(settings: FitConfig) -> str:
    return "cuda" if settings.accelerator != "cpu" and torch.cuda.is_available() else "cpu"
