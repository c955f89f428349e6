"""Engines in a bundle's folder: found, vouched for, and read whole before a library sees them."""

from dataclasses import dataclass
from pathlib import Path

from lsu.runtime.errors import InputError
from lsu.runtime.files import digest_of, left_by_a_kill, read_limited, write_folder

from .bundle import Bundle
from .engine_manifest import EngineManifest
from .trust import MOST_MANIFEST, SIGNATURES, Trust

ENGINES = "engines"
ENGINE_MANIFEST, ENGINE_DIGEST, PLAN = "engine.json", "engine.sha256", "engine.plan"


@dataclass(frozen=True)
class StoredEngine:
    """An engine whose manifest is vouched for.

    Attributes:
        path: its folder.
        manifest: what `engine.json` says.
    """

    path: Path
    manifest: EngineManifest

    def read_plan(self) -> bytes:
        """The verified bytes of the plan: what is returned is what was hashed.

        Raises:
            InputError: missing, a link, of another length, or changed.
        """
        file = self.path / PLAN
        if file.is_symlink():
            raise InputError(f"{file}: a link: put the file itself there")
        data = read_limited(file, self.manifest.plan_bytes)
        if digest_of(data) != self.manifest.plan:
            raise InputError(
                f"{file}: not the plan that {ENGINE_MANIFEST} names: its SHA-256 differs; build it again"
            )
        return data


def engines_of(bundle: Bundle, trust: Trust | None = None) -> tuple[StoredEngine, ...]:
    """All engines of a bundle, by tag; their plans are not read yet.

    Args:
        bundle: an opened bundle.
        trust: whose signature each `engine.json` needs; None asks for what the bundle was opened with.

    Raises:
        InputError: a manifest is damaged, not signed as asked, of a newer format, or of another bundle; or
            a file or folder is there that does not belong to an engine.
    """
    folder = bundle.path / ENGINES
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise InputError(f"{folder}: not a folder of engines but a link or a file: remove it")
    found = (path for path in sorted(folder.glob("*")) if not left_by_a_kill(path))
    asked = bundle.trust if trust is None else trust
    return tuple(_stored_engine(bundle, path, asked) for path in found)


def refuse_existing_engine(path: Path) -> None:
    """Raise InputError when something already has the name of an engine to be built."""
    if path.exists() or path.is_symlink():
        raise InputError(f"{path} exists and an engine is never changed: remove it to build it again")


def write_engine(bundle: Bundle, manifest: EngineManifest, plan: bytes) -> StoredEngine:
    """Add an engine to a bundle, all of it or nothing.

    Raises:
        InputError: an engine of this tag is there, or the manifest is not of this plan and bundle.
        BackendError: the disk refused it.
    """
    path = bundle.path / ENGINES / manifest.tag
    refuse_existing_engine(path)
    data = manifest.to_json()
    EngineManifest.from_json(data, path / ENGINE_MANIFEST)  # what we could not read again is not written
    if (manifest.plan, manifest.plan_bytes, manifest.bundle) != (digest_of(plan), len(plan), bundle.digest):
        raise InputError(f"{path}: the manifest is of another plan or bundle: make it from these")
    files = {ENGINE_MANIFEST: data, ENGINE_DIGEST: _digest_file(data), PLAN: plan}
    write_folder(path, files)
    return StoredEngine(path, manifest)


def _stored_engine(bundle: Bundle, path: Path, trust: Trust) -> StoredEngine:
    if path.is_symlink() or not path.is_dir():
        raise InputError(f"{path}: not an engine's folder but a link or a file: remove it")
    known = {ENGINE_MANIFEST, ENGINE_DIGEST, PLAN, SIGNATURES}
    for file in sorted(path.iterdir()):
        if file.name not in known:
            raise InputError(f"{file}: does not belong to an engine: remove it")
    file = path / ENGINE_MANIFEST
    data = read_limited(file, MOST_MANIFEST)
    trust.require(data, path / SIGNATURES, "engine")
    if read_limited(path / ENGINE_DIGEST, MOST_MANIFEST) != _digest_file(data):
        raise InputError(f"{file}: damaged: {ENGINE_DIGEST} says otherwise; build the engine again")
    manifest = EngineManifest.from_json(data, file)
    if manifest.bundle != bundle.digest:
        raise InputError(
            f"{path}: built from the bundle {manifest.bundle[:16]}, this one is {bundle.digest[:16]}: "
            "remove it and build it again from this one"
        )
    if manifest.tag != path.name:
        raise InputError(f"{path}: this engine is named {manifest.tag}: give the folder that name again")
    return StoredEngine(path, manifest)


def _digest_file(data: bytes) -> bytes:
    """The text that `sha256sum -c` understands."""
    return f"{digest_of(data)}  {ENGINE_MANIFEST}\n".encode()
