"""Bundles: a folder that holds a network, what it means, and frames that prove it on any machine.

Whatever runs a network here runs a bundle. It is written once, whole or not at all, and never changed;
every byte of it is vouched for: `bundle.sha256` holds the digest of `bundle.json`, which holds the digests
of all other files. A digest finds damage; who made a bundle is for a signature to say (trust.py). Later
additions lie in the folders `engines` and `signatures`.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lsu.runtime.errors import InputError
from lsu.runtime.files import digest_of, read_limited, write_folder
from lsu.runtime.image import png_from_pixels
from lsu.runtime.model import Engine, ModelSpec

from .golden import GoldenFrame, SelfTest, compared, golden_frame, refuse_difference
from .manifest import ADDED_LATER, MODEL, GoldenFiles, Head, Manifest, Precision
from .npy import npy_from_array
from .onnx_file import refuse_external_data
from .trust import MOST_MANIFEST, SIGNATURES, Trust

MANIFEST, MANIFEST_DIGEST = "bundle.json", "bundle.sha256"

_MOST_FILE = (1 << 31) - 1
"""Bytes of a listed file; protobuf allows an ONNX file no more (google/protobuf, SerializeToArray)."""


@dataclass(frozen=True)
class Bundle:
    """An opened bundle, every file of it verified.

    Attributes:
        path: its folder.
        digest: SHA-256 of the bytes of `bundle.json`, and so of everything in it.
        manifest: what `bundle.json` says.
        trust: whose signature was asked for; whoever opens an engine of the bundle asks for the same.
    """

    path: Path
    digest: str
    manifest: Manifest
    trust: Trust = field(default=Trust(), compare=False)

    @classmethod
    def open(cls, path: Path, *, trust: Trust = Trust()) -> "Bundle":  # noqa: B008 - a frozen value
        """The bundle in a folder; all its files are read once and compared with their digests.

        Args:
            path: the folder.
            trust: with keys, `bundle.json` is not parsed before a signature by one of them was verified.

        Raises:
            InputError: not a bundle, of a newer format, not signed by a trusted key, or a file is damaged,
                missing, not listed or outside.
        """
        if not (path / MANIFEST).is_file():
            raise InputError(f"{path}: not a bundle: it has no {MANIFEST}; make one with `lsu export onnx`")
        data = read_limited(path / MANIFEST, MOST_MANIFEST)
        trust.require(data, path / SIGNATURES, "bundle")
        digest = digest_of(data)
        expected = _digest_file(digest)
        if read_limited(path / MANIFEST_DIGEST, len(expected)) != expected:
            # A newer format may vouch for itself in another way: say so first.
            Manifest.from_json(data, path / MANIFEST)
            raise InputError(
                f"{path / MANIFEST}: damaged: {MANIFEST_DIGEST} says otherwise; copy the bundle again"
            )
        bundle = cls(path, digest, Manifest.from_json(data, path / MANIFEST), trust)
        bundle._refuse_unlisted()
        for name in bundle.manifest.files:
            bundle.read(name)
        return bundle

    @property
    def name(self) -> str:
        """A short name for people."""
        return self.manifest.name

    @property
    def spec(self) -> ModelSpec:
        """The network's contract."""
        return self.manifest.spec

    @property
    def precision(self) -> Precision:
        """Of the weights."""
        return self.manifest.precision

    @property
    def provenance(self) -> Mapping[str, Any]:
        """Who made it from what."""
        return self.manifest.provenance

    def read(self, name: str) -> bytes:
        """A listed file's bytes, verified now: what is returned is what was hashed.

        Raises:
            InputError: not listed, missing, outside the folder by a link, damaged, or an ONNX file that keeps
                weights in another file.
        """
        expected = self.manifest.files.get(name)
        if expected is None:
            raise InputError(f"{self.path}: {name} is not a file of this bundle")
        file = self.path / name
        # realpath, since `resolve` fails on a link to itself before Python 3.13
        if not Path(os.path.realpath(file)).is_relative_to(os.path.realpath(self.path)):
            raise InputError(f"{file}: leads outside the bundle: put the file itself there")
        data = read_limited(file, _MOST_FILE)
        if digest_of(data) != expected:
            raise InputError(
                f"{file}: damaged: its SHA-256 is not the one in {MANIFEST}; copy the bundle again"
            )
        if name.endswith(".onnx"):
            refuse_external_data(data, str(file))
        return data

    def read_model(self) -> bytes:
        """The verified bytes of `model.onnx`: image uint8 [N,H,W,3] -> scores float [N,C,h,w]."""
        return self.read(MODEL)

    def golden_frames(self) -> Iterator[GoldenFrame]:
        """The golden frames, read and verified one by one.

        Raises:
            InputError: a file is damaged or the arrays do not belong together.
        """
        for files in self.manifest.golden:
            yield self._golden_frame(files)

    def self_test(self, engine: Engine) -> SelfTest:
        """Run the golden frames through an engine of this bundle.

        Returns:
            the worst of all frames; a bundle without golden frames gives zero frames, all equal.

        Raises:
            BackendError: fewer pixels than `LEAST_EQUAL` get the golden class, a score differs by more than
                `MOST_DIFFERENCE`, or the scores have another shape or are not finite.
        """
        result = SelfTest()
        for frame in self.golden_frames():
            result = result.worse(compared(frame, engine))
        refuse_difference(result, self.precision, self.path)
        return result

    def _golden_frame(self, files: GoldenFiles) -> GoldenFrame:
        names = (files.image, files.scores, files.classes)
        data = [self.read(name) for name in names]
        return golden_frame(data, [self.path / name for name in names], channels=self.spec.channels)

    def _refuse_unlisted(self) -> None:
        known = {MANIFEST, MANIFEST_DIGEST, *self.manifest.files}
        for file in sorted(self.path.rglob("*")):
            name = file.relative_to(self.path)
            if (file.is_dir() and not file.is_symlink()) or (name.parts[0] in ADDED_LATER and name.parts[1:]):
                continue
            if name.as_posix() not in known:
                raise InputError(f"{file}: not listed in {MANIFEST}: remove it; a bundle is never changed")


