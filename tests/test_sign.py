"""`lsu export keygen` and `sign`, and `--trust` of every verb."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from bundles import SPEC, tiny_bundle
from pictures import SOURCE, write_dataset
from signed import key_pair, lsu, signed_bundle, tiny_engine

from lsu.export.sign import SigningKey, sign_bundle, write_key_pair
from lsu.runtime.bundles.bundle import Bundle
from lsu.runtime.bundles.trust import PublicKey, Trust
from lsu.runtime.errors import BackendError, InputError
from lsu.runtime.files import digest_of
from lsu.runtime.model import ModelSpec


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    """A signed bundle with a signed engine and its key pair, in the working directory."""
    monkeypatch.chdir(tmp_path)
    key, _ = key_pair(Path())
    signed_bundle(Path("b"), key)
    return tmp_path


def test_keygen_writes_two_files_and_prints_the_id(tmp_path) -> None:
    outcome = lsu("export", "keygen", tmp_path / "keys/factory", "--json")
    files = json.loads(outcome.out)
    assert outcome.code == 0
    assert files["private"] == str(tmp_path / "keys/factory.key")
    key = PublicKey.from_file(Path(files["public"]))
    assert files["key"] == key.id == digest_of(key.raw)[:16]
    assert Path(files["private"]).stat().st_mode & 0o777 == 0o600
    assert SigningKey.from_file(Path(files["private"])).public == key
    said = lsu("export", "keygen", tmp_path / "other").out
    assert said.startswith(f"key {PublicKey.from_file(tmp_path / 'other.pub').id}: ")


@pytest.mark.parametrize("end", ["key", "pub"])
@pytest.mark.parametrize("kind", ["file", "broken link"])
def test_keygen_never_overwrites(tmp_path, end: str, kind: str) -> None:
    file = tmp_path / f"mine.{end}"
    if kind == "file":
        file.write_text("mine")
    else:
        file.symlink_to(tmp_path / "nowhere")
    assert "exists and a key is never overwritten" in lsu("export", "keygen", tmp_path / "mine").refusal
    assert list(tmp_path.iterdir()) == [file]
    assert kind == "broken link" or file.read_text() == "mine"


def test_a_key_that_somebody_writes_at_the_same_moment_is_not_overwritten(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("lsu.export.sign.refuse_blocked", lambda _: (tmp_path / "a.pub").write_text("mine"))
    with pytest.raises(BackendError, match="File exists"):
        write_key_pair(tmp_path / "a")
    assert [p.name for p in tmp_path.iterdir()] == ["a.pub"]
    assert (tmp_path / "a.pub").read_text() == "mine"


@pytest.mark.parametrize("failing", [1, 2])
def test_keygen_leaves_nothing_when_the_disk_is_full(tmp_path, monkeypatch, failing: int) -> None:
    calls = []

    def fsync(_: int) -> None:
        calls.append(1)
        if len(calls) == failing:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(BackendError, match=r"a\.key: cannot be written: No space left"):
        write_key_pair(tmp_path / "a")
    assert not list(tmp_path.iterdir())


def test_openssl_reads_our_keys_and_verifies_our_signatures(place) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    (signature,) = Path("b/signatures").iterdir()
    Path("message").write_bytes(
        b"lsu bundle manifest, signature format 1\n" + Path("b/bundle.json").read_bytes()
    )
    command = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", "factory.pub", "-rawin"]
    done = subprocess.run(
        [*command, "-in", "message", "-sigfile", str(signature)], check=False, capture_output=True, text=True
    )
    assert "Signature Verified Successfully" in done.stdout, done


def test_sign_signs_the_bundle_and_its_engines_and_again_changes_nothing(tmp_path) -> None:
    key, trust = key_pair(tmp_path)
    bundle = tiny_bundle(tmp_path / "b")
    engine = tiny_engine(bundle)
    outcome = lsu("export", "sign", bundle.path, "--key", tmp_path / "factory.key", "--json")
    assert json.loads(outcome.out) == {
        "bundle": str(bundle.path),
        "digest": bundle.digest,
        "key": key.public.id,
        "signed": ["bundle.json", f"engines/{engine.path.name}/engine.json"],
    }
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    text = lsu("export", "sign", bundle.path, "--key", tmp_path / "factory.key").out
    assert text.count(f"signed by {key.public.id}") == 2
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before
    Bundle.open(bundle.path, trust=trust)


@pytest.mark.parametrize("name", ["model.onnx", "engines/*/engine.plan", "engines/*/engine.json"])
def test_what_is_damaged_is_not_signed(tmp_path, name: str) -> None:
    write_key_pair(tmp_path / "k")
    bundle = tiny_bundle(tmp_path / "b")
    tiny_engine(bundle)
    (file,) = bundle.path.glob(name)
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    assert file.name in lsu("export", "sign", bundle.path, "--key", tmp_path / "k.key").refusal
    assert not list(tmp_path.rglob("*.sig"))


def test_sign_asks_for_the_trusted_signature_first(place) -> None:
    write_key_pair(Path("device"))
    outcome = lsu("export", "sign", "b", "--key", "device.key", "--trust", "device.pub")
    assert "no signature of this bundle by a trusted key" in outcome.refusal
    (engine,) = Path("b/engines").iterdir()
    tag = engine.name
    sign = ("export", "sign", "b", "--key", "device.key", "--trust", "factory.pub")
    assert lsu(*sign, "--engine", tag).code == 0
    assert len(list(engine.glob("signatures/*"))) == 2
    assert len(list(Path("b/signatures").iterdir())) == 1
    assert f"did you mean '{tag}'" in lsu(*sign, "--engine", tag[:-1]).refusal


def test_a_new_engine_is_signed_under_a_trust_that_it_does_not_meet_yet(place) -> None:
    write_key_pair(Path("device"))
    engine = tiny_engine(Bundle.open(Path("b")), b"new", sm=89)
    trust = ("--trust", "factory.pub", "--trust", "device.pub")
    assert "no signature of this engine" in lsu("inspect", "b", "--no-run", *trust).refusal
    sign = ("export", "sign", "b", "--key", "device.key", "--trust", "factory.pub")
    assert lsu(*sign, "--engine", engine.path.name).code == 0
    assert lsu("inspect", "b", "--no-run", *trust).code == 0


def test_a_bundle_changed_while_it_is_signed_is_not_signed(tmp_path) -> None:
    key, _ = key_pair(tmp_path)
    bundle = tiny_bundle(tmp_path / "b")
    (bundle.path / "bundle.json").write_bytes(b"{}")
    with pytest.raises(InputError, match="changed while it was signed"):
        sign_bundle(bundle, key)


def test_what_is_no_private_key_is_refused_by_what_it_is(place) -> None:
    from cryptography.hazmat.primitives import serialization as pem
    from cryptography.hazmat.primitives.asymmetric import ed25519, x25519

    def written(key: object, encryption: object) -> str:
        data = key.private_bytes(pem.Encoding.PEM, pem.PrivateFormat.PKCS8, encryption)
        Path("other.key").write_bytes(data)
        Path("other.key").chmod(0o600)
        return "other.key"

    def refused(name: str) -> str:
        return lsu("export", "sign", "b", "--key", name).refusal

    assert "not a private key in PEM" in refused("factory.pub")
    assert "cannot be read" in refused("nothing.key")
    assert "not an Ed25519 key" in refused(written(x25519.X25519PrivateKey.generate(), pem.NoEncryption()))
    secret = pem.BestAvailableEncryption(b"secret")
    assert "passphrase" in refused(written(ed25519.Ed25519PrivateKey.generate(), secret))
    Path("factory.key").chmod(0o640)
    assert "others may read this private key: chmod 600 factory.key" in refused("factory.key")


def test_the_private_key_is_not_in_its_representation(tmp_path) -> None:
    key, _ = key_pair(tmp_path)
    assert "rivate" not in repr(key)


def add_verb_data() -> None:
    """What the verbs below need besides a bundle."""
    tiny_bundle(Path("bundle"), ModelSpec(SOURCE, fit="pad", multiple=8))
    sign_bundle(Bundle.open(Path("bundle")), SigningKey.from_file(Path("factory.key")))
    write_dataset(Path("data"))
    Path("source.toml").write_text(SOURCE.to_toml())
    rows = 'ground = ["road"]\nobject = ["car", "person"]\nabove = ["sky", "person"]\n'
    Path("r.toml").write_text(
        f'name = "r"\nsource = "source.toml"\nforeign = "data/foreign.toml"\n[allow]\n{rows}'
    )


VERBS = (
    ("inspect", "bundle"),
    ("relabel", "bundle", "--data", "data", "--split", "train", "--relation", "r.toml", "--out", "out"),
    ("evaluate", "bundle", "--data", "data", "--split", "train", "--relation", "r.toml"),
    ("run", "bundle", "--source", "data/images/train", "--output", "frames"),
)


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb[0])
def test_every_verb_asks_for_the_signature(place, verb) -> None:
    add_verb_data()
    write_key_pair(Path("other"))
    assert "no signature of this bundle by a trusted key" in lsu(*verb, "--trust", "other.pub").refusal
    assert not Path("out").exists()
    assert not Path("frames").exists()
    assert lsu(*verb, "--trust", "other.pub", "--trust", "factory.pub").code == 0
    assert "factory.key: a private key" in lsu(*verb, "--trust", "factory.key").refusal


def test_a_verb_asks_for_the_signature_of_the_engine_too(place) -> None:
    (signature,) = Path("b/engines").glob("*/signatures/*.sig")
    signature.unlink()
    Path("image.png").write_bytes(Path("b/golden/0_image.png").read_bytes())
    run = ("run", "b", "--source", "image.png", "--trust", "factory.pub")
    assert "no signature of this engine by a trusted key" in lsu(*run).refusal
    assert lsu(*run, "--backend", "onnxruntime").code == 0


def test_inspect_says_who_signed_what(place) -> None:
    other, _ = key_pair(Path(), "other")
    sign_bundle(Bundle.open(Path("b")), other)
    ours = PublicKey.from_file(Path("factory.pub")).id

    def states(signatures: list[dict[str, str]]) -> dict[str, str]:
        return {entry["key"]: entry["state"] for entry in signatures}

    inspect = ("inspect", "b", "--no-run")
    document = json.loads(lsu(*inspect, "--trust", "factory.pub", "--json").out)
    (engine,) = document["engines"]
    assert states(document["signatures"]) == {ours: "valid", other.public.id: "not trusted"}
    assert states(engine["signatures"]) == {ours: "valid", other.public.id: "not trusted"}
    assert (engine["target"], engine["sms"], engine["bytes"]) == ("tensorrt-rtx", [86], 2048)
    document = json.loads(lsu(*inspect, "--json").out)
    assert set(states(document["signatures"]).values()) == {"not trusted"}
    assert f"{ours} (valid)" in lsu(*inspect, "--trust", "factory.pub").out
    assert "nobody" in lsu("inspect", tiny_bundle(Path("c")).path, "--no-run").out


def test_signing_and_opening_need_no_torch_and_no_onnx(place) -> None:
    code = """
