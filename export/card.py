"""The model card: README.md of a bundle, what a person must know before it drives anything.

It says only what was recorded or measured; what nobody recorded is called unknown.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lsu.runtime.bundles.bundle import Draft
from lsu.runtime.bundles.manifest import MODELS
from lsu.runtime.model import ModelSpec

from .evaluation_file import RecordedEvaluation

CARD = "README.md"

_FITS = {
    "exact": "images of another size are refused",
    "pad": "smaller images are padded at the right and at the bottom with grey {pad_value}",
    "resize": "images of another size are resized bilinearly",
}
_MEASURED = {
    "reference": "compared with",
    "images": "images",
    "largest_score_difference": "largest difference of a score",
    "largest_difference_of_range": "the same, as a share of the scores' range",
    "equal_classes": "share of pixels with the same class, worst image",
    "equal_classes_of_heads": "the same, ONNX head against ours",
}


def card_from_draft(draft: Draft, evaluations: Sequence[RecordedEvaluation] = ()) -> bytes:
    """The text of README.md.

    Args:
        draft: the bundle to be; `provenance["data"]`, where it is, is what `data_records` gave.
        evaluations: scores to print, per class.
    """
    lines = [
        *_opening(draft),
        *_label_space(draft.spec),
        *_contract(draft),
        *_data(draft.provenance),
        *_metrics(draft, evaluations),
        *_limits(draft, evaluations),
        *_running(draft),
    ]
    return ("\n".join(lines) + "\n").encode()


def _opening(draft: Draft) -> list[str]:
    space = draft.spec.label_space
    return [
        f"# {_text(draft.name)}",
        "",
        f"A network for semantic segmentation: an RGB image to one of {len(space)} classes "
        f"of the label space `{_text(space.name)}` for each pixel. Generated with the bundle; `bundle.json` "
        "has the same facts for machines, and `bundle.sha256` vouches for both.",
        "",
    ]


def _label_space(spec: ModelSpec) -> list[str]:
    space = spec.label_space
    rows = [
        (
            k,
            c.name,
            "" if c.id is None else c.id,
            "" if c.colour is None else "#{:02x}{:02x}{:02x}".format(*c.colour),
        )
        for k, c in enumerate(space.classes)
    ]
    void = ", ".join(_text(c.name) for c in space.void) or "no names"
    about = [f"Identity `{space.identity}`, the hash of the ordered names. Void, written as 255: {void}."]
    about += [f"{word}: {_text(text)}." for word, text in _facts(source=space.source, licence=space.licence)]
    return ["## Label space", "", *_table(("class", "name", "id in files", "colour"), rows), "", *about, ""]


def _contract(draft: Draft) -> list[str]:
    spec = draft.spec
    size = (
        f"{spec.size[0]}x{spec.size[1]} (HxW), one image at a time"
        if spec.size
        else f"any (HxW) of multiples of {spec.multiple}"
    )
    normalisation = ", ".join(f"{key} {value}" for key, value in draft.normalisation.items())
    files = ", ".join(f"`{name}`" for name in MODELS[draft.head])
    void = "none" if spec.void_channel is None else f"{spec.void_channel}, written as 255 where it wins"
    return [
        "## Input and output",
        "",
        f"- `image`: uint8 [N, H, W, 3], RGB, {size}; {_FITS[spec.fit].format(pad_value=spec.pad_value)}.",
        f"  Normalisation is inside: {_text(normalisation)}.",
        f"- `scores`: float32 [N, {spec.channels}, h, w], {spec.scores}, at the network's own resolution;",
        f"  the head enlarges them and chooses. Void channel: {void}.",
        f"- Precision of the weights: {draft.precision}. Files: {files}.",
        "",
    ]


def _data(provenance: Mapping[str, Any]) -> list[str]:
    lines = ["## Data and origin", ""]
    records = provenance.get("data", [])
    if not records:
        lines += [
            "What it learned from, and under which licence, is unknown here: ask whoever made the file."
        ]
    for record in records:
        lines.append(f"- {_text(record['name'])}, split {_text(record['split'])}, weight {record['weight']}.")
        lines += [
            f"  {word}: {_text(record[word.lower()])}."
            for word in ("Source", "Licence")
            if word.lower() in record
        ]
        if "licence" not in record:
            lines.append("  Licence: not recorded; see the data set.")
        lines += [f"  {line}" for line in _origin(record.get("relabelled", {}))]
    made = [f"{k} {v}" for k, v in provenance.items() if isinstance(v, str | int)]
    return [*lines, "", _text(f"Made by: {', '.join(made)}."), ""]


def _origin(origin: Mapping[str, Any]) -> list[str]:
    lines = []
    if "network" in origin:
        lines.append(f"Its labels are pseudo-labels of the network `{_text(origin['network'])}`.")
    for key in ("relation", "conversion"):
        if key in origin:
            lines.append(
                f"They were made from {_text(origin.get('data', 'its labels'))} through the relation "
                f"`{_text(origin[key])}`."
            )
    return lines


def _metrics(draft: Draft, evaluations: Sequence[RecordedEvaluation]) -> list[str]:
    measured = [(_MEASURED[k], v) for k, v in draft.verification.items() if k in _MEASURED]
    lines = ["## Metrics", "", "When it was exported:", "", *_table(("measured", "value"), measured), ""]
    for one in evaluations:
        rows = [(name, _percent(iou), _percent(f)) for name, iou, f in one.classes]
        lines += [
            f"On {_text(one.data)} {_text(one.split)}, {one.frames} images, scored in the label space "
            f"{_text(one.label_space[0])} ({_text(one.label_space[1])}), measured with the bundle "
            f"{_text(one.bundle[:16])}:",
            "",
            *_table(("class", "IoU %", "boundary F %"), [*rows, ("mean IoU", _percent(one.mean_iou), "")]),
            "",
        ]
    return lines


def _limits(draft: Draft, evaluations: Sequence[RecordedEvaluation]) -> list[str]:
    known = ", ".join(f"{_text(one.data)} {_text(one.split)}" for one in evaluations)
    limits = [
        f"The scores above were measured on {known} and nowhere else, with the bundles named there. That "
        "those hold this network is the exporter's word. Other places, weather, light, cameras and mountings "
        "are untested."
        if known
        else "No score on labelled images is recorded here: nothing is known about how good its answers are.",
        "It has not been assessed for safety, and what it never saw gets one of its classes all the same."
        if draft.spec.void_channel is None
        else "It has not been assessed for safety; what it never saw may get void or one of its classes.",
        "Golden frames prove that an engine computes the same network, not that the network is right.",
    ]
    if draft.spec.void_channel is None:
        limits.append("It never answers void by itself; only a constraint that allows nothing gives void.")
    if draft.precision == "float16":
        limits.append(
            "Its weights are rounded to float16. A CPU computes its sums in float32 all the same: "
            "the agreement above is proven for the weights' rounding only; prove the arithmetic on the "
            "device with `lsu export verify`."
        )
    if draft.head == "plugin":
        limits.append(
            "`model_with_plugin.onnx` runs only in TensorRT with the plugin of lsu, on no CPU: it was "
            "checked for its form, and never run when this bundle was made."
        )
    return ["## Limits", "", *(f"- {limit}" for limit in limits), ""]


def _running(draft: Draft) -> list[str]:
    fixed = "" if draft.spec.fit != "exact" else " (of the size above)"
    return [
        "## How to run it",
        "",
        "    pip install 'lsu[cpu]'",
        "    lsu inspect BUNDLE                 # verifies every file and runs the golden frames here",
        "    lsu run BUNDLE --source PICTURE.png",
        "",
        f"BUNDLE is this folder, PICTURE any RGB image{fixed}. `lsu evaluate` scores it on labelled data.",
    ]


def _facts(**facts: str) -> Iterable[tuple[str, str]]:
    return ((key.capitalize(), value.rstrip(".")) for key, value in facts.items() if value)


def _table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(_cell(value) for value in row)} |" for row in lines]


def _cell(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else _text(value)


def _text(value: Any) -> str:
    """A value as one line of Markdown that cannot become markup of its own."""
    line = " ".join(str(value).split())
    return "".join(f"\\{letter}" if letter in "\\`*<>[]|" else letter for letter in line)


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.2f}"
