"""`bundle.json`: what a bundle's network expects and gives, where it came from, and the digest of each file.

It is the one file of a bundle that vouches for the others, so reading it is strict: an unknown key, a
missing key or a value of another type is an error and never a default. The layout, format 1:

    {"format": 1, "name": "town-fpn",
     "label_space": {"identity": "0123456789abcdef", "name": ..., "classes": [...], "void": [...], ...},
     "input": {"format": "rgb8", "layout": "NHWC", "fit": "pad", "size": null, "multiple": 32,
               "pad_value": 114},
     "scores": "logits", "void_channel": null, "precision": "float32", "head": "scores",
     "normalisation": {"mean": [...], "std": [...]},        informational: it is inside the network
     "provenance": {...}, "verification": {...},            who made it from what; what was measured then
     "files": {"model.onnx": "<SHA-256>", ...},
     "golden": [{"image": "golden/0_image.png", "scores": "golden/0_scores.npy", "classes": ...}]}

`head` is `scores`, or `function` where `model_with_head.onnx` lies beside `model.onnx`: the same network
followed by the head as operators of standard ONNX, for runtimes that know nothing of lsu.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal, TypeVar

from .errors import InputError
from .files import refuse_unknown_keys
from .label_space import LabelSpace
from .model import ModelSpec

FORMAT = 1
MODEL = "model.onnx"
MODEL_WITH_HEAD = "model_with_head.onnx"

Precision = Literal["float32", "float16", "int8"]
Head = Literal["scores", "function"]

_T = TypeVar("_T")
_KEYS = {
    "format", "name", "label_space", "input", "scores", "void_channel", "precision", "head",
    "normalisation", "provenance", "verification", "files", "golden",
}  # fmt: skip
_INPUT_KEYS = {"format", "layout", "fit", "size", "multiple", "pad_value"}
_LABEL_SPACE_KEYS = {"identity", "name", "source", "licence", "note", "repairs", "classes", "void"}


@dataclass(frozen=True)
class GoldenFiles:
    """The files of one golden frame, named relative to the bundle.

    Attributes:
        image: PNG, RGB, of any size that the fit allows.
        scores: `.npy`, float32 [C,h,w], what the network gives for the image as fitted.
        classes: PNG, uint8 of the image's size, the free head on these scores; 255 = void.
    """

    image: str
    scores: str
    classes: str


@dataclass(frozen=True)
class Manifest:
    """All of `bundle.json`.

    Attributes:
        name: a short name for people.
        spec: the network's contract.
        precision: of the weights: `float32`, `float16` or `int8`.
        head: `scores`, or `function` where `model_with_head.onnx` is there too.
        normalisation: mean and std that are inside the network, for people.
        provenance: versions, opset, the checkpoint's digest, its configuration.
        verification: what was measured when the bundle was made.
        files: name relative to the bundle -> SHA-256 of the file.
        golden: images with the answers that every engine must reproduce.
    """

    name: str
    spec: ModelSpec
    precision: Precision
    head: Head
    normalisation: Mapping[str, Any]
    provenance: Mapping[str, Any]
    verification: Mapping[str, Any]
    files: Mapping[str, str]
    golden: tuple[GoldenFiles, ...]

    @classmethod
    def from_json(cls, data: bytes, path: Path) -> "Manifest":
        """The manifest in the bytes of `bundle.json`; `path` names them in errors.

        Raises:
            InputError: not JSON, of a newer format, an unknown or missing key, or a value that cannot be.
        """
        where = str(path)
        try:
            table = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{where}: not a JSON file: {error}") from error
        if not isinstance(table, dict):
            raise InputError(f"{where}: not a table")
        _refuse_other_formats(_take(table, "format", int, where), where)
        refuse_unknown_keys(table, _KEYS, where)
        files = _take(table, "files", dict, where)
        for name, digest in files.items():
            _check_file(name, digest, where)
        golden = tuple(_golden_from(entry, files, where) for entry in _take(table, "golden", list, where))
        head = _one_of(table, "head", ("scores", "function"), where)
        for name in (MODEL, MODEL_WITH_HEAD) if head == "function" else (MODEL,):
            if name not in files:
                raise InputError(f"{where}: {name} is not listed under files")
        return cls(
            name=_take(table, "name", str, where),
            spec=_spec_from(table, where),
            precision=_one_of(table, "precision", ("float32", "float16", "int8"), where),  # type: ignore[arg-type]
            head=head,  # type: ignore[arg-type]
            normalisation=_take(table, "normalisation", dict, where),
            provenance=_take(table, "provenance", dict, where),
            verification=_take(table, "verification", dict, where),
            files=files,
            golden=golden,
        )

    def to_json(self) -> bytes:
        """The bytes of `bundle.json`."""
        spec = self.spec
        table = {
            "format": FORMAT,
            "name": self.name,
            "label_space": {"identity": spec.label_space.identity, **spec.label_space.to_dict()},
            "input": {
                "format": "rgb8",
                "layout": "NHWC",
                "fit": spec.fit,
                "size": None if spec.size is None else list(spec.size),
                "multiple": spec.multiple,
                "pad_value": spec.pad_value,
            },
            "scores": spec.scores,
            "void_channel": spec.void_channel,
            "precision": self.precision,
            "head": self.head,
            "normalisation": dict(self.normalisation),
            "provenance": dict(self.provenance),
            "verification": dict(self.verification),
            "files": dict(self.files),
            "golden": [asdict(frame) for frame in self.golden],
        }
        return (json.dumps(table, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def _refuse_other_formats(number: int, where: str) -> None:
    if number > FORMAT:
        raise InputError(f"{where}: bundle format {number} is newer than {FORMAT}: update lsu")
    if number != FORMAT:
        raise InputError(f"{where}: bundle format {number} does not exist; known: {FORMAT}")


def _take(table: Mapping[str, Any], key: str, kind: type[_T], where: str) -> _T:
    if key not in table:
        raise InputError(f"{where}: the key {key!r} is missing")
    value = table[key]
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise InputError(f"{where}: {key} is {value!r}, which is not a {kind.__name__}")
    return value


def _one_of(table: Mapping[str, Any], key: str, known: tuple[str, ...], where: str) -> str:
    value = _take(table, key, str, where)
    if value not in known:
        raise InputError(f"{where}: {key} is {value!r}; known: {', '.join(known)}")
    return value


def _check_file(name: str, digest: Any, where: str) -> None:
    parts = name.split("/")
    if PurePosixPath(name).is_absolute() or "\\" in name or any(part in ("", ".", "..") for part in parts):
        raise InputError(f"{where}: the file {name!r} does not lie inside the bundle")
    if not isinstance(digest, str) or len(digest) != 64 or set(digest) - set("0123456789abcdef"):
        raise InputError(f"{where}: the digest of {name} is {digest!r}, which is not 64 hexadecimal digits")


def _golden_from(entry: Any, files: Mapping[str, str], where: str) -> GoldenFiles:
    where = f"{where}, golden"
    if not isinstance(entry, dict):
        raise InputError(f"{where}: {entry!r} is not a table")
    refuse_unknown_keys(entry, {"image", "scores", "classes"}, where)
    names = [_take(entry, key, str, where) for key in ("image", "scores", "classes")]
    for name in names:
        if name not in files:
            raise InputError(f"{where}: {name} is not listed under files")
    return GoldenFiles(*names)


def _spec_from(table: Mapping[str, Any], where: str) -> ModelSpec:
    entry = _take(table, "input", dict, where)
    refuse_unknown_keys(entry, _INPUT_KEYS, f"{where}, input")
    _one_of(entry, "format", ("rgb8",), f"{where}, input")
    _one_of(entry, "layout", ("NHWC",), f"{where}, input")
    label_space = _label_space_from(_take(table, "label_space", dict, where), f"{where}, label_space")
    try:
        return ModelSpec(
            label_space=label_space,
            fit=_take(entry, "fit", str, f"{where}, input"),  # type: ignore[arg-type]
            size=_size_from(_take(entry, "size", object, f"{where}, input"), f"{where}, input"),
            multiple=_take(entry, "multiple", int, f"{where}, input"),
            pad_value=_take(entry, "pad_value", int, f"{where}, input"),
            scores=_take(table, "scores", str, where),  # type: ignore[arg-type]
            void_channel=_void_channel_from(_take(table, "void_channel", object, where), where),
        )
    except InputError as error:
        raise error if str(error).startswith(where) else InputError(f"{where}: {error}") from error


def _void_channel_from(value: Any, where: str) -> int | None:
    if value is not None and type(value) is not int:
        raise InputError(f"{where}: void_channel is {value!r}; a whole number or null is allowed")
    return value


def _size_from(value: Any, where: str) -> tuple[int, int] | None:
    if value is None:
        return None
    if not isinstance(value, list) or len(value) != 2 or not all(type(v) is int and v > 0 for v in value):
        raise InputError(f"{where}: size is {value!r}; [H, W] or null is allowed")
    return (value[0], value[1])


def _label_space_from(entry: dict[str, Any], where: str) -> LabelSpace:
    refuse_unknown_keys(entry, _LABEL_SPACE_KEYS, where)
    identity = _take(entry, "identity", str, where)
    _take(entry, "name", str, where)
    try:
        label_space = LabelSpace.from_dict({k: v for k, v in entry.items() if k != "identity"})
    except InputError as error:
        raise InputError(f"{where}: {error}") from error
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{where}: does not describe a label space: {error}") from error
    if label_space.identity != identity:
        raise InputError(
            f"{where}: the identity is {identity} but the names listed give {label_space.identity}: "
            "export the bundle again"
        )
    return label_space
