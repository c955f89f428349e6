"""The head on the CPU against its rivals: how long 1024x2048 classes take, free and constrained.

All contenders of a race answer the same question on the same number of threads and are timed in turns: round
after round, each of them once. Times are medians. Before each call there is a pause, so that spinning threads
of one do not disturb the next; who needs less than 30 ms is called once untimed just before; who needs more
than 100 ms is timed 7 times. Before a race everybody's answer is compared with the head's: below
99.9 % equal pixels there is no race.

Scores are those of a student of camvid11, its maps continued by their own mirror images and never resampled;
the true labels of the same frame are continued in step. The frame is the one with the median share of mixed
cells (cells whose four corners do not have one best class). More than 11 classes are other frames' maps,
lowered as little as the share allows. Fixed shares are made by blurring that map or adding noise to it.

A student's bundle comes from `lsu fit` and `lsu export onnx`; tools/trial_unification.py leaves checkpoints,
WORK/400-steps/TRIAL/round-1/checkpoint.safetensors. The network's fit has to be "stretch".

All takes about 20 minutes on a quiet machine of two cores, --quick about 2. When all is done two tables are
written: head_cpu.csv, a row for each contender, and head_cpu_summary.csv, the asked levels.

Example: python tools/bench_head.py --data $LSU_DATA/camvid11 --bundle runs/student.bundle
"""

import argparse
import re
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from platform import python_version

import numpy as np
from head_instructions import instructions, library
from head_modes import CONSTRAINTS
from head_plan import COUNTED, EXTRAS, Question, Setting, questions, quick_settings, settings
from head_race import LEAST_REPEATS, equal_share, race, refuse_wrong
from head_rivals import LIBRARIES, Contender, Task, copies, ours, rivals, use_threads
from head_scores import (
    SHARE_TOLERANCE,
    Scores,
    StudentFrame,
    made_up_frames,
    middle_first,
    mirror_tiled,
    nearest_shift,
    refuse_share,
    student_frames,
    tiled_labels,
    with_classes,
    with_share,
)
from head_summary import CLASSES, DENSE, ONE_THREAD, OURS, STRIDE, Row, summary
from measurement import commit, write_csv

from lsu.runtime import InputError, LsuError
from lsu.runtime.bundles.bundle import MANIFEST
from lsu.runtime.files import digest_of, read_bytes
from lsu.runtime.machine import processor
from lsu.runtime.terminal import INTERRUPTED, progress

SEED = 0
MOST_CLASSES = 66  # those of six frames


