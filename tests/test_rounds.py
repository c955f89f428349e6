"""Rounds: the same files as from the verbs one by one, and the same after any kill."""

import json
import shlex
import subprocess
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from bundles import tiny_bundle
from pictures import SOURCE
from rounds_place import write_place
from test_cli import Bench
from test_cli import lsu as lsu  # noqa: PLC0414 - a plain import would be redefined by arguments

from lsu.runtime import Dataset, ModelSpec, Relation
from lsu.runtime.relabel.pipeline import Request, relabel
from lsu.runtime.relabel.teachers import Network
from lsu.runtime.relabel.views import views_from_text
from lsu.training import learner as learner_module
from lsu.training.checkpoint import Checkpoint
from lsu.training.config import Config
from lsu.training.fit import fit
from lsu.training.rounds import RESULT, run_rounds
from lsu.training.rounds_config import RoundsConfig
from lsu.training.rounds_plan import FitStep, Plan, RelabelStep
from lsu.training.torch_engine import TorchEngine

STEPS = [
    "teacher",
    "round-1/labels/east",
    "round-1/labels/west",
    "round-1/student",
    "round-2/labels/east",
    "round-2/labels/west",
    "round-2/student",
]


class Killed(BaseException):
    """As good as a kill: nothing that a program does on errors is done."""


def plan_of(file: Path, *overrides: str) -> Plan:
    return Plan.of(RoundsConfig.load(file, overrides))


def results(folder: Path) -> dict[str, object]:
    """What rounds are for, by path: the bytes of all pseudo-labels and all weights."""
    labels = {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("labels/train/*.png")}
    weights = {
        str(p.relative_to(folder)): {k: v.tolist() for k, v in Checkpoint.load(p).weights.items()}
        for p in folder.rglob("*.safetensors")
    }
    return labels | weights


