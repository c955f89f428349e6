"""Networks that bring their own loss."""

import pytest
import torch
from pictures import write_dataset
from small_fits import TinyWithLoss, config, weights

from lsu.runtime import InputError, LabelSpace
from lsu.training import learner as learner_module
from lsu.training import objective as objective_module
from lsu.training.checkpoint import Checkpoint
from lsu.training.fit import fit
from lsu.training.learner import Learner

SPACE = LabelSpace.load("camvid11")


@pytest.fixture
def tiny(monkeypatch) -> list[TinyWithLoss]:
    made: list[TinyWithLoss] = []

    def build(config, classes):
        made.append(TinyWithLoss(classes))
        return made[-1]

    monkeypatch.setattr(learner_module, "build_network", build)
    return made


@pytest.mark.parametrize(("precision", "dtype"), [("32-true", torch.float32), ("bf16-mixed", torch.bfloat16)])
def test_its_loss_is_asked_with_autocast_and_the_checkpoint_has_its_names(
    tiny, tmp_path, monkeypatch, precision, dtype
) -> None:
    def refused(*args, **options):
        raise AssertionError("the cross entropy was asked")

    monkeypatch.setattr(objective_module, "cross_entropy", refused)
    data = write_dataset(tmp_path / "data", frames=6, size=(48, 64)).parent
    result = fit(config(data, tmp_path / "run", steps=2, precision=precision))
    assert tiny[0].seen == (torch.Size([2, 3, 32, 32]), torch.int64, dtype)
    assert set(weights(result.checkpoint)) == set(tiny[0].state_dict())


@pytest.mark.parametrize("setting", ["class_balance", "label_smoothing"])
def test_settings_of_the_cross_entropy_are_refused(tiny, tmp_path, setting) -> None:
    with pytest.raises(InputError, match=f"brings its own loss, so fit.{setting} has no effect: set it to 0"):
        Learner(config(tmp_path, tmp_path / "run", **{setting: 0.5}), SPACE)


def test_labels_of_several_classes_are_refused(tiny, tmp_path) -> None:
    with pytest.raises(InputError, match="which takes no labels of several classes: relabel that data set"):
        Learner(config(tmp_path, tmp_path / "run"), SPACE, members=torch.ones(256, 11, dtype=torch.bool))


@pytest.mark.parametrize("size", [None, (64, 64)])
@pytest.mark.parametrize(
    ("architecture", "kind"), [("segformer", "logits"), ("mask2former", "probabilities")]
)
def test_a_checkpoint_says_what_its_scores_are(tmp_path, architecture, kind, size) -> None:
    plain = config(tmp_path, tmp_path / "run")
    network = plain.network.model_copy(update={"architecture": architecture, "input_size": size})
    of_it = plain.model_copy(update={"network": network})
    assert Checkpoint(of_it, SPACE, step=0, weights={}, optimiser={}).spec.scores == kind
