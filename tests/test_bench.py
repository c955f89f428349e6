"""Benchmarks: stages add up, contenders take turns, and what cannot run is said."""

import csv
import json
import multiprocessing
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from bundles import SPEC, noise, tiny_bundle, tiny_scores
from engines import stand_in_driver, stored_engine, use_stand_in_library
from pictures import write_png
from typer.testing import CliRunner

from lsu.export import cli
from lsu.export.benchmark import bench as bench_module
from lsu.export.benchmark import bench_worker
from lsu.export.benchmark.bench import Running, bench
from lsu.export.benchmark.bench_table import COLUMNS
from lsu.export.benchmark.bench_worker import STAGES, Contender, Job, columns, drawn_images, peak_memory
from lsu.export.csv_table import append_rows
from lsu.runtime import cuda_device
from lsu.runtime.errors import BackendError, InputError
from lsu.runtime.image import image_from_bytes, png_from_pixels
from lsu.runtime.latency import Latency

PICTURE = ("a.png", png_from_pixels(noise(21, 27), rgb=True))


def call(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(cli.application(), ["bench", *map(str, arguments)])
    return result.exit_code, result.stdout, result.stderr


class Clock:
    """Each reading is a millisecond after the one before."""

    now = 0

    def __call__(self) -> int:
        self.now += 1_000_000
        return self.now


class SteppedEngine:
    """An engine that says when its copies are done, as those on a device do."""

    spec, identity, on_step = SPEC, "stepped", None

    def infer(self, images: np.ndarray) -> np.ndarray:
        if self.on_step is not None:
            self.on_step()
            self.on_step()
        return np.stack([tiny_scores(image) for image in images])

    def close(self) -> None:
        pass


def test_stages_of_a_cpu_have_no_copies_and_add_up(tmp_path: Path) -> None:
    job = Job("b", tiny_bundle(tmp_path / "b").path, "onnxruntime", (PICTURE,), warm_up=0)
    (times,) = Contender(job, Clock()).block()
    ms = 1_000_000
    assert times == {"decode": ms, "fit": ms, "engine": ms, "head": ms, "total": 4 * ms}


def test_an_engine_that_tells_its_steps_is_split_into_copies_and_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench_worker, "engine_for", lambda *_, **__: SteppedEngine())
    job = Job("b", tiny_bundle(tmp_path / "b").path, "tensorrt", (PICTURE,), warm_up=0)
    (times,) = Contender(job, Clock()).block()
    ms = 1_000_000
    assert times == {
        "decode": ms, "fit": ms, "copy_in": ms, "engine": ms, "copy_out": ms, "head": ms, "total": 6 * ms,
    }  # fmt: skip
    assert list(columns([times])) == list(STAGES)


def test_the_copies_of_a_stored_engine_are_timed_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over stand-ins for the driver and the library: it proves nothing of a GPU's times."""
    bundle = tiny_bundle(tmp_path / "b")
    stored_engine(bundle)
    monkeypatch.setattr(cuda_device, "_LIBRARY", str(stand_in_driver(tmp_path)))
    use_stand_in_library(monkeypatch)
    contender = Contender(Job("b", bundle.path, "tensorrt", (PICTURE,), warm_up=0))
    (times,) = contender.block()
    assert contender.about()["engine"] == "TensorRTEngine"
    contender.close()
    assert set(times) == set(STAGES)
    assert min(times.values()) > 0
    assert times["total"] >= sum(times[stage] for stage in STAGES[:-1])


def test_a_block_is_every_image_once_and_the_first_is_run_before_uncounted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    engine = SteppedEngine()
    monkeypatch.setattr(bench_worker, "engine_for", lambda *_, **__: engine)
    monkeypatch.setattr(
        engine,
        "infer",
        lambda x: seen.append(x.shape[2]) or np.zeros((1, 3, 6, 8), np.float32),
        raising=False,
    )
    images = tuple((f"{w}.png", png_from_pixels(noise(24, w), rgb=True)) for w in (8, 16, 24))
    contender = Contender(Job("b", tiny_bundle(tmp_path / "b").path, "x", images, warm_up=4))
    assert seen == [8, 16, 24, 8]
    seen.clear()
    assert len(contender.block()) == 3
    assert seen == [8, 8, 16, 24]


