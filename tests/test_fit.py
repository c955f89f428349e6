import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest
from pictures import FOREIGN, write_dataset
from small_fits import STEPS, config, same, weights

from lsu.runtime import BackendError, InputError, Segmenter
from lsu.training import learner as learner_module
from lsu.training import objective as objective_module
from lsu.training.checkpoint import Checkpoint
from lsu.training.config import Config
from lsu.training.fit import FINISHED, UNFINISHED, fit
from lsu.training.fit_log import FitLog
from lsu.training.interrupt import HeldInterrupt
from lsu.training.torch_engine import TorchEngine


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    return write_dataset(folder, frames=6, size=(48, 64)).parent


@pytest.fixture(scope="module")
def finished(data, tmp_path_factory) -> Path:
    return fit(config(data, tmp_path_factory.mktemp("run") / "whole")).checkpoint


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(data, finished, tmp_path) -> None:
    again = fit(config(data, tmp_path / "again")).checkpoint
    other = fit(config(data, tmp_path / "other", seed=1)).checkpoint
    assert same(weights(finished), weights(again))
    assert not same(weights(finished), weights(other))


@pytest.mark.parametrize("stop", [3, 8])
@pytest.mark.parametrize("workers", [0, 1])
def test_a_fit_that_was_killed_and_resumed_ends_with_the_same_weights(
    data, finished, tmp_path, monkeypatch, stop, workers
) -> None:
    """Killed without a chance to save: what counts is the last checkpoint, if there was one."""

    class Killed(BaseException):
        pass

    learn = learner_module.Learner.learn

    def mortal(self, batch):
        if self.step == stop:
            raise Killed
        return learn(self, batch)

    cut = config(data, tmp_path / "cut", workers=workers)
    monkeypatch.setattr(learner_module.Learner, "learn", mortal)
    with pytest.raises(Killed):
        fit(cut)
    monkeypatch.setattr(learner_module.Learner, "learn", learn)
    assert (tmp_path / "cut" / UNFINISHED).exists() == (stop >= 5)
    result = fit(cut, resume=True)
    assert result.steps == STEPS
    assert same(weights(finished), weights(result.checkpoint))
    assert not (tmp_path / "cut" / UNFINISHED).exists()
    steps = [json.loads(line)["step"] for line in (tmp_path / "cut/log.jsonl").read_text().splitlines()]
    assert steps == [10, 12]


