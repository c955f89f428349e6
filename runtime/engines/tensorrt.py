"""Engines over TensorRT and TensorRT-RTX: a stored plan, a CUDA stream, and nothing in between.

Not proven on a GPU: the machine that this was written on has none. There the calls ran against stand-ins for
the library and the driver (tests/test_tensorrt_engine.py); golden frames are what proves an engine where it
is used, so run `lsu inspect BUNDLE --backend tensorrt` first.
"""

import contextlib
import platform
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from lsu.runtime.bundles.bundle import Bundle
from lsu.runtime.bundles.engine_manifest import Target
from lsu.runtime.bundles.stored_engine import StoredEngine
from lsu.runtime.cuda_device import CudaBuffer, CudaDevice, sm_of_device
from lsu.runtime.errors import BackendError, InputError
from lsu.runtime.model import ModelSpec

from .tensorrt_library import kept_messages, tensorrt_library


def this_platform() -> str:
    """Operating system and processor, such as `linux-x86_64`."""
    return f"{sys.platform}-{platform.machine()}"


def fitting_engine(
    engines: Sequence[StoredEngine], target: Target, bundle: Bundle, *, device: int = 0
) -> StoredEngine:
    """The first engine of a target that this machine can run.

    Raises:
        InputError: the bundle has no engine of this target.
        BackendError: none fits; the line says what is missing or differs.
    """
    build = f"`lsu export build {bundle.path} --target {target}`"
    ours = [e for e in engines if (e.manifest.target, e.manifest.head) == (target, "scores")]
    if not ours:
        raise InputError(
            f"{bundle.path} has no engine that gives scores for {target}: build one with {build}"
        )
    try:
        sm = sm_of_device(device)
    except BackendError as error:
        raise BackendError(
            f"{ours[0].path.name} needs a GPU of SM {_listed(ours)}; {error}: use the backend onnxruntime"
        ) from error
    library = str(tensorrt_library(target).__version__)
    for engine in ours:
        about = engine.manifest
        if sm in about.sms and about.library == library and about.platform == this_platform():
            return engine
    raise BackendError(
        f"{bundle.path}: no engine for {target} {library}, SM {sm}, {this_platform()}; built are "
        f"{', '.join(_fit(engine) for engine in ours)}: build one with {build}"
    )


