"""The end of the demo: the picture sheet and the table of its four networks.

Example: python tools/demo_report.py demo-out
"""

import json
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lsu.runtime import Bundle, Dataset, Segmenter
from lsu.runtime.engines import engine_for
from lsu.runtime.files import write_atomically
from lsu.runtime.image import png_from_pixels
from lsu.runtime.overlay import colours_from_classes, legend, palette, picture_sheet
from lsu.runtime.terminal import print_table

NETWORKS = {
    "teacher": "teacher, fitted on world A",
    "student_free": "student on A and B with free pseudo-labels",
    "student_constrained": "student on A and B with constrained pseudo-labels",
    "student_truth": "student on A and B with true labels",
}
TITLES = ("image of world B", "its foreign label", "free pseudo-label", "constrained pseudo-label", "student")
FRAMES = 4


def main() -> None:
    """Write `sheet.png` into the demo's folder and print the table."""
    out = Path(sys.argv[1])
    write_atomically(out / "sheet.png", png_from_pixels(sheet(out), rgb=True))
    scores = {name: json.loads((out / f"{name}.json").read_text()) for name in NETWORKS}
    rows = [(text, f"{100 * scores[name]['mean_iou']:.1f}") for name, text in NETWORKS.items()]
    print_table("third drawn set, test", ("network", "mIoU %"), rows)
    print(f"Pictures: {out / 'sheet.png'} and {out / 'frames'}")


def sheet(out: Path) -> npt.NDArray[np.uint8]:
    """A row per frame: image, foreign label, free and constrained pseudo-label, student; uint8 RGB."""
    foreign = Dataset.load(out / "worlds/b").split("train")
    free = Dataset.load(out / "b_free").split("train")
    constrained = Dataset.load(out / "b_constrained").split("train")
    bundle = Bundle.open(out / "student_constrained/bundle")
    segmenter = Segmenter(engine_for(bundle))
    space = Dataset.load(out / "worlds/a").label_space
    ours, theirs = palette(space), palette(foreign.label_space)
    rows = []
    for k in np.linspace(0, len(foreign.frames) - 1, FRAMES).astype(int):
        sample = foreign.read(foreign.frames[k])
        pictures = [sample.image, colours_from_classes(sample.labels, theirs)]
        pictures += [colours_from_classes(s.read(s.frames[k]).labels, ours) for s in (free, constrained)]
        pictures.append(colours_from_classes(segmenter.segment(sample.image).classes, ours))
        rows.append(pictures)
    return picture_sheet(rows, TITLES, legend=legend(space), cell_width=300)


if __name__ == "__main__":
    main()
