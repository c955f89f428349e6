"""Signing: key pairs on disk, and signatures of a bundle's manifests and of its engines'.

What is signed is verified first, and the bytes that were verified are the bytes that are signed. Ed25519
gives the same signature each time (RFC 8032, section 5.1.6), so signing again changes nothing.
"""

import contextlib
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from lsu.runtime.bundles.bundle import MANIFEST, Bundle
from lsu.runtime.bundles.engine_manifest import EngineManifest
from lsu.runtime.bundles.stored_engine import ENGINE_MANIFEST, StoredEngine, engines_of
from lsu.runtime.bundles.trust import MOST_MANIFEST, SIGNATURES, Kind, PublicKey, Trust, signed_bytes
from lsu.runtime.errors import BackendError, InputError, near_names
from lsu.runtime.files import digest_of, read_limited, refuse_blocked, write_atomically

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

_MOST_PEM = 4096  # bytes


@dataclass(frozen=True)
class SigningKey:
    """A private key of Ed25519.

    Attributes:
        public: the other half, which runtimes are told to trust.
    """

    public: PublicKey
    _private: "Ed25519PrivateKey" = field(repr=False, compare=False)

    @classmethod
    def from_file(cls, path: Path) -> "SigningKey":
        """The key in a PEM file (PKCS #8, without a passphrase), as `write_key_pair` writes it.

        Raises:
            InputError: not such a file, or others may read it.
        """
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        data = read_limited(path, _MOST_PEM)
        try:
            key = load_pem_private_key(data, password=None)
        except TypeError as error:
            raise InputError(f"{path}: protected by a passphrase: give a copy without one") from error
        except (ValueError, UnsupportedAlgorithm) as error:
            raise InputError(f"{path}: not a private key in PEM: give the file that ends in .key") from error
        if not isinstance(key, Ed25519PrivateKey):
            raise InputError(f"{path}: not an Ed25519 key: make one with `lsu export keygen`")
        if path.stat().st_mode & 0o077:
            raise InputError(f"{path}: others may read this private key: chmod 600 {path}")
        return cls(PublicKey(key.public_key().public_bytes_raw()), key)

    def signature(self, data: bytes, kind: Kind) -> bytes:
        """The 64 bytes that vouch for a manifest of that kind."""
        return self._private.sign(signed_bytes(data, kind))


@dataclass(frozen=True)
class KeyFiles:
    """A key pair as written.

    Attributes:
        key: the public key.
        private: PEM (PKCS #8), readable by its owner only.
        public: PEM (SubjectPublicKeyInfo).
    """

    key: PublicKey
    private: Path
    public: Path


def write_key_pair(name: Path) -> KeyFiles:
    """Draw a key pair and write it to `<name>.key` and `<name>.pub`, both or none.

    Raises:
        InputError: one of the files is there already, or the folder is not.
        BackendError: the disk refused it.
    """
    from cryptography.hazmat.primitives import serialization as pem
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    files = [name.with_name(f"{name.name}.{end}") for end in ("key", "pub")]
    for file in files:
        if file.exists() or file.is_symlink():
            raise InputError(f"{file} exists and a key is never overwritten: choose another name")
    refuse_blocked(name)
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(pem.Encoding.PEM, pem.PrivateFormat.PKCS8, pem.NoEncryption())
    public = key.public_key().public_bytes(pem.Encoding.PEM, pem.PublicFormat.SubjectPublicKeyInfo)
    _write_new((files[0], private, 0o600), (files[1], public, 0o644))
    return KeyFiles(PublicKey(key.public_key().public_bytes_raw()), *files)


def sign_bundle(bundle: Bundle, key: SigningKey, *, engine: str | None = None) -> tuple[Path, ...]:
    """Sign `bundle.json` and each engine's manifest, or one engine's alone.

    Args:
        bundle: opened, and so verified; its engines are verified here, plans included.
        key: whose signatures are added; those of other keys stay.
        engine: the tag of the one engine to sign.

    Returns:
        the manifests that were signed.

    Raises:
        InputError: no such engine, one that is damaged, or something changed in the meantime.
        BackendError: the disk refused it.
    """
    engines = {stored.path.name: stored for stored in engines_of(bundle, Trust())}  # may be unsigned so far
    if engine is not None and engine not in engines:
        raise InputError(f"{bundle.path} has no engine {engine!r}; {near_names(engine, engines)}")
    chosen = engines.values() if engine is None else [engines[engine]]
    signed: list[tuple[Path, bytes, Kind]] = [
        (s.path / ENGINE_MANIFEST, _verified(s), "engine") for s in chosen
    ]
    if engine is None:
        data = read_limited(bundle.path / MANIFEST, MOST_MANIFEST)
        if digest_of(data) != bundle.digest:
            raise InputError(f"{bundle.path / MANIFEST}: changed while it was signed: sign again")
        signed.insert(0, (bundle.path / MANIFEST, data, "bundle"))
    for file, data, kind in signed:
        # tells what does not belong there before anything is added
        Trust().require(data, file.parent / SIGNATURES, kind)
    for file, data, kind in signed:
        write_atomically(file.parent / SIGNATURES / f"{key.public.id}.sig", key.signature(data, kind))
    return tuple(file for file, _, _ in signed)


def _write_new(*files: tuple[Path, bytes, int]) -> None:
    """Write files of (path, content, mode) that are not there yet, all of them or none."""
    written: list[Path] = []
    try:
        for file, data, mode in files:
            file.parent.mkdir(parents=True, exist_ok=True)
            # O_EXCL takes no link and no file that somebody else made in the meantime
            descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
            written.append(file)
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(descriptor)
    except BaseException as error:
        for file in written:
            with contextlib.suppress(OSError):
                file.unlink()
        if isinstance(error, OSError):
            raise BackendError(f"{files[0][0]}: cannot be written: {error.strerror or error}") from error
        raise


def _verified(stored: StoredEngine) -> bytes:
    """The bytes of an engine's manifest, its plan verified."""
    stored.read_plan()
    file = stored.path / ENGINE_MANIFEST
    data = read_limited(file, MOST_MANIFEST)
    if EngineManifest.from_json(data, file) != stored.manifest:
        raise InputError(f"{file}: changed while it was signed: sign again")
    return data
