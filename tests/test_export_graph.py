"""What is exported: the ONNX file of a network, in both precisions, at free and at fixed sizes."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from small_network import FIXED, FREE, Resizing, deployed, noise
from torch import Tensor, nn

from lsu.export.agreement import Agreement, refuse_disagreement
from lsu.export.graph import DeployedNetwork, HalvedNetwork
from lsu.export.onnx_session import outputs_of, session_from_model
from lsu.export.proof import compare
from lsu.export.to_onnx import onnx_from_network
from lsu.runtime.errors import BackendError, InputError
from lsu.training.network_config import NetworkConfig


def test_normalisation_is_inside() -> None:
    config = NetworkConfig(mean=(0.2, 0.4, 0.6), std=(0.1, 0.2, 0.3))
    image = torch.tensor([51, 153, 255], dtype=torch.uint8).expand(1, 2, 2, 3)  # 0.2, 0.6, 1
    out = DeployedNetwork(nn.Identity(), config)(image)
    expected = torch.tensor([0.0, 1.0, 4 / 3]).view(1, 3, 1, 1).expand(1, 3, 2, 2)
    torch.testing.assert_close(out, expected, atol=1e-6, rtol=1e-6)


def test_a_free_size_runs_at_any_multiple_and_number() -> None:
    network = deployed()
    model = onnx_from_network(network, FREE)
    batches = [
        noise(n, 32 * h, 32 * w) for n, h, w in ((1, 1, 1), (1, 9, 4), (3, 5, 11), (2, 8, 10), (1, 1, 7))
    ]
    agreement = compare(model, network, batches)
    assert agreement.images == 8
    assert agreement.share < 1e-5
    assert agreement.equal == 1.0


def test_a_fixed_size_takes_one_image_of_that_size() -> None:
    network = deployed()
    model = onnx_from_network(network, FIXED)
    (image,), (scores,) = onnx.load_from_string(model).graph.input, onnx.load_from_string(model).graph.output
    assert [d.dim_value for d in image.type.tensor_type.shape.dim] == [1, 64, 96, 3]
    assert [d.dim_value for d in scores.type.tensor_type.shape.dim] == [1, 11, 16, 24]
    assert (image.name, scores.name) == ("image", "scores")
    assert compare(model, network, [noise(1, 64, 96)]).share < 1e-5
    with pytest.raises(BackendError, match=r"cannot run the exported network on \[1, 96, 64, 3\]"):
        compare(model, network, [noise(1, 96, 64)])


def test_the_file_is_the_same_each_time_and_says_nothing_of_this_machine() -> None:
    first, second = (onnx_from_network(deployed(), FIXED) for _ in range(2))
    assert first == second
    for word in (b"site-packages", b".py", str(Path.cwd()).encode(), b"stack_trace"):
        assert word not in first


def test_a_network_that_cannot_be_traced_is_refused_in_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    class Deciding(Resizing):
        def forward(self, images: Tensor) -> Tensor:
            return super().forward(images if images.sum() > 0 else -images)

    with pytest.raises(BackendError, match="cannot be exported to ONNX: ") as caught:
        onnx_from_network(DeployedNetwork(Deciding(), NetworkConfig()).eval(), FIXED)
    assert "\n" not in str(caught.value)
    assert "\x1b" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_half_precision_is_written_in_the_types_and_its_ends_stay_single() -> None:
    model = onnx.load_from_string(onnx_from_network(HalvedNetwork(deployed()), FIXED))
    half, single = onnx.TensorProto.FLOAT16, onnx.TensorProto.FLOAT
    kinds = {t.name: t.data_type for t in model.graph.initializer if len(t.dims) == 4}
    assert {kind for name, kind in kinds.items() if name.startswith("network.")} == {half}
    types = {v.name: v.type.tensor_type.elem_type for v in model.graph.value_info}
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    assert len(convolutions) == 3
    assert {types[node.input[0]] for node in convolutions} == {half}
    (scores,) = model.graph.output
    assert scores.type.tensor_type.elem_type == single
    subtractions = [node for node in model.graph.node if node.op_type == "Sub"]
    assert {types[node.output[0]] for node in subtractions} == {single}  # the mean, before anything is halved


def test_half_precision_comes_close_and_leaves_the_network_as_it_was() -> None:
    network = deployed()
    model = onnx_from_network(HalvedNetwork(network), FREE)
    assert network.network.last.weight.dtype == torch.float32  # type: ignore[union-attr]
    agreement = compare(model, network, [noise(1, 64, 96), noise(2, 96, 64)])
    assert 0 < agreement.share < 0.01
    assert agreement.equal > 0.98  # noise has many near ties


def test_weights_beyond_half_precision_are_refused(tmp_path: Path) -> None:
    network = deployed()
    with torch.no_grad():
        network.network.last.bias[0] = 1e5  # type: ignore[union-attr,index]
    model = onnx_from_network(HalvedNetwork(network), FIXED)
    with pytest.raises(BackendError, match="scores are not finite and torch's are: use fp32"):
        compare(model, network, [noise(1, 64, 96)])


@pytest.mark.parametrize("size", [(64, 64), (2048, 4096)])
def test_a_free_size_gives_what_a_fixed_one_gives(size: tuple[int, int]) -> None:
    network, image = deployed(), noise(1, *size)
    free = session_from_model(onnx_from_network(network, FREE))
    fixed = session_from_model(onnx_from_network(network, replace(FREE, size=size, multiple=1)))
    ours, theirs = (outputs_of(session, ["scores"], {"image": image})[0] for session in (free, fixed))
    assert ours.shape == (1, 11, size[0] // 4, size[1] // 4)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize(
    ("share", "equal", "fine"), [(1e-3, 0.999, True), (1.1e-3, 1.0, False), (0.0, 0.998, False)]
)
def test_the_stated_level_decides(share: float, equal: float, fine: bool) -> None:
    agreement = Agreement(images=1, difference=1.0, share=share, equal=equal)
    if fine:
        refuse_disagreement(agreement)
    else:
        with pytest.raises(BackendError, match="disagree"):
            refuse_disagreement(agreement)


def test_scores_that_are_not_finite_are_refused() -> None:
    network = deployed()
    model = onnx_from_network(network, FIXED)
    with torch.no_grad():
        network.network.last.bias[0] = torch.nan  # type: ignore[union-attr,index]
    with pytest.raises(InputError, match="torch's scores are not finite: the network needs other weights"):
        compare(model, network, [noise(1, 64, 96)])
    with pytest.raises(BackendError, match="onnxruntime's scores are not finite"):
        compare(onnx_from_network(network, FIXED), deployed(), [noise(1, 64, 96)])
