"""From bundles to engines: TensorRT-RTX with its real wheel, and what goes for TensorRT too."""

import json
import subprocess
import sys
from dataclasses import replace
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from bundles import SPEC, tiny_bundle, tiny_model
from typer.testing import CliRunner

from lsu.export import cli
from lsu.export.engines.to_engine import EngineOptions, build_engine, sizes_for
from lsu.runtime.bundles.bundle import Bundle
from lsu.runtime.bundles.engine_manifest import SizeRange
from lsu.runtime.bundles.stored_engine import engines_of
from lsu.runtime.cuda_device import driver_version
from lsu.runtime.errors import BackendError, InputError

needs_rtx = pytest.mark.skipif(
    find_spec("tensorrt_rtx") is None, reason="tensorrt-rtx has no wheel for this machine"
)
RTX = EngineOptions(target="tensorrt-rtx", sms=(86, 89, 120))


def free(*sizes: tuple[int, int]) -> SizeRange:
    return SizeRange(*sizes)


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return tiny_bundle(tmp_path / "tiny")


def lsu(*arguments: object) -> Any:
    return CliRunner().invoke(cli.application(), [str(a) for a in arguments])


@needs_rtx
def test_tensorrt_rtx_builds_for_gpus_that_are_not_there(bundle: Bundle) -> None:
    plan = build_engine(bundle, RTX)
    (engine,) = engines_of(Bundle.open(bundle.path))
    assert plan.engine == engine
    about = engine.manifest
    assert (about.target, about.sms, about.bundle) == ("tensorrt-rtx", (86, 89, 120), bundle.digest)
    assert about.versions["tensorrt-rtx"] == about.library
    assert (about.batch, about.head, about.log) == (1, "scores", ())
    assert len(engine.read_plan()) == about.plan_bytes > 100_000
    assert engine.read_plan()[1:4] == b"trt"  # as the library wrote it, nothing before it
    assert plan.facts["inputs"] == {"image": ["UINT8", [-1, -1, -1, 3]]}
    assert plan.facts["outputs"] == {"scores": ["FLOAT", [-1, 3, -1, -1]]}


@needs_rtx
def test_the_command_line_builds_lists_and_runs_dry(bundle: Bundle) -> None:
    arguments = ("build", bundle.path, "--target", "tensorrt-rtx", "--sm", "89,86", "--size", "64x96")
    version = ".".join(metadata.version("tensorrt-rtx-cu13").split(".")[:2])
    tag = f"tensorrt-rtx-{version}-sm86+89-64x96-float32"
    dry = lsu(*arguments, "--dry-run")
    assert dry.exit_code == 0, dry.output
    assert dry.stdout.startswith(f"{tag}: 4 layers, input 64x96, for SM 86, 89; would be built by")
    assert engines_of(bundle) == ()
    built = lsu(*arguments, "--json")
    assert built.exit_code == 0, built.output
    document = json.loads(built.stdout)
    assert (document["tag"], document["sms"], document["sizes"]) == (tag, [86, 89], "64x96")
    assert document["bytes"] == (bundle.path / "engines" / tag / "engine.plan").stat().st_size
    again = lsu(*arguments)
    assert (again.exit_code, again.stderr.count("\n")) == (2, 1)
    assert "an engine is never changed: remove it" in again.stderr
    assert lsu(*arguments, "--dry-run").exit_code == 2


@needs_rtx
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (replace(RTX, sms=(87,)), r"SM 87 is none of TensorRT-RTX's: 75, 80, 86, 89, 120, 121 are allowed"),
        (replace(RTX, sms=()), r"no NVIDIA driver here.*name the machines, such as --sm 86,89,120"),
    ],
)
def test_a_machine_that_cannot_be_is_refused(bundle: Bundle, options: EngineOptions, message: str) -> None:
    if not options.sms and driver_version() is not None:
        pytest.skip("this machine has a GPU")
    with pytest.raises(InputError, match=message):
        build_engine(bundle, options)
    assert engines_of(bundle) == ()


@needs_rtx
def test_the_parser_s_own_words_say_why_a_network_cannot_be_parsed(tmp_path: Path) -> None:
    model = tiny_model()
    model.graph.node[2].op_type = "Unheard"
    bundle = tiny_bundle(tmp_path / "b", models={"model.onnx": model.SerializeToString()})
    with pytest.raises(BackendError, match="cannot parse the network: .*Unheard") as caught:
        build_engine(bundle, RTX, dry_run=True)
    assert "\n" not in str(caught.value)


