"""The head's benchmark: what it measures on, what it compares, how it sums up; never how fast anything is."""

import csv
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "tools"))
pytest.importorskip("onnxruntime", reason="onnxruntime, one of the rivals, is not installed")

import bench_head
import head_modes
import head_race
import head_rivals
from head_plan import ALL, FREE, Setting, questions, quick_settings, settings
from head_summary import Row, summary

from lsu.runtime import VOID, InputError
from lsu.runtime.head import constrained_argmax

RNG = np.random.default_rng


# --- rivals and the race


@pytest.mark.parametrize("given", [None, "mask", "gather"])
def test_every_rival_answers_like_the_head(given) -> None:
    pytest.importorskip("torch", reason="torch, one of the rivals, is not installed")
    scores = RNG(2).normal(size=(13, 12, 18)).astype(np.float32)
    truth = RNG(3).integers(0, 11, (96, 144)).astype(np.uint8)
    constraint = None if given is None else head_modes.idd_lite(truth, 13)
    task = head_rivals.Task(scores, (96, 144), constraint)
    if constraint is None:
        expected = constrained_argmax(scores, task.size)
    else:
        expected = constrained_argmax(scores, task.size, labels=constraint.labels, table=constraint.table)
    found = head_rivals.rivals(task, given, threads=1, libraries=("torch", "onnxruntime", "opencv"))
    assert len(found) == 6
    for rival in found:
        assert rival.name.endswith(f"+{given}" if given else rival.name)
        for _ in range(2):
            share = head_race.equal_share(rival.answer(rival.run()), expected.classes)
            assert share >= head_race.LEAST_EQUAL, rival.name


def test_void_pixels_are_not_compared() -> None:
    reference = np.array([[1, 2, VOID, VOID]], np.uint8)
    assert head_race.equal_share(np.array([[1, 3, 7, 7]]), reference) == 0.5
    assert head_race.equal_share(np.array([[0, 0]]), reference[:, 2:]) == 1.0


def test_a_wrong_rival_does_not_race() -> None:
    head_race.refuse_wrong("right", 0.9995)
    with pytest.raises(InputError, match=r"wrong: 99.8000% of its pixels"):
        head_race.refuse_wrong("wrong", 0.998)


def test_all_take_turns_and_the_slow_ones_fewer() -> None:
    now, turns = [0.0], []

    def contender(name: str, seconds: float) -> head_rivals.Contender:
        def run() -> None:
            turns.append(name)
            now[0] += seconds

        return head_rivals.Contender(name, run, None)

    both = [contender("quick", 0.05), contender("slow", 0.5)]
    quick, slow = head_race.race(both, 21, lambda: now[0])
    assert len(quick.seconds) == 21
    assert len(slow.seconds) == head_race.LEAST_REPEATS
    assert slow.median == pytest.approx(0.5)
    assert turns[2:8] == ["quick", "slow", "quick", "quick", "quick", "slow"]


def test_median_and_percentiles_are_those_of_the_table() -> None:
    timing = head_race.Timing((5.0, 1.0, 2.0, 4.0, 3.0))
    assert (timing.median, timing.percentile(10), timing.percentile(90)) == (3.0, 1.4, 4.6)


# --- the plan and the summary


def test_the_plan_has_all_that_is_asked() -> None:
    plan = settings((1, 2), (4, 8, 16), (11, 19, 65))
    student = [s for s in plan if s.share is None]
    assert len(student) == len({(s.threads, s.stride, s.classes) for s in student}) == 18
    assert {s.share for s in plan} == {None, 0.05, 0.1, 0.2, 0.35, 1.0}
    assert all(FREE.items() <= s.rivals.items() for s in student)
    assert [s.rivals for s in student if (s.threads, s.stride, s.classes) == (1, 8, 19)] == [ALL]
    assert len(quick_settings((1,), (8,), (19,))) == 2


def test_extras_and_label_noise_are_asked_where_the_levels_are() -> None:
    scores, truth = np.zeros((19, 4, 8), np.float32), np.zeros((32, 64), np.uint8)
    modes = {
        classes: [
            q.mode for q in questions(Setting(1, 8, classes), scores[:classes], truth, RNG(0), truth.shape)
        ]
        for classes in (11, 19)
    }
    assert modes[11] == ["free", *head_modes.CONSTRAINTS]
    assert {"free, margin", "groups, agreement", "free, float16", "groups, label noise"} < set(modes[19])


def row(mode: str, rival: str, median: float, ratio: float, **changes: object) -> Row:
    base = Row(1, 8, 19, "student", mode, rival, 18.0, 18.5, median, 0, 0, ratio, 100.0, None, 7)
    return replace(base, **changes)


