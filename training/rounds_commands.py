"""The public commands that do the same as rounds, as a script: what `lsu rounds` does, for people to read."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lsu.runtime.files import toml_from_table

from .config import Config, DataConfig
from .fit import FINISHED
from .rounds_plan import FitStep, Plan, RelabelStep

COMMANDS, STEP_CONFIG = "commands.sh", "config.toml"

_HEAD = """\
#!/usr/bin/env bash
# What `lsu rounds` did, command by command. Argument: a new folder, for the same once more.
# onnxruntime and torch differ in the last digits of the scores, so single pixels of the labels may differ;
# and with them the students. A first teacher that was fitted is the same to the bit on the same machine.
set -euo pipefail
again=$(mkdir -p "${1:?name a new folder}" && cd "$1" && pwd)
"""


def script_of(plan: Plan) -> str:
    """The text of `commands.sh`: one `lsu` command to a line.

    The configurations of the fits are those that stand in the folder of the plan; `$again` is the new one.
    """
    lines = [f"cd {shlex.quote(str(plan.folder))}", ""]
    exported: dict[Path, str] = {}
    for step in plan.steps:
        if isinstance(step, FitStep):
            lines.append(_fit_line(step, plan))
            continue
        if step.teacher not in exported:
            exported[step.teacher], exports = _bundle_of(step.teacher, plan)
            lines += exports
        bundle = exported[step.teacher]
        if isinstance(step, RelabelStep):
            lines.append(_relabel_line(step, bundle, plan.config.views))
        else:
            lines.append(f"lsu evaluate {bundle} {_data_words(step.data)}")
    return _HEAD + "\n".join(lines) + "\n"


def commands_of(plan: Plan) -> list[str]:
    """The `lsu` commands alone, one text each."""
    return [line for line in script_of(plan).splitlines() if line.startswith("lsu ")]


def config_text(config: Config) -> str:
    """A fit's configuration as the TOML file in its own output folder; `Config.load` gives the same again."""
    table = config.model_dump(mode="json")
    return toml_from_table(_without_none({**table, "output": "."}))


def _without_none(value: Any) -> Any:
    """TOML has no null; the defaults of keys that may be None are None, `decoder_channels` aside."""
    if isinstance(value, dict):
        return {key: _without_none(entry) for key, entry in value.items() if entry is not None}
    return [_without_none(entry) for entry in value] if isinstance(value, list) else value


def _fit_line(step: FitStep, plan: Plan) -> str:
    words = [f"output={_again(step.name)}"]
    for k, entry in enumerate(step.config.data):
        path = Path(entry.dataset)
        if path.is_relative_to(plan.folder) and any(path == plan.folder / s.name for s in plan.steps):
            words.append(f"data.{k}.dataset={_again(str(path.relative_to(plan.folder)))}")
    return " ".join([f"lsu fit {step.name}/{STEP_CONFIG}", *words])


def _bundle_of(teacher: Path, plan: Plan) -> tuple[str, Sequence[str]]:
    """The bundle that runs a teacher, as the script names it, and the command that makes it."""
    if teacher.is_dir():
        return shlex.quote(str(teacher)), []
    made = {plan.folder / s.name / FINISHED: s.name for s in plan.steps if isinstance(s, FitStep)}
    name = made.get(teacher, "teacher")
    checkpoint = _again(f"{name}/{FINISHED}") if teacher in made else shlex.quote(str(teacher))
    bundle = _again(f"{name}/bundle")
    return bundle, [f"lsu export onnx {checkpoint} -o {bundle}"]


def _relabel_line(step: RelabelStep, bundle: str, views: str) -> str:
    entry = step.entry
    words = ["--relation", entry.relation, *([] if entry.constrained else ["--free"])]
    words += ["--confidence", entry.confidence] if entry.confidence else []
    words += ["--views", views] if views else []
    return f"lsu relabel {bundle} {_data_words(entry)} {shlex.join(words)} --out {_again(step.name)}"


def _data_words(entry: DataConfig) -> str:
    root = [] if entry.root is None else ["--root", entry.root]
    return shlex.join(["--data", entry.dataset, *root, "--split", entry.split])


def _again(name: str) -> str:
    return f'"$again/{name}"'