def test_ctrl_c_inside_a_step_finishes_it_and_saves(data, finished, tmp_path, monkeypatch) -> None:
    real = objective_module.cross_entropy
    calls = 0

    def interrupted(*args, **kwargs):  # the forward pass has changed the batch norms, the weights not yet
        nonlocal calls
        calls += 1
        if calls == 7:
            os.kill(os.getpid(), signal.SIGINT)
        return real(*args, **kwargs)

    before = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(objective_module, "cross_entropy", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fit(config(data, tmp_path / "cut"))
    assert Checkpoint.load(tmp_path / "cut" / UNFINISHED).step == 7
    monkeypatch.undo()
    assert signal.getsignal(signal.SIGINT) is before
    assert same(weights(finished), weights(fit(config(data, tmp_path / "cut"), resume=True).checkpoint))


def test_a_second_ctrl_c_ends_at_once() -> None:
    with pytest.raises(KeyboardInterrupt), HeldInterrupt() as interrupt:
        os.kill(os.getpid(), signal.SIGINT)
        assert interrupt.asked
        os.kill(os.getpid(), signal.SIGINT)
        raise AssertionError


def test_a_score_that_fails_does_not_lose_the_fit(data, finished, tmp_path, monkeypatch) -> None:
    whole = config(data, tmp_path / "run")
    scored = whole.model_copy(update={"validation": whole.data[0]})

    def broken(self, validation):
        raise InputError("the validation frame is gone")

    monkeypatch.setattr(learner_module.Learner, "score", broken)
    with pytest.raises(InputError, match="frame is gone"):
        fit(scored)
    monkeypatch.undo()
    result = fit(scored, resume=True)
    assert result.score is not None
    assert same(weights(finished), weights(result.checkpoint))


def test_a_bad_frame_is_found_before_anything_is_written(tmp_path) -> None:
    folder = write_dataset(tmp_path / "data", frames=6, size=(48, 64)).parent
    image = folder / "images/train/f3.png"
    image.write_bytes(image.read_bytes()[:-30])
    with pytest.raises(InputError, match="f3.png: the PNG file is cut off"):
        fit(config(folder, tmp_path / "run"))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("workers", [0, 1])
def test_a_frame_that_goes_bad_during_a_fit_is_one_line(tmp_path, workers) -> None:
    folder = write_dataset(tmp_path / "data", frames=6, size=(48, 64)).parent
    image = folder / "images/train/f3.png"
    image.write_bytes(image.read_bytes()[:-30])
    with pytest.raises(InputError, match="f3.png: the PNG file is cut off") as caught:
        fit(config(folder, tmp_path / "run", check_data=False, workers=workers))
    assert "\n" not in str(caught.value)


def test_resuming_on_another_label_space_is_refused(data, tmp_path, monkeypatch) -> None:
    folder = write_dataset(tmp_path / "data", frames=6, size=(48, 64)).parent
    real, calls = objective_module.cross_entropy, []

    def interrupted(*args, **kwargs):
        calls.append(1)
        if len(calls) == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return real(*args, **kwargs)

    monkeypatch.setattr(objective_module, "cross_entropy", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fit(config(folder, tmp_path / "run"))
    space = folder / "foreign.toml"
    text = space.read_text()
    space.write_text(
        text.replace('"ground"', '"x"').replace('"object"', '"ground"').replace('"x"', '"object"')
    )
    with pytest.raises(InputError, match="label spaces differ: the checkpoint speaks"):
        fit(config(folder, tmp_path / "run"), resume=True)


def test_a_crop_that_the_network_cannot_take_is_refused(data, tmp_path) -> None:
    table = config(data, tmp_path / "run").model_dump()
    table["network"] |= {"architecture": "pan"}
    with pytest.raises(InputError, match=r"fit.crop \[32, 32\] does not go with this network"):
        fit(Config.from_dict(table, "test"))
    assert not (tmp_path / "run").exists()


def test_a_smaller_crop_of_a_fast_schedule_that_the_network_cannot_take_is_refused(data, tmp_path) -> None:
    fast = {"crop": [128, 128], "crop_order": "coarse2fine", "crop_factors": [0.25, 1]}
    table = config(data, tmp_path / "run", **fast).model_dump()
    table["network"] |= {"architecture": "pan"}
    with pytest.raises(InputError, match=r"fit.crop \[32, 32\] does not go with this network.*crop_factors"):
        fit(Config.from_dict(table, "test"))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"crop_order": "coarse2fine"}, "choose factors further apart"),
        ({"centroids": 0.1}, "choose a larger share"),
        ({"centroids": 1, "centroid_boost": {"sky": 2}}, "no class 'sky'"),
    ],
)
def test_settings_that_do_not_go_with_the_data_leave_nothing(data, tmp_path, settings, problem) -> None:
    with pytest.raises(InputError, match=problem):
        fit(config(data, tmp_path / "run", **settings))
    assert not (tmp_path / "run").exists()


def test_what_torch_cannot_do_in_a_step_is_one_line(data, tmp_path, monkeypatch) -> None:
    def full(*args, **kwargs):
        raise RuntimeError("out of memory: tried to allocate 9 GiB\nand much more")

    monkeypatch.setattr(objective_module, "cross_entropy", full)
    with pytest.raises(BackendError, match=r"^step 1: out of memory: tried to allocate 9 GiB: try a smaller"):
        fit(config(data, tmp_path / "run"))


def test_a_damaged_log_does_not_stop_resuming(data, finished, tmp_path, monkeypatch) -> None:
    log = tmp_path / "run/log.jsonl"
    log.parent.mkdir()
    log.write_bytes(b'{"step": 1, "loss": 2.0}\n' + b"\0" * 9 + b"\n[]\n")
    with FitLog(tmp_path / "run", start=5) as continued:
        continued.add(6, {"loss": float("nan")})
    assert [json.loads(x) for x in log.read_text().splitlines()] == [
        {"step": 1, "loss": 2.0},
        {"step": 6, "loss": None},
    ]


def test_an_ignored_interrupt_stays_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with HeldInterrupt() as interrupt:
            os.kill(os.getpid(), signal.SIGINT)
        assert not interrupt.asked
    finally:
        signal.signal(signal.SIGINT, before)


def test_two_fits_may_not_write_into_one_folder(data, tmp_path) -> None:
    with FitLog(tmp_path / "run", start=0), pytest.raises(InputError, match="another process is fitting"):
        fit(config(data, tmp_path / "run"))


