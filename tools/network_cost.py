"""What a network costs where it runs: weights, arithmetic, memory and time, of one or more checkpoints.

  parameters        the weights that are learnt
  gmacs             10^9 multiply-adds of the convolutions and matrix products for one image; all else is 0
  activation_bytes  the most bytes of tensors alive at once in torch eager, without weights and the image
  onnx_bytes        the exported `model.onnx`
  rss_bytes         what loading the bundle by onnxruntime and one image add to a fresh process at the most
  network_ms        onnxruntime on one CPU thread: median, with the 10th and 90th percentile beside it
  segment_ms        likewise, the whole call: fit, network and head

All networks are timed in one run, in turns and each behind a warm-up, so that their ratios hold on a machine
with other work. The head's time depends on the scores: untrained ones may make it slower or faster.

Example: python tools/network_cost.py runs/town/checkpoint.safetensors --size 512x1024
"""

import argparse
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from bundle_memory import added_bytes_in_fresh_process
from live_activations import peak_activation_bytes
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from lsu.export.graph import DeployedNetwork
from lsu.export.to_onnx import onnx_from_network
from lsu.runtime import LsuError, Segmenter
from lsu.runtime.bundles.bundle import Bundle, Draft, write_bundle
from lsu.runtime.bundles.manifest import MODEL
from lsu.runtime.engines.ort import OnnxRuntimeEngine
from lsu.runtime.model import placed
from lsu.runtime.terminal import print_json, print_table
from lsu.training.checkpoint import Checkpoint

Image = npt.NDArray[np.uint8]
Size = tuple[int, int]
Row = dict[str, object]


@dataclass(frozen=True)
class Spread:
    """Milliseconds of a call: the median and the percentiles beside it."""

    p10: float
    median: float
    p90: float

    @classmethod
    def of(cls, nanoseconds: Sequence[int]) -> "Spread":
        """The summary of two or more measurements, interpolated between them."""
        tenths = statistics.quantiles(nanoseconds, n=10, method="inclusive")
        return cls(*(round(value / 1e6, 3) for value in (tenths[0], tenths[4], tenths[8])))

    def columns(self, name: str) -> Row:
        """The three columns of a table."""
        return {f"{name}_ms": self.median, f"{name}_ms_p10": self.p10, f"{name}_ms_p90": self.p90}


@dataclass(frozen=True)
class Latencies:
    """Of the network alone, and of the whole call with its head."""

    network: Spread
    segment: Spread


def parameters(network: nn.Module) -> int:
    """The number of learnt weights; running statistics are none."""
    return sum(parameter.numel() for parameter in network.parameters())


def macs(network: nn.Module, *inputs: Tensor) -> int:
    """Multiply-adds of convolutions and matrix products in one call: half of what torch counts as flops."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(*inputs)
    return int(counter.get_total_flops()) // 2


def costs(
    checkpoints: Mapping[str, Path], size: Size, *, image: Image | None = None, repeats: int = 30
) -> dict[str, Row]:
    """The columns of each checkpoint's network at an input size.

    Args:
        checkpoints: the file of each name.
        size: (H, W) that all are exported for, multiples of 32.
        image: uint8 [H,W,3] RGB that is timed; noise if None.
        repeats: rounds of the timing, 2 or more.

    Raises:
        InputError: a checkpoint cannot be read, or its memory not be measured.
        BackendError: a network cannot be exported.
    """
    if image is None:
        image = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    rows: dict[str, Row] = {}
    with tempfile.TemporaryDirectory() as folder:
        bundles = {
            name: bundle_of(path, size, Path(folder) / str(number))
            for number, (name, path) in enumerate(checkpoints.items())
        }
        for name, path in checkpoints.items():
            rows[name] = {**torch_costs(path, size), **bundle_costs(bundles[name], size)}
        for name, found in latencies(bundles, image, repeats).items():
            rows[name] |= {**found.network.columns("network"), **found.segment.columns("segment")}
    return rows


def bundle_of(checkpoint_path: Path, size: Size, folder: Path) -> Bundle:
    """The bundle of a checkpoint for one input size, without golden frames and without proof.

    Costs do not depend on whether torch and onnxruntime agree, and the proof of `lsu export onnx` refuses
    T-Net at large sizes: rounding decides which of two nearly equal values its pooling takes.
    """
    checkpoint = Checkpoint.load(checkpoint_path)
    spec = replace(checkpoint.spec, fit="resize", size=size, multiple=1)
    network = DeployedNetwork(checkpoint.network(), checkpoint.config.network).eval()
    model = onnx_from_network(network, spec)
    return write_bundle(folder, Draft("measured", spec, {MODEL: model}, (), {}, {}, {}))


def torch_costs(checkpoint_path: Path, size: Size) -> Row:
    """What torch tells of a checkpoint's network for one image, its normalisation included."""
    checkpoint = Checkpoint.load(checkpoint_path)
    network = DeployedNetwork(checkpoint.network(), checkpoint.config.network).eval()
    image = torch.zeros((1, *size, 3), dtype=torch.uint8)
    return {
        "parameters": parameters(network),
        "gmacs": round(macs(network, image) / 1e9, 4),
        "activation_bytes": peak_activation_bytes(network, image),
    }


