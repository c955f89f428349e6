"""The engine over onnxruntime: the CPU, or CUDA where onnxruntime was built with it."""

import os
from typing import Any

import numpy as np
import numpy.typing as npt

from lsu.runtime.bundles.bundle import Bundle
from lsu.runtime.bundles.manifest import MODEL
from lsu.runtime.errors import BackendError, InputError
from lsu.runtime.model import ModelSpec

_EXTERNAL_FOLDER = "session.model_external_initializers_file_folder_path"


class OnnxRuntimeEngine:
    """Runs a bundle's `model.onnx`.

    The same bundle, machine, provider and number of threads give the same bits: operators run one after
    the other, and on CUDA deterministic kernels are chosen without TF32.
    """

    def __init__(self, bundle: Bundle, *, threads: int | None = None, cpu: bool = False) -> None:
        """Load the bundle's network; `cpu` keeps it on the CPU where there is a GPU too.

        Raises:
            InputError: `threads` is below 1, or the network's inputs and outputs are not a bundle's.
            BackendError: onnxruntime is missing or cannot load the network.
        """
        if threads is not None and threads < 1:
            raise InputError(f"threads is {threads}; 1 or more is allowed: give None for all")
        try:
            import onnxruntime
        except ImportError as error:
            raise BackendError(
                "onnxruntime is missing: pip install 'lsu[cpu]' (or 'lsu[gpu]' for NVIDIA GPUs)"
            ) from error
        options = onnxruntime.SessionOptions()
        # Left to itself onnxruntime pins one thread per core of the machine, allowed to this process or not.
        options.intra_op_num_threads = threads or len(os.sched_getaffinity(0))
        options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.use_deterministic_compute = True
        options.log_severity_level = 3
        # Weights outside model.onnx are hashed by nobody: looked for below a file, they are never found.
        options.add_session_config_entry(_EXTERNAL_FOLDER, str(bundle.path / MODEL))
        # What was looked through is ONNX: onnxruntime would also take its own format.
        options.add_session_config_entry("session.load_model_format", "ONNX")
        model = bundle.read_model()
        try:
            self._session: Any = onnxruntime.InferenceSession(
                model,
                options,
                providers=_providers([] if cpu else onnxruntime.get_available_providers()),
            )
        except Exception as error:  # onnxruntime's errors share no base below Exception
            raise BackendError(
                f"{bundle.path}: onnxruntime cannot load model.onnx: {_line(error)}"
            ) from error
        self._spec = bundle.spec
        self._identity = bundle.digest
        self._one_by_one = self._checked_batch(bundle)

    @property
    def spec(self) -> ModelSpec:
        """The network's contract."""
        return self._spec

    @property
    def identity(self) -> str:
        """The bundle's digest."""
        return self._identity

    @property
    def provider(self) -> str:
        """What really runs the network: `CPUExecutionProvider` or `CUDAExecutionProvider`."""
        return str(self._open_session().get_providers()[0])

    def infer(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Scores float32 [N,C,h,w] for images uint8 [N,H,W,3] RGB.

        Raises:
            InputError: the images have another type or a size that the network does not take.
            BackendError: onnxruntime failed.
        """
        session = self._open_session()
        self._check(images)
        parts = np.split(images, len(images)) if self._one_by_one and len(images) > 1 else [images]
        try:
            scores = [session.run(["scores"], {"image": np.ascontiguousarray(part)})[0] for part in parts]
        except Exception as error:  # as above
            raise BackendError(f"onnxruntime failed: {_line(error)}") from error
        joined = scores[0] if len(scores) == 1 else np.concatenate(scores)
        if joined.ndim != 4 or joined.shape[1] != self._spec.channels:
            raise InputError(
                f"model.onnx gives scores {list(joined.shape)}; the bundle's label space needs "
                f"{self._spec.channels} channels: export it again with the label space of the network"
            )
        return np.ascontiguousarray(joined, np.float32)

    def close(self) -> None:
        """Free the session."""
        self._session = None

    def _open_session(self) -> Any:
        if self._session is None:
            raise BackendError("the engine is closed: make a new one")
        return self._session

    def _checked_batch(self, bundle: Bundle) -> bool:
        """Whether the network takes one image at a time; its inputs and outputs are checked on the way."""
        inputs = {i.name: i for i in self._session.get_inputs()}
        outputs = {o.name: o for o in self._session.get_outputs()}
        if set(inputs) != {"image"} or inputs["image"].type != "tensor(uint8)" or "scores" not in outputs:
            raise InputError(
                f"{bundle.path}: model.onnx takes {sorted(inputs)} and gives {sorted(outputs)}; "
                "one uint8 input `image` and an output `scores` are needed: export it again"
            )
        channels = outputs["scores"].shape[1]
        if isinstance(channels, int) and channels != self._spec.channels:
            raise InputError(
                f"{bundle.path}: model.onnx gives {channels} channels, bundle.json says {self._spec.channels}"
            )
        return bool(inputs["image"].shape[0] == 1)

    def _check(self, images: npt.NDArray[np.uint8]) -> None:
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3 or not len(images):
            raise InputError(f"images are {images.dtype} {list(images.shape)}; uint8 [N, H, W, 3] is needed")
        height, width = images.shape[1:3]
        needed = self._spec.size or (height, width)
        if (height, width) != needed or height % self._spec.multiple or width % self._spec.multiple:
            wants = f"{needed[1]}x{needed[0]}" if self._spec.size else f"multiples of {self._spec.multiple}"
            raise InputError(f"input is {width}x{height}; the network needs {wants}: use `placed` first")


def _providers(available: list[str]) -> list[Any]:
    cpu: list[Any] = ["CPUExecutionProvider"]
    if "CUDAExecutionProvider" not in available:
        return cpu
    # TF32 keeps 10 bits of mantissa: golden frames would differ in the third digit.
    return [("CUDAExecutionProvider", {"use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC"}), *cpu]


def _line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
