"""T-Net and DDRNet-23-slim: their sizes, their layers, and their exports."""

from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from lsu.export.graph import DeployedNetwork
from lsu.export.proof import compare
from lsu.export.to_onnx import onnx_from_network
from lsu.runtime import InputError, ModelSpec
from lsu.runtime.label_space import LabelClass, LabelSpace
from lsu.training.config import Config
from lsu.training.fit import _learned as learned
from lsu.training.frames import Batch
from lsu.training.network_config import NetworkConfig
from lsu.training.networks import build_network
from lsu.training.t_net import first_largest, unpooled

SPACE = LabelSpace("s", tuple(LabelClass(f"c{k}") for k in range(11)))


def made(architecture: str, classes: int = 11) -> nn.Module:
    torch.manual_seed(0)
    return build_network(NetworkConfig(architecture=architecture), classes).eval()


def weights(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def test_t_net_has_the_weights_of_the_paper() -> None:
    assert weights(made("t-net")) == 1_416_587  # 5.67 MB in float32


def test_ddrnet_has_the_weights_of_the_paper() -> None:
    assert round(weights(made("ddrnet-23-slim", 19)) / 1e6, 1) == 5.7


@pytest.mark.parametrize(("architecture", "stride"), [("t-net", 1), ("ddrnet-23-slim", 8)])
def test_scores_stand_at_the_stride(architecture: str, stride: int) -> None:
    with torch.inference_mode():
        for height, width in ((64, 96), (32, 32), (96, 160)):
            scores = made(architecture)(torch.rand(2, 3, height, width))
            assert scores.shape == (2, 11, height // stride, width // stride)


def test_unpooling_equals_torch_s_also_where_values_are_equal() -> None:
    generator = torch.Generator().manual_seed(0)
    values = torch.randint(0, 3, (2, 5, 8, 12), generator=generator).float()  # most windows have equal ones
    pooled, indices = functional.max_pool2d(values, 2, return_indices=True)
    features = torch.randn(pooled.shape, generator=generator)
    ours = unpooled(features, first_largest(values))
    assert torch.equal(ours, functional.max_unpool2d(features, indices, 2))


def test_each_unpooling_takes_the_places_of_its_own_pooling() -> None:
    network = made("t-net")
    image = torch.rand(1, 3, 32, 48)
    x, indices = image, []
    for block in network.encoder:
        x, index = functional.max_pool2d(block(x), 2, return_indices=True)
        indices.append(index)
    for block in network.decoder:  # places of pool 4, 3, 2, 1
        x = block(functional.max_unpool2d(x, indices.pop(), 2))
    with torch.inference_mode():
        assert torch.allclose(network.classify(x), network(image), atol=1e-5)


def test_dropout_stands_before_the_last_unpooling() -> None:
    network = made("t-net").train()
    seen = []
    network.dropout.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0].shape))
    network(torch.rand(2, 3, 32, 32))
    assert [tuple(s) for s in seen] == [(2, 64, 16, 16)]
    assert network.dropout.p == 0.5


def test_the_branches_of_ddrnet_hear_of_each_other() -> None:
    network = made("ddrnet-23-slim")
    image = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        before = network(image)
        for name in ("up3", "up4", "down3", "down4"):
            layer = network.encoder[name]
            kept = {k: v.clone() for k, v in layer.state_dict().items()}
            for parameter in layer.parameters():
                parameter.zero_()
            assert not torch.allclose(before, network(image), atol=1e-6), name
            layer.load_state_dict(kept)


@pytest.mark.parametrize("architecture", ["t-net", "ddrnet-23-slim"])
@pytest.mark.parametrize("size", [(64, 96), None])
def test_onnxruntime_gives_what_torch_gives(architecture: str, size: tuple[int, int] | None) -> None:
    config = NetworkConfig(architecture=architecture)
    network = DeployedNetwork(made(architecture), config).eval()
    spec = ModelSpec(SPACE, fit="resize", size=size) if size else ModelSpec(SPACE, fit="pad", multiple=32)
    model = onnx_from_network(network, spec)
    generator = np.random.default_rng(0)
    sizes = [(64, 96)] if size else [(64, 96), (160, 64)]
    batches = [generator.integers(0, 256, (1, *s, 3), np.uint8) for s in sizes]
    agreement = compare(model, network, batches)
    assert agreement.equal > 0.9999
    assert agreement.share < 1e-4


@pytest.mark.skipif(find_spec("tensorrt_rtx") is None, reason="tensorrt-rtx has no wheel for this machine")
@pytest.mark.parametrize("architecture", ["t-net", "ddrnet-23-slim"])
def test_tensorrt_rtx_builds_an_engine(architecture: str, tmp_path: Path) -> None:
    from lsu.export.engines.to_engine import EngineOptions, build_engine
    from lsu.export.to_onnx import Options, export_checkpoint
    from lsu.training.checkpoint import Checkpoint

    network = {"architecture": architecture, "input_size": [96, 128]}
    config = Config.from_dict({"output": "o", "data": [{"dataset": "d"}], "network": network}, "the test")
    fresh = Checkpoint(config, SPACE, 0, made(architecture).state_dict(), {})
    fresh.save(tmp_path / "n.safetensors")
    bundle = export_checkpoint(tmp_path / "n.safetensors", tmp_path / "b", Options())
    plan = build_engine(bundle, EngineOptions(target="tensorrt-rtx", sms=(86, 120)))
    assert plan.engine is not None


@pytest.mark.parametrize(
    ("key", "value"), [("encoder", "resnet34"), ("decoder_channels", 32), ("pretrained", "imagenet")]
)
def test_what_these_networks_do_not_choose_is_refused(key: str, value: object) -> None:
    table = {"output": "o", "data": [{"dataset": "d"}], "network": {"architecture": "t-net", key: value}}
    with pytest.raises(InputError, match=f"network: {key}: t-net is one network without choices: delete it"):
        Config.from_dict(table, "the test")


def test_one_image_on_a_device_is_told_in_one_line_where_a_batch_norm_needs_more() -> None:
    network = made("ddrnet-23-slim").train()
    learner: Any = SimpleNamespace(step=0, learn=lambda batch: network(batch.images.permute(0, 3, 1, 2)))

    def batch(images: int) -> Batch:
        pixels = torch.zeros(images, 64, 64, 3)
        return Batch(pixels, pixels[..., 0].long(), pixels[..., 0] == 0)

    with pytest.raises(InputError, match=r"step 1: this network does not learn from one image on a device"):
        learned(learner, batch(1))
    learned(learner, batch(2))