def test_contenders_take_turns_and_change_their_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []

    class Scripted(Running):
        def __enter__(self) -> Running:
            return self

        def __exit__(self, *_: object) -> None:
            order.append(f"{self.job.name} ends")

        def asked(self, command: str) -> object:
            if command == "end":
                return 5 << 20
            order.append(self.job.name)
            return [{"decode": 1_000_000, "engine": 3_000_000, "head": 0, "fit": 0, "total": 4_000_000}]

    monkeypatch.setattr(bench_module, "Running", Scripted)
    monkeypatch.setattr(bench_module, "PAUSE", 0)
    result = bench([Job(name, tmp_path, "auto") for name in ("a", "b")], repeats=3)
    assert order == ["a", "b", "b", "a", "a", "b", "b ends", "a ends"]
    first = result.measured[0]
    assert (first.frames, first.seconds, first.frames_per_second) == (3, 0.012, 250.0)
    assert first.stages["engine"] == Latency(3.0, 3.0, 3.0, 3.0)
    assert first.stages["copy_in"] is None
    assert first.to_dict()["milliseconds"]["copy_out"] is None


def test_two_bundles_are_measured_into_json_and_a_table_that_grows(tmp_path: Path) -> None:
    first, second = (tiny_bundle(tmp_path / name, name=name) for name in ("one", "two"))
    for k in range(3):
        write_png(tmp_path / f"images/{k}.png", noise(21, 27, k))
    arguments = (first.path, second.path, "--backend", "onnxruntime", "--images", tmp_path / "images")
    options = ("--frames", 2, "--repeats", 2, "--warm-up", 1, "--threads", 1, "--csv", tmp_path / "t.csv")
    code, out, err = call(*arguments, *options, "--json")
    assert (code, err) == (0, "")
    document = json.loads(out)
    assert [entry["digest"] for entry in document["contenders"]] == [first.digest, second.digest]
    for entry in document["contenders"]:
        assert entry["frames"] == 4
        assert entry["image_sizes"] == ["21x27"]
        assert entry["engine"] == "OnnxRuntimeEngine CPUExecutionProvider"
        stages = entry["milliseconds"]
        assert list(stages) == list(STAGES)
        assert stages["copy_in"] is None
        assert stages["copy_out"] is None
        assert 0 < stages["engine"]["p50"] <= stages["engine"]["p99"] <= stages["engine"]["max"]
        assert stages["engine"]["max"] < stages["total"]["max"]
        assert entry["peak_memory_bytes"] > 30 << 20
        assert 0 < entry["mixed_share"] <= 1
    assert document["machine"]["versions"]["onnxruntime"]
    assert call(*arguments, *options)[0] == 0
    rows = list(csv.DictReader((tmp_path / "t.csv").read_text().splitlines()))
    assert len(rows) == 2 * 2 * len(STAGES)
    assert tuple(rows[0]) == COLUMNS
    assert {row["p50_ms"] for row in rows if row["stage"] == "copy_in"} == {"-"}
    assert all(row["device"] and row["versions"] and row["command"] for row in rows)


