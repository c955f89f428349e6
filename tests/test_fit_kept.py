"""Which weights a fit keeps: averaged ones, the best-scoring ones, and the same after an interruption."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from pictures import FOREIGN, write_dataset
from safetensors.torch import load_file, save_file
from small_fits import STEPS, config, same, scored, weights

from lsu.runtime import InputError
from lsu.runtime.evaluate import Evaluation
from lsu.training import learner as learner_module
from lsu.training.checkpoint import Checkpoint
from lsu.training.config import Config
from lsu.training.fit import FINISHED, UNFINISHED, FitResult, fit
from lsu.training.learner import Learner, parameter_groups
from lsu.training.run_folder import CONFUSION, CURVES, LOG, SCORE

EVERYTHING = {"ema": 0.8, "clip_norm": 0.5, "schedule": "one-cycle", "encoder_rate": 0.1}


class Killed(BaseException):
    pass


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("data"), frames=6, size=(48, 64)).parent


def killed_and_resumed(cut: Config, stop: int, monkeypatch) -> FitResult:
    """The fit, killed before step `stop` is made, without a chance to save, and continued."""
    learn = Learner.learn

    def mortal(self, batch):
        if self.step == stop:
            raise Killed
        return learn(self, batch)

    with monkeypatch.context() as patch:
        patch.setattr(Learner, "learn", mortal)
        with pytest.raises(Killed):
            fit(cut)
    return fit(cut, resume=True)


def shares(percent: int) -> Evaluation:
    """An evaluation with this mean IoU."""
    counts = np.array([[percent, 0, 0, 100 - percent], [0] * 4, [0] * 4])
    return Evaluation(FOREIGN, counts, np.zeros((3, 4), np.int64), frames=1)


@pytest.fixture
def scripted(monkeypatch) -> dict[int, dict[str, torch.Tensor]]:
    """Scores 10, 30, 30, 20, 25 and 90 % after steps 2, 4, ... of a fit; filled with the weights of each."""
    percents = {2: 10, 4: 30, 6: 30, 8: 20, 10: 25, 12: 90}
    seen: dict[int, dict[str, torch.Tensor]] = {}

    def score(self, validation):
        seen.setdefault(self.step, {k: v.clone() for k, v in self.answering.state_dict().items()})
        return shares(percents[self.step])

    monkeypatch.setattr(Learner, "score", score)
    return seen


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory) -> FitResult:
    return fit(
        scored(data, tmp_path_factory.mktemp("run") / "whole", score_every=2, patience=9, **EVERYTHING)
    )


@pytest.mark.parametrize("stop", [3, 8])
def test_a_killed_fit_with_all_of_this_ends_with_the_same_weights(
    data, whole, tmp_path, monkeypatch, stop
) -> None:
    cut = scored(data, tmp_path / "cut", score_every=2, patience=9, **EVERYTHING)
    result = killed_and_resumed(cut, stop, monkeypatch)
    assert same(weights(whole.checkpoint), weights(result.checkpoint))
    assert result.best_step == whole.best_step
    assert result.score.to_dict() == whole.score.to_dict()
    assert [json.loads(x)["step"] for x in (tmp_path / "cut" / LOG).read_text().splitlines()] == [
        json.loads(x)["step"] for x in (whole.checkpoint.parent / LOG).read_text().splitlines()
    ]


def test_an_unfinished_checkpoint_holds_both_weights_and_a_finished_one_the_average(
    data, tmp_path, monkeypatch
) -> None:
    found = []
    save = Checkpoint.save

    def watched(self, path):
        save(self, path)
        found.append(Checkpoint.load(path))

    monkeypatch.setattr(Checkpoint, "save", watched)
    fit(config(data, tmp_path / "run", ema=0.8))
    unfinished, finished = found[-2:]
    assert unfinished.step == finished.step == STEPS
    assert same(dict(finished.weights), dict(unfinished.average))
    assert not same(dict(finished.weights), dict(unfinished.weights))
    assert not finished.average
    assert not finished.optimiser


def test_averaging_does_not_touch_what_is_learned(data, tmp_path, monkeypatch) -> None:
    learned = []
    finished = Learner.finished

    def watched(self):
        learned.append({k: v.clone() for k, v in self.bare.state_dict().items()})
        return finished(self)

    monkeypatch.setattr(Learner, "finished", watched)
    plain = fit(config(data, tmp_path / "plain"))
    averaged = fit(config(data, tmp_path / "averaged", ema=0.8))
    assert same(learned[0], learned[1])
    assert not same(weights(plain.checkpoint), weights(averaged.checkpoint))


def test_what_is_scored_is_the_average(data, tmp_path) -> None:
    result = fit(scored(data, tmp_path / "run", ema=0.8))
    learner = Learner(scored(data, tmp_path / "other"), FOREIGN)
    learner.bare.load_state_dict(weights(result.checkpoint))
    from lsu.training.frames import open_split

    again = learner.score(open_split(config(data, tmp_path).data[0]))
    assert again.to_dict() == result.score.to_dict()


def test_a_fit_stops_when_its_patience_ends_and_keeps_the_best_weights(data, tmp_path, scripted) -> None:
    reports = []
    result = fit(scored(data, tmp_path / "run", score_every=2, patience=2), on_step=reports.append)
    assert (result.steps, result.best_step, result.stopped_early) == (8, 4, True)
    assert [(report.step, report.scores_left) for report in reports] == [(8, 0)]
    log = [json.loads(line) for line in (tmp_path / "run" / LOG).read_text().splitlines()]
    assert [line["step"] for line in log if "score/mean_iou" in line] == [2, 4, 6, 8]
    assert same(weights(result.checkpoint), scripted[4])
    assert not (tmp_path / "run" / UNFINISHED).exists()
    assert Checkpoint.load(result.checkpoint).best.score == pytest.approx(0.3)


def test_patience_that_does_not_end_counts_the_last_score_too(data, tmp_path, scripted) -> None:
    reports = []
    result = fit(scored(data, tmp_path / "run", score_every=2, patience=4), on_step=reports.append)
    assert (result.steps, result.best_step, result.stopped_early) == (12, 12, False)
    assert same(weights(result.checkpoint), scripted[12])
    assert [(report.step, report.scores_left) for report in reports] == [(10, 2), (12, 1)]


def test_without_patience_the_last_weights_are_kept(data, tmp_path, scripted) -> None:
    result = fit(scored(data, tmp_path / "run", score_every=4))
    assert (result.steps, result.best_step, result.stopped_early) == (12, 12, False)
    assert same(weights(result.checkpoint), scripted[12])


@pytest.mark.parametrize("stop", [5, 7])
def test_a_killed_fit_stops_after_the_same_step(data, tmp_path, scripted, monkeypatch, stop) -> None:
    """Killed after step 5, whose checkpoint remembers the best of step 4, and within steps 6 and 7."""
    patient = scored(data, tmp_path / "run", score_every=2, patience=2)
    result = killed_and_resumed(patient, stop, monkeypatch)
    assert (result.steps, result.best_step) == (8, 4)
    assert same(weights(result.checkpoint), scripted[4])


def test_a_checkpoint_is_written_after_the_score_of_its_step(data, tmp_path, scripted, monkeypatch) -> None:
    patient = scored(data, tmp_path / "run", score_every=2, patience=2, save_every=6)
    assert killed_and_resumed(patient, 7, monkeypatch).steps == 8


def test_a_fit_that_was_killed_after_its_patience_ended_makes_no_more_steps(
    data, tmp_path, scripted, monkeypatch
) -> None:
    patient = scored(data, tmp_path / "run", score_every=2, patience=2)

    def full(self):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Learner, "finished", full)
        with pytest.raises(Killed):
            fit(patient)
    result = fit(patient, resume=True)
    assert (result.steps, result.best_step, result.stopped_early) == (8, 4, True)


def test_with_patience_a_continued_fit_may_not_score_at_other_steps(data, whole) -> None:
    folder = whole.checkpoint.parent
    with pytest.raises(InputError, match="with fit.score_every = 2, now it is 3: choose another output"):
        fit(scored(data, folder, score_every=3, patience=9, **EVERYTHING), resume=True)


def test_a_score_that_fails_within_a_fit_leaves_a_checkpoint(data, tmp_path, monkeypatch) -> None:
    def broken(self, validation):
        raise InputError("the validation frame is gone")

    monkeypatch.setattr(Learner, "score", broken)
    with pytest.raises(InputError, match="frame is gone"):
        fit(scored(data, tmp_path / "run", score_every=4))
    assert Checkpoint.load(tmp_path / "run" / UNFINISHED).step == 4


@pytest.mark.parametrize("step", [4, 8])
def test_a_score_that_failed_is_made_up_for(data, tmp_path, scripted, monkeypatch, step) -> None:
    """Step 4 is the best one, and after step 8 the patience ends."""
    patient = scored(data, tmp_path / "run", score_every=2, patience=2)
    score = Learner.score

    def broken(self, validation):
        if self.step == step:
            raise InputError("the validation frame is gone")
        return score(self, validation)

    with monkeypatch.context() as patch:
        patch.setattr(Learner, "score", broken)
        with pytest.raises(InputError, match="frame is gone"):
            fit(patient)
    result = fit(patient, resume=True)
    assert (result.steps, result.best_step) == (8, 4)
    assert same(weights(result.checkpoint), scripted[4])


def test_a_kill_between_the_checkpoint_and_what_is_drawn_loses_no_score(data, tmp_path, monkeypatch) -> None:
    short = scored(data, tmp_path / "run", steps=2)
    save = Checkpoint.save

    def mortal(self, path):
        save(self, path)
        if path.name == FINISHED:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "save", mortal)
        with pytest.raises(Killed):
            fit(short)
    fit(short, resume=True)
    left = {file.name for file in (tmp_path / "run").iterdir() if file.is_file()}
    assert left == {FINISHED, LOG, SCORE, CURVES, CONFUSION}


def test_a_checkpoint_of_before_averages_opens(data, whole, tmp_path) -> None:
    old = tmp_path / "old.safetensors"
    loaded = Checkpoint.load(whole.checkpoint)
    about = json.loads(_header(whole.checkpoint)["__metadata__"]["lsu"])
    about.pop("best")
    for name in ("schedule", "encoder_rate", "clip_norm", "ema", "patience", "compile", "sync_batch_norm"):
        about["config"]["fit"].pop(name)
    save_file(load_file(whole.checkpoint), old, {"lsu": json.dumps(about)})
    opened = Checkpoint.load(old)
    assert same(dict(opened.weights), dict(loaded.weights))
    assert opened.config.fit.schedule == "cosine"
    assert opened.best.step == 0


def _header(path: Path) -> dict[str, dict[str, str]]:
    data = path.read_bytes()
    return json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])


def test_the_run_folder_has_pictures_and_resuming_draws_them_again(whole) -> None:
    folder = whole.checkpoint.parent
    pictures = [folder / CURVES, folder / CONFUSION]
    before = [picture.read_bytes() for picture in pictures]
    for picture in pictures:
        picture.unlink()
    again = fit(Checkpoint.load(folder / FINISHED).config, resume=True)
    assert [picture.read_bytes() for picture in pictures] == before
    assert (again.steps, again.best_step) == (whole.steps, whole.best_step)


def test_the_encoder_learns_with_its_share_and_0_keeps_its_weights(data, tmp_path) -> None:
    start = Learner(config(data, tmp_path / "start"), FOREIGN).bare.state_dict()
    kept = weights(fit(config(data, tmp_path / "kept", encoder_rate=0.0)).checkpoint)
    moved = {name for name, value in start.items() if not torch.equal(value, kept[name])}
    assert not [n for n in moved if n.startswith("encoder.") and n.endswith(("weight", "bias"))]
    assert [n for n in moved if n.startswith("decoder.")]


def test_every_parameter_is_in_one_group_of_the_optimiser(data, tmp_path) -> None:
    network = Learner(config(data, tmp_path / "x"), FOREIGN).bare
    everything = sorted(id(p) for p in network.parameters())
    for rate, expected in ((1.0, [1.0]), (0.1, [0.1, 1.0])):
        groups = parameter_groups(network, rate)
        assert [group["share"] for group in groups] == expected
        assert sorted(id(p) for group in groups for p in group["params"]) == everything
    with pytest.raises(InputError, match="fit.encoder_rate is 0.1, but this network has no encoder: leave"):
        parameter_groups(torch.nn.Linear(1, 1), 0.1)


def test_gradients_are_shortened_before_the_step(data, tmp_path, monkeypatch) -> None:
    norms = []
    step = torch.optim.AdamW.step

    def watched(self, *args, **options):
        gradients = [p.grad for group in self.param_groups for p in group["params"] if p.grad is not None]
        norms.append(float(torch.stack([g.norm() for g in gradients]).norm()))
        return step(self, *args, **options)

    monkeypatch.setattr(torch.optim.AdamW, "step", watched)
    fit(config(data, tmp_path / "free", steps=3))
    fit(config(data, tmp_path / "clipped", steps=3, clip_norm=0.01))
    assert min(norms[:3]) > 0.02
    assert norms[3:] == pytest.approx([0.01] * 3, rel=1e-3)


def test_a_compiled_network_learns_alike_and_has_the_same_names(data, tmp_path, monkeypatch) -> None:
    """With torch's eager backend: the way there is tested, not the compiler."""
    compile_ = torch.compile
    calls = []

    def eager(network, **options):
        calls.append(network)
        return compile_(network, **{"backend": "eager", **options})

    monkeypatch.setattr(learner_module.torch, "compile", eager)
    plain = weights(fit(config(data, tmp_path / "plain", steps=3)).checkpoint)
    assert not calls
    compiled = weights(fit(config(data, tmp_path / "compiled", steps=3, compile=True)).checkpoint)
    assert len(calls) == 2  # ours, and Fabric's over what it wrapped
    assert plain.keys() == compiled.keys()
    assert all(torch.allclose(plain[name].float(), compiled[name].float(), atol=1e-5) for name in plain)