class TensorRTEngine:
    """Runs a bundle's stored engine on one CUDA device; not proven on a GPU, see the module.

    Images go through pinned memory to the device and scores come back the same way, all on one stream.
    A call belongs to one thread at a time.
    """

    def __init__(self, bundle: Bundle, stored: StoredEngine, *, device: int = 0) -> None:
        """Load a plan that `fitting_engine` chose.

        Raises:
            InputError: the plan was changed.
            BackendError: the library or the device refused it.
        """
        about = stored.manifest
        plan = stored.read_plan()
        self._library = tensorrt_library(about.target)
        self._where, self._manifest, self._spec = stored.path, about, bundle.spec
        self._identity = f"{bundle.digest}+{about.plan}"
        self._buffers: dict[str, CudaBuffer] = {}
        self.on_step: Callable[[], object] | None = None
        """Called after the copy to the device and after the network, both awaited: for measurements only."""
        self._device: CudaDevice | None = CudaDevice(device)
        try:
            with self._device.current():
                self._engine, self._context = self._loaded(plan)
        except BaseException:
            self.close()
            raise

    @property
    def spec(self) -> ModelSpec:
        """The network's contract."""
        return self._spec

    @property
    def identity(self) -> str:
        """The digests of the bundle and of the plan."""
        return self._identity

    def infer(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Scores float32 [N,C,h,w] for images uint8 [N,H,W,3] RGB.

        Raises:
            InputError: the images have another type or a size that the engine does not take.
            BackendError: the library or the device failed.
        """
        if self._device is None:
            raise BackendError("the engine is closed: make a new one")
        self._check(images)
        step = self._manifest.batch
        parts = [images[start : start + step] for start in range(0, len(images), step)]
        with self._device.current():
            return np.concatenate([self._inferred(self._device, part) for part in parts])

    def close(self) -> None:
        """Free the engine, its memory and the device."""
        if self._device is not None:
            with contextlib.suppress(BackendError):  # after a sticky CUDA error every call fails
                with self._device.current():
                    self._context = self._engine = self._runtime = None
                    for buffer in self._buffers.values():
                        buffer.close()
                self._device.close()
        self._buffers, self._device = {}, None

    def _loaded(self, plan: bytes) -> tuple[Any, Any]:
        messages = kept_messages(self._library)
        runtime = self._library.Runtime(messages)
        runtime.engine_host_code_allowed = False  # a plan may carry code for the host: ours do not
        engine = runtime.deserialize_cuda_engine(plan)
        context = None if engine is None else engine.create_execution_context()
        if context is None:
            reason = messages.errors[0] if messages.errors else "it says no reason"
            raise BackendError(f"{self._where}: {self._manifest.target} refuses the engine: {reason}")
        names = {engine.get_tensor_name(k) for k in range(engine.num_io_tensors)}
        if names != {"image", "scores"}:
            raise BackendError(
                f"{self._where}: the engine has the tensors {sorted(names)}; image and scores are needed: "
                "build it again"
            )
        self._messages, self._runtime = messages, runtime  # the engine uses both as long as it lives
        return engine, context

    def _inferred(self, device: CudaDevice, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        if not self._context.set_input_shape("image", images.shape):
            raise self._failure(f"does not take the shape {list(images.shape)}")
        shape = tuple(self._context.get_tensor_shape("scores"))
        dtype = np.dtype(self._library.nptype(self._engine.get_tensor_dtype("scores")))
        if len(shape) != 4 or shape[:2] != (len(images), self._spec.channels) or min(shape) < 1:
            raise self._failure(f"gives scores {list(shape)}; {self._spec.channels} channels are needed")
        size = int(np.prod(shape)) * dtype.itemsize
        source = self._buffer(device, "image", images.nbytes)
        answer = self._buffer(device, "scores", size)
        source.host[: images.nbytes] = images.reshape(-1)
        source.copy_in(images.nbytes)
        self._finish_step(device)
        if not self._context.execute_async_v3(device.stream):
            raise self._failure("did not run")
        self._finish_step(device)
        answer.copy_out(size)
        device.wait()
        scores: npt.NDArray[np.float32] = answer.host[:size].view(dtype).reshape(shape).astype(np.float32)
        return scores  # a copy: the memory is written again

    def _finish_step(self, device: CudaDevice) -> None:
        if self.on_step is not None:
            device.wait()
            self.on_step()

    def _buffer(self, device: CudaDevice, name: str, size: int) -> CudaBuffer:
        """Memory of at least `size` bytes behind a tensor; it grows and never shrinks."""
        buffer = self._buffers.get(name)
        if buffer is None or len(buffer.host) < size:
            if buffer is not None:
                buffer.close()
            buffer = self._buffers[name] = CudaBuffer(device, size)
        if not self._context.set_tensor_address(name, buffer.address):
            raise self._failure(f"does not take the memory for {name}")
        return buffer

    def _failure(self, what: str) -> BackendError:
        said = f": {self._messages.errors[-1]}" if self._messages.errors else ""
        return BackendError(f"{self._where}: the engine {what}{said}")

    def _check(self, images: npt.NDArray[np.uint8]) -> None:
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3 or not len(images):
            raise InputError(f"images are {images.dtype} {list(images.shape)}; uint8 [N, H, W, 3] is needed")
        height, width = images.shape[1:3]
        multiple, sizes = self._spec.multiple, self._manifest.sizes
        if not sizes.holds((height, width)) or height % multiple or width % multiple:
            raise InputError(
                f"input is {height}x{width} (HxW); this engine takes {sizes} in multiples of {multiple}: "
                "use `placed` first, or build one for this size"
            )


def _listed(engines: Sequence[StoredEngine]) -> str:
    return ", ".join(str(sm) for sm in sorted({sm for engine in engines for sm in engine.manifest.sms}))


def _fit(engine: StoredEngine) -> str:
    about = engine.manifest
    return f"{about.library} for SM {'+'.join(map(str, about.sms))} on {about.platform}"
