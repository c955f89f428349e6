"""A benchmark as rows of a CSV file."""

from collections.abc import Mapping
from typing import Any

from lsu.export.csv_table import versions_text

from .bench import Benchmark, Measured

COLUMNS = (
    "name", "digest", "precision", "backend", "engine", "threads", "image_sizes", "mixed_share", "stage",
    "p50_ms", "p95_ms", "p99_ms", "max_ms", "frames", "repeats", "warm_up", "frames_per_second",
    "peak_memory_mib", "device", "mhz_before", "mhz_after", "governor", "gpu", "versions", "command",
)  # fmt: skip
NOTHING = "-"
"""A stage that the backend does not have."""


def rows_of(benchmark: Benchmark, command: str) -> list[dict[str, object]]:
    """A row per contender and stage."""
    return [
        {column: row.get(column, "") for column in COLUMNS}
        for measured in benchmark.measured
        for row in _rows(benchmark, measured, command)
    ]


def _rows(benchmark: Benchmark, measured: Measured, command: str) -> list[dict[str, object]]:
    machine, about = benchmark.machine, measured.about
    same = {
        "name": measured.job.name,
        "digest": about["digest"][:16],
        "precision": about["precision"],
        "backend": measured.job.backend,
        "engine": about["engine"],
        "threads": measured.job.threads or machine["processors"],
        "image_sizes": " ".join(about["image_sizes"]),
        "mixed_share": round(100 * about["mixed_share"], 2),
        "frames": measured.frames,
        "repeats": benchmark.repeats,
        "warm_up": benchmark.warm_up,
        "frames_per_second": round(measured.frames_per_second, 2),
        "peak_memory_mib": round(measured.peak_memory / 2**20, 1),
        "device": machine["processor"],
        "mhz_before": _mhz(machine["clocks"]),
        "mhz_after": _mhz(benchmark.clocks_after),
        "governor": " ".join(machine["clocks"]["governors"] or []),
        "gpu": "; ".join(" ".join(gpu.values()) for gpu in machine["gpus"]),
        "versions": versions_text(machine),
        "command": command,
    }
    rows: list[dict[str, object]] = []
    for stage, latency in measured.stages.items():
        figures = {"p50": NOTHING, "p95": NOTHING, "p99": NOTHING, "max": NOTHING}
        if latency is not None:
            figures = {name: f"{value:.4f}" for name, value in vars(latency).items()}
        rows.append({**same, "stage": stage, **{f"{name}_ms": value for name, value in figures.items()}})
    return rows


def _mhz(told: Mapping[str, Any]) -> str:
    least, most = told["mhz_least"], told["mhz_most"]
    return "" if least is None else f"{least:.0f}" if least == most else f"{least:.0f}-{most:.0f}"
