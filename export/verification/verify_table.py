"""A verification as rows of a CSV file."""

from lsu.export.csv_table import versions_text

from .verify import Verification

COLUMNS = (
    "bundle", "digest", "precision", "images", "source", "truth", "mixed_share", "backend", "mode", "passed",
    "asked", "equal", "equal_worst_image", "different", "pixels", "largest_score_difference",
    "mean_iou", "mean_iou_difference", "mean_boundary_f", "mean_boundary_f_difference", "polygraphy_passed",
    "device", "versions", "command",
)  # fmt: skip


def rows_of(verification: Verification, command: str) -> list[dict[str, object]]:
    """A row per comparison; shares in percent, differences in percentage points, empty where not scored."""
    document = verification.to_dict()
    bundle, images, machine = document["bundle"], document["images"], document["machine"]
    rows: list[dict[str, object]] = []
    for entry in document["comparisons"]:
        checks = entry["polygraphy"]
        rows.append(
            {
                "bundle": bundle["name"],
                "digest": bundle["digest"][:16],
                "precision": bundle["precision"],
                "images": images["count"],
                "source": images["source"],
                "truth": images["truth"],
                "mixed_share": round(100 * images["mixed_share"], 2),
                **{key: entry[key] for key in ("backend", "mode", "passed", "different", "pixels")},
                **{key: _percent(entry[key]) for key in ("asked", "equal", "equal_worst_image")},
                "largest_score_difference": f"{entry['largest_score_difference']:.3g}",
                **{key: _percent(entry.get(key)) for key in COLUMNS if key.startswith("mean_")},
                "polygraphy_passed": f"{sum(c['passed'] for c in checks)} of {len(checks)}" if checks else "",
                "device": machine["processor"],
                "versions": versions_text(machine),
                "command": command,
            }
        )
    return rows


def _percent(share: float | None) -> object:
    return "" if share is None else round(100 * share, 5)
