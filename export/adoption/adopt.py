"""From anybody's ONNX file to a bundle: its input and scores found, its normalisation put inside, all proven.

What is adopted must give, for uint8 pixels, what the original gives for the same pixels prepared outside, by
numpy. Whether mean, std and the order of colours are those that the network was fitted with, nobody can see
in a file: only labelled images show it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from lsu.export.agreement import Agreement, refuse_disagreement
from lsu.export.card import CARD, card_from_draft
from lsu.export.drawn import drawn_frames, noise_batches
from lsu.export.evaluation_file import RecordedEvaluation
from lsu.export.head_models import head_models
from lsu.export.onnx_session import first_line, outputs_of, session_from_model
from lsu.export.versions import versions_of
from lsu.runtime import BackendError, InputError, ModelSpec, constrained_argmax
from lsu.runtime.bundles.bundle import Bundle, Draft, refuse_existing, write_bundle
from lsu.runtime.bundles.golden import GoldenFrame
from lsu.runtime.bundles.manifest import Head
from lsu.runtime.files import digest_of
from lsu.runtime.label_space import LabelSpace
from lsu.runtime.model import Fit, ScoreKind, Size, placed

from .adopted_graph import Preparation, adopted_graph
from .foreign_model import TYPES, ForeignInput, Layout, precision_of, read_foreign
from .foreign_scores import ForeignScores, kind_of, with_output

Scores = Callable[[npt.NDArray[np.uint8]], npt.NDArray[Any]]
"""Images uint8 [N,H,W,3] -> the original's scores [N,C,h,w]."""


@dataclass(frozen=True)
class Adoption:
    """What a user says about a foreign network.

    Attributes:
        label_space: channel k of the scores is class k of it.
        void_channel: the scores have one channel more, the last one, which means void.
        scores: the name of the scores' tensor, None to find it among the outputs.
        kind: of the scores, None to see it from them.
        layout: of the input, None to find it.
        preparation: how RGB pixels become the input.
        size: fixes a free (H, W); None keeps what the file has.
        multiple: of which H and W must be multiples where they are free.
        fit: None pads where the size is free and resizes where it is fixed.
        pad_value: grey, 0 to 255; None takes the mean, 128 where it is unknown.
        head: which head a second ONNX file has.
        name: the bundle's name; None takes the file's.
        golden: images uint8 [H,W,3] RGB for the golden frames; without any, patterns are drawn.
        evaluations: scores for the model card.
    """

    label_space: LabelSpace
    void_channel: bool = False
    scores: str | None = None
    kind: ScoreKind | None = None
    layout: Layout | None = None
    preparation: Preparation = field(default_factory=Preparation)
    size: Size | None = None
    multiple: int = 32
    fit: Fit | None = None
    pad_value: int | None = None
    head: Head = "scores"
    name: str | None = None
    golden: Sequence[npt.NDArray[np.uint8]] = ()
    evaluations: Sequence[RecordedEvaluation] = ()


def adopt(path: Path, output: Path, adoption: Adoption) -> Bundle:
    """Write the bundle of a foreign network.

    Raises:
        InputError: the file is no such network, has weights elsewhere, does not fit the label space, or
            something must be said that nobody can see; or `output` exists.
        BackendError: onnxruntime cannot run it, the adopted network differs from it, or the disk refused it.
            Nothing is written then.
    """
    refuse_existing(output)
    foreign, data = read_foreign(path)
    source = ForeignInput.of(foreign, adoption.layout)
    adoption.preparation.require_for(source)
    spec = _spec_for(source, adoption)
    if adoption.scores is not None:
        foreign = with_output(foreign, adoption.scores)
    original = _Original(foreign, path, source, adoption.preparation)
    images = list(adoption.golden) or drawn_frames(spec)
    batches = [*(placed(image, spec).pixels[np.newaxis] for image in images)]
    batches += noise_batches(spec, most=2 if source.batch is None else 1)
    scores = ForeignScores.among(original.outputs(batches[0]), spec, batches[0].shape[1:3], adoption.scores)
    truths = [original.outputs(batch)[scores.name] for batch in batches]
    spec = replace(spec, scores=kind_of([scores for truth in truths for scores in truth], adoption.kind))
    model = _checked(adopted_graph(foreign, source, adoption.preparation, spec, scores), path)
    precision = precision_of(foreign)
    agreement = _compared(model, batches, truths)
    refuse_disagreement(agreement, precision, "the adopted file")
    models, measured_of_head = head_models(model, spec, adoption.head, images)
    draft = Draft(
        name=adoption.name or path.stem,
        spec=spec,
        models=models,
        golden=tuple(_golden(image, spec, truth[0]) for image, truth in zip(images, truths, strict=False)),
        normalisation=_normalisation(adoption.preparation),
        provenance=_provenance(path, data, foreign, source, scores),
        verification=_verification(agreement) | measured_of_head,
        precision=precision,
        head=adoption.head,
    )
    return write_bundle(
        output, replace(draft, documents={CARD: card_from_draft(draft, adoption.evaluations)})
    )


