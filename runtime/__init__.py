"""Label spaces, relations, data sets, bundles, engines, relabelling and evaluation, without torch.

Names are imported when they are first used, so that `lsu --help` and a vehicle load only what they need.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .bundles.bundle import Bundle
    from .datasets.dataset import Dataset, Frame, Sample, Split
    from .errors import BackendError, InputError, LsuError
    from .head import Head, Labelling, constrained_argmax
    from .label_space import VOID, LabelClass, LabelSpace
    from .model import Engine, ModelSpec
    from .relation import Relation
    from .segmenter import Scores, Segmenter

_HOMES = {
    "bundles.bundle": ("Bundle",),
    "datasets.dataset": ("Dataset", "Frame", "Sample", "Split"),
    "errors": ("BackendError", "InputError", "LsuError"),
    "head": ("Head", "Labelling", "constrained_argmax"),
    "label_space": ("VOID", "LabelClass", "LabelSpace"),
    "model": ("Engine", "ModelSpec"),
    "relation": ("Relation",),
    "segmenter": ("Scores", "Segmenter"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "VOID",
    "BackendError",
    "Bundle",
    "Dataset",
    "Engine",
    "Frame",
    "Head",
    "InputError",
    "LabelClass",
    "LabelSpace",
    "Labelling",
    "LsuError",
    "ModelSpec",
    "Relation",
    "Sample",
    "Scores",
    "Segmenter",
    "Split",
    "constrained_argmax",
]


def __getattr__(name: str) -> object:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOME_OF[name]}", __name__), name)
