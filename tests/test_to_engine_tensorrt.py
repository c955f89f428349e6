"""`lsu export build --target tensorrt` over a stand-in that builds nothing: what the library is told."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from bundles import tiny_bundle, tiny_model
from engines import stand_in_driver, use_stand_in_library
from onnx import helper

from lsu.export.engines.to_engine import EngineOptions, build_engine, default_timing_cache
from lsu.runtime.bundles.bundle import Bundle
from lsu.runtime.bundles.engine_manifest import SizeRange
from lsu.runtime.errors import BackendError, InputError


def free(*sizes: tuple[int, int]) -> SizeRange:
    return SizeRange(*sizes)


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return tiny_bundle(tmp_path / "tiny")


@pytest.fixture(scope="session")
def driver_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stand_in_driver(tmp_path_factory.mktemp("driver"))


@pytest.fixture
def orin(driver_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Children find a GPU of SM 87 and the stand-in for tensorrt 10.3; the answer is the user's cache."""
    monkeypatch.setenv("LD_LIBRARY_PATH", str(driver_path.parent))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    use_stand_in_library(monkeypatch)
    return tmp_path / "cache"


def files_below(path: Path) -> list[str]:
    return sorted(str(file.relative_to(path)) for file in path.rglob("*"))


def test_on_an_orin_everything_is_said_to_the_builder(bundle: Bundle, orin: Path) -> None:
    plan = build_engine(bundle, EngineOptions("tensorrt", sizes=free((8, 8), (24, 32), (64, 96)), batch=4))
    assert plan.engine is not None
    about = plan.engine.manifest
    assert (about.library, about.sms, about.driver, about.batch) == ("10.3.0", (87,), "12.6", 4)
    assert about.log == ("Using an engine plan across devices",)
    told = json.loads(plan.engine.read_plan())
    assert told["flags"] == 1 << 1  # STRONGLY_TYPED
    assert told["tf32"] is False
    assert told["profiles"] == [{"image": [[1, 8, 8, 3], [4, 24, 32, 3], [4, 64, 96, 3]]}]
    assert told["loaded"] == []


