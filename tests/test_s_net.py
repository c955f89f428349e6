"""S-Net: frozen networks whose scores a small network joins."""

from pathlib import Path

import numpy as np
import pytest
import torch
from pictures import FOREIGN, write_dataset
from small_fits import config, same, weights
from torch import nn

from lsu.export.graph import DeployedNetwork
from lsu.export.proof import compare
from lsu.export.to_onnx import onnx_from_network
from lsu.runtime import InputError, LabelSpace
from lsu.training.checkpoint import Checkpoint
from lsu.training.config import Config
from lsu.training.fit import FINISHED, fit
from lsu.training.learner import Learner
from lsu.training.network_config import MemberConfig, NetworkConfig
from lsu.training.rounds import run_rounds
from lsu.training.rounds_config import RoundsConfig
from lsu.training.rounds_plan import Plan
from lsu.training.s_net import SNet

DARK = NetworkConfig(mean=(0.1, 0.2, 0.3), std=(0.5, 0.4, 0.3))


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("data"), frames=6, size=(48, 64)).parent


@pytest.fixture(scope="module")
def members(data, tmp_path_factory) -> list[Path]:
    """Checkpoints of two label spaces, and so of 3 and 2 scores."""
    folder = tmp_path_factory.mktemp("members")
    first = fit(config(data, folder / "first", steps=2)).checkpoint
    coarse = write_dataset(folder / "coarse", frames=3, size=(48, 64)).parent
    less = LabelSpace("less", FOREIGN.classes[:2], (*FOREIGN.void, FOREIGN.classes[2]))
    (coarse / "foreign.toml").write_text(less.to_toml())
    table = config(coarse, folder / "second", steps=2).model_dump()
    table["network"] |= {"mean": DARK.mean, "std": DARK.std, "architecture": "fpn"}
    return [first, fit(Config.from_dict(table, "t")).checkpoint]


def joined(data: Path, members: list[Path], output: Path, **settings: object) -> Config:
    table = config(data, output, **settings).model_dump()
    table["network"] = {"architecture": "s-net", "members": [str(m) for m in members]}
    return Config.from_dict(table, "test")


