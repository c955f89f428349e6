"""What an attacker can put into a signed bundle's folder: links, pipes, and files without end."""

import os
from pathlib import Path

import pytest
from signed import key_pair, open_all, refusal, signed_bundle

from lsu.export.sign import SigningKey
from lsu.runtime.bundles.trust import MOST_MANIFEST, Trust


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


@pytest.mark.parametrize("folder", ["signatures", "engines", "engines/*", "engines/*/signatures"])
def test_linked_folders_are_refused(path: Path, tmp_path: Path, trust: Trust, folder: str) -> None:
    (place,) = path.glob(folder)
    place.rename(tmp_path / "elsewhere")
    place.symlink_to(tmp_path / "elsewhere")
    assert str(place) in refusal(path, trust)


def test_a_linked_signature_is_refused(path: Path, tmp_path: Path, key, trust) -> None:
    file = path / "signatures" / f"{key.public.id}.sig"
    file.rename(tmp_path / "elsewhere.sig")
    file.symlink_to(tmp_path / "elsewhere.sig")
    assert f"{file}: not a signature's file" in refusal(path, trust)


@pytest.mark.parametrize("name", ["bundle.json", "bundle.sha256", "model.onnx", "golden/0_image.png"])
def test_a_pipe_in_place_of_a_file_is_refused_and_not_waited_for(path: Path, trust, name: str) -> None:
    (path / name).unlink()
    os.mkfifo(path / name)
    refusal(path, trust)


def test_large_files_are_refused_unread(path: Path, key, trust) -> None:
    for name, limit in (("bundle.json", MOST_MANIFEST), (f"signatures/{key.public.id}.sig", 64)):
        original = (path / name).read_bytes()
        os.truncate(path / name, 1 << 40)  # a hole: a terabyte, were it read
        assert f"{name}: {1 << 40:,} bytes; at most {limit:,} are allowed" in refusal(path, trust)
        (path / name).write_bytes(original)
    (plan,) = path.glob("engines/*/engine.plan")
    os.truncate(plan, 1 << 40)
    assert "engine.plan" in refusal(path, trust)
    os.truncate(path / "model.onnx", 1 << 40)
    assert "model.onnx" in refusal(path, trust)


def test_too_many_signatures_are_refused(path: Path, trust: Trust) -> None:
    for number in range(64):
        (path / "signatures" / f"{number:016x}.sig").write_bytes(bytes(64))
    assert "65 files; 64 signatures are allowed" in refusal(path, trust)


def test_a_short_file_is_no_signature(path: Path, key, trust) -> None:
    (path / "signatures" / f"{key.public.id}.sig").write_bytes(bytes(63))
    assert "63 bytes; a signature has 64" in refusal(path, trust)


@pytest.mark.parametrize("name", ["bundle.json", "bundle.sha256", "model.onnx"])
def test_a_link_to_itself_is_refused(path: Path, trust, name: str) -> None:
    (path / name).unlink()
    (path / name).symlink_to(name)
    assert name in refusal(path, trust)


@pytest.mark.parametrize("place", ["signatures", "engines/*/signatures"])
def test_a_signature_that_a_kill_left_unfinished_locks_nobody_out(path: Path, trust, place: str) -> None:
    (folder,) = path.glob(place)
    (folder / ".0123456789abcdef.sig.7-8.part").write_bytes(b"half")
    open_all(path, trust)
    (folder / "0123456789abcdef.sig.part").write_bytes(b"half")
    assert "not a signature's file" in refusal(path, trust)