def test_the_summary_takes_the_worst_figure_of_each_level() -> None:
    rows = [
        row("free", "lsu", 2.0, 1.0),
        row("free", "lsu_dense", 20.0, 10.0),
        row("free", "copy_answer", 0.1, 0.05),
        row("free", "torch_argmax", 300.0, 150.0),
        row("free", "opencv_argmax", 100.0, 50.0),
        row("free", "opencv_running_best", 40.0, 20.0),
        row("free", "torch_argmax", 90.0, 90.0, scores="student, 35% mixed", mixed_share=34.9),
        row("one_to_one", "lsu", 2.2, 1.0),
        row("one_to_one", "lsu_dense", 2.1, 0.955),
        row("groups", "lsu", 5.0, 1.0),
        row("groups", "lsu_dense", 15.0, 3.0),
        row("free, margin", "lsu", 6.0, 1.0),
        row("free", "lsu", 1.0, 1.0, threads=2),
        row("free", "lsu_1_thread", 1.9, 1.9, threads=2),
        row("free", "lsu", 24.0, 1.0, scores="noise", mixed_share=100.0),
        row("free", "lsu_dense", 20.0, 0.8, scores="noise", mixed_share=100.0),
        row("groups, label noise", "lsu_dense", 20.0, 1.0),
    ]
    levels = {(level.question, level.scope[:7]): level for level in summary(rows)}
    found = {key: (level.measured, level.met) for key, level in levels.items()}
    assert found == {
        ("torch eager argmax / ours, free", "stride "): (150.0, "yes"),
        ("fastest rival / ours, free", "stride "): (20.0, "no"),
        ("fastest named rival / ours, free", "stride "): (50.0, "yes"),
        ("ours 1:1 / ours free", "stride "): (1.1, "yes"),
        ("ours otherwise constrained / ours free", "stride "): (2.5, "no"),
        ("dense constrained / ours constrained", "stride "): (0.955, "no"),
        ("dense constrained / ours constrained", "the stu"): (0.955, "no"),
        ("1 thread / 2 threads, ours free", "stride "): (1.9, "yes"),
        ("ours / dense", "score n"): (1.25, "no"),
        ("ours / dense", "label n"): (1.0, "yes"),
        ("ours with margin / without", "stride "): (3.0, ""),
        ("ours / copy of the answer, free", "stride "): (20.0, ""),
    }
    assert "opencv_running_best" in levels["fastest rival / ours, free", "stride "].decided_by
    assert summary([]) == []


# --- the command


@pytest.fixture
def kept_threads() -> Iterator[None]:
    """What the tool sets for its process is put back."""
    torch = pytest.importorskip("torch", reason="torch, one of the rivals, is not installed")
    before = cv2.getNumThreads(), torch.get_num_threads()
    yield
    cv2.setNumThreads(before[0])
    torch.set_num_threads(before[1])


@pytest.mark.usefixtures("kept_threads")
def test_a_whole_run_writes_both_tables(tmp_path) -> None:
    words = "--made-up --size 128,256 --threads 1 --strides 8 --classes 19 --repeats 7 --quick"
    bench_head.main([*words.split(), "--libraries", "torch,onnxruntime,opencv", "--out", str(tmp_path)])
    with (tmp_path / "head_cpu.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {r["rival"] for r in rows} >= {"lsu", "lsu_dense", "torch_max+mask", "onnxruntime", "copy_answer"}
    assert {r["scores"] for r in rows} == {"student", "noise"}
    for r in rows:
        assert float(r["median_ms"]) > 0
        assert int(r["repeats"]) >= 7
        assert r["rival"].startswith("copy") or float(r["equal_share"]) >= 99.9
        assert abs(float(r["mixed_share"]) - float(r["untiled_share"])) <= 2 or r["scores"] == "noise"
    with (tmp_path / "head_cpu_summary.csv").open() as file:
        assert {level["met"] for level in csv.DictReader(file)} <= {"yes", "no", ""}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["head_cpu.csv", "head_cpu_summary.csv"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--repeats", "3"], "--repeats is 3; 7 or more are allowed"),
        (["--threads", "1,x"], "'1,x' is not a list of numbers"),
        (["--classes", "300"], "--classes holds 300; 1 to 66 are allowed"),
        (["--strides", "8,5"], "--strides holds 5; it has to divide (1024, 2048)"),
        ([], "--data and --bundle are needed"),
        (["--data", "/nowhere", "--bundle", "/nowhere"], "/nowhere"),
    ],
)
def test_bad_input_ends_with_2_and_says_why(words, said, capsys) -> None:
    with pytest.raises(SystemExit) as ended:
        bench_head.main(words)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err.strip().splitlines()[-1]


@pytest.mark.usefixtures("kept_threads")
def test_an_interrupted_run_writes_nothing(tmp_path, monkeypatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(bench_head, "race", interrupt)
    with pytest.raises(SystemExit) as ended:
        words = "--made-up --size 64,128 --threads 1 --quick --libraries opencv"
        bench_head.main([*words.split(), "--out", str(tmp_path)])
    assert ended.value.code == 130
    assert list(tmp_path.iterdir()) == []