import sys
for name in ('torch', 'onnx', 'onnxruntime', 'tensorrt', 'tensorrt_rtx'):
    sys.modules[name] = None
from lsu.runtime.cli import application
for arguments in (
    ['export', 'keygen', 'device'],
    ['export', 'sign', 'b', '--key', 'device.key', '--trust', 'factory.pub'],
    ['inspect', 'b', '--no-run', '--trust', 'device.pub'],
):
    try:
        application()(arguments)
    except SystemExit as end:
        assert not end.code, (arguments, end.code)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_builder_never_signs_for_a_bundle_that_it_does_not_trust(tmp_path) -> None:
    key, trust = key_pair(tmp_path)
    bundle = tiny_bundle(tmp_path / "b", SPEC)
    with pytest.raises(InputError, match="no signature of this bundle"):
        sign_bundle(Bundle.open(bundle.path, trust=trust), key)
    assert Bundle.open(bundle.path).trust == Trust()


@pytest.mark.parametrize("verb", ["keygen", "sign"])
def test_help_has_an_example(verb: str) -> None:
    assert f"Example: lsu export {verb}" in " ".join(lsu("export", verb, "--help").out.split())


def test_the_commands_of_the_documentation_exist() -> None:
    text = (Path(__file__).parent.parent / "docs/trust.md").read_text()
    commands = [line.split("#")[0].split() for line in text.splitlines() if line.startswith("    lsu ")]
    assert len(commands) == 7
    for _, *words in commands:
        verb = words[:2] if words[0] == "export" else words[:1]
        said = lsu(*verb, "--help")
        assert said.code == 0
        for option in (word for word in words if word.startswith("--")):
            assert f"{option} " in said.out, (verb, option)
