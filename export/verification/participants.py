"""Who can be compared with the reference on this machine; who cannot is listed with the reason."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from lsu.runtime.bundles.bundle import Bundle
from lsu.runtime.bundles.manifest import MODEL_WITH_HEAD, MODEL_WITH_PLUGIN, Precision
from lsu.runtime.bundles.stored_engine import StoredEngine, engines_of
from lsu.runtime.bundles.trust import Trust
from lsu.runtime.engines.ort import OnnxRuntimeEngine
from lsu.runtime.engines.tensorrt import TensorRTEngine, fitting_engine
from lsu.runtime.errors import BackendError
from lsu.runtime.model import Engine

from .answers import Backend, EngineBackend, FunctionBackend

REFERENCE = "onnxruntime CPU"
"""With our head behind it, as behind every engine here."""
_PRECISIONS = ("float32", "float16", "int8")


@dataclass(frozen=True, eq=False)
class Participant:
    """Somebody who answers here.

    Attributes:
        backend: who.
        precision: the lower one of its weights and the reference's, which decides what is asked.
    """

    backend: Backend
    precision: Precision


@dataclass(frozen=True)
class Absent:
    """Somebody who does not answer here.

    Attributes:
        name: who.
        reason: why, in one line.
        failed: it was loaded and then failed on an image, which is no agreement.
    """

    name: str
    reason: str
    failed: bool = False


@dataclass(frozen=True)
class Others:
    """Who is asked besides what the bundle holds.

    Attributes:
        checkpoint: the one that the bundle was made of, for torch.
        against: opened bundles of the same label space.
        trust: whose signature engines in the bundle need.
        threads: of each backend, all that this process may use if None.
    """

    checkpoint: Path | None = None
    against: tuple[Bundle, ...] = ()
    trust: Trust | None = None
    threads: int | None = None


class Roll:
    """The list of those who answer and of those who do not."""

    def __init__(self) -> None:
        self.present: list[Participant] = []
        self.absent: list[Absent] = []

    def call(self, name: str, precision: Precision, make: Callable[[str], Backend]) -> None:
        """Make a backend of that name; where the machine cannot, keep the reason.

        Raises:
            InputError: what it would be made of is wrong, which no other machine would mend.
        """
        try:
            self.present.append(Participant(make(name), precision))
        except BackendError as error:
            self.absent.append(Absent(name, str(error)))

    def close(self) -> None:
        """Close everybody."""
        for participant in self.present:
            participant.backend.close()


def reference_of(bundle: Bundle, *, threads: int | None = None) -> Backend:
    """The one that all are compared with.

    Raises:
        BackendError: onnxruntime is missing or cannot load the bundle's network.
    """
    return EngineBackend(REFERENCE, OnnxRuntimeEngine(bundle, threads=threads, cpu=True), threads=threads)


def roll_of(bundle: Bundle, others: Others) -> Roll:
    """All that the bundle holds and all that are asked for, on this machine.

    Raises:
        InputError: the checkpoint is not the bundle's, another bundle speaks another label space, or an
            engine in the bundle is not vouched for or was changed.
    """
    for other in others.against:
        bundle.spec.label_space.require_same(other.spec.label_space, str(bundle.path), str(other.path))
    roll, precision, threads = Roll(), bundle.precision, others.threads
    try:
        if MODEL_WITH_HEAD in bundle.manifest.files:
            roll.call(MODEL_WITH_HEAD, precision, lambda name: FunctionBackend(name, bundle))
        if MODEL_WITH_PLUGIN in bundle.manifest.files:
            roll.absent.append(Absent(MODEL_WITH_PLUGIN, "only TensorRT runs it: build an engine of it"))
        if others.checkpoint is not None:
            _call_torch(roll, bundle, others)
        _call_cuda(roll, bundle, threads)
        for stored in engines_of(bundle, others.trust):
            _call_engine(roll, bundle, stored, threads)
        for other in others.against:
            opened = partial(OnnxRuntimeEngine, other, threads=threads, cpu=True)
            lower = max(precision, other.precision, key=_PRECISIONS.index)
            roll.call(
                f"bundle {other.path.resolve().name} ({other.digest[:8]})",
                lower,
                _followed_by_our_head(opened, threads),
            )
    except BaseException:
        roll.close()
        raise
    return roll


def _followed_by_our_head(
    opened: Callable[[], Engine], threads: int | None
) -> Callable[[str], EngineBackend]:
    return lambda name: EngineBackend(name, opened(), threads=threads)


def _call_engine(roll: Roll, bundle: Bundle, stored: StoredEngine, threads: int | None) -> None:
    name, about = f"engine {stored.path.name}", stored.manifest
    stored.read_plan()  # a changed one is wrong on every machine, whether it could run here or not
    if about.head == "plugin":
        roll.absent.append(Absent(name, "it gives classes, and engines that give scores are compared"))
        return

    def opened() -> Engine:
        return TensorRTEngine(bundle, fitting_engine([stored], about.target, bundle))

    roll.call(name, bundle.precision, _followed_by_our_head(opened, threads))


def _call_torch(roll: Roll, bundle: Bundle, others: Others) -> None:
    if others.checkpoint is None:
        return
    name = "torch CPU"
    if not find_spec("torch"):
        roll.absent.append(Absent(name, "torch is missing: pip install 'lsu[train]'"))
        return
    from lsu.export.proof import torch_engine

    engine = torch_engine(others.checkpoint, bundle)
    roll.present.append(Participant(EngineBackend(name, engine, threads=others.threads), bundle.precision))


def _call_cuda(roll: Roll, bundle: Bundle, threads: int | None) -> None:
    """Adds onnxruntime on a GPU, where it was built for one."""
    import onnxruntime

    name = "onnxruntime CUDA"
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        roll.absent.append(Absent(name, "this onnxruntime has no CUDA: pip install 'lsu[gpu]'"))
        return
    engine = OnnxRuntimeEngine(bundle, threads=threads)
    if engine.provider.startswith("CUDA"):
        roll.present.append(Participant(EngineBackend(name, engine, threads=threads), bundle.precision))
    else:
        engine.close()
        roll.absent.append(Absent(name, "onnxruntime found no GPU that it can use: see `nvidia-smi`"))
