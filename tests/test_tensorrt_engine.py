"""Stored engines at work, over stand-ins for the driver and `tensorrt`: it proves nothing of NVIDIA's."""

import ctypes
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bundles import noise, tiny_bundle, tiny_scores
from engines import stand_in_driver, stored_engine, use_stand_in_library
from typer.testing import CliRunner

from lsu.runtime import cuda_device
from lsu.runtime.bundles.bundle import Bundle
from lsu.runtime.bundles.trust import PublicKey, Trust
from lsu.runtime.cli import application
from lsu.runtime.cuda_device import CudaBuffer, CudaDevice, driver_version, sm_of_device
from lsu.runtime.engines import engine_for
from lsu.runtime.engines.ort import OnnxRuntimeEngine
from lsu.runtime.engines.tensorrt import TensorRTEngine
from lsu.runtime.errors import BackendError, InputError


@pytest.fixture(scope="session")
def driver_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stand_in_driver(tmp_path_factory.mktemp("driver"))


@pytest.fixture
def driver(driver_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ctypes.CDLL]:
    """A machine with a GPU of SM 87, whose memory is the host's; nothing may be left allocated."""
    monkeypatch.setattr(cuda_device, "_LIBRARY", str(driver_path))
    library = ctypes.CDLL(str(driver_path))
    alive = library.fake_alive()
    yield library
    assert (library.fake_alive(), library.fake_depth()) == (alive, 0)


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> None:
    use_stand_in_library(monkeypatch)


@pytest.fixture
def no_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda_device, "_LIBRARY", "libcuda-of-no-machine.so.1")


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return tiny_bundle(tmp_path / "tiny")


def failure(bundle: Bundle, backend: str = "tensorrt", kind: type[Exception] = BackendError) -> str:
    with pytest.raises(kind) as caught:
        engine_for(bundle, backend)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_device_says_what_it_is(driver: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (sm_of_device(), driver_version()) == (87, "12.6")
    monkeypatch.setenv("FAKE_CUDA_SM", "120")
    assert sm_of_device() == 120
    with pytest.raises(BackendError, match="CUDA device 3 does not exist: 1 are here"):
        sm_of_device(3)


def test_without_a_driver_there_is_no_device(no_driver: None) -> None:
    assert driver_version() is None
    with pytest.raises(BackendError, match="no NVIDIA driver here"):
        sm_of_device()


def test_bytes_go_to_the_device_and_come_back(driver: Any) -> None:
    device = CudaDevice()
    with device.current():
        buffer = CudaBuffer(device, 10)
        buffer.host[:] = range(10)
        buffer.copy_in(10)
        buffer.host[:] = 0
        buffer.copy_out(4)
        device.wait()
        assert buffer.host.tolist() == [0, 1, 2, 3, 0, 0, 0, 0, 0, 0]
        buffer.close()
        buffer.close()
    device.close()
    device.close()


@pytest.mark.parametrize("call", ["cuMemAlloc_v2", "cuMemHostAlloc", "cuStreamCreate", "cuInit"])
def test_a_call_that_fails_is_named_and_nothing_is_left(
    driver: Any, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    monkeypatch.setenv("FAKE_CUDA_FAILS", call)

    def work() -> None:
        device = CudaDevice()
        with closing(device), device.current():
            CudaBuffer(device, 10)

    with pytest.raises(BackendError, match=rf"^{call} failed: CUDA_ERROR_OUT_OF_MEMORY \(2\)$"):
        work()


def test_scores_are_those_of_the_network(driver: Any, library: None, bundle: Bundle) -> None:
    stored = stored_engine(bundle)
    with closing(engine_for(bundle, "tensorrt")) as engine:
        assert isinstance(engine, TensorRTEngine)
        assert engine.spec == bundle.spec
        assert engine.identity == f"{bundle.digest}+{stored.manifest.plan}"
        for height, width in ((24, 32), (64, 96), (8, 8)):
            image = noise(height, width)
            scores = engine.infer(image[np.newaxis])
            assert scores.dtype == np.float32
            np.testing.assert_array_equal(scores, tiny_scores(image)[np.newaxis])
        assert bundle.self_test(engine).equal == 1.0


def test_more_images_than_the_engine_takes_go_one_after_the_other(
    driver: Any, library: None, bundle: Bundle
) -> None:
    stored_engine(bundle, batch=2)
    images = np.stack([noise(16, 24, seed) for seed in range(5)])
    with closing(engine_for(bundle, "tensorrt")) as engine:
        waited = driver.fake_waited()
        scores = engine.infer(images)
        assert driver.fake_waited() - waited == 3
    np.testing.assert_array_equal(scores, np.stack([tiny_scores(image) for image in images]))


def test_an_answer_stays_as_it_is_when_the_next_comes(driver: Any, library: None, bundle: Bundle) -> None:
    stored_engine(bundle)
    with closing(engine_for(bundle, "tensorrt")) as engine:
        first = engine.infer(noise(8, 8)[np.newaxis])
        kept = first.copy()
        engine.infer(noise(8, 8, 1)[np.newaxis])
    np.testing.assert_array_equal(first, kept)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((1, 72, 96, 3), np.uint8), r"input is 72x96 \(HxW\); this engine takes 8x8..64x96"),
        (np.zeros((1, 12, 16, 3), np.uint8), "in multiples of 8"),
        (np.zeros((1, 8, 8, 3), np.float32), "float32"),
        (np.zeros((8, 8, 3), np.uint8), "uint8 \\[N, H, W, 3\\] is needed"),
        (np.zeros((0, 8, 8, 3), np.uint8), "uint8 \\[N, H, W, 3\\] is needed"),
    ],
)
def test_images_that_do_not_fit_are_refused(
    driver: Any, library: None, bundle: Bundle, images: Any, message: str
) -> None:
    stored_engine(bundle)
    with closing(engine_for(bundle, "tensorrt")) as engine, pytest.raises(InputError, match=message):
        engine.infer(images)


