"""From a checkpoint to a bundle: trace the network, prove that onnxruntime agrees with torch, write.

The proof comes before anything is written: wrong numbers after an export are the commonest complaint
about every deployment kit, and they show nowhere else until somebody looks at pictures.
"""

import io
import logging
import platform
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import onnx
import torch
from torch import nn

from lsu.runtime import BackendError, InputError, ModelSpec, constrained_argmax
from lsu.runtime.bundle import Bundle, Draft, refuse_existing, write_bundle
from lsu.runtime.golden import GoldenFrame
from lsu.runtime.manifest import MODEL, MODEL_WITH_HEAD, Head
from lsu.runtime.model import Fit, Size, placed
from lsu.training.checkpoint import Checkpoint
from lsu.training.networks import MULTIPLE

from .drawn import drawn_frames
from .graph import DeployedNetwork
from .head_function import with_head
from .proof import Agreement, compare, first_line, prove_head, refuse_disagreement, torch_scores

OPSET = 18
"""The lowest opset of torch's exporter; TensorRT 10.3, the oldest that is served, parses it."""

_TRACED = (256, 320)  # the pooling pyramid of `pan` needs 256; unequal, so that swapped sides show
_TRIED = ((1, 256, 320), (2, 320, 256), (1, 288, 416))


@dataclass(frozen=True)
class Options:
    """What a user may choose about an export.

    Attributes:
        size: the fixed (H, W) of the input, for one image at a time, or None for any size and number.
        fit: how images of another size become inputs; None keeps the checkpoint's.
        head: `function` writes `model_with_head.onnx` too.
        name: the bundle's name; None takes the checkpoint's file name.
        golden: images uint8 [H,W,3] RGB for the golden frames; without any, patterns are drawn.
    """

    size: Size | None = None
    fit: Fit | None = None
    head: Head = "scores"
    name: str | None = None
    golden: Sequence[npt.NDArray[np.uint8]] = ()


def export_checkpoint(checkpoint_path: Path, output: Path, options: Options | None = None) -> Bundle:
    """Write the bundle of a checkpoint's network.

    Raises:
        InputError: the checkpoint, the size or a golden image cannot be used, or `output` exists.
        BackendError: the exporter failed, onnxruntime and torch disagree by more than `MOST_DIFFERENCE` or
            `LEAST_EQUAL` allow, or the disk refused it. Nothing is written then.
    """
    refuse_existing(output)
    options = options or Options()
    checkpoint = Checkpoint.load(checkpoint_path)
    spec = _spec_for(checkpoint.spec, options)
    images = list(options.golden) or drawn_frames(spec)
    inputs = [placed(image, spec).pixels for image in images]  # refuses what does not fit, before the work
    network = DeployedNetwork(checkpoint.network(), checkpoint.config.network).eval()
    started = time.perf_counter()
    model = onnx_from_network(network, spec)
    seconds = time.perf_counter() - started
    agreement = compare(model, network, [*_random_inputs(spec), *(i[np.newaxis] for i in inputs)])
    refuse_disagreement(agreement)
    verification = _verification(agreement, seconds)
    models = {MODEL: model}
    if options.head == "function":
        models[MODEL_WITH_HEAD] = with_head(model, void_channel=spec.void_channel)
        verification["equal_classes_of_heads"] = prove_head(models[MODEL_WITH_HEAD], spec, images)
    config = checkpoint.config.network
    draft = Draft(
        name=options.name or checkpoint_path.stem,
        spec=spec,
        models=models,
        golden=tuple(_golden(network, spec, image) for image in images),
        normalisation={"mean": list(config.mean), "std": list(config.std)},
        provenance=_provenance(checkpoint),
        verification=verification,
        head=options.head,
    )
    return write_bundle(output, draft)


