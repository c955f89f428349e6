"""The picture of the students' table for docs/results.md: latency against mIoU.

Example: python tools/plot_students.py --table benchmarks/methods/students_summary.csv --out docs/figures
"""

import argparse
import csv
from pathlib import Path

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter
from plot_trials import COLOURS, MIOU, Line

OFF_FRONT, ON_FRONT = COLOURS[0], COLOURS[4]


def main() -> None:
    """Draw the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--table", type=Path, default=Path("benchmarks/methods/students_summary.csv"))
    parser.add_argument("--out", type=Path, default=Path("docs/figures"))
    arguments = parser.parse_args()
    with arguments.table.open(newline="") as file:
        draw(list(csv.DictReader(file)), arguments.out / "students.png")


def draw(lines: list[Line], path: Path) -> None:
    """Write the picture of the rows of `students_summary.csv`."""
    figure, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
    over_latency(axes, lines)
    axes.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(figure)


def over_latency(axes: Axes, lines: list[Line]) -> None:
    """MIoU over the latency with the head, a numbered point for each student; a line joins the front."""
    points = [(float(line["segment_ms"]), float(line["miou_mean"])) for line in lines]
    front = sorted(p for p, line in zip(points, lines, strict=True) if line["on_front"] == "yes")
    axes.plot(*zip(*front, strict=True), color=ON_FRONT, linewidth=0.8, linestyle="--", zorder=1)
    for number, ((x, y), line) in enumerate(zip(points, lines, strict=True), start=1):
        beside = [[x - float(line["segment_ms_p10"])], [float(line["segment_ms_p90"]) - x]]
        spread = float(line["miou_sd"] or 0)
        colour = ON_FRONT if line["on_front"] == "yes" else OFF_FRONT
        name = f"{number}  {line['model']}"
        axes.errorbar(x, y, spread, beside, color=colour, capsize=3, marker="o", elinewidth=0.8, label=name)
        axes.annotate(str(number), (x, y), (5, 4), textcoords="offset points", color=colour)
    axes.legend(
        frameon=False,
        fontsize=8,
        loc="center left",
        bbox_to_anchor=(1, 0.5),
        labelcolor="markeredgecolor",
        title="in blue: nobody is faster and better",
        title_fontsize=8,
        alignment="left",
    )
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.margins(x=0.15)
    axes.set_xlabel("ms with the head on one CPU thread: median, 10th and 90th percentile")
    axes.set_ylabel(MIOU)


if __name__ == "__main__":
    main()