def test_images_and_waiting_are_counted_as_they_come(data, tmp_path, monkeypatch) -> None:
    from lsu.training.step_meter import StepMeter

    now = [100.0]
    monkeypatch.setattr("lsu.training.step_meter.time.monotonic", lambda: now[0])

    def slow():
        for size in (2, 5):
            now[0] += 1.0
            yield torch.zeros(size), torch.zeros(size)

    meter = StepMeter()
    for _, labels in meter.waited(slow()):
        meter.add(torch.tensor(float(len(labels))), len(labels))
        now[0] += 3.0
        with meter.paused():
            now[0] += 50.0
    loss, speed, waiting = meter.take()
    assert (float(loss), speed, waiting) == (3.5, 7 / 8, 2 / 8)


def test_a_fit_starts_with_the_weights_of_another(data, tmp_path) -> None:
    first = fit(config(data, tmp_path / "first", steps=6)).checkpoint
    table = config(data, tmp_path / "second", steps=1, learning_rate=1e-9, warmup_steps=0).model_dump()
    second = fit(Config.from_dict({**table, "start": str(first)}, "test")).checkpoint
    theirs, ours = weights(first), weights(second)
    learnt = [name for name in theirs if name.endswith("weight")]
    assert all(torch.allclose(ours[name], theirs[name], atol=1e-6) for name in learnt)
    table["network"] |= {"architecture": "fpn"}
    with pytest.raises(InputError, match=r"start: .*first.* has the weights of another network"):
        fit(Config.from_dict({**table, "start": str(first), "output": str(tmp_path / "third")}, "test"))
    other = write_dataset(tmp_path / "other", frames=3, size=(48, 64)).parent
    (other / "foreign.toml").write_text(FOREIGN.to_toml().replace('"above"', '"other"'))
    table = config(other, tmp_path / "fourth").model_dump()
    with pytest.raises(InputError, match=r"label spaces differ: start .*first"):
        fit(Config.from_dict({**table, "start": str(first)}, "test"))
    assert not (tmp_path / "fourth").exists()
