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

`head` is `scores`; `function` where `model_with_head.onnx` lies beside `model.onnx`, the same network
followed by the head as operators of standard ONNX, for runtimes that know nothing of lsu; or `plugin` where
`model_with_plugin.onnx` does, followed by the head as a plugin of TensorRT.
"""

import json
import unicodedata
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from lsu.runtime.errors import InputError
from lsu.runtime.files import refuse_unknown_keys
from lsu.runtime.label_space import LabelSpace
from lsu.runtime.model import ModelSpec

from .strict_json import one_of, table_from_json, take

FORMAT = 1
MODEL = "model.onnx"
MODEL_WITH_HEAD = "model_with_head.onnx"
ADDED_LATER = ("engines", "signatures")
"""Folders of a bundle whose files are not listed in `bundle.json`: they have manifests of their own."""
MODEL_WITH_PLUGIN = "model_with_plugin.onnx"

Precision = Literal["float32", "float16", "int8"]
Head = Literal["scores", "function", "plugin"]
MODELS: dict[Head, tuple[str, ...]] = {
    "scores": (MODEL,),
    "function": (MODEL, MODEL_WITH_HEAD),
    "plugin": (MODEL, MODEL_WITH_PLUGIN),
}
"""The ONNX files of a bundle, by its head."""

_NOT_LISTED = {"bundle.json", "bundle.sha256", *ADDED_LATER}
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
        head: which of `MODELS` are there.
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
        table = table_from_json(data, where)
        _refuse_other_formats(take(table, "format", int, where), where)
        refuse_unknown_keys(table, _KEYS, where)
        files = take(table, "files", dict, where)
        _check_files(files, where)
        golden = tuple(_golden_from(entry, files, where) for entry in take(table, "golden", list, where))
        head: Head = one_of(table, "head", tuple(MODELS), where)  # type: ignore[assignment]
        for name in MODELS[head]:
            if name not in files:
                raise InputError(f"{where}: {name} is not listed under files")
        return cls(
            name=take(table, "name", str, where),
            spec=_spec_from(table, where),
            precision=one_of(table, "precision", ("float32", "float16", "int8"), where),  # type: ignore[arg-type]
            head=head,
            normalisation=take(table, "normalisation", dict, where),
            provenance=take(table, "provenance", dict, where),
            verification=take(table, "verification", dict, where),
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


def _check_files(files: Mapping[str, Any], where: str) -> None:
    """Names are compared as a file system would that ignores case and composes letters."""
    seen: dict[str, str] = {}
    for name, digest in files.items():
        _check_file(name, digest, where)
        same = unicodedata.normalize("NFKC", name).casefold()
        if seen.setdefault(same, name) != name:
            raise InputError(f"{where}: {seen[same]!r} and {name!r} are one file on some machines")
        if same.split("/")[0] in _NOT_LISTED:
            raise InputError(f"{where}: {name!r} cannot be listed: bundle.json does not vouch for it")


def _check_file(name: str, digest: Any, where: str) -> None:
    parts = name.split("/")
    if PurePosixPath(name).is_absolute() or "\\" in name or any(part in ("", ".", "..") for part in parts):
        raise InputError(f"{where}: the file {name!r} does not lie inside the bundle")
    if not name.isprintable() or len(name) > 200:
        raise InputError(f"{where}: the file name {name[:40]!r} is too long or holds control characters")
    if not isinstance(digest, str) or len(digest) != 64 or set(digest) - set("0123456789abcdef"):
        raise InputError(f"{where}: the digest of {name} is {digest!r}, which is not 64 hexadecimal digits")


def _golden_from(entry: Any, files: Mapping[str, str], where: str) -> GoldenFiles:
    where = f"{where}, golden"
    if not isinstance(entry, dict):
        raise InputError(f"{where}: {entry!r} is not a table")
    refuse_unknown_keys(entry, {"image", "scores", "classes"}, where)
    names = [take(entry, key, str, where) for key in ("image", "scores", "classes")]
    for name in names:
        if name not in files:
            raise InputError(f"{where}: {name} is not listed under files")
    return GoldenFiles(*names)


def _spec_from(table: Mapping[str, Any], where: str) -> ModelSpec:
    entry = take(table, "input", dict, where)
    refuse_unknown_keys(entry, _INPUT_KEYS, f"{where}, input")
    one_of(entry, "format", ("rgb8",), f"{where}, input")
    one_of(entry, "layout", ("NHWC",), f"{where}, input")
    label_space = _label_space_from(take(table, "label_space", dict, where), f"{where}, label_space")
    try:
        return ModelSpec(
            label_space=label_space,
            fit=take(entry, "fit", str, f"{where}, input"),  # type: ignore[arg-type]
            size=_size_from(take(entry, "size", object, f"{where}, input"), f"{where}, input"),
            multiple=take(entry, "multiple", int, f"{where}, input"),
            pad_value=take(entry, "pad_value", int, f"{where}, input"),
            scores=take(table, "scores", str, where),  # type: ignore[arg-type]
            void_channel=_void_channel_from(take(table, "void_channel", object, where), where),
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
    identity = take(entry, "identity", str, where)
    take(entry, "name", str, where)
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
