"""What a network costs, against counts by hand; who is on the front of the students' table."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("onnx", reason="onnx, which exports, is not installed")
pytest.importorskip("onnxruntime", reason="onnxruntime, whose memory is measured, is not installed")
pytest.importorskip("matplotlib", reason="matplotlib is not installed")

from bundles import tiny_bundle  # noqa: E402
from checkpoints import write_checkpoint  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402

from lsu.runtime import InputError, LabelSpace, ModelSpec  # noqa: E402
from lsu.training.network_config import NetworkConfig  # noqa: E402
from lsu.training.networks import build_network  # noqa: E402

sys.path.insert(0, str(Path(__file__).parent.parent / "tools"))
import bundle_memory  # noqa: E402
import network_cost  # noqa: E402
import trial_students  # noqa: E402
from live_activations import peak_activation_bytes  # noqa: E402
from trials import Fitting  # noqa: E402

IMAGE = torch.zeros(1, 3, 8, 10)
MAP = 4 * 8 * 10 * 4
"""Bytes of four channels of the image's size in float32."""


def pointwise(channels: int = 4) -> nn.Module:
    return nn.Conv2d(channels, 4, 1)


@pytest.mark.parametrize(
    ("network", "weights", "expected"),
    [
        (nn.Conv2d(3, 4, 3, padding=1), 4 * 27 + 4, 4 * 27 * 80),
        (nn.Conv2d(3, 4, 3, stride=2, padding=1, bias=False), 4 * 27, 4 * 27 * 20),
        (nn.Conv2d(3, 3, 3, padding=1, groups=3), 3 * 9 + 3, 3 * 9 * 80),
        (nn.Linear(10, 7), 70 + 7, 3 * 8 * 70),
        (nn.BatchNorm2d(3), 6, 0),
    ],
)
def test_a_layer_has_the_weights_and_multiply_adds_of_its_formula(network, weights, expected) -> None:
    assert network_cost.parameters(network) == weights
    assert network_cost.macs(network.eval(), IMAGE) == expected


def test_t_net_has_the_weights_of_its_paper_and_the_multiply_adds_of_its_layers() -> None:
    network = build_network(NetworkConfig(**Fitting(1, choice=trial_students.STUDENTS["t-net"]).network), 11)
    assert network_cost.parameters(network) == 1_416_587
    down, up = 3 + 64 * (1 / 4 + 1 / 16 + 1 / 64), 64 * (1 / 64 + 1 / 16 + 1 / 4 + 1)
    expected = 32 * 48 * (49 * 64 * (down + up) + 64 * 11)
    assert network_cost.macs(network.eval(), torch.zeros(1, 3, 32, 48)) == expected


