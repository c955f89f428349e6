"""The report of a verification as one HTML file: no script, no font and no picture from elsewhere."""

import base64
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

_STYLE = """
:root { color-scheme: light dark; --ink: #1d2129; --faint: #6a7180; --paper: #fff; --line: #d9dde4;
  --card: #f5f6f8; --good: #1a7f37; --bad: #c0262d; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e8ec; --faint: #9aa2b1; --paper: #14161a;
  --line: #333842; --card: #1d2026; --good: #57c271; --bad: #ff7b78; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem; max-width: 72rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; margin: 0 0 .25rem; } h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; }
.good { color: var(--good); } .bad { color: var(--bad); } .faint { color: var(--faint); }
.wide { overflow-x: auto; border: 1px solid var(--line); border-radius: .5rem; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .7rem; text-align: right; white-space: nowrap; border-top: 1px solid var(--line); }
tr:first-child > th { border-top: 0; background: var(--card); }
th:first-child, td:first-child, th.text { text-align: left; }
td:first-child { white-space: normal; min-width: 7rem; overflow-wrap: break-word; }
@media (max-width: 30rem) { th, td { padding: .3rem .45rem; font-size: .9rem; } }
td.text { text-align: left; white-space: normal; overflow-wrap: break-word; min-width: 12rem; }
details { margin: .6rem 0; } summary { cursor: pointer; padding: .3rem 0; }
figure { margin: 1rem 0; } figure .wide { background: #fff; }
figure img { display: block; width: 100%; min-width: 44rem; height: auto; }
figcaption { color: var(--faint); font-size: .9rem; margin-top: .3rem; }
"""

Row = Sequence[str]


def page(document: Mapping[str, Any], pictures: Mapping[str, bytes]) -> str:
    """The page.

    Args:
        document: `Verification.to_dict`.
        pictures: caption -> PNG; they are put inside.
    """
    bundle, images = document["bundle"], document["images"]
    verdict = '<span class="good">agrees</span>' if document["passed"] else '<span class="bad">fails</span>'
    body = [
        f"<h1>{escape(bundle['name'])}: {verdict}</h1>",
        f'<p class="faint">{escape(bundle["precision"])}, digest {bundle["digest"][:16]}. '
        f"Compared with {escape(document['reference'])} on {images['count']} images "
        f"({escape(images['source'])}); {_percent(images['mixed_share'])} % of their cells are mixed. "
        f"IoU and boundary F are against {escape(images['truth'])}.</p>",
        "<h2>Agreement</h2>",
        _summary(document["comparisons"]),
        *_absent(document["absent"]),
        "<h2>Classes</h2>",
        *(_classes(entry) for entry in document["comparisons"] if entry["classes"]),
        "<h2>Worst images</h2>",
        *(_figure(caption, data) for caption, data in pictures.items()),
        "" if pictures else "<p>No image differs by a pixel, or none was kept.</p>",
        "<h2>Machine</h2>",
        _machine(document["machine"]),
    ]
    title = f"{escape(bundle['name'])}: verification"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{_STYLE}</style></head>\n<body>\n"
        + "\n".join(body)
        + "\n</body></html>\n"
    )


def _summary(comparisons: Iterable[Mapping[str, Any]]) -> str:
    head = (
        "backend", "mode", "verdict", "equal %", "asked %", "worst image %", "different", "score difference",
        "mIoU difference", "boundary F difference", "Polygraphy",
    )  # fmt: skip
    return _table(head, [_summary_row(entry) for entry in comparisons])


def _summary_row(entry: Mapping[str, Any]) -> Row:
    checks = entry["polygraphy"]
    return (
        escape(entry["backend"]),
        escape(entry["mode"]),
        '<b class="good">agrees</b>' if entry["passed"] else '<b class="bad">fails</b>',
        share_text(entry["equal"]),
        share_text(entry["asked"]),
        share_text(entry["equal_worst_image"]),
        f"{entry['different']:,}",
        f"{entry['largest_score_difference']:.2g}",
        points_text(entry.get("mean_iou_difference")),
        points_text(entry.get("mean_boundary_f_difference")),
        f"{sum(check['passed'] for check in checks)} of {len(checks)}" if checks else "-",
    )


def _absent(entries: Sequence[Mapping[str, Any]]) -> list[str]:
    if not entries:
        return []
    rows = [
        (escape(e["name"]), f'<span class="{"bad" if e["failed"] else "faint"}">{escape(e["reason"])}</span>')
        for e in entries
    ]
    return ["<h2>Not compared</h2>", _table(("who", "why"), rows, text=1)]


def _classes(entry: Mapping[str, Any]) -> str:
    rows = [
        (
            escape(row["name"]),
            _percent(row["iou"]),
            points_text(row["iou_difference"]),
            _percent(row["boundary_f"]),
            points_text(row["boundary_f_difference"]),
        )
        for row in entry["classes"]
    ]
    head = ("class", "IoU %", "difference", "boundary F %", "difference")
    title = f"{escape(entry['backend'])}: mIoU {_percent(entry['mean_iou'])} %"
    return f"<details><summary>{title}</summary>{_table(head, rows)}</details>"


def _figure(caption: str, data: bytes) -> str:
    text, inside = escape(caption), base64.b64encode(data).decode()
    return (
        f'<figure><div class="wide"><img alt="{text}" src="data:image/png;base64,{inside}"></div>'
        f"<figcaption>{text}</figcaption></figure>"
    )


def _machine(machine: Mapping[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    gpus = ", ".join(f"{gpu['name']} (driver {gpu['driver_version']})" for gpu in machine["gpus"]) or "none"
    rows = [
        ("processor", f"{escape(machine['processor'])}, {machine['processors']} used"),
        ("GPU", escape(gpus)),
        ("system", escape(machine["system"])),
        ("versions", escape(versions)),
    ]
    return _table(("", ""), rows, text=1)


def _table(head: Row, rows: Iterable[Row], *, text: int | None = None) -> str:
    """Cells are HTML already; column `text` holds sentences."""
    titles = "".join(
        f'<th class="text">{cell}</th>' if k == text else f"<th>{cell}</th>" for k, cell in enumerate(head)
    )
    lines = (
        "".join(
            f'<td class="text">{cell}</td>' if k == text else f"<td>{cell}</td>" for k, cell in enumerate(row)
        )
        for row in rows
    )
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    return f'<div class="wide"><table><tr>{titles}</tr>{body}</table></div>'


def share_text(share: float) -> str:
    """A share as percent; digits enough to tell 99.9999 from 100, which only all pixels are."""
    text = f"{100 * share:.4f}"
    return "99.9999" if text == "100.0000" and share < 1 else text


def points_text(difference: float | None) -> str:
    """A difference of shares in percentage points, with its sign."""
    return "-" if difference is None else f"{100 * difference:+.3f}" if difference else "0"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.2f}"