def test_version_11_is_strongly_typed_without_being_told(
    bundle: Bundle, orin: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_TENSORRT", "eleven")
    monkeypatch.setenv("FAKE_TENSORRT_VERSION", "11.4.0.3")
    engine = build_engine(bundle, EngineOptions("tensorrt")).engine
    assert engine is not None
    assert engine.manifest.tag.startswith("tensorrt-11.4-sm87")
    assert json.loads(engine.read_plan())["flags"] == 0


def test_half_precision_leaves_tf32_to_the_library(tmp_path: Path, orin: Path) -> None:
    engine = build_engine(tiny_bundle(tmp_path / "b", precision="float16"), EngineOptions("tensorrt")).engine
    assert engine is not None
    assert json.loads(engine.read_plan())["tf32"] is True


def plugin_bundle(path: Path) -> Bundle:
    model = tiny_model()
    with_plugin = tiny_model()
    for name, shape in (("size", [2]), ("table", [256, 2]), ("labels", ["n", "rows", "packed"])):
        with_plugin.graph.input.append(helper.make_tensor_value_info(name, 6, shape))
    models = {
        "model.onnx": model.SerializeToString(),
        "model_with_plugin.onnx": with_plugin.SerializeToString(),
    }
    return tiny_bundle(path, models=models, head="plugin")


def test_the_plugin_is_loaded_and_its_inputs_have_ranges(tmp_path: Path, orin: Path) -> None:
    bundle, library = plugin_bundle(tmp_path / "b"), tmp_path / "liblsu_tensorrt.so"
    library.write_bytes(b"")
    options = EngineOptions(
        "tensorrt", head="plugin", plugin=library, sizes=free((8, 8), (24, 32), (64, 98 - 2)), batch=2
    )
    engine = build_engine(bundle, options).engine
    assert engine is not None
    assert engine.manifest.tag.endswith("-float32-b2-plugin")
    told = json.loads(engine.read_plan())
    assert told["loaded"] == [str(library)]
    assert told["profiles"] == [
        {
            "image": [[1, 8, 8, 3], [2, 24, 32, 3], [2, 64, 96, 3]],
            "size": [[1, 1], [24, 32], [64, 96]],
            "labels": [[1, 1, 1], [2, 24, 8], [2, 64, 24]],
        }
    ]


def test_a_plugin_that_cannot_be_loaded_is_named(tmp_path: Path, orin: Path) -> None:
    bundle, library = plugin_bundle(tmp_path / "b"), tmp_path / "bad.so"
    options = EngineOptions("tensorrt", head="plugin", plugin=library)
    with pytest.raises(InputError, match="no such plugin library: give --plugin"):
        build_engine(bundle, options)
    library.write_bytes(b"")
    with pytest.raises(BackendError, match="tensorrt cannot load the plugin"):
        build_engine(bundle, options)


def test_what_was_timed_is_kept_for_the_next_build(bundle: Bundle, orin: Path) -> None:
    cache = default_timing_cache("tensorrt")
    assert cache == orin / "lsu" / "tensorrt.timing"
    for size in (64, 72):
        sizes = free((size, size), (size, size), (size, size))
        build_engine(bundle, EngineOptions("tensorrt", sizes=sizes))
    assert cache.read_bytes() == b"timed;timed;"
    cache.write_bytes(b"of the other GPU")
    build_engine(bundle, EngineOptions("tensorrt", timing_cache=cache))
    assert cache.read_bytes() == b"timed;"


def test_a_dry_run_writes_nothing_at_all(bundle: Bundle, orin: Path) -> None:
    before = files_below(bundle.path)
    plan = build_engine(bundle, EngineOptions("tensorrt"), dry_run=True)
    assert plan.engine is None
    assert plan.tag == "tensorrt-10.3-sm87-24x32..1024x2048-float32"
    assert files_below(bundle.path) == before
    assert not orin.exists()


DEATHS = {
    "crash": r"the builder's process died while building: Timing tactics \(signal SIGSEGV\)",
    "abort": r"\(signal SIGABRT\): terminate called: out of memory; nothing was written",
    "fails": "tensorrt cannot build the engine: Could not find any implementation for node head",
    "no builder": "tensorrt gives no builder: CUDA initialization failure",
    "unparsed": "tensorrt cannot parse the network: No importer registered for op: Grid",
}


@pytest.mark.parametrize("mode", DEATHS)
def test_a_library_that_fails_leaves_nothing_and_says_so_in_a_line(
    bundle: Bundle, orin: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    monkeypatch.setenv("FAKE_TENSORRT", mode)
    before = files_below(bundle.path)
    with pytest.raises(BackendError, match=DEATHS[mode]) as caught:
        build_engine(bundle, EngineOptions("tensorrt"))
    assert "\n" not in str(caught.value)
    assert files_below(bundle.path) == before


def test_without_a_gpu_tensorrt_says_where_to_build(
    bundle: Bundle, orin: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_CUDA_DEVICES", "0")
    with pytest.raises(BackendError, match="0 are here: TensorRT builds on the GPU that will run the engine"):
        build_engine(bundle, EngineOptions("tensorrt"))


def children_of(process: int) -> list[int]:
    text = Path(f"/proc/{process}/task/{process}/children").read_text()
    return [int(word) for word in text.split()]


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_an_interrupt_leaves_nothing_and_no_process(
    bundle: Bundle, orin: Path, monkeypatch: pytest.MonkeyPatch, sent: signal.Signals, code: int
) -> None:
    monkeypatch.setenv("FAKE_TENSORRT", "slow")
    before = files_below(bundle.path)
    code_of_verb = "from lsu.export.cli import main; main()"
    command = [sys.executable, "-c", code_of_verb, "build", str(bundle.path), "--target", "tensorrt"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as verb:
        assert verb.stderr is not None
        assert "Timing tactics" in verb.stderr.readline()  # after 5 s
        (builder,) = children_of(verb.pid)
        verb.send_signal(sent)
        assert verb.wait(30) == code
    for _ in range(100):
        if not Path(f"/proc/{builder}").exists() or ") Z" in Path(f"/proc/{builder}/stat").read_text():
            break
        time.sleep(0.1)
    else:
        os.kill(builder, signal.SIGKILL)
        pytest.fail("the builder's process goes on")
    assert files_below(bundle.path) == before