class Shown(nn.Module):
    """Gives what it sees, at a stride."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, images):
        return images[:, :, :: self.stride, :: self.stride]


def test_each_member_sees_images_normalised_for_itself() -> None:
    settings = NetworkConfig(
        architecture="s-net",
        members=(
            MemberConfig(checkpoint="a", network=DARK),
            MemberConfig(checkpoint="b", network=NetworkConfig()),
        ),
    )
    network = SNet(settings, [Shown(1), Shown(2)], 6, 3).eval()
    network.fusion = nn.Identity()
    pixels = torch.rand(1, 3, 4, 4)
    plain = NetworkConfig()
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (plain.mean, plain.std))
    scores = network((pixels - mean) / std)
    dark_mean, dark_std = (torch.tensor(v).view(1, 3, 1, 1) for v in (DARK.mean, DARK.std))
    assert torch.allclose(scores[:, :3], (pixels - dark_mean) / dark_std, atol=1e-5)
    coarse = ((pixels - mean) / std)[:, :, ::2, ::2]
    assert torch.allclose(scores[:, 3:], nn.functional.interpolate(coarse, (4, 4), mode="bilinear"))


def test_the_fusion_has_the_layers_of_the_paper() -> None:
    settings = NetworkConfig(
        architecture="s-net", members=(MemberConfig(checkpoint="a", network=NetworkConfig()),)
    )
    network = SNet(settings, [Shown(1)], 17, 11)
    layers = [layer for layer in network.fusion.modules() if isinstance(layer, nn.Conv2d)]
    found = [(layer.in_channels, layer.out_channels, layer.kernel_size[0]) for layer in layers]
    assert found == [
        (17, 128, 1),
        *[(128, 128, 1)] * 2,
        (128, 64, 3),
        *[(64, 64, 1)] * 6,
        (64, 11, 1),
    ]


def test_only_the_fusion_learns(data, members, tmp_path) -> None:
    made = fit(joined(data, members, tmp_path / "run")).checkpoint
    found = weights(made)
    for number, member in enumerate(members):
        prefix = f"members.{number}."
        kept = {k.removeprefix(prefix): v for k, v in found.items() if k.startswith(prefix)}
        assert same(kept, weights(member))
    started = fit(joined(data, members, tmp_path / "short", steps=1)).checkpoint
    fusion = [name for name in found if name.startswith("fusion.") and name.endswith("weight")]
    assert not any(torch.equal(found[name], weights(started)[name]) for name in fusion)


def test_a_checkpoint_needs_its_members_no_more(data, members, tmp_path) -> None:
    copies = [tmp_path / "a", tmp_path / "b"]
    for copy, member in zip(copies, members, strict=True):
        copy.write_bytes(member.read_bytes())
    made = fit(joined(data, copies, tmp_path / "run", steps=3)).checkpoint
    for copy in copies:
        copy.unlink()
    checkpoint = Checkpoint.load(made)
    assert checkpoint.network()(torch.rand(1, 3, 64, 64)).shape == (1, 3, 16, 16)
    assert checkpoint.config.network.members[1].network.architecture == "fpn"


def test_a_start_gives_the_fusion_and_the_configuration_the_members(data, members, tmp_path) -> None:
    first = fit(joined(data, members[:1] * 2, tmp_path / "first", steps=1)).checkpoint
    other = fit(config(data, tmp_path / "other", steps=1, seed=7)).checkpoint
    table = joined(data, [members[0], other], tmp_path / "second", steps=1).model_dump()
    second = fit(Config.from_dict({**table, "start": str(first)}, "test")).checkpoint
    ours, member = weights(second), weights(other)
    assert all(torch.equal(ours[f"members.1.{name}"], value) for name, value in member.items())


def test_rounds_take_it(data, members, tmp_path) -> None:
    (tmp_path / "identity.toml").write_text(
        f'name = "identity"\nsource = "{data}/foreign.toml"\nforeign = "{data}/foreign.toml"\n[allow]\n'
        'ground = ["ground"]\nobject = ["object"]\nabove = ["above"]\n'
    )
    table = joined(data, members, tmp_path / "x", steps=1).model_dump(exclude_none=True)
    rounds = {
        "output": str(tmp_path / "rounds"),
        "teacher": str(members[0]),
        "network": table["network"],
        "fit": table["fit"],
        "source": [{"dataset": str(data)}],
        "foreign": [{"dataset": str(data), "relation": str(tmp_path / "identity.toml")}],
    }
    run_rounds(Plan.of(RoundsConfig.from_dict(rounds, "test")))
    made = Checkpoint.load(tmp_path / "rounds/round-1/student" / FINISHED)
    assert made.config.network.architecture == "s-net"


def test_a_fit_of_it_that_was_cut_goes_on_the_same(data, members, tmp_path, monkeypatch) -> None:
    fit(joined(data, members, tmp_path / "whole"))
    learn = Learner.learn

    def mortal(self, batch):
        if self.step == 8:
            raise KeyError
        return learn(self, batch)

    copies = [tmp_path / "a", tmp_path / "b"]
    for copy, member in zip(copies, members, strict=True):
        copy.write_bytes(member.read_bytes())
    with monkeypatch.context() as patch, pytest.raises(KeyError):
        patch.setattr(Learner, "learn", mortal)
        fit(joined(data, copies, tmp_path / "cut"))
    for copy in copies:
        copy.unlink()
    fit(joined(data, copies, tmp_path / "cut"), resume=True)
    assert same(weights(tmp_path / "whole" / FINISHED), weights(tmp_path / "cut" / FINISHED))


def test_a_fit_goes_on_without_its_members_files(data, members, tmp_path) -> None:
    copies = [tmp_path / "a", tmp_path / "b"]
    for copy, member in zip(copies, members, strict=True):
        copy.write_bytes(member.read_bytes())
    asked = joined(data, copies, tmp_path / "run", steps=2)
    first = fit(asked).checkpoint.read_bytes()
    for copy in copies:
        copy.unlink()
    assert fit(asked, resume=True).checkpoint.read_bytes() == first
    with pytest.raises(InputError, match=r"was made with network.members.0.checkpoint = .*choose another"):
        fit(joined(data, members, tmp_path / "run", steps=2), resume=True)


def test_it_is_exported_like_any_network(data, members, tmp_path) -> None:
    checkpoint = Checkpoint.load(fit(joined(data, members, tmp_path / "run", steps=2)).checkpoint)
    network = DeployedNetwork(checkpoint.network(), checkpoint.config.network).eval()
    model = onnx_from_network(network, checkpoint.spec)
    image = np.random.default_rng(0).integers(0, 256, (1, 64, 96, 3), np.uint8)
    agreement = compare(model, network, [image])
    assert agreement.equal > 0.9999
    assert agreement.share < 1e-4


@pytest.mark.parametrize(
    ("network", "problem"),
    [
        ({"architecture": "s-net"}, "name checkpoints in members"),
        ({"architecture": "fpn", "members": ["a"]}, "members are for s-net"),
        ({"architecture": "s-net", "members": ["a"], "encoder": "x"}, "s-net is one network without choices"),
    ],
)
def test_what_makes_no_sense_is_refused(network, problem) -> None:
    with pytest.raises(InputError, match=problem):
        Config.from_dict({"output": "o", "data": [{"dataset": "d"}], "network": network}, "test")


def test_members_that_cannot_be_are_refused_before_anything_is_written(data, members, tmp_path) -> None:
    with pytest.raises(InputError, match="nowhere"):
        fit(joined(data, [tmp_path / "nowhere"], tmp_path / "run"))
    itself = fit(joined(data, members[:1], tmp_path / "one", steps=1)).checkpoint
    with pytest.raises(InputError, match="is an s-net itself"):
        fit(joined(data, [itself], tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_paths_of_members_start_at_the_file(tmp_path) -> None:
    (tmp_path / "s.toml").write_text(
        'output = "o"\ndata = [{dataset = "d"}]\n'
        'network = {architecture = "s-net", members = ["a.st", "/b.st"]}\n'
    )
    found = Config.load(tmp_path / "s.toml").network.members
    assert [m.checkpoint for m in found] == [str(tmp_path / "a.st"), "/b.st"]