def main(words: Sequence[str] | None = None) -> None:
    """Run all races and write the two tables."""
    arguments = _parsed(words)
    try:
        _refuse(arguments)
        frames = _frames(arguments)
        rows: list[Row] = []
        make = quick_settings if arguments.quick else settings
        chosen = make(arguments.threads, arguments.strides, arguments.classes)
        with progress("bench_head", len(chosen)) as advance:
            for setting in chosen:
                rows += measured(setting, frames, arguments)
                advance(note=f"{setting.scores}, stride {setting.stride}, {setting.classes} classes")
        about = {"frame": frames[0].key, "student": _digest(arguments)}
        write(rows, arguments, about)
    except LsuError as error:
        print(f"bench_head: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print("bench_head: interrupted; nothing was written", file=sys.stderr)
        sys.exit(INTERRUPTED)


def measured(setting: Setting, frames: list[StudentFrame], arguments: argparse.Namespace) -> list[Row]:
    """The rows of one setting."""
    use_threads(setting.threads, arguments.libraries)
    rng = np.random.default_rng(SEED)
    frame = frames[0]
    sides = (arguments.size[0] // setting.stride, arguments.size[1] // setting.stride)
    untiled = with_classes(frames, setting.classes)
    shift = nearest_shift(untiled, sides, frame.mixed_share)
    scores = mirror_tiled(untiled, sides, shift)
    share = refuse_share(scores, frame.mixed_share, f"{frame.key} tiled to {sides[0]}x{sides[1]}")
    if setting.share is not None:
        scores = with_share(scores, setting.share, rng)
        share = refuse_share(scores, setting.share, setting.scores, SHARE_TOLERANCE)
    truth = tiled_labels(frame, arguments.size, setting.stride, shift)
    modes: list[str] = []
    contenders: list[Contender] = []
    for question in questions(setting, scores, truth, rng, arguments.size):
        for contender in _contenders(question, setting, arguments.libraries):
            modes.append(question.mode)
            contenders.append(contender)
    equal = _equal_shares(modes, contenders, setting)
    timings = race(contenders, arguments.repeats, time.perf_counter)
    own = {m: t.median for m, c, t in zip(modes, contenders, timings, strict=True) if c.name == OURS}
    counts = _counts(setting, scores, truth, arguments)
    return [
        Row(
            threads=setting.threads,
            stride=setting.stride,
            classes=setting.classes,
            scores=setting.scores,
            mode=mode,
            rival=contender.name,
            mixed_share=round(100 * share, 2),
            untiled_share=round(100 * frame.mixed_share, 2),
            median_ms=round(1e3 * timing.median, 4),
            p10_ms=round(1e3 * timing.percentile(10), 4),
            p90_ms=round(1e3 * timing.percentile(90), 4),
            ratio_to_ours=round(timing.median / own[mode], 3),
            equal_share=None if same is None else round(100 * same, 4),
            instructions=counts.get((mode, contender.name)),
            repeats=len(timing.seconds),
        )
        for mode, contender, timing, same in zip(modes, contenders, timings, equal, strict=True)
    ]


def _contenders(question: Question, setting: Setting, libraries: tuple[str, ...]) -> Iterator[Contender]:
    task, extras = question.task, dict.fromkeys(question.extras, True)
    yield ours(OURS, task, threads=setting.threads, half=question.half, **extras)
    yield ours(DENSE, task, threads=setting.threads, method="dense", half=question.half, **extras)
    if setting.threads != 1 and question.mode in EXTRAS:
        yield ours(ONE_THREAD, task, threads=1)
    if question.mode in EXTRAS:
        yield from copies(task)
    for given in setting.rivals.get(question.mode, ()):
        yield from rivals(task, given, threads=setting.threads, libraries=libraries)


def _equal_shares(modes: list[str], contenders: list[Contender], setting: Setting) -> list[float | None]:
    """The share of pixels on which each agrees with the head; nobody races with wrong answers."""
    shares: list[float | None] = []
    for mode, contender in zip(modes, contenders, strict=True):
        answered = contender.run()
        if contender.answer is None:
            shares.append(None)
            continue
        answer = contender.answer(answered)
        if contender.name == OURS:
            reference = answer.astype(np.uint8)
        share = equal_share(answer, reference)
        if contender.name in (DENSE, ONE_THREAD) and not np.array_equal(answer, reference):
            raise InputError(f"{mode}: {contender.name} and {OURS} differ; they must not by a bit: a defect")
        where = f"{setting.scores}, stride {setting.stride}, {setting.classes} classes"
        refuse_wrong(f"{where}, {mode}: {contender.name}", share)
        shares.append(share)
    return shares


def _counts(
    setting: Setting, scores: Scores, truth: np.ndarray, arguments: argparse.Namespace
) -> dict[tuple[str, str], int | None]:
    """Instructions by mode and rival, where they are counted."""
    if not setting.thorough or setting.threads != 1 or setting.share is not None or arguments.quick:
        return {}
    found = {}
    for mode in COUNTED:
        constraint = None if mode == "free" else CONSTRAINTS[mode](truth, setting.classes)
        task = Task(scores, arguments.size, constraint)
        found[mode, OURS] = instructions(task, "auto")
        found[mode, DENSE] = instructions(task, "dense")
    return found


def write(rows: list[Row], arguments: argparse.Namespace, about: dict[str, str]) -> None:
    """`head_cpu.csv` with every contender, `head_cpu_summary.csv` with the levels."""
    about = {
        **about,
        "device": processor(),
        "versions": _versions(),
        "commit": commit(),
        "command": _command(arguments),
    }
    write_csv(arguments.out / "head_cpu.csv", [{**asdict(row), **about} for row in rows])
    levels = summary(rows)
    write_csv(arguments.out / "head_cpu_summary.csv", [{**asdict(level), **about} for level in levels])
    for level in levels:
        asked = f", asked {level.asked}: {level.met}" if level.asked else ""
        print(f"{level.question}; {level.scope}: {level.measured:g}{asked} ({level.decided_by})")


def _versions() -> str:
    names = ("lsu", "torch", "onnxruntime", "opencv-python", "numpy")
    versions = [f"{name} {version(name)}" for name in names] + [f"python {python_version()}"]
    compiler = re.search(rb"GCC: \([^)]*\) [\d.]+|clang version [\d.]+", library().read_bytes())
    return ", ".join([*versions, *([compiler.group().decode()] if compiler else [])])


def _command(arguments: argparse.Namespace) -> str:
    words = f"python tools/bench_head.py --data $LSU_DATA/camvid11 --bundle BUNDLE --split {arguments.split}"
    for name in ("threads", "strides", "classes"):
        words += f" --{name} {','.join(map(str, getattr(arguments, name)))}"
    return f"{words} --repeats {arguments.repeats}{' --quick' if arguments.quick else ''}"


def _frames(arguments: argparse.Namespace) -> list[StudentFrame]:
    if arguments.made_up:
        return middle_first(made_up_frames(8, np.random.default_rng(SEED)))
    if arguments.data is None or arguments.bundle is None:
        raise InputError("--data and --bundle are needed; --help says how to make a bundle")
    return middle_first(student_frames(arguments.bundle, arguments.data, arguments.split))


def _digest(arguments: argparse.Namespace) -> str:
    """What tells the student apart: the first digits of its bundle's digest."""
    return "made up" if arguments.made_up else digest_of(read_bytes(arguments.bundle / MANIFEST))[:16]


def _refuse(arguments: argparse.Namespace) -> None:
    """Raise InputError for numbers that cannot be measured."""
    if arguments.repeats < LEAST_REPEATS:
        raise InputError(f"--repeats is {arguments.repeats}; {LEAST_REPEATS} or more are allowed")
    if max(arguments.classes) > MOST_CLASSES:
        raise InputError(f"--classes holds {max(arguments.classes)}; 1 to {MOST_CLASSES} are allowed")
    for stride in arguments.strides:
        if any(side % stride or side == stride for side in arguments.size):
            raise InputError(
                f"--strides holds {stride}; it has to divide {arguments.size}, both sides: try 8"
            )


def _parsed(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="the folder of camvid11")
    parser.add_argument("--bundle", type=Path, help="a student's bundle")
    parser.add_argument("--split", default="val", help="whose frames the student sees")
    parser.add_argument(
        "--out", type=Path, help="where the CSV files go: benchmarks, or build/head_quick with --quick"
    )
    parser.add_argument("--threads", type=_numbers, default=(1, 2), help="such as 1,2")
    parser.add_argument("--strides", type=_numbers, default=(4, 8, 16), help="of the scores")
    parser.add_argument("--classes", type=_numbers, default=(11, 19, 65))
    parser.add_argument("--repeats", type=int, default=15, help=f"rounds, at least {LEAST_REPEATS}")
    parser.add_argument("--quick", action="store_true", help="stride 8, 19 classes, few rivals, 7 rounds")
    parser.add_argument("--size", type=_numbers, default=(1024, 2048), help=argparse.SUPPRESS)
    parser.add_argument("--made-up", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument(
        "--libraries", type=lambda t: tuple(t.split(",")), default=LIBRARIES, help=argparse.SUPPRESS
    )
    arguments = parser.parse_args(words)
    if arguments.out is None:
        arguments.out = Path("build/head_quick" if arguments.quick else "benchmarks")
    if arguments.quick:
        arguments.strides, arguments.classes, arguments.repeats = (STRIDE,), (CLASSES,), LEAST_REPEATS
    return arguments


def _numbers(text: str) -> tuple[int, ...]:
    if not re.fullmatch(r"[1-9][0-9]*(,[1-9][0-9]*)*", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of numbers such as 1,2")
    return tuple(map(int, text.split(",")))


if __name__ == "__main__":
    main()
