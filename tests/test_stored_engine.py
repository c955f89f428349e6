"""Engines in a bundle: what was changed, swapped, moved or added is refused before a library sees it."""

from pathlib import Path

import pytest
from bundles import tiny_bundle
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from engines import PLAN, engine_manifest, stored_engine

from lsu.runtime.bundles.bundle import Bundle
from lsu.runtime.bundles.stored_engine import StoredEngine, engines_of, write_engine
from lsu.runtime.bundles.trust import PublicKey, Trust, signed_bytes
from lsu.runtime.errors import InputError

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
TRUST = Trust((PublicKey(KEY.public_key().public_bytes_raw()),))


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return tiny_bundle(tmp_path / "tiny")


@pytest.fixture
def stored(bundle: Bundle) -> StoredEngine:
    return stored_engine(bundle)


def refusal(bundle: Bundle, trust: Trust | None = None) -> str:
    with pytest.raises(InputError) as caught:
        for engine in engines_of(bundle, trust):
            engine.read_plan()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def sign(stored: StoredEngine, key: Ed25519PrivateKey = KEY) -> None:
    data = (stored.path / "engine.json").read_bytes()
    name = PublicKey(key.public_key().public_bytes_raw()).id
    (stored.path / "signatures").mkdir()
    (stored.path / "signatures" / f"{name}.sig").write_bytes(key.sign(signed_bytes(data, "engine")))


def test_a_bundle_without_engines_has_none(bundle: Bundle) -> None:
    assert engines_of(bundle) == ()


def test_an_engine_is_found_as_it_was_written_and_the_bundle_stays_as_it_was(bundle: Bundle) -> None:
    stored = stored_engine(bundle)
    assert engines_of(Bundle.open(bundle.path)) == (stored,)
    assert stored.read_plan() == PLAN
    assert (stored.path / "engine.plan").read_bytes() == PLAN
    assert stored.path == bundle.path / "engines/tensorrt-10.3-sm87-8x8..64x96-float32"


def test_engines_come_in_the_order_of_their_tags(bundle: Bundle) -> None:
    for sms in ((87,), (110,), (86, 89)):
        stored_engine(bundle, sms=sms)
    assert [engine.manifest.sms for engine in engines_of(bundle)] == [(110,), (86, 89), (87,)]


def test_an_engine_is_never_overwritten(bundle: Bundle, stored: StoredEngine) -> None:
    before = (stored.path / "engine.json").read_bytes()
    with pytest.raises(InputError, match="exists and an engine is never changed: remove it"):
        stored_engine(bundle, b"another plan")
    assert (stored.path / "engine.json").read_bytes() == before


def test_a_manifest_of_another_plan_is_not_written(bundle: Bundle) -> None:
    with pytest.raises(InputError, match="another plan or bundle"):
        write_engine(bundle, engine_manifest(bundle), PLAN + b" ")
    assert not (bundle.path / "engines").exists()


@pytest.mark.parametrize("place", [0, 7, len(PLAN) - 1])
def test_a_changed_byte_of_the_plan_is_refused(bundle: Bundle, stored: StoredEngine, place: int) -> None:
    data = bytearray(PLAN)
    data[place] ^= 1
    (stored.path / "engine.plan").write_bytes(data)
    assert "not the plan that engine.json names" in refusal(bundle)


def test_a_longer_plan_is_refused_unread(bundle: Bundle, stored: StoredEngine) -> None:
    (stored.path / "engine.plan").write_bytes(PLAN + b"x")
    assert f"at most {len(PLAN)} are allowed" in refusal(bundle)


def test_a_swapped_engine_is_refused(bundle: Bundle) -> None:
    first, second = stored_engine(bundle, sms=(86,)), stored_engine(bundle, b"the plan of another", sms=(89,))
    ours, theirs = first.path / "engine.plan", second.path / "engine.plan"
    data = ours.read_bytes()
    ours.write_bytes(theirs.read_bytes())
    theirs.write_bytes(data)
    assert "SHA-256 differs" in refusal(bundle) or "are allowed" in refusal(bundle)


