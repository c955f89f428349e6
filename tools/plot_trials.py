"""Pictures of the tables in benchmarks/methods, for docs/results.md.

Example: python tools/plot_trials.py --out docs/figures
"""

import argparse
import csv
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

Line = dict[str, str]

COLOURS = (
    *("#7f7f7f", "#d6a35c", "#9ecae1", "#4292c6", "#084594", "#b07aa1", "#76448a", "#3c8c4a", "#a3c98a"),
    *("#e07b6a", "#b23a2e", "#2f2f2f"),
)
COLOUR_OF = {
    "alone": "#c9c9c9",
    "free": COLOURS[1],
    "constrained": COLOURS[2],
    "nll": COLOURS[5],
    "mixed": COLOURS[6],
    "full": COLOURS[7],
}
"""Arms that several tables have look alike in all of them; others go by their place."""
MIOU = "mIoU in percent, mean and standard deviation"


def main() -> None:
    """Draw every table that is there."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tables", type=Path, default=Path("benchmarks/methods"))
    parser.add_argument("--out", type=Path, default=Path("docs/figures"))
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name, draw in FIGURES.items():
        table = arguments.tables / f"{name}_summary.csv"
        if not table.exists():
            print(f"{table} is not there: {name}.png is left as it is")
            continue
        figure, axes = plt.subplots(figsize=(8, 4.2), layout="constrained")
        with table.open(newline="") as file:
            draw(axes, list(csv.DictReader(file)))
        axes.spines[["top", "right"]].set_visible(False)
        figure.savefig(arguments.out / f"{name}.png", dpi=110, metadata={"Software": None})
        plt.close(figure)


def by_drive(axes: Axes, lines: list[Line]) -> None:
    """Bars of mIoU for each model, grouped by the drive that is scored."""
    groups = list(dict.fromkeys(line["scored"] for line in lines))
    models = list(dict.fromkeys(line["model"] for line in lines))
    cells = {(line["scored"], line["model"]): line for line in lines}
    values = [[_pair(cells[g, m], "miou") for g in groups] for m in models]
    _bars(axes, groups, models, values)
    axes.set_xlabel("drive that is scored")
    axes.set_ylabel(MIOU)


def by_class(axes: Axes, lines: list[Line]) -> None:
    """Bars of IoU for each model, grouped by class, over all drives."""
    chosen = [line for line in lines if line.get("scored", "all") == "all"]
    known = [name.removesuffix("_mean") for name in chosen[0] if name.endswith("_mean")]
    columns = [name for name in ("miou", "miou_rare") if name in known]
    columns += [name for name in known if name.startswith("iou_")]
    values = [[_pair(line, column) for column in columns] for line in chosen]
    shown = [
        c.replace("miou_rare", "mean of\nthe five").replace("miou", "mIoU").replace("iou_", "")
        for c in columns
    ]
    _bars(axes, shown, [line["model"] for line in chosen], values)
    axes.set_ylabel("IoU in percent, mean and standard deviation")


def over_pixels(axes: Axes, lines: list[Line]) -> None:
    """MIoU over the pixels that a fit saw, a curve for each order of crops."""
    for number, model in enumerate(dict.fromkeys(line["model"] for line in lines)):
        chosen = [line for line in lines if line["model"] == model]
        x, y, spread = (
            [float(line[column]) for line in chosen] for column in ("megapixels", "miou_mean", "miou_sd")
        )
        axes.errorbar(x, y, yerr=spread, label=model, color=COLOURS[2 * number], capsize=3, marker="o")
    axes.set_xlabel("megapixels seen in a whole fit")
    axes.set_ylabel(MIOU)
    axes.legend(frameon=False)


def by_views(axes: Axes, lines: list[Line]) -> None:
    """Bars of right pseudo-labels, grouped by views."""
    groups = list(dict.fromkeys(line["views"] for line in lines))
    models = list(dict.fromkeys(line["model"] for line in lines))
    cells = {(line["views"], line["model"]): line for line in lines}
    _bars(axes, groups, models, [[_pair(cells[g, m], "pseudo_labels_right") for g in groups] for m in models])
    axes.set_xlabel("views of the teacher")
    axes.set_ylabel("right pseudo-labels in percent")


def _pair(line: Line, column: str) -> tuple[float, float]:
    return float(line[f"{column}_mean"] or 0), float(line[f"{column}_sd"] or 0)


def _bars(
    axes: Axes, groups: Sequence[str], models: Sequence[str], values: Sequence[Sequence[tuple[float, float]]]
) -> None:
    width = 0.84 / len(models)
    for number, (model, pairs) in enumerate(zip(models, values, strict=True)):
        places = [k + (number - (len(models) - 1) / 2) * width for k in range(len(groups))]
        axes.bar(
            places,
            [mean for mean, _ in pairs],
            width * 0.94,
            yerr=[spread for _, spread in pairs],
            label=model,
            color=COLOUR_OF.get(model, COLOURS[number]),
            error_kw={"elinewidth": 0.8, "capsize": 1.5},
        )
    axes.set_xticks(range(len(groups)), groups, rotation=20 if len(groups) > 8 else 0)
    axes.legend(
        frameon=False, ncols=min(len(models), 5), fontsize=8, loc="upper center", bbox_to_anchor=(0.5, 1.16)
    )


FIGURES = {
    "unification": by_drive,
    "idd": by_drive,
    "small_student": by_drive,
    "centroids": by_class,
    "schedules": over_pixels,
    "hidden_truth": by_views,
    "transfer": by_class,
    "black_box": by_drive,
    "distillation": by_drive,
}

if __name__ == "__main__":
    main()
