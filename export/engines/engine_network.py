"""A network and its settings as TensorRT's builder wants them; the same calls serve TensorRT-RTX.

Networks are strongly typed: the precision is what the ONNX file says. TensorRT 11 knows nothing else, and
10.x gave unreliable segmentation where it could choose (deployment on Thor, nvidia-holoscan/holohub#1120).
"""

from dataclasses import asdict, dataclass
from typing import Any

from lsu.runtime.bundles.engine_manifest import EngineHead, SizeRange, Target
from lsu.runtime.bundles.manifest import Precision
from lsu.runtime.errors import BackendError, InputError


@dataclass(frozen=True)
class BuildRequest:
    """What is to be built.

    Attributes:
        target: which library builds.
        sms: compute capabilities to build for; none takes this machine's GPU.
        sizes: of the input.
        batch: the largest number of images at once.
        precision: of the bundle's weights.
        head: `plugin` where the model ends with the plugin.
        plugin: the plugin's library, loaded before the model is parsed.
        timing_cache: a file that keeps what the builder has timed, or None.
        dry_run: parse and look, do not build.
    """

    target: Target
    sms: tuple[int, ...]
    sizes: SizeRange
    batch: int
    precision: Precision
    head: EngineHead = "scores"
    plugin: str | None = None
    timing_cache: str | None = None
    dry_run: bool = False

    @classmethod
    def from_dict(cls, table: dict[str, Any]) -> "BuildRequest":
        """The request that `to_dict` described; lists stand for tuples."""
        sizes = SizeRange(*(tuple(table["sizes"][key]) for key in ("least", "best", "most")))
        return cls(**{**table, "sms": tuple(table["sms"]), "sizes": sizes})

    def to_dict(self) -> dict[str, Any]:
        """The request in plain JSON types."""
        return asdict(self)


def parsed_network(library: Any, builder: Any, messages: Any, model: bytes) -> Any:
    """The network of an ONNX file.

    Raises:
        BackendError: the library's parser refuses the file; or it has no input `image` or output `scores`.
    """
    flag = getattr(library.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
    network = builder.create_network(0 if flag is None else 1 << int(flag))
    parser = library.OnnxParser(network, messages)
    if not parser.parse(model):
        errors = [_sentence(parser.get_error(k)) for k in range(parser.num_errors)]
        raise BackendError(f"{library.__name__} cannot parse the network: {'; '.join(errors[:3])}")
    inputs = [network.get_input(k).name for k in range(network.num_inputs)]
    outputs = [network.get_output(k).name for k in range(network.num_outputs)]
    # The parser takes an empty file for an empty network.
    if "image" not in inputs or "scores" not in outputs:
        raise BackendError(f"the network takes {inputs} and gives {outputs}; image and scores are needed")
    return network


def add_profile(builder: Any, config: Any, network: Any, request: BuildRequest) -> None:
    """Tell the builder the sizes of free inputs; a network without any needs no profile.

    Raises:
        InputError: a size or number of images that the network does not take.
    """
    profile, free = builder.create_optimization_profile(), False
    for k in range(network.num_inputs):
        tensor = network.get_input(k)
        wanted = _wanted(tensor.name, tuple(tensor.shape), request)
        if tensor.name == "size":
            profile.set_shape_input(tensor.name, *wanted)
            free = True
            continue
        for shape in wanted:
            _refuse_misfit(tensor.name, tuple(tensor.shape), shape)
        if -1 in tuple(tensor.shape):
            profile.set_shape(tensor.name, *wanted)
            free = True
    if free:
        config.add_optimization_profile(profile)


def set_up(library: Any, config: Any, request: BuildRequest, sms: tuple[int, ...]) -> None:
    """The settings that are the same in all versions, and the machines that TensorRT-RTX builds for.

    Raises:
        InputError: TensorRT-RTX does not know a compute capability.
    """
    if request.precision == "float32":
        # TF32 keeps 10 bits of mantissa: golden frames would differ in the third digit.
        config.clear_flag(library.BuilderFlag.TF32)
    if request.target != "tensorrt-rtx":
        return
    known = library.ComputeCapability.__members__
    numbers = sorted(int(name[2:]) for name in known if name[2:].isdecimal())
    config.num_compute_capabilities = len(sms)
    for place, sm in enumerate(sms):
        if sm not in numbers or not config.set_compute_capability(known[f"SM{sm}"], place):
            raise InputError(f"SM {sm} is none of TensorRT-RTX's: {', '.join(map(str, numbers))} are allowed")


def _wanted(name: str, shape: tuple[int, ...], request: BuildRequest) -> list[tuple[int, ...]]:
    """The least, best and largest shape of an input; of `size` its values."""
    sizes, batch = request.sizes, request.batch
    area = ((1, sizes.least), (batch, sizes.best), (batch, sizes.most))
    if name == "image":
        return [(n, *size, 3) for n, size in area]
    # The answer may be smaller than the input, which is padded: from one pixel on.
    answers = [(1, (1, 1)), *area[1:]]
    if name == "size":
        return [size for _, size in answers]
    if name == "labels":
        return [(n, height, -(-width // 4)) for n, (height, width) in answers]
    return [tuple(shape)] * 3


def _refuse_misfit(name: str, shape: tuple[int, ...], wanted: tuple[int, ...]) -> None:
    if len(shape) != len(wanted) or any(a not in (-1, b) for a, b in zip(shape, wanted, strict=True)):
        raise InputError(
            f"the network takes {name} {list(shape)}, asked for is {list(wanted)}: "
            "leave --size and --batch out, or export with free sizes"
        )


def _sentence(error: Any) -> str:
    """What the parser says of an operator, in one line."""
    said = " ".join(str(error.desc()).split())
    operator = error.node_operator() if hasattr(error, "node_operator") else ""
    return f"{operator} ({error.node_name()}): {said}" if operator else said
