"""Who answers an image: engines with our head, the portable head, stored answers. All speak one language.

A comparison asks each of them the same question, an image with constraints, and gets the scores and one map
of classes per mode. `free` is the mode without a constraint.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from lsu.export.onnx_session import outputs_of, session_from_model
from lsu.runtime.bundles.bundle import Bundle
from lsu.runtime.bundles.golden import GoldenFrame
from lsu.runtime.bundles.manifest import MODEL_WITH_HEAD
from lsu.runtime.errors import BackendError
from lsu.runtime.model import Engine, ModelSpec, placed
from lsu.runtime.segmenter import Segmenter

from .constraint import Constraint, allowed_from_table

FREE = "free"

Classes = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Question:
    """What every backend is asked.

    Attributes:
        name: the image's, unique.
        image: uint8 [H,W,3] RGB.
        constraints: answered besides the free mode.
    """

    name: str
    image: npt.NDArray[np.uint8]
    constraints: tuple[Constraint, ...] = ()


@dataclass(frozen=True, eq=False)
class Answer:
    """What a backend says.

    Attributes:
        scores: float32 [C,h,w].
        classes: mode -> uint8 [H,W], 255 = void; a mode that the backend does not know is left out.
    """

    scores: npt.NDArray[np.float32]
    classes: Mapping[str, Classes] = field(default_factory=dict)


class Backend(Protocol):
    """Whoever answers."""

    @property
    def name(self) -> str:
        """A short name, unique among those that are compared."""

    def answer(self, question: Question) -> Answer:
        """The answer.

        Raises:
            InputError: the image does not fit.
            BackendError: the backend failed.
        """

    def close(self) -> None:
        """Free what it holds."""


class EngineBackend:
    """An engine followed by our head."""

    def __init__(self, name: str, engine: Engine, *, threads: int | None = None) -> None:
        """Keep the engine, which `close` closes; `threads` are the head's."""
        self.name = name
        self._segmenter = Segmenter(engine, threads=threads)

    def answer(self, question: Question) -> Answer:
        """See `Backend`."""
        scores = self._segmenter.scores(question.image)
        size = (question.image.shape[0], question.image.shape[1])
        void_channel = self._segmenter.engine.spec.void_channel
        head, canvas = self._segmenter.head, scores.canvas
        classes = {FREE: head(scores.values, size, void_channel=void_channel, canvas=canvas).classes}
        for given in question.constraints:
            classes[given.mode] = head(
                scores.values,
                size,
                labels=given.labels,
                table=given.table,
                void_channel=void_channel,
                canvas=canvas,
            ).classes
        return Answer(scores.values, classes)

    def close(self) -> None:
        """See `Backend`."""
        self._segmenter.engine.close()


class FunctionBackend:
    """`model_with_head.onnx` alone, run by onnxruntime on the CPU: neither our head nor our engine."""

    def __init__(self, name: str, bundle: Bundle) -> None:
        """Load the model.

        Raises:
            BackendError: onnxruntime is missing or cannot load it.
        """
        self.name = name
        self._spec: ModelSpec = bundle.spec
        self._session: Any = session_from_model(bundle.read(MODEL_WITH_HEAD), MODEL_WITH_HEAD)

    def answer(self, question: Question) -> Answer:
        """See `Backend`."""
        fitted = placed(question.image, self._spec)
        height, width = question.image.shape[:2]
        feed: dict[str, npt.NDArray[Any]] = {
            "image": fitted.pixels[np.newaxis],
            "size": np.array(fitted.canvas, np.int64),
        }
        classes: dict[str, Classes] = {}
        scores = np.empty(0, np.float32)
        everything = Constraint(FREE, np.zeros((height, width), np.uint8), np.zeros((256, 4), np.uint64))
        for given in question.constraints or (everything,):
            labels = np.zeros((1, *fitted.canvas), np.int32)  # what lies beyond the image is cut off again
            labels[0, :height, :width] = given.labels
            feed |= {"labels": labels, "allowed": allowed_from_table(given.table, self._spec.channels)}
            low, bound, free = outputs_of(self._session, ["scores", "classes", "free"], feed, MODEL_WITH_HEAD)
            scores = np.ascontiguousarray(low[0], np.float32)
            classes[given.mode] = np.ascontiguousarray(bound[0, :height, :width], np.uint8)
            classes[FREE] = np.ascontiguousarray(free[0, :height, :width], np.uint8)
        return Answer(scores, classes)

    def close(self) -> None:
        """See `Backend`."""
        self._session = None


class StoredBackend:
    """Golden frames: the answers that were stored when the bundle was made, by torch where it was ours."""

    def __init__(self, name: str, frames: Mapping[str, GoldenFrame]) -> None:
        """Keep the frames, by the names that questions have."""
        self.name = name
        self._frames = dict(frames)

    def answer(self, question: Question) -> Answer:
        """See `Backend`; the free mode alone."""
        frame = self._frames.get(question.name)
        if frame is None:
            raise BackendError(f"{self.name}: no answer is stored for {question.name}")
        return Answer(frame.scores, {FREE: frame.classes})

    def close(self) -> None:
        """See `Backend`."""
