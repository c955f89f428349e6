"""Teachers as engines: a checkpoint through torch, a bundle through the runtime."""

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
            engines.append(teacher_engine(Path(teacher), settings, trust))
        return Guide(engines, [f"teacher {teacher}" for teacher in config.teachers])
    except BaseException:
        for engine in engines:
            engine.close()
        raise


def _device(settings: FitConfig) -> str:
    return "cuda" if settings.accelerator != "cpu" and torch.cuda.is_available() else "cpu"
