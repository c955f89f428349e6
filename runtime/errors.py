"""All errors that lsu raises on purpose.

    LsuError
    ├── InputError      what the user gave cannot be used; the repair is in the message    exit code 2
    └── BackendError    the machine, a device, a disk or a library failed                  exit code 3

A message is one line: what came, what is allowed, how to repair it. The command line prints it and exits
with `exit_code`; a library call raises it.
"""

import difflib
from collections.abc import Iterable

_SHOWN = 12
"""How many known names one message lists."""


class LsuError(Exception):
    """Any error that lsu raises on purpose."""

    exit_code = 1


class InputError(LsuError):
    """A file, an argument or a configuration cannot be used as it is."""

    exit_code = 2


class BackendError(LsuError):
    """A device, a disk or a library failed although the input was right."""

    exit_code = 3


def first_line(error: BaseException) -> str:
    """What another library's error says, its first line; its type where it says nothing."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def near_names(name: str, known: Iterable[str]) -> str:
    """The tail of a message about an unknown name: the near known ones, else the first of all known."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.6)
    if near:
        return f"did you mean {' or '.join(repr(n) for n in near)}?"
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"known: {', '.join(names[:_SHOWN]) or 'none'}{more}"