def test_who_cannot_run_is_named_and_the_code_is_1(tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "b")
    options = ("--frames", 1, "--repeats", 1, "--warm-up", 0)
    code, out, _ = call(bundle.path, "--backend", "onnxruntime", "--backend", "tensorrt", *options)
    assert code == 1
    assert "tensorrt: " in out.replace("\n", "")
    assert "frames/s" in out
    code, out, err = call(bundle.path, "--backend", "tensorrt", *options)
    assert (code, out) == (3, "")
    assert "has no engine that gives scores for tensorrt" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("b", "--backend", "tensorflow"), "unknown backend 'tensorflow'"),
        (("missing",), "missing: not a bundle"),
        (("b", "b"), "one or more of different names are needed"),
        (("b", "--images", "nothing"), "nothing"),
        (("b", "--csv", "other.csv"), "its columns are not those that are to be added"),
        (("b", "--csv", "other.csv/t.csv"), "is not a folder: choose another"),
    ],
)
def test_bad_input_is_one_line_and_code_2_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Running, "__enter__", lambda _: pytest.fail("a process was started"))
    tiny_bundle(tmp_path / "b")
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    code, out, err = call(*arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1
    assert (tmp_path / "other.csv").read_text() == "a,b\n1,2\n"


def test_a_table_without_a_last_line_end_is_continued_on_a_new_line(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    append_rows(path, COLUMNS, [dict.fromkeys(COLUMNS, "x")])
    path.write_bytes(path.read_bytes().rstrip())
    append_rows(path, COLUMNS, [dict.fromkeys(COLUMNS, "y")])
    assert [row["name"] for row in csv.DictReader(path.read_text().splitlines())] == ["x", "y"]


def test_a_process_that_dies_is_told(tmp_path: Path) -> None:
    job = Job("b", tiny_bundle(tmp_path / "b").path, "onnxruntime", (PICTURE,), warm_up=0)
    with Running(job) as running:
        assert len(running.asked("block")) == 1
        os.kill(running._process.pid, signal.SIGKILL)
        with pytest.raises(BackendError, match="b: its process died with exit code -9"):
            running.asked("block")


def test_who_fails_on_the_way_is_named_and_the_others_are_measured_to_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = Running.asked

    def killed(self: Running, command: str) -> object:
        if self.job.name in failing and self.times:
            os.kill(self._process.pid, signal.SIGKILL)
            self._process.join()  # dead before it is asked; the test above asks one that is dying
        return asked(self, command)

    monkeypatch.setattr(Running, "asked", killed)
    path = tiny_bundle(tmp_path / "b").path
    jobs = [Job(name, path, "onnxruntime", (PICTURE,), warm_up=0) for name in ("a", "b")]
    failing, blocks = {"a"}, []
    result = bench(jobs, repeats=3, on_block=lambda: blocks.append(1))
    assert [(entry.job.name, entry.frames) for entry in result.measured] == [("b", 3)]
    ((name, reason),) = result.absent
    assert (name, len(blocks)) == ("a", 5)  # the failed one counts, the one after it not
    assert reason.startswith("failed in block 2: a: its process died with exit code -9")
    failing = {"a", "b"}
    with pytest.raises(BackendError, match="b: failed in block 2: .*; a: failed in block 2: "):
        bench(jobs, repeats=3)


def test_a_process_whose_parent_is_gone_ends_without_a_word(tmp_path: Path, capfd) -> None:
    job = Job("b", tiny_bundle(tmp_path / "b").path, "onnxruntime", (PICTURE,), warm_up=0)
    ours, theirs = multiprocessing.Pipe()
    ours.send("block")
    ours.close()  # what it says of itself has no reader any more
    bench_worker.serve(theirs, job)
    assert capfd.readouterr() == ("", "")


def test_a_bad_image_is_told_by_the_parent_and_no_process_stays(tmp_path: Path) -> None:
    job = Job("b", tiny_bundle(tmp_path / "b").path, "onnxruntime", (("cut.png", PICTURE[1][:50]),))
    with pytest.raises(BackendError, match=r"cut\.png: the PNG file is cut off after 50 bytes"):
        bench([job], repeats=1)


def test_drawn_images_are_as_the_network_takes_them() -> None:
    def sizes(spec: object) -> list[tuple[int, ...]]:
        return [image_from_bytes(data, Path(name)).shape[:2] for name, data in drawn_images(spec, 2)]

    assert sizes(SPEC) == [(499, 1017)] * 2
    assert sizes(replace(SPEC, fit="exact")) == [(512, 1024)] * 2
    assert sizes(replace(SPEC, fit="exact", multiple=48)) == [(528, 1056)] * 2
    assert sizes(replace(SPEC, fit="resize", size=(64, 96))) == [(51, 89)] * 2


def test_the_peak_of_a_fresh_process_does_not_count_its_parents_memory() -> None:
    script = (
        "from lsu.export.benchmark.bench_worker import peak_memory\n"
        "before = peak_memory()\n"
        "data = bytearray(200 << 20)\n"
        "print(before, peak_memory())\n"
    )
    ballast = bytearray(600 << 20)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    before, after = map(int, done.stdout.split())
    assert before < 400 << 20 < len(ballast)
    assert 150 << 20 < after - before < 250 << 20
    assert peak_memory() > 600 << 20


def test_no_repeats_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="0 repeats"):
        bench([Job("a", tmp_path, "auto")], repeats=0)


def test_without_torch_onnx_and_polygraphy_a_bundle_is_measured(tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "b")
    script = (
        "import sys\n"
        "class Block:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in {'torch', 'onnx', 'polygraphy', 'timm', 'pydantic'}:\n"
        "            raise ImportError('blocked: ' + name)\n"
        "sys.meta_path.insert(0, Block())\n"
        "from pathlib import Path\n"
        "import lsu.export.benchmark.bench, lsu.export.benchmark.bench_table\n"
        "from lsu.export.benchmark.bench_worker import Contender, Job\n"
        f"contender = Contender(Job('b', Path({str(bundle.path)!r}), 'onnxruntime', frames=1, warm_up=0))\n"
        "assert len(contender.block()) == 1\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
