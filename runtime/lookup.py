"""Looking names up in the catalogue: the label spaces, relations and data sets that ship with lsu.

Each is one TOML file. A data set that alone speaks its label space holds it inline, so that its one file
answers to its name as both.
"""

from pathlib import Path

from .errors import InputError, near_names

CATALOGUE = Path(__file__).parent / "catalogue"


def catalogue_file(kind: str, name_or_path: str | Path) -> Path:
    """The file that a catalogue name or a path means.

    Args:
        kind: `label_spaces`, `relations` or `datasets`.
        name_or_path: a name without `.toml` is looked up in the catalogue, all else is a path.

    Raises:
        InputError: the catalogue has no such name; the near ones are listed.
    """
    text = str(name_or_path)
    if text.endswith(".toml") or "/" in text:
        return Path(text)
    for path in _files(kind):
        if path.stem == text:
            return path
    near = near_names(text, catalogue_names(kind))
    raise InputError(
        f"no {text!r} in the catalogue of {kind.replace('_', ' ')}; {near} "
        "(lsu labels list shows all; a file's path ends in .toml)"
    )


def catalogue_names(kind: str) -> list[str]:
    """The sorted names that `catalogue_file` finds."""
    return sorted(path.stem for path in _files(kind))


def _files(kind: str) -> list[Path]:
    files = list((CATALOGUE / kind).glob("*.toml"))
    if kind == "label_spaces":
        sets = (CATALOGUE / "datasets").glob("*.toml")
        files += [path for path in sets if "[label_space]" in path.read_text("utf-8").splitlines()]
    return files
