"""How commands speak and end: one JSON document or tables on stdout, progress and notes on stderr.

Exit codes: 0 done; 1 done, but something is below the asked level; 2 wrong usage or bad input; 3 a device,
a disk or a library failed; 130 interrupted.
"""

import functools
import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, ParamSpec, Protocol

import typer

from .errors import BackendError, LsuError

if TYPE_CHECKING:
    from rich.text import Text

JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout, nothing else.")]


BELOW_LEVEL = 1
INTERRUPTED = 130

_SECONDS_BETWEEN_LINES = 30
_P = ParamSpec("_P")


class Advance(Protocol):
    """Moves a progress line on."""

    def __call__(self, steps: int = 1, *, note: str = "") -> None:
        """Move on by `steps`; `note` is shown at the line's end."""


def ending_well(verb: Callable[_P, None]) -> Callable[_P, None]:
    """The verb, with errors raised on purpose printed as one line and turned into their exit code."""

    @functools.wraps(verb)
    def guarded(*args: _P.args, **kwargs: _P.kwargs) -> None:
        try:
            verb(*args, **kwargs)
        except LsuError as error:
            print_note(f"lsu: {error}")
            raise SystemExit(error.exit_code) from error
        except OSError as error:  # a disk or a device, at a place that knows nothing better to say
            print_note(f"lsu: {error.filename or 'the system'}: {error.strerror or error}")
            raise SystemExit(BackendError.exit_code) from error
        except KeyboardInterrupt:
            print_note("lsu: interrupted")
            raise SystemExit(INTERRUPTED) from None

    return guarded


def print_json(document: Any) -> None:
    """The document on stdout, floats that are not finite as null."""
    print(json.dumps(_finite(document), indent=2))


def print_note(text: str) -> None:
    """A line on stderr."""
    print(text, file=sys.stderr)


def print_table(
    title: str, head: Sequence[str], rows: Iterable[Sequence["str | Text"]], *, texts: int = 1
) -> None:
    """A table on stdout; the first `texts` columns are texts, the others are numbers."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title), title_justify="left", title_style="bold")
    for k, column in enumerate(head):
        table.add_column(Text(column), justify="left" if k < texts else "right")
    for row in rows:
        # Text, since names may hold what rich takes for markup
        table.add_row(*(Text(cell) if isinstance(cell, str) else cell for cell in row))
    Console().print(table)


def swatch(colour: tuple[int, int, int] | None) -> "Text":
    """Two blocks in an RGB colour, 0 to 255 each; blanks for none. Plain where the terminal has no colours."""
    from rich.text import Text

    return Text("  ") if colour is None else Text("██", style=f"rgb({','.join(map(str, colour))})")


@contextmanager
def progress(title: str, total: int) -> Iterator[Advance]:
    """A progress bar on stderr where that is a terminal; elsewhere a JSON line there every half minute."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(
        *columns,
        TextColumn("{task.fields[note]}", markup=False),
        console=console,
        disable=not console.is_terminal,
    ) as bar:
        task = bar.add_task(title, total=total, note="")
        done, said = 0, time.monotonic()

        def advance(steps: int = 1, *, note: str = "") -> None:
            nonlocal done, said
            done += steps
            bar.advance(task, steps)
            if note:
                bar.update(task, note=note)
            if not console.is_terminal and time.monotonic() - said >= _SECONDS_BETWEEN_LINES:
                said = time.monotonic()
                print_note(json.dumps({"task": title, "done": done, "total": total, "note": note}))

        yield advance


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(k): _finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    if isinstance(value, float) and value - value != 0:
        return None
    return value