@needs_rtx
@pytest.mark.parametrize("model", [b"", b"xx"])
def test_what_is_no_network_is_refused(tmp_path: Path, model: bytes) -> None:
    bundle = tiny_bundle(tmp_path / "b", models={"model.onnx": model})
    with pytest.raises(BackendError, match="image and scores are needed|cannot parse the network"):
        build_engine(bundle, RTX)


@needs_rtx
def test_a_fixed_network_takes_one_image_of_its_size(tmp_path: Path) -> None:
    model = tiny_model(batch=1)
    for value, sides in ((model.graph.input[0], (24, 32)), (model.graph.output[0], (6, 8))):
        dims = value.type.tensor_type.shape.dim
        for dim, side in zip(dims[1:3] if sides[0] == 24 else dims[2:], sides, strict=True):
            dim.ClearField("dim_param")
            dim.dim_value = side
    bundle = tiny_bundle(
        tmp_path / "b",
        replace(SPEC, size=(24, 32), multiple=1),
        models={"model.onnx": model.SerializeToString()},
    )
    with pytest.raises(InputError, match=r"takes image \[1, 24, 32, 3\], asked for is \[4, 24, 32, 3\]"):
        build_engine(bundle, replace(RTX, batch=4))
    with pytest.raises(InputError, match="the bundle's input is 24x32 and no other: leave --size out"):
        build_engine(bundle, replace(RTX, sizes=free((8, 8), (24, 32), (64, 64))))
    plan = build_engine(bundle, RTX)
    assert plan.engine is not None
    assert plan.engine.manifest.sizes == free((24, 32), (24, 32), (24, 32))


@needs_rtx
def test_build_runs_without_torch(bundle: Bundle) -> None:
    code = f"""
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "onnxruntime", "onnx"):
            raise ImportError("blocked: " + name)
sys.meta_path.insert(0, Block())
from lsu.export.cli import application
application()(["build", {str(bundle.path)!r}, "--target", "tensorrt-rtx", "--sm", "86"])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(engines_of(bundle)) == 1


def test_tensorrt_that_is_missing_is_one_line(bundle: Bundle) -> None:
    if find_spec("tensorrt") is not None:
        pytest.skip("tensorrt is installed")
    result = lsu("build", bundle.path, "--target", "tensorrt")
    assert (result.exit_code, result.stderr.count("\n")) == (3, 1)
    assert "the Python module tensorrt is missing: a Jetson has it in the system's Python" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--target", "tensorrt", "--sm", "87"), "--sm is for tensorrt-rtx"),
        (("--target", "tensorrt-rtx", "--head", "plugin"), "TensorRT-RTX has no plugin layers"),
        (("--target", "tensorrt-rtx", "--sm", "86;89"), "is not a list of compute capabilities"),
        (("--target", "tensorrt-rtx", "--size", "64"), "neither HxW nor MIN,OPT,MAX"),
        (("--target", "tensorrt-rtx", "--size", "64x64,96x96"), "neither HxW nor MIN,OPT,MAX"),
        (("--target", "tensorrt-rtx", "--size", "64x96,32x32,64x96"), "are not in order"),
        (("--target", "tensorrt-rtx", "--size", "60x96"), "must be multiples of 8, such as 64"),
        (("--target", "tensorrt", "--head", "plugin"), "has no model_with_plugin.onnx"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    bundle: Bundle, arguments: tuple[str, ...], message: str
) -> None:
    result = lsu("build", bundle.path, *arguments)
    assert result.exit_code == 2
    assert message in result.stderr


def test_the_sizes_are_those_asked_for_or_wide_enough_for_the_golden_frames(bundle: Bundle) -> None:
    assert sizes_for(bundle, None) == free((24, 32), (512, 1024), (1024, 2048))
    asked = free((8, 8), (16, 24), (64, 64))
    assert sizes_for(bundle, asked) == asked


@needs_rtx
@pytest.mark.timeout(600)
def test_the_default_student_is_built_for_three_generations(tmp_path: Path) -> None:
    from checkpoints import write_checkpoint

    from lsu.export.to_onnx import Options, export_checkpoint
    from lsu.training.network_config import NetworkConfig

    default = NetworkConfig()
    write_checkpoint(
        tmp_path / "town.safetensors",
        architecture=default.architecture,
        encoder=default.encoder,
        decoder_channels=default.decoder_channels,
    )
    bundle = export_checkpoint(tmp_path / "town.safetensors", tmp_path / "town", Options(size=(256, 320)))
    engine = build_engine(bundle, RTX).engine
    assert engine is not None
    assert engine.manifest.sizes == free((256, 320), (256, 320), (256, 320))
    assert engine.manifest.plan_bytes > 1_000_000
    assert engines_of(Bundle.open(bundle.path)) == (engine,)