def onnx_from_network(network: nn.Module, spec: ModelSpec) -> bytes:
    """The ONNX file of a deployed network: input `image`, output `scores`.

    Args:
        network: uint8 [N,H,W,3] to scores [N,C,h,w], in evaluation mode.
        spec: with a size, the file takes one image of that size; without, N, H and W are free and H and W
            are multiples of `spec.multiple`.

    Raises:
        BackendError: torch's exporter or the checker of onnx refused it.
    """
    height, width = spec.size or _TRACED
    example = torch.zeros((1 if spec.size else 2, height, width, 3), dtype=torch.uint8)
    try:
        with _quiet():
            program = torch.onnx.export(
                network,
                (example,),
                input_names=["image"],
                output_names=["scores"],
                opset_version=OPSET,
                dynamic_shapes=None if spec.size else _free_sides(spec),
                dynamo=True,
                verbose=False,
            )
        proto = cast(torch.onnx.ONNXProgram, program).model_proto
        _forget_this_machine(proto)
        onnx.checker.check_model(proto, full_check=True)
    except Exception as error:  # the exporter raises whatever the traced code raises
        raise BackendError(f"the network cannot be exported to ONNX: {first_line(error)}") from error
    return bytes(proto.SerializeToString(deterministic=True))


def _spec_for(spec: ModelSpec, options: Options) -> ModelSpec:
    fit = options.fit or spec.fit
    if options.size is None:
        return replace(spec, fit=fit)
    height, width = options.size
    m = MULTIPLE
    if height < 1 or width < 1 or height % m or width % m:
        near = "x".join(str(max(m, round(side / m) * m)) for side in options.size)
        raise InputError(f"size {height}x{width}: H and W must be multiples of {m}, such as {near}")
    return replace(spec, fit=fit, size=options.size, multiple=1)


def _free_sides(spec: ModelSpec) -> tuple[dict[int, Any]]:
    sides = (spec.multiple * torch.export.Dim(name) for name in ("h", "w"))
    return (dict(enumerate([torch.export.Dim("n"), *sides])),)


def _random_inputs(spec: ModelSpec) -> Iterator[npt.NDArray[np.uint8]]:
    generator = np.random.default_rng(0)
    for number, height, width in [(1, *spec.size)] if spec.size else _TRIED:
        yield generator.integers(0, 256, (number, height, width, 3), np.uint8)


def _golden(network: nn.Module, spec: ModelSpec, image: npt.NDArray[np.uint8]) -> GoldenFrame:
    """The frame with torch's answers: they do not depend on the export that they are to prove."""
    fitted = placed(image, spec)
    scores = np.ascontiguousarray(torch_scores(network, fitted.pixels[np.newaxis])[0])
    size = (image.shape[0], image.shape[1])
    head = constrained_argmax(scores, size, void_channel=spec.void_channel, canvas=fitted.canvas)
    return GoldenFrame(image, scores, head.classes)


def _provenance(checkpoint: Checkpoint) -> dict[str, Any]:
    try:
        own = version("lsu")
    except PackageNotFoundError:
        own = "unknown"
    return {
        "lsu": own,
        "torch": torch.__version__,
        "onnx": onnx.__version__,
        "python": platform.python_version(),
        "opset": OPSET,
        "checkpoint": checkpoint.digest,
        "step": checkpoint.step,
        "config": checkpoint.config.model_dump(mode="json"),
    }


def _verification(agreement: Agreement, seconds: float) -> dict[str, Any]:
    import onnxruntime

    return {
        "reference": "torch on the CPU",
        "onnxruntime": onnxruntime.__version__,
        "images": agreement.images,
        "largest_score_difference": agreement.difference,
        "largest_difference_of_range": agreement.share,
        "equal_classes": agreement.equal,
        "export_seconds": round(seconds, 1),
    }


def _forget_this_machine(proto: onnx.ModelProto) -> None:
    """Drop stack traces with this machine's paths, which the exporter attaches to every node."""
    for graph in (proto.graph, *proto.functions):
        for item in (*graph.node, *graph.value_info, graph):
            del item.metadata_props[:]
            item.doc_string = ""


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what torch logs and prints about a failure: the error that is raised says it in one line."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            yield
    finally:
        logging.disable(before)