class Skip(nn.Module):
    """A shortcut around two convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.body = pointwise(3), nn.Sequential(pointwise(), pointwise())

    def forward(self, images):
        shortcut = self.first(images)
        return shortcut + self.body(shortcut)


class Wide(nn.Module):
    """Twice as large in the middle as at its end."""

    def forward(self, images):
        return functional.interpolate(images, scale_factor=2)[..., :1, :1].clone()


class Growing(nn.Module):
    """Tensors of 0 to 99 values, each freed when the next one is made."""

    def forward(self, images):
        for k in range(100):
            latest = images.new_zeros(k)
        return latest


@pytest.mark.parametrize(
    ("network", "maps"),
    [
        (pointwise(3), 1),  # neither the image nor the weights
        (nn.Sequential(nn.Flatten(), nn.Unflatten(1, (3, 8, 10)), pointwise(3)), 1),  # views of the image
        (nn.Linear(10, 7), 3 * 8 * 7 / 320),  # multiplies by a view of its weight
        (nn.Sequential(pointwise(3), pointwise(), pointwise(), pointwise()), 2),
        (Growing(), (98 + 99) / 320),  # the last two of a hundred, at addresses of those before
        (nn.Sequential(pointwise(3), nn.AvgPool2d(2), pointwise()), 1 + 1 / 4),  # most at the second of three
        (Skip(), 3),  # the shortcut, and both ends of the second convolution
        (nn.Sequential(pointwise(3), nn.ReLU()), 2),
        (nn.Sequential(pointwise(3), nn.ReLU(inplace=True)), 1),
        (nn.Sequential(pointwise(3), nn.Flatten(), nn.Unflatten(1, (4, 80))), 1),
        (nn.Sequential(pointwise(3), nn.Dropout(), nn.Identity()), 1),
        (nn.Sequential(pointwise(3), nn.BatchNorm2d(4)), 2),
        (Wide(), 3 + 3 / 320),  # 4 x 3 channels and one pixel of the three
    ],
)
def test_activations_are_counted_while_they_live(network, maps) -> None:
    assert peak_activation_bytes(network.eval(), IMAGE) == maps * MAP
    assert peak_activation_bytes(network.eval(), IMAGE) == maps * MAP  # nothing is left of the first call


class Product(nn.Module):
    """One operator, which copies its operands to a common shape first."""

    def forward(self, left, right):
        return left @ right


def test_the_parts_of_an_operator_are_counted() -> None:
    found = peak_activation_bytes(Product(), torch.zeros(2, 1, 3, 4), torch.zeros(1, 5, 4, 6))
    assert found == 4 * (2 * 5 * 3 * 4 + 2 * 5 * 4 * 6 + 2 * 5 * 3 * 6)


def test_a_fresh_process_tells_its_own_memory_and_not_its_parent_s(tmp_path: Path) -> None:
    held = np.ones(60_000_000, np.float32)
    bundle = tiny_bundle(tmp_path / "tiny").path
    small, large = (bundle_memory.added_bytes_in_fresh_process(bundle, (side, side)) for side in (64, 1024))
    assert 0 < small < 150e6 < held.nbytes
    assert large - small > 4 * 3 * 1024 * 1024  # the larger image in float32 at the least


def test_memory_of_what_is_no_bundle_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="memory was not measured: .*bundle.json"):
        bundle_memory.added_bytes_in_fresh_process(tmp_path, (64, 64))


def test_all_costs_of_a_checkpoint_are_told(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "small.safetensors")
    row = network_cost.costs({"small": tmp_path / "small.safetensors"}, (64, 64), repeats=2)["small"]
    assert row["parameters"] < row["onnx_bytes"] / 4 < 1.3 * row["parameters"]
    assert min(row["gmacs"], row["activation_bytes"], row["rss_bytes"]) > 0
    for name in ("network_ms", "segment_ms"):
        assert 0 < row[f"{name}_p10"] <= row[name] <= row[f"{name}_p90"]


def test_contenders_are_timed_in_turns_behind_a_warm_up(monkeypatch: pytest.MonkeyPatch) -> None:
    called = []

    class Recorded:
        """Engine and segmenter in one, which writes down who was called."""

        spec = ModelSpec(LabelSpace.load("camvid11"), fit="pad", multiple=32)

        def __init__(self, bundle, **_) -> None:
            self.name = bundle if isinstance(bundle, str) else bundle.name
            self.engine = self

        def infer(self, _) -> None:
            called.append(f"{self.name} network")

        def segment(self, _) -> None:
            called.append(f"{self.name} whole")

    monkeypatch.setattr(network_cost, "OnnxRuntimeEngine", Recorded)
    monkeypatch.setattr(network_cost, "Segmenter", Recorded)
    found = network_cost.latencies({"a": "a", "b": "b"}, np.zeros((32, 32, 3), np.uint8), 2)
    turn = {name: [f"{name} whole", f"{name} network", f"{name} whole"] for name in "ab"}
    assert called == [*turn["b"], *turn["a"], *turn["a"], *turn["b"]]
    assert set(found) == {"a", "b"}


def test_a_spread_is_the_median_between_its_percentiles() -> None:
    found = network_cost.Spread.of([k * 1_000_000 for k in (11, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10)])
    assert (found.p10, found.median, found.p90) == (2, 6, 10)
    assert found.columns("x") == {"x_ms": 6, "x_ms_p10": 2, "x_ms_p90": 10}


def test_the_command_prints_json(monkeypatch, capsys) -> None:
    asked = []

    def costs(checkpoints, size, **more):
        asked.append((checkpoints, size, more))
        return {"a.safetensors": {"gmacs": 1.5}}

    monkeypatch.setattr(network_cost, "costs", costs)
    monkeypatch.setattr(sys, "argv", ["network_cost.py", "a.safetensors", "--size", "64x96", "--json"])
    network_cost.main()
    assert json.loads(capsys.readouterr().out) == {"a.safetensors": {"gmacs": 1.5}}
    assert asked == [({"a.safetensors": Path("a.safetensors")}, (64, 96), {"repeats": 30})]


def test_the_front_is_what_nothing_beats() -> None:
    points = [(1.0, 10.0), (2.0, 20.0), (2.0, 20.0), (3.0, 15.0), (2.0, 18.0), (2.5, 20.0), (9.0, 30.0)]
    found = [trial_students.on_front(point, points) for point in points]
    assert found == [True, True, True, False, False, False, True]  # equal ones do not beat each other


def test_a_summary_line_gets_the_costs_of_its_model() -> None:
    lines = [{"model": "slow", "miou_mean": 20.0}, {"model": "fast", "miou_mean": 21.0}]
    found = trial_students.with_costs(lines, {"fast": {"segment_ms": 1.0}, "slow": {"segment_ms": 2.0}})
    assert found[0] == {"model": "slow", "miou_mean": 20.0, "segment_ms": 2.0, "on_front": "no"}
    assert found[1] == {"model": "fast", "miou_mean": 21.0, "segment_ms": 1.0, "on_front": "yes"}


@pytest.mark.parametrize("student", trial_students.STUDENTS)
def test_each_student_is_a_network_of_the_configuration(student: str) -> None:
    config = NetworkConfig(**Fitting(1, choice=trial_students.STUDENTS[student]).network)
    assert (config.input_size, config.pretrained) == ((128, 160), None)


def test_nobody_learns_from_the_drive_that_is_scored() -> None:
    assert {*trial_students.LEARNT, trial_students.SCORED} == {"0001TP", "0006R0", "0016E5"}
    assert trial_students.SCORED not in trial_students.LEARNT
