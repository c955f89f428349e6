"""Engines without TensorRT: manifests made by hand, and a driver and a library that stand in for NVIDIA's."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lsu.runtime.bundles.bundle import Bundle
from lsu.runtime.bundles.engine_manifest import EngineManifest, SizeRange
from lsu.runtime.bundles.stored_engine import StoredEngine, write_engine
from lsu.runtime.engines.tensorrt import this_platform
from lsu.runtime.files import digest_of

STAND_INS = Path(__file__).parent / "stand_ins"
PLAN = b'{"profiles": "a plan of the stand-in"}'
SIZES = SizeRange((8, 8), (24, 32), (64, 96))


def engine_manifest(bundle: Bundle | None = None, plan: bytes = PLAN, **changes: Any) -> EngineManifest:
    manifest = EngineManifest(
        target="tensorrt",
        library="10.3.0",
        versions={"tensorrt": "10.3.0"},
        sms=(87,),
        platform=this_platform(),
        driver="12.6",
        bundle="0" * 64 if bundle is None else bundle.digest,
        precision="float32",
        head="scores",
        batch=1,
        sizes=SIZES,
        plan=digest_of(plan),
        plan_bytes=len(plan),
        seconds=1.5,
        log=("a warning",),
    )
    return replace(manifest, **changes)


def stored_engine(bundle: Bundle, plan: bytes = PLAN, **changes: Any) -> StoredEngine:
    return write_engine(bundle, engine_manifest(bundle, plan, **changes), plan)


def stand_in_driver(folder: Path) -> Path:
    """Compile the libcuda.so.1 that has the host's memory; skip where there is no compiler."""
    library = folder / "libcuda.so.1"
    command = ["cc", "-shared", "-fPIC", "-Wall", "-Werror", "-o", str(library)]
    try:
        subprocess.run([*command, str(STAND_INS / "host_memory_cuda.c")], check=True)
    except FileNotFoundError:
        pytest.skip("no C compiler for the driver's stand-in")
    return library


def use_stand_in_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process and its children import the stand-in for `tensorrt`, afresh."""
    monkeypatch.syspath_prepend(str(STAND_INS))
    monkeypatch.setenv("PYTHONPATH", f"{STAND_INS}:{STAND_INS.parent}")
    monkeypatch.delitem(sys.modules, "tensorrt", raising=False)
