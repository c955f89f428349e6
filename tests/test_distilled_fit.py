"""Fits that learn from teachers: what the loss is made of, and what a whole fit does with it."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from fixed_engine import Fixed, scores
from pictures import FOREIGN, write_dataset
from small_fits import config, same, weights
from torch import Tensor

from lsu.runtime import InputError, ModelSpec
from lsu.training.checkpoint import Checkpoint
from lsu.training.config import Config
from lsu.training.distillation import channel_wise, soft_cross_entropy, transfer
from lsu.training.fit import FINISHED, UNFINISHED, fit
from lsu.training.frames import Batch
from lsu.training.guide import Guide
from lsu.training.learner import Learner
from lsu.training.losses import cross_entropy
from lsu.training.objective import Objective, inverse_frequency, median_frequency
from lsu.training.teachers import open_guide
from lsu.training.torch_engine import TorchEngine

FABRIC = SimpleNamespace(to_device=lambda value: value, world_size=1)


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("data"), frames=6, size=(48, 64)).parent


@pytest.fixture(scope="module")
def teacher(data, tmp_path_factory) -> Path:
    return fit(config(data, tmp_path_factory.mktemp("teacher"), steps=60, learning_rate=0.01)).checkpoint


@pytest.fixture(scope="module")
def unlabelled(tmp_path_factory) -> Path:
    """Images without labels in a label space of their own."""
    folder = write_dataset(tmp_path_factory.mktemp("images"), frames=4, size=(48, 64), seed=5).parent
    text = (folder / "dataset.toml").read_text().splitlines()
    (folder / "dataset.toml").write_text("\n".join(x for x in text if not x.startswith(("labels", "encod"))))
    (folder / "foreign.toml").write_text(FOREIGN.to_toml().replace('"above"', '"other"'))
    return folder


def taught(plain: Config, teachers: list[Path], losses: list[dict[str, object]], **more: object) -> Config:
    """The fit with these teachers; `labels`, `data` and `fit` among the rest."""
    table = plain.model_dump(exclude_none=True)
    labels = more.pop("labels", 1.0)
    table["distillation"] = {"teachers": [str(t) for t in teachers], "losses": losses, "labels": labels}
    table["fit"] |= more.pop("fit", {})
    return Config.from_dict({**table, **more}, "test")


def objective(losses: list[dict[str, object]], guide: Guide, labels: float, **more: object) -> Objective:
    asked = taught(config(Path("d"), Path("o")), [Path("t")], losses, labels=labels)
    return Objective(asked, FABRIC, guide=guide, **more)


def batch() -> Batch:
    generator = torch.Generator().manual_seed(0)
    inside = torch.ones(2, 16, 24, dtype=torch.bool)
    inside[1, :, 9:] = False  # the third column's cells have their middles outside
    labels = torch.randint(0, 3, (2, 16, 24), generator=generator).masked_fill(~inside, 255)
    return Batch(torch.zeros(2, 16, 24, 3, dtype=torch.uint8), labels, inside)


def student() -> Tensor:
    return torch.from_numpy(np.stack([scores(seed=2), scores(seed=3)])).float()


def test_the_loss_is_the_weighted_sum_of_its_parts() -> None:
    guide = Guide([Fixed(scores())], ["t"])
    made = objective(
        [{"name": "soft-ce", "weight": 2, "temperature": 3}, {"name": "cwd", "weight": 5}], guide, 0.25
    )
    answers = torch.from_numpy(scores()).float().expand(2, -1, -1, -1)
    inside = torch.ones(2, 4, 6, dtype=torch.bool)
    inside[1, :, 2:] = False
    expected = (
        2 * soft_cross_entropy(student(), answers, inside, temperature=3.0)
        + 5 * channel_wise(student(), answers, inside)
        + 0.25 * cross_entropy(student(), batch().labels)
    )
    assert made(student(), batch()).item() == pytest.approx(expected.item(), rel=1e-5)


def test_what_the_teachers_call_void_adds_no_loss() -> None:
    values = scores(4)
    values[3] = -50
    values[3, :, 2:] = 50
    told = objective([{"name": "soft-ce"}, {"name": "cwd"}], Guide([Fixed(values, void_channel=3)], ["t"]), 0)
    left = batch()._replace(inside=batch().inside & (torch.arange(24) < 8))
    plain = objective([{"name": "soft-ce"}, {"name": "cwd"}], Guide([Fixed(values[:3])], ["t"]), 0)
    assert told(student(), batch()) == plain(student(), left)
    assert told(student(), batch()) != plain(student(), batch())


def test_without_labels_only_teachers_count() -> None:
    guide = Guide([Fixed(scores())], ["t"])
    made = objective([{"name": "tk-smp"}], guide, 0)
    void = batch()._replace(labels=torch.full((2, 16, 24), 255))
    assert torch.equal(made(student(), batch()), made(student(), void))


@pytest.mark.parametrize(
    ("kind", "by_hand"),
    [("median", [8 / 2, 8 / 8, 8 / 10]), ("inverse", [50.0, 1 + 49 * (1 / 8 - 0.1) / 0.4, 1.0])],
)
def test_classes_are_weighed_by_what_the_teachers_answer(kind, by_hand) -> None:
    counts = np.array([2, 8, 10])
    guide = Guide([Fixed(scores())], ["t"])
    made = objective([{"name": "tk-l", "class_weights": kind}], guide, 0, answers=counts)
    answers = torch.from_numpy(scores()).float().expand(2, -1, -1, -1)
    inside = torch.ones(2, 4, 6, dtype=torch.bool)
    inside[1, :, 2:] = False
    expected = transfer(student(), answers, inside, hard=True, weights=torch.tensor(by_hand))
    assert made(student(), batch()).item() == pytest.approx(expected.item(), rel=1e-4)


def test_the_losses_have_their_own_temperatures_and_weights() -> None:
    guide = Guide([Fixed(scores())], ["t"])
    plain = objective([{"name": "cwd"}], guide, 0)(student(), batch())
    assert plain == objective([{"name": "cwd", "temperature": 4}], guide, 0)(student(), batch())
    assert plain != objective([{"name": "cwd", "temperature": 1}], guide, 0)(student(), batch())
    counts = np.array([2, 8, 10])
    weighted = objective([{"name": "tk-smp-wce"}], guide, 0, answers=counts)(student(), batch())
    named = [{"name": "tk-smp-wce", "class_weights": "median"}]
    assert weighted == objective(named, guide, 0, answers=counts)(student(), batch())
    assert weighted != objective([{"name": "tk-smp"}], guide, 0)(student(), batch())


def test_a_class_that_teachers_hardly_ever_answer_does_not_outweigh_all() -> None:
    assert median_frequency(np.array([1, 100, 400])).tolist() == [50, 1, 0.25]


def test_what_teachers_answer_is_counted_on_the_first_crops_of_the_fit(
    data, unlabelled, tmp_path, monkeypatch
) -> None:
    asked, counted, learnt = Fixed(scores()), [], []
    infer, learn = asked.infer, Learner.learn
    monkeypatch.setattr(asked, "infer", lambda images: (counted.extend(images), infer(images))[1])
    monkeypatch.setattr("lsu.training.teachers.teacher_engine", lambda *_, **__: asked)
    monkeypatch.setattr("lsu.training.fit_data._COUNTED", 6)

    def noted(self, batch):
        learnt.extend(batch.images.numpy())
        return learn(self, batch)

    monkeypatch.setattr(Learner, "learn", noted)
    plain = config(data, tmp_path / "run", steps=3, batch_size=4)
    entries = [{"dataset": str(data), "per_batch": 3}, {"dataset": str(unlabelled), "per_batch": 1}]
    fit(taught(plain, [Path("t")], [{"name": "tk-smp-wce"}], data=entries, labels=0))
    assert len(learnt) == 12
    assert np.array_equal(counted[:8], learnt[:8])
    assert np.array_equal(counted[8:], learnt)


def test_inverse_weights_of_classes_that_are_alike_or_missing_are_1() -> None:
    assert inverse_frequency(np.array([4, 0, 4])).tolist() == [1, 1, 1]
    assert inverse_frequency(np.array([0, 0])).tolist() == [1, 1]
    assert inverse_frequency(np.array([1, 0, 2])).tolist() == [50, 1, 1]


def test_a_student_takes_its_teachers_answers_from_images_without_labels(
    data, teacher, unlabelled, tmp_path
) -> None:
    plain = config(data, tmp_path / "run", steps=40)
    entry = {"dataset": str(unlabelled)}
    done = fit(taught(plain, [teacher], [{"name": "soft-ce"}], labels=0, data=[entry]))
    assert Checkpoint.load(done.checkpoint).label_space == FOREIGN
    lines = (tmp_path / "run/log.jsonl").read_text().splitlines()
    losses = [json.loads(line)["loss"] for line in lines]
    assert len(losses) == 4
    assert losses[-1] < 0.8 * losses[0]


def test_images_without_labels_and_labelled_ones_mix(
    data, teacher, unlabelled, tmp_path, monkeypatch
) -> None:
    plain = config(data, tmp_path / "run", steps=2, batch_size=4)
    entries = [{"dataset": str(data), "per_batch": 2}, {"dataset": str(unlabelled), "per_batch": 2}]
    learn, seen = Learner.learn, []
    monkeypatch.setattr(Learner, "learn", lambda self, batch: (seen.append(batch), learn(self, batch))[1])
    fit(taught(plain, [teacher], [{"name": "dist"}], data=entries))
    monkeypatch.undo()
    for batch in seen:
        assert (batch.labels[:2] != 255).float().mean() > 0.3
        assert (batch.labels[2:] == 255).all()
        assert batch.inside[2:].float().mean() > 0.3
    with pytest.raises(InputError, match="has no labels to learn from"):
        fit(Config.from_dict({**plain.model_dump(), "data": entries, "output": str(tmp_path / "x")}, "t"))


def test_without_any_label_settings_of_labels_are_refused(data, teacher, unlabelled, tmp_path) -> None:
    plain = config(data, tmp_path / "run", steps=1)
    entry = [{"dataset": str(unlabelled)}]
    for labels in (0, 1):
        for setting, words in (
            ({"class_balance": 0.5}, "class_balance has no"),
            ({"mix": "classmix"}, "try cutmix"),
        ):
            with pytest.raises(InputError, match=words):
                fit(taught(plain, [teacher], ["cwd"], data=entry, labels=labels, fit=setting))
    assert not (tmp_path / "run").exists()


def test_the_validation_must_speak_the_teachers_label_space(data, teacher, unlabelled, tmp_path) -> None:
    other = write_dataset(tmp_path / "other", frames=2, size=(48, 64)).parent
    (other / "foreign.toml").write_text(FOREIGN.to_toml().replace('"above"', '"other"'))
    plain = config(data, tmp_path / "run", steps=1)
    entry = [{"dataset": str(unlabelled)}]
    with pytest.raises(InputError, match="label spaces differ: distillation.teachers speaks"):
        fit(taught(plain, [teacher], ["cwd"], data=entry, labels=0, validation={"dataset": str(other)}))


def test_a_mixed_batch_is_what_is_learned(data, tmp_path, monkeypatch) -> None:
    seen = []
    monkeypatch.setattr("lsu.training.learner.mixed", lambda batch, kind: (seen.append(kind), batch)[1])
    fit(config(data, tmp_path / "run", steps=2, mix="cutmix"))
    assert seen == ["cutmix", "cutmix"]


def test_a_teacher_sees_crops_as_they_are_whatever_it_does_with_images(data, teacher) -> None:
    resizing = Checkpoint.load(teacher)
    network = resizing.config.network.model_copy(update={"input_size": (96, 256)})
    path = data / "resizing.safetensors"
    replace(resizing, config=resizing.config.model_copy(update={"network": network})).save(path)
    plain = config(data, data)
    asked = taught(plain, [path], ["cwd"])
    crop = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3), np.uint8)
    found = open_guide(asked.distillation, plain.fit).answers(crop, (8, 8)).scores
    engine = TorchEngine.from_checkpoint(Checkpoint.load(teacher))
    assert np.allclose(found, engine.infer(crop), atol=1e-4)


def test_a_teacher_of_another_size_is_refused_before_anything_is_written(data, tmp_path, monkeypatch) -> None:
    made = Fixed(scores())
    made.spec = ModelSpec(FOREIGN, fit="exact", size=(64, 64))
    monkeypatch.setattr("lsu.training.teachers.teacher_engine", lambda *_, **__: made)
    with pytest.raises(InputError, match=r"teacher t does not take crops of \[32, 32\]: image is 32x32"):
        fit(taught(config(data, tmp_path / "run"), [Path("t")], ["cwd"]))
    assert made.closed
    assert not (tmp_path / "run").exists()


def test_a_distilled_fit_that_was_killed_goes_on_the_same(
    data, teacher, unlabelled, tmp_path, monkeypatch
) -> None:
    plain = config(data, tmp_path / "whole", blur=1.5, mix="classmix", ema=0.9, workers=1, batch_size=3)
    entries = [{"dataset": str(data), "per_batch": 2}, {"dataset": str(unlabelled), "per_batch": 1}]
    losses = [{"name": "tk-smp-wce"}, {"name": "dist"}]
    whole = taught(plain, [teacher, teacher], losses, data=entries, start=str(teacher))
    fit(whole)
    cut = whole.model_copy(update={"output": str(tmp_path / "cut")})
    learn = Learner.learn  # of two entries, with an average, workers and a start

    def mortal(self, batch):
        if self.step == 8:
            raise KeyError
        return learn(self, batch)

    with monkeypatch.context() as patch, pytest.raises(KeyError):
        patch.setattr(Learner, "learn", mortal)
        fit(cut)
    fit(cut, resume=True)
    assert same(weights(tmp_path / "whole" / FINISHED), weights(tmp_path / "cut" / FINISHED))


def test_a_teacher_that_was_exchanged_is_noticed(data, teacher, tmp_path) -> None:
    own = tmp_path / "teacher.safetensors"
    own.write_bytes(teacher.read_bytes())
    asked = taught(config(data, tmp_path / "run", save_every=5), [own], [{"name": "cwd"}])
    fit(asked)
    assert Checkpoint.load(tmp_path / "run" / FINISHED).teachers == (Checkpoint.load(own).digest,)
    (tmp_path / "run" / FINISHED).unlink()
    unfinished = replace(Checkpoint.load(teacher), config=asked, teachers=(Checkpoint.load(own).digest,))
    unfinished.save(tmp_path / "run" / UNFINISHED)
    replace(Checkpoint.load(teacher), step=99).save(own)
    with pytest.raises(InputError, match=r"teacher .*is not the network any more that this fit began with"):
        fit(asked, resume=True)


def test_teachers_of_another_label_space_are_refused(data, teacher, tmp_path) -> None:
    folder = write_dataset(tmp_path / "other", frames=3, size=(48, 64)).parent
    (folder / "foreign.toml").write_text(FOREIGN.to_toml().replace('"above"', '"other"'))
    with pytest.raises(InputError, match="label spaces differ: distillation.teachers speaks"):
        fit(taught(config(folder, tmp_path / "run"), [teacher], [{"name": "cwd"}]))
    assert not (tmp_path / "run").exists()


def test_the_teachers_are_closed_at_the_end_and_after_a_fault(data, teacher, tmp_path, monkeypatch) -> None:
    made = Fixed(scores())
    monkeypatch.setattr("lsu.training.teachers.teacher_engine", lambda *_, **__: made)
    asked = taught(config(data, tmp_path / "run", steps=1), [teacher], [{"name": "cwd"}])
    fit(asked)
    assert made.closed
    made.closed = False
    nowhere = [{"dataset": str(data), "split": "nowhere"}]
    with pytest.raises(InputError, match="nowhere"):
        fit(taught(config(data, tmp_path / "x"), [teacher], [{"name": "cwd"}], data=nowhere))
    assert made.closed


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"losses": []}, "distillation.losses: "),
        ({"losses": [{"name": "kd"}]}, "distillation.losses.0.name: "),
        ({"losses": ["kd"]}, "distillation.losses.0.name: "),
        ({"losses": [{"name": "tk-l", "temperature": 2}]}, "temperature: tk-l has none"),
        ({"losses": [{"name": "cwd", "class_weights": "median"}]}, "class_weights: cwd has none"),
        ({"network": {"architecture": "mask2former"}}, "mask2former can be a teacher, not a student"),
        ({"data": [{"dataset": "d", "relation": "r"}], "labels": 0}, "data: relation has no effect"),
    ],
)
def test_what_makes_no_sense_is_refused(changes, problem) -> None:
    losses = changes.pop("losses", [{"name": "cwd"}])
    with pytest.raises(InputError, match=problem):
        taught(config(Path("d"), Path("o")), [Path("t")], losses, **changes)