@dataclass(frozen=True, eq=False)
class Draft:
    """All that `write_bundle` needs.

    Attributes:
        name: a short name for people.
        spec: the network's contract.
        models: file name -> ONNX bytes; `model.onnx` is one of them.
        golden: frames with their answers.
        normalisation: mean and std, for people.
        provenance: plain JSON types.
        verification: plain JSON types.
        precision: of the weights.
        head: which of `manifest.MODELS` are among the models.
        documents: further files, by name: what people read.
    """

    name: str
    spec: ModelSpec
    models: Mapping[str, bytes]
    golden: tuple[GoldenFrame, ...]
    normalisation: Mapping[str, Any]
    provenance: Mapping[str, Any]
    verification: Mapping[str, Any]
    precision: Precision = "float32"
    head: Head = "scores"
    documents: Mapping[str, bytes] = field(default_factory=dict)


def refuse_existing(path: Path) -> None:
    """Raise InputError when something already has the name of a bundle to be written."""
    if path.exists() or path.is_symlink():
        raise InputError(f"{path} exists and a bundle is never changed: choose another name or remove it")


def write_bundle(path: Path, draft: Draft) -> Bundle:
    """Write a bundle, all of it or nothing: it is built beside its final name and moved there.

    Raises:
        InputError: something is already there.
        BackendError: the disk refused it; nothing is left behind.
    """
    refuse_existing(path)
    for name, model in draft.models.items():
        refuse_external_data(model, name)
    files, golden = {**draft.models, **draft.documents}, []
    for number, frame in enumerate(draft.golden):
        names = GoldenFiles(*(f"golden/{number}_{end}" for end in ("image.png", "scores.npy", "classes.png")))
        files[names.image] = png_from_pixels(frame.image, rgb=True)
        files[names.scores] = npy_from_array(frame.scores)
        files[names.classes] = png_from_pixels(frame.classes)
        golden.append(names)
    manifest = Manifest(
        name=draft.name,
        spec=draft.spec,
        precision=draft.precision,
        head=draft.head,
        normalisation=draft.normalisation,
        provenance=draft.provenance,
        verification=draft.verification,
        files={name: digest_of(data) for name, data in sorted(files.items())},
        golden=tuple(golden),
    )
    data = manifest.to_json()
    Manifest.from_json(data, path / MANIFEST)  # what we could not read again is not written
    files[MANIFEST] = data
    files[MANIFEST_DIGEST] = _digest_file(digest_of(data))
    write_folder(path, files)
    return Bundle.open(path)


def _digest_file(digest: str) -> bytes:
    """The text that `sha256sum -c` understands."""
    return f"{digest}  {MANIFEST}\n".encode()