def test_an_engine_of_another_bundle_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    other = tiny_bundle(tmp_path / "other", name="other")
    stored = stored_engine(other)
    (bundle.path / "engines").mkdir()
    stored.path.rename(bundle.path / "engines" / stored.path.name)
    said = refusal(bundle)
    assert f"built from the bundle {other.digest[:16]}" in said
    assert f"this one is {bundle.digest[:16]}" in said


def test_a_renamed_engine_is_refused(bundle: Bundle, stored: StoredEngine) -> None:
    stored.path.rename(stored.path.with_name("tensorrt-10.3-sm120-8x8..64x96-float32"))
    assert "is named tensorrt-10.3-sm87" in refusal(bundle)


def test_each_byte_of_the_manifest_is_vouched_for(bundle: Bundle, stored: StoredEngine) -> None:
    file = stored.path / "engine.json"
    original = file.read_bytes()
    for place in range(0, len(original), 37):
        data = bytearray(original)
        data[place] ^= 4
        file.write_bytes(data)
        assert "damaged" in refusal(bundle)


@pytest.mark.parametrize("name", ["engine.json", "engine.sha256", "engine.plan"])
def test_a_missing_file_is_refused(bundle: Bundle, stored: StoredEngine, name: str) -> None:
    (stored.path / name).unlink()
    assert f"{name}: cannot be read" in refusal(bundle)


def test_an_added_file_is_refused(bundle: Bundle, stored: StoredEngine) -> None:
    (stored.path / "weights.bin").write_bytes(b"x")
    assert "weights.bin: does not belong to an engine" in refusal(bundle)


def test_a_loose_file_among_the_engines_is_refused(bundle: Bundle, stored: StoredEngine) -> None:
    (bundle.path / "engines/model.plan").write_bytes(b"x")
    assert "model.plan: not an engine's folder" in refusal(bundle)


def test_links_are_refused(bundle: Bundle, stored: StoredEngine, tmp_path: Path) -> None:
    plan = stored.path / "engine.plan"
    plan.rename(tmp_path / "elsewhere")
    plan.symlink_to(tmp_path / "elsewhere")
    assert "engine.plan: a link" in refusal(bundle)
    (bundle.path / "engines").rename(tmp_path / "engines")
    (bundle.path / "engines").symlink_to(tmp_path / "engines")
    assert "engines: not a folder of engines but a link" in refusal(bundle)


def test_what_a_killed_build_left_is_no_engine(bundle: Bundle, stored: StoredEngine) -> None:
    (bundle.path / "engines/.tensorrt-10.3.77-1.part").mkdir()
    assert engines_of(bundle) == (stored,)


def test_a_signed_engine_is_accepted(bundle: Bundle, stored: StoredEngine) -> None:
    sign(stored)
    assert engines_of(bundle, TRUST) == (stored,)
    assert engines_of(bundle) == (stored,)


def test_an_unsigned_engine_is_refused_where_signatures_are_asked_for(
    bundle: Bundle, stored: StoredEngine
) -> None:
    assert "no signature of this engine" in refusal(bundle, TRUST)


def test_the_trust_of_the_bundle_is_asked_of_its_engines(bundle: Bundle, stored: StoredEngine) -> None:
    asking = Bundle(bundle.path, bundle.digest, bundle.manifest, TRUST)
    assert "no signature of this engine" in refusal(asking)


def test_a_stranger_s_signature_is_refused(bundle: Bundle, stored: StoredEngine) -> None:
    sign(stored, Ed25519PrivateKey.from_private_bytes(bytes(32)))
    assert "found: 139e3940e64b5491" in refusal(bundle, TRUST)


def test_a_change_with_its_digest_made_good_is_found_by_the_signature(
    bundle: Bundle, stored: StoredEngine
) -> None:
    sign(stored)
    other = engine_manifest(bundle, b"a plan with another intent")
    (stored.path / "engine.json").write_bytes(other.to_json())
    (stored.path / "engine.plan").write_bytes(b"a plan with another intent")
    assert "is not valid for this engine" in refusal(bundle, TRUST)


def test_a_signature_is_asked_for_before_anything_is_parsed(bundle: Bundle, stored: StoredEngine) -> None:
    (stored.path / "engine.json").write_bytes(b"{ not JSON")
    assert "no signature of this engine" in refusal(bundle, TRUST)
