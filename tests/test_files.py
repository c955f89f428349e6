"""Whole files: read within limits, written whole, and what a kill leaves is known by its name."""

import os
from pathlib import Path

import pytest

from lsu.runtime.errors import InputError
from lsu.runtime.files import left_by_a_kill, read_limited, refuse_blocked, write_atomically, write_folder


def test_a_limited_file_may_be_as_long_as_the_limit(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"12345")
    assert read_limited(tmp_path / "file", 5) == b"12345"
    with pytest.raises(InputError, match="5 bytes; at most 4"):
        read_limited(tmp_path / "file", 4)
    for name in (".", "missing"):
        with pytest.raises(InputError, match="cannot be read"):
            read_limited(tmp_path / name, 5)


def test_a_file_that_grows_while_it_is_read_is_refused() -> None:
    with pytest.raises(InputError, match="changed while it was read"):
        read_limited(Path("/proc/self/status"), 1 << 20)  # its size is said to be 0


def test_what_a_kill_leaves_is_known_by_its_name(tmp_path: Path, monkeypatch) -> None:
    seen: list[Path] = []
    real = Path.rename

    def stop(self: Path, target: Path) -> None:
        seen.extend(tmp_path.iterdir())
        real(self, target)

    monkeypatch.setattr(Path, "rename", stop)
    monkeypatch.setattr(Path, "replace", stop)
    write_atomically(tmp_path / "a.sig", b"x")
    write_folder(tmp_path / "folder", {"a": b"x"})
    assert [left_by_a_kill(path) for path in sorted(seen)] == [True, True, False]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.sig", "folder"]
    assert not left_by_a_kill(Path("x.part"))
    assert not left_by_a_kill(Path(".x"))


def test_a_place_that_can_never_be_written_is_refused_before_the_work(tmp_path: Path, monkeypatch) -> None:
    refuse_blocked(tmp_path / "new/er/file")
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="file is not a folder: choose another place"):
        refuse_blocked(tmp_path / "file/x")
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path or mode != os.W_OK | os.X_OK)
    with pytest.raises(InputError, match="cannot be written to: choose another place"):
        refuse_blocked(tmp_path / "new/er/file")
