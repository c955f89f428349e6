"""Trust: nothing is parsed that no trusted key signed, and any change is refused in one line."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from bundles import tiny_bundle
from signed import key_pair, open_all, refusal, signed_bundle, tiny_engine

from lsu.export.sign import SigningKey, sign_bundle
from lsu.runtime.bundles.bundle import Bundle
from lsu.runtime.bundles.manifest import Manifest
from lsu.runtime.bundles.trust import PublicKey, Trust, signed_bytes
from lsu.runtime.errors import InputError
from lsu.runtime.files import digest_of


@pytest.fixture
def signer(tmp_path: Path) -> tuple[SigningKey, Trust]:
    return key_pair(tmp_path)


@pytest.fixture
def key(signer) -> SigningKey:
    return signer[0]


@pytest.fixture
def trust(signer) -> Trust:
    return signer[1]


@pytest.fixture
def path(tmp_path: Path, key: SigningKey) -> Path:
    return signed_bundle(tmp_path / "b", key)[0].path


def files_of(path: Path) -> list[Path]:
    return sorted(p for p in path.rglob("*") if p.is_file())


def test_a_signed_bundle_opens_and_so_does_its_engine(path: Path, trust: Trust) -> None:
    (engine,) = open_all(path, trust)
    assert engine.manifest.target == "tensorrt-rtx"
    open_all(path, Trust())


def test_the_signature_is_that_of_rfc_8032_over_one_line_and_the_manifest(path: Path, key, trust) -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    for folder, kind in ((path, b"bundle"), (next((path / "engines").iterdir()), b"engine")):
        manifest = (folder / f"{kind.decode()}.json").read_bytes()
        signature = (folder / "signatures" / f"{key.public.id}.sig").read_bytes()
        assert len(signature) == 64
        Ed25519PublicKey.from_public_bytes(key.public.raw).verify(
            signature, b"lsu " + kind + b" manifest, signature format 1\n" + manifest
        )
    assert key.public.id == digest_of(key.public.raw)[:16]


def test_a_thousand_random_flips_are_all_refused(path: Path, trust: Trust) -> None:
    generator = np.random.default_rng(5)
    files = files_of(path)
    assert len(files) == 6 + 3 + 2  # of the bundle, of its engine, signatures
    sizes = np.array([file.stat().st_size for file in files])
    for flip in range(1000):
        # half of them by byte, half by file, so that small files are not spared
        share = sizes / sizes.sum() if flip % 2 else None
        file = files[generator.choice(len(files), p=share)]
        original = file.read_bytes()
        changed = bytearray(original)
        changed[generator.integers(len(changed))] ^= 1 << generator.integers(8)
        file.write_bytes(changed)
        refusal(path, trust)
        file.write_bytes(original)
    open_all(path, trust)


def test_each_bit_of_a_signature_counts(path: Path, key, trust) -> None:
    file = path / "signatures" / f"{key.public.id}.sig"
    original = file.read_bytes()
    for bit in range(512):
        changed = bytearray(original)
        changed[bit // 8] ^= 1 << bit % 8
        file.write_bytes(changed)
        assert "is not valid for this bundle" in refusal(path, trust)


@pytest.mark.parametrize("number", range(11))
def test_a_missing_or_longer_file_is_refused(path: Path, trust: Trust, number: int) -> None:
    file = files_of(path)[number]
    data = file.read_bytes()
    file.write_bytes(data + b"\n")
    refusal(path, trust)
    file.unlink()
    refusal(path, trust)


@pytest.mark.parametrize(
    "place", [".", "golden", "signatures", "engines", "engines/*", "engines/*/signatures"]
)
@pytest.mark.parametrize("name", ["more", "0123456789abcdef.sig.txt", "bundle.JSON"])
def test_an_added_file_is_refused_by_name(path: Path, trust: Trust, place: str, name: str) -> None:
    (folder,) = path.glob(place) if place != "." else [path]
    (folder / name).write_bytes(b"x" * 64)
    assert f"{name}: " in refusal(path, trust)
    refusal(path, Trust())


def test_nothing_is_parsed_before_the_signature_is_verified(path: Path, trust, monkeypatch) -> None:
    (path / "bundle.json").write_bytes((path / "bundle.json").read_bytes() + b" ")

    def parsed(*_: object) -> None:
        raise AssertionError("parsed")

    monkeypatch.setattr(Manifest, "from_json", parsed)
    assert "is not valid for this bundle: it was changed after signing" in refusal(path, trust)


def test_the_bytes_that_were_verified_are_the_bytes_that_are_parsed(path: Path, trust, monkeypatch) -> None:
    """The file is swapped right after it was read: what is opened is what was signed."""
    signed = (path / "bundle.json").read_bytes()
    require = Trust.require

    def then_swapped(self: Trust, data: bytes, folder: Path, what: str) -> None:
        require(self, data, folder, what)
        (path / "bundle.json").write_bytes(b"{}")

    monkeypatch.setattr(Trust, "require", then_swapped)
    assert Bundle.open(path, trust=trust).digest == digest_of(signed)


def test_an_unsigned_bundle_is_refused_with_both_ids(tmp_path: Path, key, trust) -> None:
    path = tiny_bundle(tmp_path / "b").path
    assert f"trusted key ({key.public.id}); found: none" in refusal(path, trust)
    stranger, _ = key_pair(tmp_path, "stranger")
    sign_bundle(Bundle.open(path), stranger)
    assert f"trusted key ({key.public.id}); found: {stranger.public.id}" in refusal(path, trust)


def test_one_of_several_trusted_keys_is_enough(path: Path, tmp_path: Path, key, trust) -> None:
    _, other = key_pair(tmp_path, "other")
    open_all(path, Trust((*other.keys, *trust.keys)))


def test_a_bad_signature_of_a_trusted_key_is_refused_beside_a_good_one(path, tmp_path, trust) -> None:
    other, other_trust = key_pair(tmp_path, "other")
    (path / "signatures" / f"{other.public.id}.sig").write_bytes(bytes(64))
    open_all(path, trust)  # of a stranger's signature nothing can be said
    assert "is not valid" in refusal(path, Trust((*trust.keys, *other_trust.keys)))


def test_a_signature_under_another_keys_name_is_refused(path: Path, tmp_path, key, trust) -> None:
    other, other_trust = key_pair(tmp_path, "other")
    file = path / "signatures" / f"{key.public.id}.sig"
    file.rename(file.with_name(f"{other.public.id}.sig"))
    assert "is not valid" in refusal(path, other_trust)
    assert "no signature of this bundle" in refusal(path, trust)


def test_a_signature_of_one_kind_does_not_pass_for_the_other(path: Path, key, trust) -> None:
    (engine,) = open_all(path, trust)
    data = (engine.path / "engine.json").read_bytes()
    file = engine.path / "signatures" / f"{key.public.id}.sig"
    file.write_bytes(key.signature(data, "bundle"))
    assert "not valid for this engine" in refusal(path, trust)
    assert not signed_bytes(b"", "engine").startswith(signed_bytes(b"", "bundle"))


def test_an_engine_of_another_key_needs_that_key_trusted(tmp_path: Path, key, trust) -> None:
    device, device_trust = key_pair(tmp_path, "device")
    bundle = tiny_bundle(tmp_path / "b")
    sign_bundle(bundle, key)
    engine = tiny_engine(bundle)
    assert "no signature of this engine by a trusted key" in refusal(bundle.path, trust)
    assert sign_bundle(bundle, device, engine=engine.path.name) == (engine.path / "engine.json",)
    assert "no signature of this engine by a trusted key" in refusal(bundle.path, trust)
    assert "no signature of this bundle by a trusted key" in refusal(bundle.path, device_trust)
    open_all(bundle.path, Trust((*trust.keys, *device_trust.keys)))


def test_swapped_engines_are_refused(tmp_path: Path, key, trust) -> None:
    bundle, engine = signed_bundle(tmp_path / "b", key)
    second = tiny_engine(bundle, b"another plan" * 9, sm=89)
    sign_bundle(bundle, key)
    open_all(bundle.path, trust)
    plans = [e.path / "engine.plan" for e in (engine, second)]
    data = [plan.read_bytes() for plan in plans]
    for plan, other in zip(plans, reversed(data), strict=True):
        plan.write_bytes(other)
    assert "engine.plan: " in refusal(bundle.path, trust)
    for plan, own in zip(plans, data, strict=True):
        plan.write_bytes(own)
    engine.path.rename(tmp_path / "aside")
    second.path.rename(engine.path)
    assert "give the folder that name again" in refusal(bundle.path, trust)


def test_an_engine_of_another_bundle_of_the_same_signer_is_refused(path: Path, tmp_path, key, trust) -> None:
    other = tiny_bundle(tmp_path / "other", name="other")
    sign_bundle(other, key)
    shutil.copytree(path / "engines", other.path / "engines")
    assert "built from the bundle" in refusal(other.path, trust)


def test_what_is_no_public_key_is_refused_by_what_it_is(tmp_path: Path, key) -> None:
    from cryptography.hazmat.primitives import serialization as pem
    from cryptography.hazmat.primitives.asymmetric import ec, x25519

    def written(private: object) -> Path:
        data = private.public_key().public_bytes(pem.Encoding.PEM, pem.PublicFormat.SubjectPublicKeyInfo)
        (tmp_path / "other.pub").write_bytes(data)
        return tmp_path / "other.pub"

    (tmp_path / "text").write_text("hello")
    os.truncate(tmp_path / "factory.pub", 1 << 40)
    for file, message in (
        (tmp_path / "factory.key", "a private key; give the public one"),
        (tmp_path / "text", "not a public key in PEM"),
        (tmp_path / "nothing", "cannot be read"),
        (tmp_path / "factory.pub", "at most 4,096 are allowed"),
    ):
        with pytest.raises(InputError, match=message):
            Trust.from_files([file])
    for private in (ec.generate_private_key(ec.SECP256R1()), x25519.X25519PrivateKey.generate()):
        with pytest.raises(InputError, match="not an Ed25519 key"):
            PublicKey.from_file(written(private))


def test_a_key_given_twice_is_one(tmp_path: Path, key) -> None:
    assert len(Trust.from_files([tmp_path / "factory.pub"] * 2).keys) == 1


def test_a_file_of_two_keys_is_refused_since_one_would_be_passed_over(tmp_path: Path, key) -> None:
    key_pair(tmp_path, "device")
    both = tmp_path / "both.pub"
    both.write_bytes((tmp_path / "factory.pub").read_bytes() + (tmp_path / "device.pub").read_bytes())
    with pytest.raises(InputError, match=r"both\.pub: holds several keys: .* give each with --trust"):
        Trust.from_files([both])