@pytest.fixture(scope="module", autouse=True)
def without_pictures():
    """Fits draw their curves at each call, which takes longer than these fits do."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lsu.training.fit.draw_run", lambda _: {})
        yield


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> Path:
    return write_place(tmp_path_factory.mktemp("place"))


@pytest.fixture(scope="module")
def whole(file) -> Path:
    plan = plan_of(file, "output=whole")
    run_rounds(plan)
    return plan.folder


def test_rounds_give_what_fit_and_relabel_give_one_by_one(file, whole, tmp_path) -> None:
    asked = RoundsConfig.load(file)
    relation = Relation.load(file.parent / "r.toml")
    source = {"dataset": str(file.parent / "town")}
    about = {"network": asked.network.model_dump(), "validation": source}
    settings = asked.fit.model_dump()

    def fitted(name: str, data: list[dict[str, object]], **changes) -> Path:
        table = {**about, "output": str(tmp_path / name), "data": data, "fit": {**settings, **changes}}
        return fit(Config.from_dict(table, "test")).checkpoint

    teacher = fitted("teacher", [source], steps=5)
    for number in (1, 2):
        labels = tmp_path / f"round-{number}/labels"
        for name, free in (("east", False), ("west", True)):
            split = Dataset.load(file.parent / name).split("train")
            engine = TorchEngine.from_checkpoint(Checkpoint.load(teacher))
            views = views_from_text("flip")
            relabel(Network(engine, views), Request(split, relation, free), labels / name)
        mixed = {"dataset": str(file.parent / "west"), "relation": str(file.parent / "r.toml")}
        data = [source, {"dataset": str(labels / "east"), "weight": 0.5}, {"dataset": str(labels / "west")}]
        teacher = fitted(f"round-{number}/student", [*data, mixed])
    ours, theirs = results(whole), results(tmp_path)
    assert len(ours) == 3 * 4 + 3
    assert ours.keys() == theirs.keys()
    assert all(ours[name] == theirs[name] for name in ours)


def test_a_run_that_is_killed_before_each_step_ends_with_the_same_files(file, whole) -> None:
    plan = plan_of(file, "output=cut")
    for victim in STEPS:

        @contextmanager
        def watch(step, victim=victim):
            if step.name == victim:
                raise Killed
            yield lambda *_, **__: None

        with pytest.raises(Killed):
            run_rounds(plan, resume=True, watch=watch)
        assert not (plan.folder / RESULT).exists()
    stamps = {p: p.stat().st_mtime_ns for p in plan.folder.rglob("checkpoint.safetensors")}
    assert len(stamps) == 2
    run_rounds(plan, resume=True)
    assert results(plan.folder) == results(whole)
    assert all(p.stat().st_mtime_ns == stamp for p, stamp in stamps.items())


def test_a_run_that_is_killed_inside_its_steps_ends_with_the_same_files(file, whole, monkeypatch) -> None:
    plan = plan_of(file, "output=inside", "rounds=1")
    learn, seen = learner_module.Learner.learn, []

    def mortal(self, batch):
        seen.append(self.step)
        if len(seen) in (4, 9):  # at step 3 of the teacher, which goes on at step 2; then in the student
            raise Killed
        return learn(self, batch)

    @contextmanager
    def watch(step):
        def advance(steps=1, *, note=""):
            if isinstance(step, RelabelStep) and steps == 1 and step.name not in cut:
                cut.append(step.name)
                raise Killed

        yield advance

    cut: list[str] = []
    kills = 0
    monkeypatch.setattr(learner_module.Learner, "learn", mortal)
    while not (plan.folder / RESULT).exists():
        try:
            run_rounds(plan, resume=True, watch=watch)
        except Killed:
            kills += 1
    assert kills == 2 + 2
    assert seen == [0, 1, 2, 3, 2, 3, 4, 0, 1, 0, 1, 2, 3]
    assert cut == STEPS[1:3]
    kept = ("teacher", "round-1")
    assert results(plan.folder) == {k: v for k, v in results(whole).items() if k.startswith(kept)}


def test_the_second_round_is_taught_by_the_first_rounds_student(whole) -> None:
    for labels in ("east", "west"):
        for number, network in ((1, "teacher"), (2, "round-1/student")):
            journal = whole / f"round-{number}/labels/{labels}/journal.jsonl"
            asked = json.loads(journal.read_text().splitlines()[0])
            assert asked["network"] == Checkpoint.load(whole / network / "checkpoint.safetensors").digest
            assert asked["free"] == (labels == "west")
            assert asked["views"] == ["1", "1 flipped"]


def test_the_students_learn_from_all_entries_and_the_teacher_from_its_own(file, whole) -> None:
    student = Config.load(whole / "round-2/student/config.toml")
    assert [(d.dataset, d.weight, d.relation) for d in student.data] == [
        (str(file.parent / "town"), 1.0, None),
        (str(whole / "round-2/labels/east"), 0.5, None),
        (str(whole / "round-2/labels/west"), 1.0, None),
        (str(file.parent / "west"), 1.0, str(file.parent / "r.toml")),
    ]
    teacher = Config.load(whole / "teacher/config.toml")
    assert (teacher.fit.steps, student.fit.steps, teacher.fit.batch_size) == (5, 4, 2)
    assert len(teacher.data) == 1
    for name in ("teacher", "round-1/student"):
        kept = Checkpoint.load(whole / name / "checkpoint.safetensors").config
        assert Config.load(whole / name / "config.toml") == kept


def test_the_table_says_scores_and_what_changed(whole) -> None:
    rounds = json.loads((whole / RESULT).read_text())["rounds"]
    assert [r["round"] for r in rounds] == [0, 1, 2]
    assert [Path(r["network"]).parent.name for r in rounds] == ["teacher", "student", "student"]
    for r, folder in zip(rounds, ("teacher", "round-1/student", "round-2/student"), strict=True):
        log = [json.loads(line) for line in (whole / folder / "log.jsonl").read_text().splitlines()]
        assert r["mean_iou"] == log[-1]["score/mean_iou"]
    changed = pixels = 0
    for name in ("east", "west"):
        both = [Dataset.load(whole / f"round-{k}/labels/{name}").split("train") for k in (1, 2)]
        labels = [np.stack([s.read_labels(f) for f in s.frames]) for s in both]
        changed, pixels = changed + (labels[0] != labels[1]).sum(), pixels + labels[0].size
    assert 0 < changed < pixels
    assert [r["changed"] for r in rounds] == [None, None, pytest.approx(changed / pixels)]
    assert all(r["seconds"] > 0 for r in rounds)


def test_a_round_more_can_follow_and_finished_steps_are_not_repeated(file, monkeypatch) -> None:
    short = ["fit.steps=1", "teacher_fit.steps=1", "output=more"]
    first = run_rounds(plan_of(file, *short, "rounds=1"))
    fits = []
    learn = learner_module.Learner.learn
    monkeypatch.setattr(
        learner_module.Learner,
        "learn",
        lambda self, *x: (fits.append(self.config.output), learn(self, *x))[1],
    )
    both = run_rounds(plan_of(file, *short, "rounds=2"), resume=True)
    assert fits == [str(file.parent / "more/round-2/student")]
    assert [r.mean_iou for r in both[:2]] == [r.mean_iou for r in first]
    assert all(after.seconds > before.seconds for after, before in zip(both, first, strict=False))


def test_a_checkpoint_can_be_the_first_teacher_and_is_scored(file, whole) -> None:
    checkpoint = whole / "teacher/checkpoint.safetensors"
    text = "\n".join(
        x for x in file.read_text().replace("steps = 5\n", "").splitlines() if x != "[teacher_fit]"
    )
    other = file.with_name("given.toml")
    other.write_text('teacher = "whole/teacher/checkpoint.safetensors"\n' + text)
    plan = plan_of(other, "output=given", "rounds=1")
    rounds = run_rounds(plan)
    assert rounds[0].network == str(checkpoint)
    assert rounds[0].mean_iou == json.loads((whole / RESULT).read_text())["rounds"][0]["mean_iou"]
    assert not (plan.folder / "teacher").exists()
    again = {k: v for k, v in results(whole).items() if k.startswith("round-1")}
    assert results(plan.folder) == again
    checkpoint_line = next(x for x in (plan.folder / "commands.sh").read_text().splitlines() if "export" in x)
    assert str(checkpoint) in checkpoint_line


def test_a_bundle_can_be_the_first_teacher(file, tmp_path) -> None:
    tiny_bundle(tmp_path / "bundle", ModelSpec(SOURCE, fit="pad", multiple=8))
    other = file.with_name("bundle.toml")
    text = file.read_text().replace("[teacher_fit]\nsteps = 5\n", "")
    other.write_text(f'teacher = "{tmp_path}/bundle"\n' + text)
    plan = plan_of(other, "output=bundled", "rounds=1", "fit.steps=1")
    assert [step.name for step in plan.steps] == ["teacher", *STEPS[1:4]]
    assert run_rounds(plan)[0].mean_iou is not None
    journal = (plan.folder / "round-1/labels/east/journal.jsonl").read_text().splitlines()
    assert json.loads(journal[0])["network"] == plan.teacher_digest
    assert "export onnx" not in (plan.folder / "commands.sh").read_text()


def test_the_same_set_twice_gets_two_folders(file) -> None:
    plan = plan_of(file, "output=twice", "foreign.1.dataset=east")
    labels = [step.name for step in plan.steps if isinstance(step, RelabelStep) and step.round == 1]
    assert labels == ["round-1/labels/east", "round-1/labels/east-2"]
    assert [Path(d.dataset).name for d in plan.steps[-1].config.data[1:3]] == ["east", "east-2"]


def test_the_commands_are_a_script_of_public_verbs(file, whole, lsu: Bench, monkeypatch) -> None:
    script = whole / "commands.sh"
    subprocess.run(["bash", "-n", script], check=True)
    lines = [shlex.split(x)[1:] for x in script.read_text().splitlines() if x.startswith("lsu ")]
    one_round = ["export", "relabel", "relabel", "fit"]
    assert [words[0] for words in lines] == ["fit", *one_round, *one_round]
    assert lines[3][-4:] == ["--views", "flip", "--out", "$again/round-1/labels/west"]
    assert "--free" in lines[3]
    assert "--free" not in lines[2]
    for words in lines:
        shown = lsu(*words[: 2 if words[0] == "export" else 1], "--help").out
        assert all(word in shown for word in words if word.startswith("-")), words
    assert "data.1.dataset=$again/round-2/labels/east" in lines[-1]
    monkeypatch.chdir(whole)
    again = file.parent / "again"
    assert lsu(*(word.replace("$again", str(again)) for word in lines[0])).code == 0
    assert results(again / "teacher") == results(whole / "teacher")


def test_each_step_has_the_threads_that_it_asks_for_and_none_are_left_behind(file) -> None:
    before, seen = torch.get_num_threads(), []

    @contextmanager
    def watch(step):
        seen.append(torch.get_num_threads())
        yield lambda *_, **__: None

    short = ["rounds=1", "fit.steps=1", "teacher_fit.steps=1", "teacher_fit.threads=2"]
    run_rounds(plan_of(file, "output=threads", *short), watch=watch)
    assert seen == [2, 2, 2, 1]  # a teacher relabels as it was fitted
    assert torch.get_num_threads() == before


def test_each_step_is_watched_in_order_with_its_size(file) -> None:
    plan = plan_of(file)
    assert [step.name for step in plan.steps] == STEPS
    assert [step.total for step in plan.steps] == [5, 3, 3, 4, 3, 3, 4]
    seen: dict[str, int] = {}

    @contextmanager
    def watch(step):
        seen[step.name] = 0

        def advance(steps=1, *, note=""):
            seen[step.name] += steps

        yield advance

    for _ in range(2):  # what was done before counts too
        run_rounds(plan_of(file, "output=watched"), watch=watch, resume=True)
        assert list(seen) == STEPS
        assert list(seen.values()) == [5, 3, 3, 4, 3, 3, 4]
    assert isinstance(plan.steps[0], FitStep)


def test_an_entry_can_be_learned_from_where_the_teacher_is_sure(file) -> None:
    plan = plan_of(
        file, "output=sure", "rounds=1", "fit.steps=1", "foreign.0.confidence=relative", "views=0.5"
    )
    assert [str(view) for view in plan.config.all_views] == ["1", "0.5"]
    run_rounds(plan)
    place = plan.folder / "round-1/labels"
    summary = json.loads((place / "east/summary.json").read_text())
    assert sum(row["forced"] + row["pixels"] * (row["kept"] or 0) for row in summary["confidence"]) > 0
    assert "confidence" not in json.loads((place / "west/summary.json").read_text())
    lines = [shlex.split(x)[1:] for x in (plan.folder / "commands.sh").read_text().splitlines()]
    (line,) = [words for words in lines if "relabel" in words and "$again/round-1/labels/east" in words]
    assert line[line.index("--confidence") + 1] == "relative"
