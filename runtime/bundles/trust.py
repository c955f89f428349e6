"""Trust: whose signature a manifest needs, checked before any parser sees the manifest.

A manifest (`bundle.json`, or the `engine.json` of an engine) holds the digests of all files beside it, so
one signature of its bytes speaks for everything in the folder. Signatures lie beside the manifest, in
`signatures/<key id>.sig`: 64 raw bytes of Ed25519 (RFC 8032, section 5.1.6) over a line that names the kind
of manifest, followed by the manifest. That line keeps a signature of one kind from passing for the other.

Use it in this order, and nothing can be parsed that nobody vouched for:

    data = read_limited(folder / "engine.json", MOST_MANIFEST)
    trust.require(data, folder / SIGNATURES, "engine")      # without keys: nothing is asked for
    table = table_from_json(data, ...)                      # the bytes that were checked
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lsu.runtime.errors import InputError
from lsu.runtime.files import digest_of, left_by_a_kill, read_limited

Kind = Literal["bundle", "engine"]
State = Literal["valid", "invalid", "not trusted"]

SIGNATURES = "signatures"
"""The folder of signatures beside a manifest."""
MOST_MANIFEST = 4 << 20
"""Bytes; a larger manifest is refused unread. Real ones have some thousands."""

_SIGNATURE = 64  # bytes
_MOST_SIGNATURES = 64
_MOST_PEM = 4096  # bytes
_NAME = re.compile(r"([0-9a-f]{16})\.sig")


@dataclass(frozen=True)
class PublicKey:
    """An Ed25519 public key.

    Attributes:
        raw: its 32 bytes (RFC 8032, section 5.1.5).
    """

    raw: bytes

    @classmethod
    def from_file(cls, path: Path) -> "PublicKey":
        """The key in a PEM file (SubjectPublicKeyInfo), as `lsu export keygen` writes it.

        Raises:
            InputError: not readable, a private key, a key of another kind, or several keys.
        """
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
        from cryptography.hazmat.primitives.serialization import load_pem_public_key

        data = read_limited(path, _MOST_PEM)
        if b"PRIVATE KEY" in data:
            raise InputError(f"{path}: a private key; give the public one, which ends in .pub")
        if data.count(b"-----BEGIN ") > 1:  # the parser would take the first and say nothing of the others
            raise InputError(f"{path}: holds several keys: write each to a file and give each with --trust")
        try:
            key = load_pem_public_key(data)
        except (ValueError, UnsupportedAlgorithm) as error:
            raise InputError(f"{path}: not a public key in PEM: make one with `lsu export keygen`") from error
        if not isinstance(key, Ed25519PublicKey):
            raise InputError(f"{path}: not an Ed25519 key: make one with `lsu export keygen`")
        return cls(key.public_bytes_raw())

    @property
    def id(self) -> str:
        """The first 16 hexadecimal digits of the SHA-256 of `raw`: a name for people and files."""
        return digest_of(self.raw)[:16]

    def verifies(self, signature: bytes, data: bytes, kind: Kind) -> bool:
        """Whether `signature` is this key's for a manifest of that kind."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        try:
            Ed25519PublicKey.from_public_bytes(self.raw).verify(signature, signed_bytes(data, kind))
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True)
class Signature:
    """A signature as found beside a manifest.

    Attributes:
        key_id: whose it claims to be.
        state: `valid` or `invalid` for a trusted key; of another, `not trusted`, nothing can be said.
    """

    key_id: str
    state: State


@dataclass(frozen=True)
class Trust:
    """Whose manifests are accepted.

    Attributes:
        keys: one valid signature by any of them is needed; without keys, none is.
    """

    keys: tuple[PublicKey, ...] = ()

    @classmethod
    def from_files(cls, paths: Iterable[Path]) -> "Trust":
        """Trust in the keys of PEM files; no paths give trust that asks for nothing.

        Raises:
            InputError: a file holds no Ed25519 public key.
        """
        return cls(tuple(dict.fromkeys(PublicKey.from_file(path) for path in paths)))

    def require(self, data: bytes, folder: Path, what: Kind) -> None:
        """Return if the manifest `data` is signed by a trusted key, or if there are no keys to ask for.

        Args:
            data: all bytes of the manifest, not parsed yet; parse these and never read the file again.
            folder: the `signatures` beside it.
            what: the kind of manifest.

        Raises:
            InputError: no signature by a trusted key, one that is not valid, or a file that does not belong
                into the folder (told without keys too).
        """
        found = self.signatures(data, folder, what)
        if not self.keys:
            return
        bad = [signature.key_id for signature in found if signature.state == "invalid"]
        if bad:
            raise InputError(
                f"{folder.parent}: the signature by the trusted key {bad[0]} is not valid for this {what}: "
                "it was changed after signing; copy it again"
            )
        if not any(signature.state == "valid" for signature in found):
            raise InputError(
                f"{folder.parent}: no signature of this {what} by a trusted key "
                f"({', '.join(key.id for key in self.keys)}); found: "
                f"{', '.join(signature.key_id for signature in found) or 'none'}; see `lsu export sign`"
            )

    def signatures(self, data: bytes, folder: Path, what: Kind) -> tuple[Signature, ...]:
        """All signatures in a folder, by key id, each with what these keys say of it.

        Raises:
            InputError: a link, or a file whose name or size is not that of a signature.
        """
        return tuple(Signature(name, self._state(name, of, data, what)) for name, of in _signatures(folder))

    def _state(self, key_id: str, signature: bytes, data: bytes, what: Kind) -> State:
        claimed = [key for key in self.keys if key.id == key_id]
        if not claimed:
            return "not trusted"
        return "valid" if any(key.verifies(signature, data, what) for key in claimed) else "invalid"


def signed_bytes(data: bytes, kind: Kind) -> bytes:
    """What is signed for a manifest: a line that names its kind, then the manifest."""
    return f"lsu {kind} manifest, signature format 1\n".encode() + data


def _signatures(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Key id and 64 bytes of each signature in a folder, which may be missing."""
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise InputError(f"{folder}: not a folder of signatures but a link or a file: remove it")
    files = sorted(file for file in folder.iterdir() if not left_by_a_kill(file)) if folder.exists() else []
    if len(files) > _MOST_SIGNATURES:
        raise InputError(
            f"{folder}: {len(files)} files; {_MOST_SIGNATURES} signatures are allowed: remove some"
        )
    for file in files:
        named = _NAME.fullmatch(file.name)
        if named is None or file.is_symlink():
            raise InputError(
                f"{file}: not a signature's file (<16 hexadecimal digits>.sig, no link): remove it"
            )
        data = read_limited(file, _SIGNATURE)
        if len(data) != _SIGNATURE:
            raise InputError(f"{file}: {len(data)} bytes; a signature has {_SIGNATURE}: sign again")
        yield named.group(1), data