class _Original:
    """The foreign network as it came, fed by numpy."""

    def __init__(
        self, model: onnx.ModelProto, path: Path, source: ForeignInput, preparation: Preparation
    ) -> None:
        self._what = path.name
        self._session = session_from_model(model.SerializeToString(), self._what)
        self._names = [output.name for output in model.graph.output]
        self._source, self._preparation = source, preparation

    def outputs(self, batch: npt.NDArray[np.uint8]) -> dict[str, npt.NDArray[Any]]:
        """All outputs by name for images uint8 [N,H,W,3] RGB."""
        feed = {self._source.name: self._preparation.applied(batch, self._source)}
        try:
            answers = outputs_of(self._session, None, feed, self._what)
        except BackendError as error:
            if None not in (self._source.height, self._source.width):
                raise
            raise BackendError(
                f"{error}; if it takes no such size, fix one with --size HxW or say its --multiple"
            ) from error
        return {name: np.asarray(answer) for name, answer in zip(self._names, answers, strict=True)}


def _spec_for(source: ForeignInput, adoption: Adoption) -> ModelSpec:
    sides = (source.height, source.width)
    size = adoption.size
    if size is not None and min(size) < 1:
        raise InputError(f"size {size[0]}x{size[1]}: H and W must be above 0")
    if size is not None and any(side not in (None, wanted) for side, wanted in zip(sides, size, strict=True)):
        raise InputError(
            f"size {size[0]}x{size[1]}: the network takes {_side(sides[0])}x{_side(sides[1])} only"
        )
    if size is None and None not in sides:
        size = (source.height or 0, source.width or 0)
    if size is None and sides != (None, None):
        raise InputError(
            f"the network takes {_side(sides[0])}x{_side(sides[1])} (HxW), half free: fix it with --size HxW"
        )
    mean, scale = adoption.preparation.mean, adoption.preparation.scale
    grey = 128 if mean is None else min(255, max(0, round(scale * sum(mean) / 3)))
    return ModelSpec(
        label_space=adoption.label_space,
        fit=adoption.fit or ("resize" if size else "pad"),
        size=size,
        multiple=1 if size else adoption.multiple,
        pad_value=grey if adoption.pad_value is None else adoption.pad_value,
        void_channel=len(adoption.label_space) if adoption.void_channel else None,
    )


def _side(side: int | None) -> str:
    return "any" if side is None else str(side)


def _checked(model: onnx.ModelProto, path: Path) -> bytes:
    try:
        onnx.checker.check_model(model, full_check=True)
    except Exception as error:  # a checker's error, or protobuf's
        raise BackendError(
            f"{path}: cannot be given another input and output: {first_line(error)}"
        ) from error
    return bytes(model.SerializeToString(deterministic=True))


def _compared(
    model: bytes, batches: Sequence[npt.NDArray[np.uint8]], truths: Sequence[npt.NDArray[Any]]
) -> Agreement:
    session = session_from_model(model, "the adopted network")
    result = Agreement()
    for batch, truth in zip(batches, truths, strict=True):
        if len(truth) != len(batch):
            raise InputError(
                f"the network gives scores of {len(truth)} images for {len(batch)}: fix its size with --size "
                "HxW, then it is given one image at a time"
            )
        (ours,) = outputs_of(session, ["scores"], {"image": batch}, "the adopted network")
        for scores, expected in zip(ours, truth.astype(np.float32), strict=True):
            result = result.with_image(scores, expected, batch.shape[1:3], "the adopted file")
    return result


def _golden(image: npt.NDArray[np.uint8], spec: ModelSpec, truth: npt.NDArray[np.generic]) -> GoldenFrame:
    """The frame with the original's answers."""
    scores, size = np.ascontiguousarray(truth, np.float32), (image.shape[0], image.shape[1])
    canvas = placed(image, spec).canvas
    head = constrained_argmax(scores, size, void_channel=spec.void_channel, canvas=canvas)
    return GoldenFrame(image, scores, head.classes)


def _normalisation(preparation: Preparation) -> dict[str, Any]:
    order = "BGR" if preparation.bgr else "RGB"
    if preparation.mean is None or preparation.std is None:
        return {"mean": "inside the adopted file", "order": order}
    about = {"mean": list(preparation.mean), "std": list(preparation.std)}
    return about | {"scale": preparation.scale, "order": order}


def _provenance(
    path: Path, data: bytes, foreign: onnx.ModelProto, source: ForeignInput, scores: ForeignScores
) -> dict[str, Any]:
    return {
        **versions_of("onnx"),
        "opset": max(entry.version for entry in foreign.opset_import if entry.domain in ("", "ai.onnx")),
        "adopted": path.name,
        "adopted_digest": digest_of(data),
        "adopted_producer": f"{foreign.producer_name} {foreign.producer_version}".strip() or "unknown",
        "adopted_input": f"{source.name}: {TYPES[source.type]} {source.layout}",
        "adopted_scores": scores.name,
    }


def _verification(agreement: Agreement) -> dict[str, Any]:
    import onnxruntime

    return {
        "reference": "the adopted file in onnxruntime on the CPU, its input prepared by numpy",
        "onnxruntime": onnxruntime.__version__,
        "images": agreement.images,
        "largest_score_difference": agreement.difference,
        "largest_difference_of_range": agreement.share,
        "equal_classes": agreement.equal,
    }
