"""Measure how equal an export is: torch, onnxruntime with our head, and the head as a function of ONNX.

    python tools/export_agreement.py CHECKPOINT=DATASET:SPLIT[:ROOT] ... --output FILE.csv

For each checkpoint the network is exported in fp32 and in fp16 with free sizes, and the classes of the
split's frames are compared with those of torch in float32. Then a free and a fixed export of each size in
`SIZES` are compared on one picture. Mixed cells are those of the scores where engines can differ at all.
"""

import argparse
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from measurement import commit, write_csv

from lsu.export.agreement import Agreement
from lsu.export.graph import DeployedNetwork
from lsu.export.onnx_session import outputs_of, session_from_model
from lsu.export.proof import torch_scores
from lsu.export.to_onnx import Options, export_checkpoint, onnx_from_network
from lsu.runtime.datasets.dataset import Dataset
from lsu.runtime.head import constrained_argmax
from lsu.runtime.machine import processor
from lsu.runtime.mixed_cells import mixed_share
from lsu.runtime.model import ModelSpec, placed
from lsu.training.checkpoint import Checkpoint

SIZES = ((64, 64), (512, 1024), (2048, 4096))
PRECISIONS = {"fp32": "float32", "fp16": "float16"}

Row = dict[str, object]


@dataclass(frozen=True)
class Student:
    """A checkpoint and the images that it is compared on."""

    name: str
    checkpoint: Path
    images: tuple[np.ndarray, ...]
    frames: str

    @classmethod
    def from_text(cls, text: str, most: int) -> "Student":
        """Of CHECKPOINT=DATASET:SPLIT[:ROOT]."""
        path, _, data = text.partition("=")
        dataset, split, *root = data.split(":")
        chosen = Dataset.load(dataset, Path(root[0]) if root else None).split(split)
        images = tuple(chosen.read_image(frame) for frame in chosen.frames[:most])
        return cls(Path(path).stem, Path(path), images, f"{chosen.dataset}/{split}")


def compared_with_torch(student: Student, precision: str) -> Iterator[Row]:
    """Ours behind onnxruntime, and the ONNX function, each against torch in float32 with our head."""
    checkpoint = Checkpoint.load(student.checkpoint)
    network = DeployedNetwork(checkpoint.network(), checkpoint.config.network).eval()
    options = Options(size="dynamic", head="function", precision=PRECISIONS[precision])
    with tempfile.TemporaryDirectory() as folder:
        bundle = export_checkpoint(student.checkpoint, Path(folder) / "bundle", options)
        session = session_from_model(bundle.read("model_with_head.onnx"))
    equal: dict[str, list[float]] = {"onnxruntime + head": [], "onnx function": []}
    shares = []
    for image in student.images:
        fitted = placed(image, bundle.spec)
        truth = torch_scores(network, fitted.pixels[np.newaxis])[0]
        expected = constrained_argmax(truth, fitted.canvas).classes
        feed = {
            "image": fitted.pixels[np.newaxis],
            "size": np.array(fitted.canvas, np.int64),
            "labels": np.zeros((1, *fitted.canvas), np.int32),
            "allowed": np.ones((256, bundle.spec.channels), bool),
        }
        scores, free = outputs_of(session, ["scores", "free"], feed)
        ours = constrained_argmax(np.ascontiguousarray(scores[0], np.float32), fitted.canvas).classes
        equal["onnxruntime + head"].append(float((ours == expected).mean()))
        equal["onnx function"].append(float((free[0] == expected).mean()))
        shares.append(mixed_share(truth))
    asked = 0.9999 if precision == "fp32" else 0.995
    for what, values in equal.items():
        yield _row(student, precision, f"{what} against torch", values, asked) | {
            "mixed_share": round(100 * float(np.mean(shares)), 2)
        }


def free_against_fixed(student: Student) -> Iterator[Row]:
    """The same picture through an export of free sizes and one of its size."""
    checkpoint = Checkpoint.load(student.checkpoint)
    network = DeployedNetwork(checkpoint.network(), checkpoint.config.network).eval()
    spec = ModelSpec(checkpoint.label_space, multiple=32)
    free = session_from_model(onnx_from_network(network, spec))
    for size in SIZES:
        fixed = session_from_model(onnx_from_network(network, replace(spec, size=size, multiple=1)))
        tiles = [-(-side // extent) for side, extent in zip(size, student.images[0].shape, strict=False)]
        picture = np.tile(student.images[0], (*tiles, 1))[np.newaxis, : size[0], : size[1]]
        feed = {"image": np.ascontiguousarray(picture)}
        ours, theirs = (outputs_of(session, ["scores"], feed)[0][0] for session in (free, fixed))
        agreement = Agreement().with_image(ours, theirs, size, "the fixed export")
        what = f"free against fixed, {size[0]}x{size[1]}"
        share = {"mixed_share": round(100 * mixed_share(theirs), 2)}
        yield _row(student, "fp32", what, [agreement.equal], 1.0) | share


def _row(student: Student, precision: str, what: str, values: list[float], asked: float) -> Row:
    equal = float(np.mean(values))
    return {
        "student": student.name,
        "frames": student.frames,
        "precision": precision,
        "what": what,
        "images": len(values),
        "equal_percent": round(100 * equal, 5),
        "worst_image_percent": round(100 * min(values), 5),
        "asked_percent": 100 * asked,
        "met": "yes" if equal >= asked else "no",
    }


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("students", nargs="+", metavar="CHECKPOINT=DATASET:SPLIT[:ROOT]")
    parser.add_argument("--frames", type=int, default=20, help="the most images per student")
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    packages = ("lsu", "torch", "onnx", "onnxruntime")
    about = {
        "device": f"{processor()}, {torch.get_num_threads()} threads",
        "versions": ", ".join(f"{package} {version(package)}" for package in packages),
        "commit": commit(),
        "command": "python tools/export_agreement.py "
        + " ".join(f"{Path(s.partition('=')[0]).name}=..." for s in arguments.students)
        + f" --frames {arguments.frames}",
    }
    rows: list[Row] = []
    for text in arguments.students:
        student = Student.from_text(text, arguments.frames)
        measured = [*compared_with_torch(student, "fp32"), *compared_with_torch(student, "fp16")]
        for row in (*measured, *free_against_fixed(student)):
            rows.append(row | about)
            print(", ".join(f"{key} {value}" for key, value in row.items()), flush=True)
    write_csv(arguments.output, rows)


if __name__ == "__main__":
    main()