def bundle_costs(bundle: Bundle, size: Size) -> Row:
    """The bytes of a bundle on the disk and in memory."""
    return {
        "onnx_bytes": (bundle.path / MODEL).stat().st_size,
        "rss_bytes": added_bytes_in_fresh_process(bundle.path, size),
    }


def latencies(bundles: Mapping[str, Bundle], image: Image, repeats: int) -> dict[str, Latencies]:
    """What each bundle takes on one thread, all of them once in each round; the first one changes."""
    segmenters = {
        name: Segmenter(OnnxRuntimeEngine(bundle, threads=1, cpu=True), threads=1)
        for name, bundle in bundles.items()
    }
    alone: dict[str, list[int]] = {name: [] for name in bundles}
    whole: dict[str, list[int]] = {name: [] for name in bundles}
    names = list(bundles)
    for _ in range(repeats):
        names.append(names.pop(0))
        for name in names:
            segmenter = segmenters[name]
            pixels = placed(image, segmenter.engine.spec).pixels[np.newaxis]
            segmenter.segment(image)  # the caches are the last contender's
            alone[name].append(_nanoseconds(segmenter.engine.infer, pixels))
            whole[name].append(_nanoseconds(segmenter.segment, image))
    return {name: Latencies(Spread.of(alone[name]), Spread.of(whole[name])) for name in bundles}


def _nanoseconds(call: Callable[[Image], object], image: Image) -> int:
    begin = time.perf_counter_ns()
    call(image)
    return time.perf_counter_ns() - begin


def main() -> None:
    """Print the costs of the checkpoints."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkpoints", nargs="+", type=Path, metavar="CHECKPOINT")
    parser.add_argument("--size", required=True, help="HxW of the input, multiples of 32")
    parser.add_argument("--repeats", type=int, default=30, help="rounds of the timing, 2 or more")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    found = re.fullmatch(r"(\d+)x(\d+)", arguments.size)
    if not found or any(int(side) % 32 or side == "0" for side in found.groups()):
        parser.error(f"--size {arguments.size!r} is not HxW in multiples of 32, such as 512x1024")
    if arguments.repeats < 2:
        parser.error("--repeats must be 2 or more")
    height, width = (int(side) for side in found.groups())
    try:
        rows = costs(
            {str(path): path for path in arguments.checkpoints}, (height, width), repeats=arguments.repeats
        )
    except LsuError as error:
        print(f"network_cost.py: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    if arguments.json:
        print_json(rows)
        return
    columns = list(next(iter(rows.values())))
    cells = [[column, *(str(row[column]) for row in rows.values())] for column in columns]
    print_table(f"one image of {arguments.size}", ["", *rows], cells)


if __name__ == "__main__":
    main()
