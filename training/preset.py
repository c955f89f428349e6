"""Presets: settings that go together, by name, below what a configuration says itself.

`preset = "small"` at the top of a configuration takes `presets/small.toml`; every key that the configuration
has wins over the preset's.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lsu.runtime import InputError
from lsu.runtime.errors import near_names
from lsu.runtime.files import read_toml

WHOLE_NETWORKS = ("ddrnet-23-slim", "t-net", "s-net")
"""Architectures that are one network without choices: a preset's encoder is none of theirs."""
CHOICES = ("encoder", "decoder_channels", "pretrained", "no_object_weight")

_FOLDER = Path(__file__).parent / "presets"


def preset_names() -> list[str]:
    """The names of all presets, sorted."""
    return sorted(path.stem for path in _FOLDER.glob("*.toml"))


def preset_table(name: str) -> dict[str, Any]:
    """The tables `network` and `fit` of a preset.

    Raises:
        InputError: there is none of that name.
    """
    if name not in preset_names():
        raise InputError(f"unknown preset {name!r}; {near_names(name, preset_names())}")
    return read_toml(_FOLDER / f"{name}.toml")


def with_preset(table: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The configuration's table with its preset below it, without the key `preset`; `where` begins errors.

    Raises:
        InputError: there is no preset of that name.
    """
    rest = {key: value for key, value in table.items() if key != "preset"}
    if "preset" not in table:
        return rest
    try:
        return _over(_for(rest.get("network"), preset_table(str(table["preset"]))), rest)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error


def _for(network: Any, preset: dict[str, Any]) -> dict[str, Any]:
    """The preset without what a configuration's network has no choice of."""
    if not isinstance(network, dict) or network.get("architecture") not in WHOLE_NETWORKS:
        return preset
    kept = {key: value for key, value in preset.get("network", {}).items() if key not in CHOICES}
    return {**preset, "network": kept}


def _over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Both tables as one: tables are merged key by key, of anything else the upper one is taken whole."""
    merged = {**below, **above}
    for key in below.keys() & above.keys():
        if isinstance(below[key], dict) and isinstance(above[key], dict):
            merged[key] = _over(below[key], above[key])
    return merged