def test_a_closed_engine_says_so(driver: Any, library: None, bundle: Bundle) -> None:
    stored_engine(bundle)
    engine = engine_for(bundle, "tensorrt")
    engine.close()
    engine.close()
    with pytest.raises(BackendError, match="closed"):
        engine.infer(np.zeros((1, 8, 8, 3), np.uint8))


def test_a_failing_device_is_an_error_and_not_a_wrong_answer(
    driver: Any, library: None, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored_engine(bundle)
    with closing(engine_for(bundle, "tensorrt")) as engine:
        monkeypatch.setenv("FAKE_CUDA_FAILS", "cuStreamSynchronize")
        with pytest.raises(BackendError, match="cuStreamSynchronize failed"):
            engine.infer(np.zeros((1, 8, 8, 3), np.uint8))


def test_without_a_gpu_one_line_says_so(no_driver: None, bundle: Bundle) -> None:
    stored_engine(bundle, sms=(86, 89, 120), target="tensorrt-rtx", library="1.7.1.116")
    said = failure(bundle, "tensorrt-rtx")
    assert "needs a GPU of SM 86, 89, 120; no NVIDIA driver here: libcuda-of-no-machine.so.1" in said
    assert "use the backend onnxruntime" in said


def test_the_command_line_says_it_in_one_line_and_ends_with_3(
    no_driver: None, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored_engine(bundle, sms=(86, 89, 120), target="tensorrt-rtx", library="1.7.1.116")
    result = CliRunner().invoke(application(), ["inspect", str(bundle.path), "--backend", "tensorrt-rtx"])
    assert result.exit_code == 3
    (line,) = result.stderr.strip().splitlines()
    assert "needs a GPU of SM 86, 89, 120" in line


@pytest.mark.parametrize(
    ("changes", "built"),
    [
        ({"sms": (86, 89)}, "10.3.0 for SM 86+89 on"),
        ({"library": "10.3.1"}, "10.3.1 for SM 87 on"),
        ({"platform": "linux-s390x"}, "10.3.0 for SM 87 on linux-s390x"),
    ],
)
def test_an_engine_for_another_machine_says_what_differs(
    driver: Any, library: None, bundle: Bundle, changes: dict[str, Any], built: str
) -> None:
    stored_engine(bundle, **changes)
    said = failure(bundle)
    assert f"no engine for tensorrt 10.3.0, SM 87, {built.partition(' on ')[2] and 'linux'}" in said
    assert built in said
    assert "lsu export build" in said
    with closing(engine_for(bundle)) as engine:
        assert isinstance(engine, OnnxRuntimeEngine)


def test_the_engine_that_fits_is_taken(driver: Any, library: None, bundle: Bundle) -> None:
    stored_engine(bundle, b'{"profiles": "86"}', sms=(86,))
    ours = stored_engine(bundle, sms=(87,))
    with closing(engine_for(bundle, "auto")) as engine:
        assert engine.identity.endswith(ours.manifest.plan)


def test_without_an_engine_auto_takes_onnxruntime_and_tensorrt_says_how_to_build(bundle: Bundle) -> None:
    with closing(engine_for(bundle)) as engine:
        assert isinstance(engine, OnnxRuntimeEngine)
    said = failure(bundle, "tensorrt", InputError)
    assert f"build one with `lsu export build {bundle.path} --target tensorrt`" in said


def test_an_engine_with_the_plugin_is_not_fed_by_this_runtime(
    driver: Any, library: None, bundle: Bundle
) -> None:
    stored_engine(bundle, head="plugin")
    assert "has no engine that gives scores" in failure(bundle, "tensorrt", InputError)
    with closing(engine_for(bundle)) as engine:
        assert isinstance(engine, OnnxRuntimeEngine)


def test_a_missing_library_is_named_with_its_repair(
    driver: Any, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "tensorrt", None)
    stored_engine(bundle)
    assert "module tensorrt is missing: a Jetson has it" in failure(bundle)


def test_an_old_library_is_refused(
    driver: Any, library: None, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_TENSORRT_VERSION", "8.6.1")
    stored_engine(bundle)
    assert "tensorrt 8.6.1 is older than 10.3" in failure(bundle)


def test_what_the_library_refuses_is_told_in_its_words(driver: Any, library: None, bundle: Bundle) -> None:
    stored_engine(bundle, b"a plan of something else")
    assert "tensorrt refuses the engine: Magic tag does not match" in failure(bundle)


def test_an_engine_with_other_tensors_is_refused(
    driver: Any, library: None, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_TENSORRT", "unnamed")
    stored_engine(bundle)
    assert "has the tensors ['input', 'output']" in failure(bundle)


def test_a_changed_plan_never_reaches_the_library(
    driver: Any, library: None, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = stored_engine(bundle)
    data = bytearray((stored.path / "engine.plan").read_bytes())
    data[3] ^= 1
    (stored.path / "engine.plan").write_bytes(data)
    monkeypatch.setattr(TensorRTEngine, "_loaded", lambda *_: pytest.fail("it was parsed"))
    for backend in ("tensorrt", "auto"):
        assert "not the plan" in failure(bundle, backend, InputError)


def test_an_unsigned_engine_is_not_run_where_signatures_are_asked_for(
    driver: Any, library: None, bundle: Bundle
) -> None:
    stored_engine(bundle)
    asked = Trust((PublicKey(bytes(32)),))
    for backend in ("tensorrt", "auto"):
        with pytest.raises(InputError, match="no signature of this engine"):
            engine_for(bundle, backend, trust=asked)
