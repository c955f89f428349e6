import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from checkpoints import SMALLEST_ENCODER, write_checkpoint
from pictures import FOREIGN, write_dataset
from test_layers import BLOCK

from lsu.export.to_onnx import Options, export_checkpoint
from lsu.runtime import InputError
from lsu.runtime.engines import engine_for
from lsu.runtime.relabel.views import merged_scores, views_from_text
from lsu.runtime.segmenter import Segmenter
from lsu.training.checkpoint import Checkpoint
from lsu.training.config import Config
from lsu.training.fit import fit
from lsu.training.mask2former import (
    SIZES,
    Mask2Former,
    build_mask2former,
    masks_from_labels,
    probabilities_from_queries,
)
from lsu.training.network_config import NetworkConfig
from lsu.training.networks import build_network
from lsu.training.torch_engine import TorchEngine

NETWORK = {"architecture": "mask2former", "encoder": "swin-mini", "decoder_channels": 64}
CLASSES = 5


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """So small a network is slower on several."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def network(seed: int = 0, classes: int = CLASSES, **changes) -> Mask2Former:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made = build_network(NetworkConfig.model_validate({**NETWORK, **changes}), classes)
    assert isinstance(made, Mask2Former)
    return made


@pytest.fixture(scope="module")
def still() -> Mask2Former:
    """A network in evaluation mode, which no test changes."""
    return network().eval()


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    """Two images and their labels: three classes in blocks, the upper rows void."""
    generator = torch.Generator().manual_seed(3)
    labels = torch.randint(0, 3, (2, 2, 3), generator=generator)
    labels = labels.repeat_interleave(32, 1).repeat_interleave(32, 2)
    images = labels[:, None] - 1.0 + 0.1 * torch.randn(2, 3, 64, 96, generator=generator)
    labels[:, :8] = 255
    return images, labels


def loss_of(made: Mask2Former, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    torch.manual_seed(5)  # transformers draws the points that it compares
    return made.own_loss(images, labels)


def test_a_score_is_the_share_of_the_queries_votes_for_the_class() -> None:
    classes = torch.tensor([[[0.5, 0.25, 0.25], [0.1, 0.8, 0.1]]]).log()
    masks = torch.tensor([[[[0.5, 0.9]], [[0.2, 0.01]]]]).logit()
    scores = probabilities_from_queries(classes, masks)
    left, right = (0.25 + 0.02, 0.125 + 0.16), (0.45 + 0.001, 0.225 + 0.008)
    by_hand = [[left[k] / sum(left), right[k] / sum(right)] for k in (0, 1)]
    torch.testing.assert_close(scores, torch.tensor(by_hand).view(1, 2, 1, 2))


def test_where_no_query_votes_all_classes_are_alike() -> None:
    scores = probabilities_from_queries(torch.zeros(1, 3, 5), torch.full((1, 3, 2, 2), -1e6))
    assert torch.equal(scores, torch.full((1, 4, 2, 2), 0.25))


def test_each_class_that_is_there_has_one_mask_and_void_none() -> None:
    masks, classes = masks_from_labels(torch.tensor([[4, 1, 255], [4, 255, 1]]))
    assert classes.tolist() == [1, 4]
    assert masks.tolist() == [[[0, 1, 0], [0, 0, 1]], [[1, 0, 0], [1, 0, 0]]]


@pytest.mark.parametrize(("height", "width"), [(32, 32), (64, 96), (224, 32)])
def test_scores_are_probabilities_at_a_quarter_of_any_multiple_of_32(still, height, width) -> None:
    with torch.no_grad():
        scores = still(torch.zeros(1, 3, height, width))
    assert scores.shape == (1, CLASSES, height // 4, width // 4)
    assert scores.min() >= 0
    torch.testing.assert_close(scores.sum(1), torch.ones(1, height // 4, width // 4))


def test_the_loss_falls() -> None:
    made, (images, labels) = network(), batch()
    optimiser = torch.optim.AdamW(made.parameters(), 1e-3)
    losses = []
    for _ in range(12):
        loss = loss_of(made, images, labels)
        losses.append(float(loss.detach()))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert 0 < losses[-1] < 0.9 * losses[0]


def test_all_that_learns_gets_a_gradient() -> None:
    made = network()
    loss_of(made, *batch()).backward()
    assert [n for n, p in made.named_parameters() if p.requires_grad and p.grad is None] == []


def test_a_void_image_teaches_nothing(still) -> None:
    images, labels = batch()
    labels[0] = 255
    alone = loss_of(still, images[1:], labels[1:])
    assert alone > 1
    torch.testing.assert_close(loss_of(still, images, labels), alone, rtol=1e-5, atol=0)


def test_a_batch_of_void_has_no_loss_and_gradients_of_zero() -> None:
    made, (images, labels) = network(), batch()
    loss = loss_of(made, images, torch.full_like(labels, 255))
    loss.backward()
    assert loss == 0
    assert all(p.grad is not None and not p.grad.any() for p in made.parameters() if p.requires_grad)


def test_void_pixels_are_outside_of_every_mask(still) -> None:
    images, labels = batch()
    foreign = labels.masked_fill(labels == 255, 4)  # the same pixels as a class of their own
    seen = []
    criterion = still.network.criterion.forward

    def spying(*args, **kwargs):
        if "mask_labels" in kwargs:  # else it calls itself for an inner layer
            seen.append(torch.stack([masks.sum(0) for masks in kwargs["mask_labels"]]))
        return criterion(*args, **kwargs)

    still.network.criterion.forward = spying
    try:
        loss_of(still, images, labels), loss_of(still, images, foreign)
    finally:
        del still.network.criterion.forward
    assert torch.equal(seen[0], (labels != 255).float())
    assert torch.equal(seen[1], torch.ones_like(seen[1]))


def test_the_weight_of_matching_nothing_reaches_the_loss(still) -> None:
    assert still.network.criterion.empty_weight.tolist() == [1.0] * CLASSES + [pytest.approx(0.1)]
    other = network(no_object_weight=0.005)
    assert other.network.criterion.empty_weight[-1] == pytest.approx(0.005)
    with pytest.raises(InputError, match="no_object_weight is for mask2former; fpn has none: delete it"):
        Config.from_dict(
            {"network": {"no_object_weight": 0.1}, "output": "x", "data": [{"dataset": "x"}]}, "t"
        )


@pytest.mark.parametrize(("size", "millions"), [("swin-tiny", 47), ("swin-base", 107), ("swin-large", 215)])
def test_the_sizes_are_the_published_ones(size, millions) -> None:
    config = NetworkConfig.model_validate({**NETWORK, "encoder": size, "decoder_channels": 256})
    with torch.device("meta"):
        made = build_mask2former(config, 19)
    assert sum(p.numel() for p in made.parameters()) / 1e6 == pytest.approx(millions, abs=0.6)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory) -> Path:
    """The checkpoint of a fit with the settings of the paper, in small."""
    folder = tmp_path_factory.mktemp("fitted")
    data = write_dataset(folder / "data", frames=4, size=(48, 64)).parent
    return fit(Config.from_dict(table_of(data, folder / "run"), "test")).checkpoint


def table_of(data: Path, output: Path, **changes) -> dict:
    settings = {"steps": 2, "batch_size": 2, "crop": [32, 64], "accelerator": "cpu", "threads": 1}
    paper = {"encoder_rate": 0.1, "clip_norm": 1.0, "schedule": "poly", "precision": "bf16-mixed"}
    network = {**NETWORK, "no_object_weight": 0.005}
    fit_table = {**settings, **paper, **changes}
    return {"output": str(output), "network": network, "data": [{"dataset": str(data)}], "fit": fit_table}


def test_a_fit_moves_encoder_and_decoders_and_its_checkpoint_answers_with_probabilities(fitted) -> None:
    checkpoint = Checkpoint.load(fitted)
    assert checkpoint.spec.scores == "probabilities"
    start = network(seed=0, classes=len(FOREIGN), no_object_weight=0.005).state_dict()
    moved = {name for name, value in checkpoint.weights.items() if not torch.equal(value, start[name])}
    for part in (
        "encoder.swin.embeddings",
        "pixel_level_module.decoder",
        "transformer_module",
        "class_predictor",
    ):
        assert any(part in name for name in moved), part
    engine = TorchEngine.from_checkpoint(checkpoint)
    image = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    for views in ("", "flip,1.5"):
        scores = merged_scores(Segmenter(engine), image, views_from_text(views))
        assert scores.values.shape == (3, 16, 16)
        np.testing.assert_allclose(scores.values.sum(0), 1, rtol=1e-4)


def test_settings_of_the_cross_entropy_are_refused(tmp_path) -> None:
    data = write_dataset(tmp_path / "data", frames=2, size=(48, 64)).parent
    table = table_of(data, tmp_path / "run", class_balance=0.5)
    with pytest.raises(InputError, match="brings its own loss, so fit.class_balance has no effect"):
        fit(Config.from_dict(table, "test"))


def test_an_export_of_fixed_size_gives_the_same_scores(fitted, tmp_path) -> None:
    bundle = export_checkpoint(fitted, tmp_path / "bundle", Options(size=(64, 96)))
    assert bundle.spec.scores == "probabilities"
    images = np.random.default_rng(1).integers(0, 256, (1, 64, 96, 3), np.uint8)
    theirs = TorchEngine.from_checkpoint(Checkpoint.load(fitted)).infer(images)
    engine = engine_for(bundle, threads=1)
    np.testing.assert_allclose(engine.infer(images), theirs, atol=1e-5)
    engine.close()


@pytest.mark.parametrize("size", [None, "dynamic"])
def test_an_export_of_free_size_is_refused(fitted, tmp_path, size) -> None:
    with pytest.raises(InputError, match="^mask2former is exported at a fixed size only: add --size HxW$"):
        export_checkpoint(fitted, tmp_path / "bundle", Options(size=size))
    assert not (tmp_path / "bundle").exists()


@pytest.fixture(scope="module")
def published(tmp_path_factory) -> Path:
    """A folder such as Hugging Face has, of a network with 7 classes."""
    folder = tmp_path_factory.mktemp("published")
    network(seed=8, classes=7).network.save_pretrained(folder)
    return folder


def test_published_weights_are_taken_but_those_of_other_classes(published, caplog) -> None:
    ours, theirs = (network(**changes).state_dict() for changes in ({"pretrained": str(published)}, {}))
    source = network(seed=8, classes=7).state_dict()
    anew = {name for name in ours if not torch.equal(ours[name], source[name])}
    assert anew == {
        "network.class_predictor.weight",
        "network.class_predictor.bias",
        "network.criterion.empty_weight",
    }
    assert any(not torch.equal(theirs[name], source[name]) for name in theirs.keys() - anew)
    assert caplog.records == []  # what was not loaded is not the user's concern where it is meant
    same_number = network(classes=7, pretrained=str(published)).state_dict()
    assert all(torch.equal(same_number[name], source[name]) for name in source)


@pytest.mark.parametrize("classes", [5, 7])
def test_published_weights_leave_the_weight_of_matching_nothing_to_the_configuration(
    published, classes
) -> None:
    made = network(classes=classes, pretrained=str(published), no_object_weight=0.005)
    assert made.network.criterion.empty_weight.tolist() == [1.0] * classes + [pytest.approx(0.005)]


@pytest.mark.parametrize("change", [{"encoder": "swin-tiny"}, {"decoder_channels": 128}])
def test_published_weights_of_another_size_are_refused(published, change) -> None:
    with pytest.raises(
        InputError, match=r"is no swin-\w+ with decoder_channels \d+, see .*: set both to what"
    ) as e:
        network(pretrained=str(published), **change)
    assert "\n" not in str(e.value)


def test_published_weights_that_are_not_there_are_one_line(tmp_path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="network.pretrained '.*empty' cannot be loaded: .*safetensors") as e:
        network(pretrained=str(tmp_path / "empty"))
    assert "\n" not in str(e.value)


def test_a_folder_of_weights_is_looked_for_beside_the_configuration(published, tmp_path) -> None:
    path = tmp_path / "fit.toml"
    path.write_text('output = "x"\ndata = [{dataset = "x"}]\n[network]\narchitecture = "mask2former"\n')
    relative = os.path.relpath(published, tmp_path)
    config = Config.load(path, [f"network.pretrained={relative}"])
    assert Path(config.network.pretrained or "").samefile(published)
    assert Path(config.network.pretrained or "").is_absolute()
    assert Config.load(path, ["network.pretrained=facebook/x"]).network.pretrained == "facebook/x"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"encoder": "swin-bas"},
            r"network.encoder 'swin-bas' is no size of mask2former; did you mean 'swin-base'",
        ),
        (
            {"encoder": "facebook/x"},
            r"known: swin-base, .*; published weights are named by network.pretrained",
        ),
        (
            {"decoder_channels": 32},
            r"decoder_channels 32 must be a multiple of 64 for mask2former, such as 64",
        ),
    ],
)
def test_what_cannot_be_made_is_named_in_one_line(change, message) -> None:
    with pytest.raises(InputError, match=message) as caught:
        network(**change)
    assert "\n" not in str(caught.value)


def test_every_size_has_whole_attention_heads() -> None:
    assert all(size.channels % 32 == 0 and len(size.depths) == 4 for size in SIZES.values())


@pytest.mark.parametrize("missing", ["transformers", "scipy"])
def test_without_the_extra_only_mask2former_is_missing(tmp_path, missing) -> None:
    write_checkpoint(tmp_path / "other.safetensors")
    code = f"""
from pathlib import Path
from lsu.runtime import InputError
from lsu.training.checkpoint import Checkpoint
from lsu.training.network_config import NetworkConfig
from lsu.training.networks import build_network
assert Checkpoint.load(Path({str(tmp_path / "other.safetensors")!r})).spec.scores == "logits"
build_network(NetworkConfig(architecture="segformer", encoder={SMALLEST_ENCODER!r}), 3)
try:
    build_network(NetworkConfig.model_validate({NETWORK!r}), 3)
except InputError as error:
    print(error)
"""
    program = BLOCK.format(blocked={missing}) + code
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == (
        f"network.architecture mask2former needs {missing}, which is missing: "
        "pip install 'lsu[mask2former]'\n"
    )
