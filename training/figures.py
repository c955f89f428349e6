"""What a fit shows of itself at its end: curves of the log and the confusion matrix of the last score."""

import json
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, PercentFormatter, StrMethodFormatter
from PIL import Image

from lsu.runtime import InputError
from lsu.runtime.evaluate import Evaluation
from lsu.runtime.files import read_bytes, write_atomically

from .fit_log import read_log
from .run_folder import CONFUSION, CURVES, SCORE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Picture = npt.NDArray[np.uint8]
Curve = dict[int, float]

_STYLE: Any = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
}
_BLUE, _ORANGE, _GREY = "#1f5fa8", "#c8500a", "#8a8a8a"
_MOST_NUMBERED = 24
"""Up to so many classes each cell of the matrix says its number; above they would not be readable."""


def write_score(folder: Path, score: Evaluation | None) -> None:
    """Write `score.json`, from which the confusion matrix is drawn; without a score an old one goes."""
    if score is None:
        (folder / SCORE).unlink(missing_ok=True)
        (folder / CONFUSION).unlink(missing_ok=True)
    else:
        write_atomically(folder / SCORE, json.dumps(score.to_dict(), indent=2).encode())


def draw_run(folder: Path) -> dict[str, Picture]:
    """Draw what lies in a run folder, as files in it and as pictures uint8 [H,W,3] RGB by name.

    Raises:
        InputError: `score.json` has been damaged.
    """
    pictures = {}
    with rc_context(_STYLE):
        if log := read_log(folder):
            pictures["curves"] = _saved(_curves(log), folder / CURVES)
        if (folder / SCORE).exists():
            pictures["confusion"] = _saved(_confusion_in(folder / SCORE), folder / CONFUSION)
    return pictures


def _saved(figure: Figure, path: Path) -> Picture:
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]
    picture = np.asarray(canvas.buffer_rgba())[..., :3].copy()  # type: ignore[no-untyped-call]
    file = BytesIO()
    Image.fromarray(picture).quantize(256).save(file, "png", optimize=True)  # a third of the bytes
    write_atomically(path, file.getvalue())
    return picture


def _curves(log: dict[str, Curve]) -> Figure:
    """Loss, learning rate and, where there is one, the mean IoU on validation, over the steps."""
    scores = {k: score for k, score in log.get("score/mean_iou", {}).items() if np.isfinite(score)}
    heights = [2.2, 1.0, *([1.6] if scores else [])]
    figure = Figure((8.5, 1.3 + 1.25 * sum(heights)), dpi=100, layout="constrained")
    axes = figure.subplots(len(heights), sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    _draw_loss(axes[0], log.get("loss", {}))
    rates = log.get("learning_rate", {})
    axes[1].plot(*_points(rates), color=_GREY, marker=_marker(rates))
    axes[1].set_ylabel("learning rate")
    axes[1].set_ylim(bottom=0)
    axes[1].ticklabel_format(axis="y", style="sci", scilimits=(-2, 3))
    if scores:
        _draw_scores(axes[2], scores)
    axes[-1].set_xlabel("step")
    axes[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


def _draw_loss(axes: "Axes", losses: Curve) -> None:
    axes.set_ylabel("loss")
    if not losses:
        return
    steps, values = _points(losses)
    smooth, width = smoothed(values)
    axes.plot(steps, smooth, color=_BLUE, linewidth=1.8, marker=_marker(losses), label=f"mean of {width}")
    if width > 1:
        axes.plot(steps, values, color=_BLUE, alpha=0.3, linewidth=0.8, label="as logged")
        axes.legend(frameon=False, loc="upper right")
    known = values[np.isfinite(values)]
    if len(known) and known.min() > 0 and known.max() > 10 * known.min():
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())


def _draw_scores(axes: "Axes", scores: Curve) -> None:
    steps, values = _points(scores)
    axes.plot(steps, values, color=_ORANGE, marker="o", markersize=4)
    best = int(np.argmax(values))
    text = f"best {100 * values[best]:.1f} % after step {steps[best]:.0f}"
    axes.set_title(text, loc="right", fontsize=9, color=_ORANGE)
    axes.plot(steps[best], values[best], marker="o", markersize=9, fillstyle="none", color=_ORANGE)
    axes.set_ylabel("validation mIoU")
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.margins(y=0.15)


def smoothed(values: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], int]:
    """The centred running mean of values float [N], and over how many it goes: 5 % of them, an odd number.

    At the ends it goes over those that there are; what is not a number is left out.
    """
    width = len(values) // 20 | 1
    known = np.isfinite(values)
    window = np.ones(width)
    sums = np.convolve(np.where(known, values, 0.0), window, "full")
    counts = np.convolve(known.astype(float), window, "full")
    begin = width // 2
    middle = slice(begin, begin + len(values))
    with np.errstate(invalid="ignore"):
        return sums[middle] / counts[middle], width


