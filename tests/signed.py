"""A tiny signed bundle with an engine that nothing runs (its plan is none), and the `lsu` that meets it."""

import contextlib
import io
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
from bundles import rewrite, tiny_bundle

from lsu.export.sign import SigningKey, sign_bundle, write_key_pair
from lsu.runtime.bundles.bundle import Bundle
from lsu.runtime.bundles.engine_manifest import EngineManifest, SizeRange
from lsu.runtime.bundles.stored_engine import StoredEngine, engines_of, write_engine
from lsu.runtime.bundles.trust import Trust
from lsu.runtime.cli import application
from lsu.runtime.errors import InputError
from lsu.runtime.files import digest_of

PLAN = bytes(range(256)) * 8


def key_pair(folder: Path, name: str = "factory") -> tuple[SigningKey, Trust]:
    """A new key and trust in it."""
    files = write_key_pair(folder / name)
    return SigningKey.from_file(files.private), Trust.from_files([files.public])


def tiny_engine(bundle: Bundle, plan: bytes = PLAN, *, sm: int = 86) -> StoredEngine:
    """An engine folder in the bundle."""
    size = (24, 32)
    manifest = EngineManifest(
        target="tensorrt-rtx",
        library="1.7.1",
        versions={"lsu": "0"},
        sms=(sm,),
        platform="linux-x86_64",
        driver=None,
        bundle=bundle.digest,
        precision=bundle.precision,
        head="scores",
        batch=1,
        sizes=SizeRange(size, size, size),
        plan=digest_of(plan),
        plan_bytes=len(plan),
        seconds=0.5,
    )
    return write_engine(bundle, manifest, plan)


def signed_bundle(path: Path, key: SigningKey) -> tuple[Bundle, StoredEngine]:
    """A tiny bundle with an engine, both signed."""
    bundle = tiny_bundle(path)
    engine = tiny_engine(bundle)
    sign_bundle(bundle, key)
    return bundle, engine


@dataclass(frozen=True)
class Outcome:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def refusal(self) -> str:
        """The one line of bad input."""
        assert self.code == 2, self
        assert self.err.startswith("lsu: "), self
        assert self.err.endswith("\n"), self
        assert self.err.count("\n") == 1, self
        assert not self.out
        return self.err


def lsu(*arguments: object) -> Outcome:
    """Run the command in this process."""
    code = 0
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        try:
            application()([str(a) for a in arguments])
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 0
    return Outcome(code, out.getvalue(), err.getvalue())


def resign(path: Path = Path("b")) -> None:
    """Sign whatever `bundle.json` says now, as its maker would."""
    key = SigningKey.from_file(Path("factory.key"))
    data = (path / "bundle.json").read_bytes()
    (path / "signatures" / f"{key.public.id}.sig").write_bytes(key.signature(data, "bundle"))


def replaced(name: str, data: bytes, path: Path = Path("b")) -> None:
    """A file changed by the bundle's maker, who vouches for it; engines of before are gone."""
    shutil.rmtree(path / "engines")
    (path / name).write_bytes(data)
    rewrite(path, lambda t: t["files"].update({name: digest_of(data)}))
    resign(path)


def open_all(path: Path, trust: Trust) -> tuple[StoredEngine, ...]:
    """Everything in a bundle, read and verified; its engines."""
    engines = engines_of(Bundle.open(path, trust=trust))
    for engine in engines:
        engine.read_plan()
    return engines


def refusal(path: Path, trust: Trust) -> str:
    """The one line with which a bundle or its engine is refused."""
    with pytest.raises(InputError) as caught:
        open_all(path, trust)
    assert "\n" not in str(caught.value)
    return str(caught.value)
