"""From a checkpoint to a bundle: trace the network, prove that onnxruntime agrees with torch, write.

The proof comes before anything is written: wrong numbers after an export are the commonest complaint
about every deployment kit, and they show nowhere else until somebody looks at pictures.
"""

import io
import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt
import onnx
import torch
from torch import nn

from lsu.runtime import BackendError, InputError, ModelSpec, constrained_argmax
from lsu.runtime.bundles.bundle import Bundle, Draft, refuse_existing, write_bundle
from lsu.runtime.bundles.golden import GoldenFrame
from lsu.runtime.bundles.manifest import Head
from lsu.runtime.model import Fit, Size, placed
from lsu.training.checkpoint import Checkpoint
from lsu.training.networks import MULTIPLE, traces_free_sizes

from .agreement import Agreement, refuse_disagreement
from .card import CARD, card_from_draft
from .data_record import data_records
from .drawn import drawn_frames, noise_batches
from .evaluation_file import RecordedEvaluation
from .graph import DeployedNetwork, HalvedNetwork
from .head_models import head_models
from .onnx_session import first_line
from .proof import compare, torch_scores
from .versions import versions_of

OPSET = 18
"""The lowest opset of torch's exporter; TensorRT 10.3, the oldest that is served, parses it."""

ExportPrecision = Literal["float32", "float16"]

_TRACED = (256, 320)  # the pooling pyramid of `pan` needs 256; unequal, so that swapped sides show


@dataclass(frozen=True)
class Options:
    """What a user may choose about an export.

    Attributes:
        size: the fixed (H, W) of the input, for one image at a time; `dynamic` for any size and number; None
            for what the checkpoint was fitted for, which is dynamic unless it has an input size.
        fit: how images of another size become inputs; None keeps the checkpoint's, or pads where its size
            was fixed and is dynamic now.
        head: which head a second ONNX file has.
        precision: of the weights and of the arithmetic between normalisation and scores.
        name: the bundle's name; None takes the checkpoint's file name, or its folder's for `checkpoint`.
        golden: images uint8 [H,W,3] RGB for the golden frames; without any, patterns are drawn.
        evaluations: scores for the model card.
    """

    size: Size | Literal["dynamic"] | None = None
    fit: Fit | None = None
    head: Head = "scores"
    precision: ExportPrecision = "float32"
    name: str | None = None
    golden: Sequence[npt.NDArray[np.uint8]] = ()
    evaluations: Sequence[RecordedEvaluation] = ()


def export_checkpoint(checkpoint_path: Path, output: Path, options: Options | None = None) -> Bundle:
    """Write the bundle of a checkpoint's network.

    Raises:
        InputError: the checkpoint, the size or a golden image cannot be used, or `output` exists.
        BackendError: the exporter failed, onnxruntime and torch disagree by more than the precision allows,
            or the disk refused it. Nothing is written then.
    """
    refuse_existing(output)
    options = options or Options()
    checkpoint = Checkpoint.load(checkpoint_path)
    spec = _spec_for(checkpoint.spec, options)
    if spec.size is None and not traces_free_sizes(checkpoint.config.network):
        raise InputError(
            f"{checkpoint.config.network.architecture} is exported at a fixed size only: add --size HxW"
        )
    images = list(options.golden) or drawn_frames(spec)
    inputs = [placed(image, spec).pixels for image in images]  # refuses what does not fit, before the work
    network = DeployedNetwork(checkpoint.network(), checkpoint.config.network).eval()
    started = time.perf_counter()
    model = onnx_from_network(HalvedNetwork(network) if options.precision == "float16" else network, spec)
    seconds = time.perf_counter() - started
    agreement = compare(model, network, [*noise_batches(spec), *(i[np.newaxis] for i in inputs)])
    refuse_disagreement(agreement, options.precision)
    models, measured_of_head = head_models(model, spec, options.head, images)
    config = checkpoint.config.network
    draft = Draft(
        name=options.name or _name_of(checkpoint_path),
        spec=spec,
        models=models,
        golden=tuple(_golden(network, spec, image) for image in images),
        normalisation={"mean": list(config.mean), "std": list(config.std)},
        provenance=_provenance(checkpoint),
        verification=_verification(agreement, seconds) | measured_of_head,
        precision=options.precision,
        head=options.head,
    )
    return write_bundle(output, replace(draft, documents={CARD: card_from_draft(draft, options.evaluations)}))


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
    if options.size == "dynamic":
        unfit = spec.fit == "resize" and options.fit is None  # a resize needs a size
        return replace(spec, fit="pad" if unfit else fit, size=None, multiple=MULTIPLE)
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


def _name_of(path: Path) -> str:
    """The file's name, or its folder's: `lsu fit` calls every checkpoint `checkpoint.safetensors`."""
    return path.absolute().parent.name if path.stem == "checkpoint" else path.stem


def _golden(network: nn.Module, spec: ModelSpec, image: npt.NDArray[np.uint8]) -> GoldenFrame:
    """The frame with torch's answers: they do not depend on the export that they are to prove."""
    fitted = placed(image, spec)
    scores = np.ascontiguousarray(torch_scores(network, fitted.pixels[np.newaxis])[0])
    size = (image.shape[0], image.shape[1])
    head = constrained_argmax(scores, size, void_channel=spec.void_channel, canvas=fitted.canvas)
    return GoldenFrame(image, scores, head.classes)


def _provenance(checkpoint: Checkpoint) -> dict[str, Any]:
    return {
        **versions_of("torch", "onnx"),
        "opset": OPSET,
        "checkpoint": checkpoint.digest,
        "step": checkpoint.step,
        "config": checkpoint.config.model_dump(mode="json"),
        "data": data_records([entry.model_dump() for entry in checkpoint.config.data]),
    }


def _verification(agreement: Agreement, seconds: float) -> dict[str, Any]:
    import onnxruntime

    return {
        "reference": "torch on the CPU in float32",
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
