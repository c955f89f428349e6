"""TensorRT-RTX engines built without their GPUs: seconds and bytes, for three untrained students.

Weights are random, drawn from seed 0: what a builder does depends on shapes, hardly on values. Each student
is exported at 512x1024 and built for SM 86, 89 and 120, each alone and all in one engine, three times each;
times are medians. `build_seconds` is the library's part, `wall_seconds` all of `lsu export build` after the
bundle was opened: the child process, loading, parsing, building, writing.

Example: python tools/bench_engine_build.py
"""

import argparse
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from statistics import median

import torch
from measurement import commit, write_csv

from lsu.export.engines.to_engine import EngineOptions, build_engine
from lsu.export.to_onnx import Options, export_checkpoint
from lsu.runtime.bundles.bundle import Bundle
from lsu.runtime.bundles.stored_engine import StoredEngine
from lsu.runtime.label_space import LabelSpace
from lsu.runtime.machine import processor
from lsu.training.checkpoint import Checkpoint
from lsu.training.config import Config
from lsu.training.networks import build_network

STUDENTS = (
    ("fpn", "resnet18", 64),  # the default of `lsu fit`
    ("segformer", "tu-regnetx_002", 64),
    ("deeplabv3plus", "tu-efficientnet_lite0", 64),
)
MACHINES = ((86,), (89,), (120,), (86, 89, 120))
SIZE = (512, 1024)
REPEATS = 3
TABLE = Path(__file__).parent.parent / "benchmarks/engine_build.csv"

Student = tuple[str, str, int]


def bundle_of(student: Student, folder: Path) -> tuple[Bundle, int]:
    """The bundle of an untrained student, and how many weights it has."""
    architecture, encoder, decoder_channels = student
    network = {"architecture": architecture, "encoder": encoder, "decoder_channels": decoder_channels}
    config = Config.from_dict({"output": "runs", "network": network, "data": [{"dataset": "none"}]}, "drawn")
    label_space = LabelSpace.load("cityscapes19")
    torch.manual_seed(0)
    built = build_network(config.network, len(label_space))
    path = folder / f"{architecture}.safetensors"
    Checkpoint(config=config, label_space=label_space, step=0, weights=built.state_dict(), optimiser={}).save(
        path
    )
    count = sum(parameter.numel() for parameter in built.parameters())
    return export_checkpoint(path, folder / architecture, Options(size=SIZE)), count


def timed(bundle: Bundle, sms: tuple[int, ...]) -> tuple[StoredEngine, float]:
    """An engine that is removed again, and the seconds of all of it."""
    begun = time.perf_counter()
    engine = build_engine(bundle, EngineOptions("tensorrt-rtx", sms=sms)).engine
    seconds = time.perf_counter() - begun
    assert engine is not None  # no dry run
    shutil.rmtree(engine.path)
    return engine, seconds


def rows_of(student: Student, folder: Path, said: dict[str, object]) -> Iterator[dict[str, object]]:
    """A row for each set of machines."""
    bundle, count = bundle_of(student, folder)
    for sms in MACHINES:
        built = [timed(bundle, sms) for _ in range(REPEATS)]
        manifest = built[-1][0].manifest
        yield {
            "network": student[0],
            "encoder": student[1],
            "parameters": count,
            "weights": "random, seed 0",
            "precision": manifest.precision,
            "input": str(manifest.sizes),
            "sms": "+".join(map(str, sms)),
            "build_seconds": round(median(engine.manifest.seconds for engine, _ in built), 3),
            "wall_seconds": round(median(seconds for _, seconds in built), 3),
            "plan_bytes": manifest.plan_bytes,
            "onnx_bytes": (bundle.path / "model.onnx").stat().st_size,
            "warnings": len(manifest.log),
            "driver": manifest.driver or "none",
            "repeats": REPEATS,
            **said,
        }


def main() -> None:
    """Build all and write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, default=TABLE, help="the table")
    arguments = parser.parse_args()
    names = ("lsu", "tensorrt-rtx-cu13", "torch", "onnx", "segmentation-models-pytorch", "timm")
    said: dict[str, object] = {
        "device": processor(),
        "versions": ", ".join(f"{name} {version(name)}" for name in names),
        "commit": commit(),
        "command": shlex.join(["python", "tools/bench_engine_build.py", *sys.argv[1:]]),
    }
    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as folder:
        for student in STUDENTS:
            for row in rows_of(student, Path(folder), said):
                rows.append(row)
                print(
                    {
                        key: row[key]
                        for key in ("network", "sms", "build_seconds", "wall_seconds", "plan_bytes")
                    }
                )
    write_csv(arguments.output, rows)


if __name__ == "__main__":
    main()
