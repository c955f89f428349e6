"""What the translation of a label file to dense indices adds to decoding its PNG.

Timed in turns, round after round, on one thread: OpenCV's decoding alone (`imdecode`); decoding as lsu does
it, with the file checked for damage (`decode`); that and the mapping (`ours`); and OpenCV's decoding with
numpy look-ups: a table of all ids, or of all 2^24 colours (`numpy_table`), and colour after colour
(`numpy_masks`). Times are medians over all rounds of a file, then over the files. `mapping_share` is what the
mapping adds to OpenCV's decoding alone, the question's strict reading: (ours - decode) / imdecode; the numpy
rows have (their time - imdecode) / imdecode.

The files are real label files of $LSU_DATA, at their size and enlarged to 1024x2048 by nearest neighbours, as
ids and painted in the colours of their label space.

Example: python tools/bench_label_mapping.py --data $LSU_DATA
"""

import argparse
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from platform import python_version
from statistics import median

import cv2
import numpy as np
import numpy.typing as npt
from measurement import commit, write_csv

from lsu.runtime import VOID, Dataset, InputError
from lsu.runtime.datasets.label_image import LabelDecoder
from lsu.runtime.image import grey_from_bytes, png_from_pixels
from lsu.runtime.label_space import LabelSpace
from lsu.runtime.machine import processor

SETS = ("camvid32_camseq01", "idd_lite")
LARGE = (2048, 1024)
ALLOWED = 0.25  # of the time of decoding
Contender = Callable[[bytes], npt.NDArray[np.uint8]]
HERE = Path("label.png")


def main(arguments: list[str] | None = None) -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="the folder of real data sets")
    parser.add_argument("--files", type=int, default=4, help="files of each set")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).parents[1] / "benchmarks/label_mapping.csv"
    )
    chosen = parser.parse_args(arguments)
    cv2.setNumThreads(1)
    about = {
        "device": f"{processor()}, 1 thread",
        "versions": f"lsu {version('lsu')}, opencv-python {version('opencv-python')}, "
        f"numpy {version('numpy')}, python {python_version()}",
        "commit": commit(),
        "command": "python tools/bench_label_mapping.py --data $LSU_DATA "
        f"--files {chosen.files} --rounds {chosen.rounds}",
    }
    rows = []
    for name in SETS:
        dataset = Dataset.load(name, chosen.data / name)
        split = dataset.split(next(iter(dataset.splits)))
        step = max(1, len(split.frames) // chosen.files)
        files = [f.label.read_bytes() for f in split.frames[::step][: chosen.files] if f.label]
        for encoding in ("ids", "colours"):
            for size in (None, LARGE):
                encoded = [_encoded(data, dataset.label_space, encoding, size) for data in files]
                found = _measured(encoded, dataset.label_space, encoding, chosen.rounds)
                rows += [{"set": name, "encoding": encoding, **row, **about} for row in found]
                shares = {row["what"]: row["mapping_share"] for row in found}
                print(f"{name} {encoding} {found[0]['size']}: {shares}", file=sys.stderr)
    write_csv(chosen.out, rows)


def _encoded(data: bytes, space: LabelSpace, encoding: str, size: tuple[int, int] | None) -> bytes:
    """The label file at `size`, in ids or painted."""
    ids = grey_from_bytes(data, HERE)
    if size is not None:
        ids = cv2.resize(ids, size, interpolation=cv2.INTER_NEAREST)
    if encoding == "ids":
        return cv2.imencode(".png", ids)[1].tobytes()
    colours = np.zeros((256, 3), np.uint8)
    for k, entry in enumerate([*space.classes, *space.void]):
        colours[k if entry.id is None else entry.id] = entry.colour or (0, 0, 0)
    return png_from_pixels(colours[ids], rgb=True)


def _measured(files: list[bytes], space: LabelSpace, encoding: str, rounds: int) -> list[dict[str, object]]:
    """A row for each contender."""
    contenders = _contenders(space, encoding)
    times = [_times(contenders, data, rounds) for data in files]
    expected = [contenders["ours"](data) for data in files]
    for what in ("numpy_table", "numpy_masks"):
        if what in contenders:
            for data, answer in zip(files, expected, strict=True):
                if not np.array_equal(contenders[what](data), answer):
                    raise InputError(f"{what} and lsu disagree: measure nothing before that is mended")
    medians = {what: median(found[what] for found in times) for what in contenders}
    height, width = np.shape(expected[0])
    return [
        {
            "size": f"{width}x{height}",
            "files": len(files),
            "rounds": rounds,
            "what": what,
            "median_ms": round(1e3 * taken, 4),
            "mapping_share": _share(what, medians),
            "at_most": ALLOWED if what == "ours" else "",
        }
        for what, taken in medians.items()
    ]


def _share(what: str, medians: dict[str, float]) -> float | str:
    if what in ("imdecode", "decode"):
        return ""
    before = medians["decode" if what == "ours" else "imdecode"]
    return round((medians[what] - before) / medians["imdecode"], 4)


def _times(contenders: dict[str, Contender], data: bytes, rounds: int) -> dict[str, float]:
    """The median seconds of each contender; the first round is not counted."""
    taken: dict[str, list[float]] = {what: [] for what in contenders}
    for _ in range(rounds + 1):
        for what, run in contenders.items():
            start = time.perf_counter()
            run(data)
            taken[what].append(time.perf_counter() - start)
    return {what: median(found[1:]) for what, found in taken.items()}


def _contenders(space: LabelSpace, encoding: str) -> dict[str, Contender]:
    decoder = LabelDecoder(space, encoding)
    rivals = _id_rivals(space) if encoding == "ids" else _colour_rivals(space)
    return {
        "imdecode": _imdecode,
        "decode": lambda data: decoder.values(data, HERE),
        "ours": lambda data: decoder.decode(data, HERE),
        **rivals,
    }


def _id_rivals(space: LabelSpace) -> dict[str, Contender]:
    table = np.full(256, VOID, np.uint8)
    for k, entry in enumerate(space.classes):
        table[k if entry.id is None else entry.id] = k
    return {"numpy_table": lambda data: table[_imdecode(data)]}


def _colour_rivals(space: LabelSpace) -> dict[str, Contender]:
    dense = {e.colour: k for k, e in enumerate(space.classes) if e.colour is not None}
    table = np.full(1 << 24, VOID, np.uint8)
    for (red, green, blue), k in dense.items():
        table[red << 16 | green << 8 | blue] = k

    def by_table(data: bytes) -> npt.NDArray[np.uint8]:
        pixels = _imdecode(data).astype(np.uint32)
        answer: npt.NDArray[np.uint8] = table[pixels[..., 2] << 16 | pixels[..., 1] << 8 | pixels[..., 0]]
        return answer

    def by_masks(data: bytes) -> npt.NDArray[np.uint8]:
        pixels = _imdecode(data)
        answer = np.full(pixels.shape[:2], VOID, np.uint8)
        for colour, k in dense.items():
            answer[(pixels == colour[::-1]).all(-1)] = k
        return answer

    return {"numpy_table": by_table, "numpy_masks": by_masks}


def _imdecode(data: bytes) -> npt.NDArray[np.uint8]:
    pixels: npt.NDArray[np.uint8] = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)  # type: ignore[assignment]
    return pixels


if __name__ == "__main__":
    main()