def test_class_balance_reaches_the_loss_and_dropout_is_resumed(data, tmp_path, monkeypatch) -> None:
    """fpn has dropout, so the generator of each step matters too."""
    table = config(data, tmp_path / "whole", class_balance=0.5).model_dump()
    table["network"] |= {"architecture": "fpn"}
    balanced = Config.from_dict(table, "test")
    whole = weights(fit(balanced).checkpoint)
    seen = []
    real = objective_module.cross_entropy

    def watched(*args, **kwargs):
        seen.append(kwargs["weights"])
        if len(seen) == 7:
            os.kill(os.getpid(), signal.SIGINT)
        return real(*args, **kwargs)

    monkeypatch.setattr(objective_module, "cross_entropy", watched)
    cut = balanced.model_copy(update={"output": str(tmp_path / "cut")})
    with pytest.raises(KeyboardInterrupt):
        fit(cut)
    assert seen[0].shape == (3,)
    assert len(set(seen[0].tolist())) > 1
    monkeypatch.undo()
    assert same(whole, weights(fit(cut, resume=True).checkpoint))


def test_scoring_leaves_the_network_as_it_was(data, finished, tmp_path) -> None:
    whole = config(data, tmp_path / "scored", score_every=3)
    scored = whole.model_copy(update={"validation": whole.data[0]})
    result = fit(scored)
    assert same(weights(finished), weights(result.checkpoint))
    lines = (tmp_path / "scored/log.jsonl").read_text().splitlines()
    steps = [json.loads(line)["step"] for line in lines if "score/mean_iou" in line]
    assert steps == [3, 6, 9, 12]


def test_a_finished_fit_is_not_overwritten_and_resuming_it_does_nothing(data, finished) -> None:
    done = Checkpoint.load(finished).config
    with pytest.raises(InputError, match="is there already: add --resume, or choose another output"):
        fit(done)
    before = finished.read_bytes()
    assert fit(done, resume=True).checkpoint == finished
    assert finished.read_bytes() == before


def test_resuming_with_another_configuration_is_refused(data, finished) -> None:
    assert fit(config(data, finished.parent, save_every=3, workers=1), resume=True).checkpoint == finished
    other = config(data, finished.parent, learning_rate=0.5)
    with pytest.raises(
        InputError, match=r"with fit.learning_rate = 0.001, now it is 0.5: choose another output"
    ):
        fit(other, resume=True)


def test_fitting_learns_the_blocks(data, tmp_path) -> None:
    changes = {"steps": 80, "batch_size": 6, "crop": [64, 64], "learning_rate": 4e-3}
    learned = config(data, tmp_path / "long", **changes, scale=[1.0, 1.0], colour_jitter=0.0)
    validated = learned.model_copy(update={"validation": learned.data[0]})
    result = fit(validated)
    assert result.score is not None
    assert result.score.pixel_accuracy > 0.8  # 0.33 is chance


def test_label_spaces_that_differ_are_refused_before_anything_is_written(data, tmp_path) -> None:
    other = write_dataset(tmp_path / "other", frames=2)
    space = tmp_path / "other/foreign.toml"
    space.write_text(space.read_text().replace('"above"', '"beyond"'))
    table = config(data, tmp_path / "run").model_dump()
    table["data"] = [*table["data"], {"dataset": str(other.parent)}]
    with pytest.raises(InputError, match="label spaces differ"):
        fit(Config.from_dict(table, "test"))
    assert not (tmp_path / "run").exists()


def test_a_checkpoint_says_what_it_is_and_damage_is_refused(data, finished, tmp_path) -> None:
    checkpoint = Checkpoint.load(finished)
    assert checkpoint.label_space == FOREIGN
    assert (checkpoint.step, checkpoint.config.fit.steps) == (STEPS, STEPS)
    assert not checkpoint.optimiser
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(finished.read_bytes()[:-100])
    with pytest.raises(InputError, match=r"broken.safetensors: not a checkpoint of lsu"):
        Checkpoint.load(broken)


def test_the_torch_engine_gives_low_resolution_scores_of_any_size(finished) -> None:
    engine = TorchEngine.from_checkpoint(Checkpoint.load(finished))
    assert engine.infer(np.zeros((1, 64, 96, 3), np.uint8)).shape == (1, 3, 16, 24)
    image = np.random.default_rng(0).integers(0, 255, (50, 70, 3), np.uint8)
    assert Segmenter(engine).segment(image).classes.shape == (50, 70)


def test_fits_in_separate_folders_leave_a_log_and_a_board(finished) -> None:
    lines = [json.loads(line) for line in (finished.parent / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [10, 12]
    assert all(np.isfinite(line["loss"]) for line in lines)
    assert list((finished.parent / "tensorboard").glob("events.*"))
    assert (finished.parent / FINISHED) == finished