def _points(curve: Curve) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    return np.array(sorted(curve), float), np.array([curve[step] for step in sorted(curve)], float)


def _marker(curve: Curve) -> str:
    """A dot for a single point, which is no line."""
    return "o" if len(curve) == 1 else ""


def _confusion_in(path: Path) -> Figure:
    try:
        return _confusion(json.loads(read_bytes(path)))
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise InputError(f"{path}: not an evaluation of lsu: delete it, or restore it") from error


def _confusion(score: dict[str, Any]) -> Figure:
    """The confusion matrix, each row as shares of its class's pixels, with the IoU of each class beside."""
    names = [row["name"] for row in score["classes"]]
    counts = np.array(score["confusion"], float)  # [C, C+1]
    columns = [*names, "void"] if counts[:, -1].any() else names
    truth = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, truth, out=np.full_like(counts, np.nan), where=truth > 0)[:, : len(columns)]
    cell = min(0.46, max(0.12, 9 / len(names)))
    longest = 0.075 * max(map(len, columns))  # inches of a name, about
    side = cell * len(names)
    width = longest + cell * len(columns) + max(1.8, 0.18 * side)
    figure = Figure((width + 0.7, side + longest + 1.0), dpi=100, layout="constrained")
    left, right = figure.subplots(
        1, 2, width_ratios=[cell * len(columns), max(1.6, 0.16 * side)], sharey=True
    )
    _draw_matrix(left, shares, names, columns)
    _draw_iou(right, [row["iou"] for row in score["classes"]], score["mean_iou"])
    return figure


def _draw_matrix(
    axes: "Axes", shares: npt.NDArray[np.float64], names: Sequence[str], columns: Sequence[str]
) -> None:
    size = _letter(len(names))
    axes.set_facecolor("#e4e4e4")
    axes.imshow(np.ma.masked_invalid(shares), cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axes.set_xticks(range(len(columns)), _plain(columns), rotation=90, fontsize=size)
    axes.set_yticks(range(len(names)), _plain(names), fontsize=size)
    axes.set_xlabel("predicted")
    axes.set_ylabel("truth")
    axes.set_title("% of the true class's pixels; grey: none", fontsize=9)
    axes.grid(visible=False)
    axes.tick_params(length=0)
    if len(names) > _MOST_NUMBERED:
        return
    for (row, column), share in np.ndenumerate(shares):
        if share >= 0.005:
            colour = "white" if share > 0.55 else "black"
            axes.text(
                column, row, f"{100 * share:.0f}", ha="center", va="center", color=colour, fontsize=size - 1
            )


def _draw_iou(axes: "Axes", iou: Sequence[float | None], mean: float | None) -> None:
    for row, share in enumerate(iou):
        axes.barh(row, share or 0.0, color=_BLUE, height=0.7)
        text = "-" if share is None else f"{100 * share:.0f}"
        axes.text((share or 0.0) + 0.03, row, text, va="center", fontsize=_letter(len(iou)))
    axes.set_xlim(0, 1.25)
    axes.set_xticks([0, 0.5, 1], ["0", "50", "100"])
    axes.tick_params(axis="y", length=0, labelleft=False)
    axes.set_title("IoU, %" if mean is None else f"IoU, %; mean {100 * mean:.1f}", fontsize=9)
    axes.grid(visible=False, axis="y")


def _plain(names: Sequence[str]) -> list[str]:
    """The names with dollars that do not begin a formula."""
    return [name.replace("$", r"\$") for name in names]


def _letter(classes: int) -> float:
    """The font size of a class's name, in points, so that neighbours do not touch."""
    return 9.0 if classes <= _MOST_NUMBERED else 6.0
