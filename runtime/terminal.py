"""How commands speak and end: one JSON document or tables on stdout, progress and notes on stderr.

Exit codes: 0 done; 1 done, but something is below the asked level; 2 wrong usage or bad input; 3 a device,
a disk or a library failed; 130 interrupted.
"""

import functools
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ParamSpec, Protocol

import typer

from .errors import BackendError, LsuError

if TYPE_CHECKING:
    from rich.text import Text

JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout, nothing else.")]
TrustOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--trust", help="A public key (.pub); again for more. What none of them signed is refused unread."
    ),
]
"""For `Bundle.open(path, trust=Trust.from_files(trust or ()))`; the default is None."""


BELOW_LEVEL = 1
INTERRUPTED = 130
READER_GONE = 141
"""As a shell reports a process that SIGPIPE ended."""

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
            print_note(f"lsu: {_one_line(str(error))}")
            raise SystemExit(error.exit_code) from error
        except BrokenPipeError:  # `lsu labels show goose | head`: the reader has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left goes nowhere
            raise SystemExit(READER_GONE) from None
        except OSError as error:  # a disk or a device, at a place that knows nothing better to say
            print_note(_one_line(f"lsu: {error.filename or 'the system'}: {error.strerror or error}"))
            raise SystemExit(BackendError.exit_code) from error
        except KeyboardInterrupt:
            print_note("lsu: interrupted")
            raise SystemExit(INTERRUPTED) from None

    return guarded


def print_json(document: Any) -> None:
    """The document on stdout, floats that are not finite as null."""
    print(json_text(document))


def json_text(document: Any) -> str:
    """The document as JSON, floats that are not finite as null."""
    return json.dumps(_finite(document), indent=2)


def print_line(text: str) -> None:
    """A line on stdout; what is not printable is escaped, since it may come from a file."""
    print(_one_line(text))


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

    table = Table(title=Text(_one_line(title)), title_justify="left", title_style="bold")
    for k, column in enumerate(head):
        # folded, since cut-off names of one prefix would all look alike
        table.add_column(Text(_one_line(column)), justify="left" if k < texts else "right", overflow="fold")
    for row in rows:
        # Text, since names may hold what rich takes for markup
        table.add_row(*(Text(_one_line(cell)) if isinstance(cell, str) else cell for cell in row))
    Console().print(table)


def swatch(colour: tuple[int, int, int] | None) -> "Text":
    """Two blocks in an RGB colour, 0 to 255 each; blanks for none. Plain in a terminal without colours."""
    from rich.text import Text

    return Text("  ") if colour is None else Text("██", style=f"rgb({','.join(map(str, colour))})")


@contextmanager
def progress(title: str, total: int, *, shown: bool = True) -> Iterator[Advance]:
    """A progress bar on stderr where that is a terminal; elsewhere a JSON line there every half minute.

    `shown` is false in all processes of a job but one, which share a terminal.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(
        *columns,
        TextColumn("{task.fields[note]}", markup=False),
        console=console,
        disable=not (shown and console.is_terminal),
    ) as bar:
        task = bar.add_task(title, total=total, note="")
        done, said = 0, time.monotonic()

        def advance(steps: int = 1, *, note: str = "") -> None:
            nonlocal done, said
            done += steps
            bar.advance(task, steps)
            if note:
                bar.update(task, note=note)
            if shown and not console.is_terminal and time.monotonic() - said >= _SECONDS_BETWEEN_LINES:
                said = time.monotonic()
                print_note(json.dumps({"task": title, "done": done, "total": total, "note": note}))

        yield advance


def _one_line(text: str) -> str:
    """The text with what is not printable escaped: names of files and keys may hold orders to a terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(k): _finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    if isinstance(value, float) and value - value != 0:
        return None
    return value
