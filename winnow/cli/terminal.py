"""Prints results, remarks and errors on the terminal.

Results go to standard output, everything else to standard error; colours appear on a terminal only. Text
from documents is untrusted: control characters never reach the terminal and markup is never interpreted.
"""

from __future__ import annotations

import json
import re
import sys
import time
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

import typer
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.text import Text

from storage.errors import BadInputError, WinnowError

if TYPE_CHECKING:
    from winnow.lab.progress import Progress

# Documented in README: scripts rely on them.
EXIT_FAILURE = 1
EXIT_USAGE = 2
EXIT_REFUSED = 3
EXIT_NOT_PROMOTED = 4
EXIT_INTERRUPTED = 130

_SHOWN_CONTROLS = "\n\t"


# What steers a terminal and JSON leaves as it is: controls of 8 bits, marks of direction, invisible ones.
_STEERING = re.compile(
    "[\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0001-\U000e007f]"
)

# Columns of what is no terminal: no path and no command is ever broken for a program that reads on.
_UNBROKEN = 100_000

_FIRST_S, _LONGEST_S = 10.0, 60.0


def out() -> Console:
    """Standard output: as wide as the terminal, and unbroken lines where it is none."""
    return _console(stderr=False)


def err() -> Console:
    """Standard error, likewise."""
    return _console(stderr=True)


def _console(*, stderr: bool) -> Console:
    console = Console(stderr=stderr, highlight=False)
    if console.no_color:  # rich would keep bold and dim
        console = Console(stderr=stderr, highlight=False, color_system=None)
    if console.is_terminal:
        return console
    stream = _Trimmed(sys.stderr if stderr else sys.stdout)
    return Console(file=cast("IO[str]", stream), highlight=False, width=_UNBROKEN)


class _Trimmed:
    """A stream without the spaces that fill up the lines of tables."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        *lines, rest = text.split("\n")
        return self._stream.write("".join(f"{line.rstrip(' ')}\n" for line in lines) + rest)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class ByWidth:
    """Renders in the way that suits the columns there are."""

    def __init__(self, make: Callable[[int], RenderableType]) -> None:
        self._make = make

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield self._make(options.max_width)


def plain(text: str) -> str:
    """Remove whatever could steer the terminal: escape sequences, reversed or invisible characters."""
    return "".join(_harmless(character) for character in text)


def _harmless(character: str) -> str:
    if character in _SHOWN_CONTROLS:
        return character
    category = unicodedata.category(character)
    if category == "Cf":  # direction marks and the like
        return ""
    return "\ufffd" if category in ("Cc", "Cs") else character


def safe(text: str, style: str = "") -> Text:
    """Wrap untrusted text for rich: cleaned, and never read as markup."""
    return Text(plain(text), style=style)


def shortened(path: str) -> str:
    """Return the path relative to this folder if it is below it."""
    try:
        return str(Path(path).relative_to(Path.cwd()))
    except ValueError:
        return path


def print_json(value: Any) -> None:
    """Print one JSON value, on one line unless a terminal shows it."""
    unicode = "utf" in (sys.stdout.encoding or "").lower()
    text = json.dumps(
        value,
        ensure_ascii=not unicode,
        indent=2 if sys.stdout.isatty() else None,
        default=_jsonable,
    )
    text = _STEERING.sub(_escaped, text)
    sys.stdout.write(text.encode("utf-8", "replace").decode("utf-8") + "\n")


def _escaped(found: re.Match[str]) -> str:
    """Return a character as JSON's escape, which a program reads as the same character."""
    return json.dumps(found[0])[1:-1]


def _jsonable(value: Any) -> Any:
    """A model, a result or a path as JSON has it."""
    if hasattr(value, "to_json"):
        return value.to_json()
    return str(value) if isinstance(value, Path) else asdict(value)


def print_table(rows: Iterable[tuple[str, object]]) -> None:
    """Print names with their values."""
    from rich.table import Table

    table = Table(box=None, show_header=False)
    for name, value in rows:
        table.add_row(name, safe(str(value)))
    out().print(table)


def print_rows(
    headings: Sequence[str], rows: Iterable[Sequence[str | Text]], *, numbers: Sequence[str] = ()
) -> None:
    """Print a table; the columns in `numbers` are aligned to the right."""
    from rich.table import Table

    table = Table(box=None)
    for heading in headings:
        table.add_column(heading, justify="right" if heading in numbers else "left", overflow="fold")
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else safe(cell) for cell in row))
    out().print(table)


def note(*texts: str) -> None:
    """Print remarks on standard error."""
    for text in texts:
        err().print(safe(text, "dim"))


def warn(*texts: str) -> None:
    """Print warnings on standard error."""
    for text in texts:
        err().print(Text("warning: ", style="yellow") + safe(text))


def now_and_then(clock: Callable[[], float] = time.monotonic) -> Callable[[str], None]:
    """Return what notes how far long work is, for who sees no bar.

    Of what it is told it prints a line after ten seconds, then after twice as long each, a minute at most.
    """
    wait = _FIRST_S
    due = clock() + wait

    def tell(line: str) -> None:
        nonlocal wait, due
        if (now := clock()) >= due:
            note(line)
            wait = min(2 * wait, _LONGEST_S)
            due = now + wait

    return tell


@contextmanager
def progress_bars(*, shown: bool = True) -> Iterator[Progress]:
    """Show bars on standard error that vanish when the work is done; in a pipe a line now and then.

    The work reports its name, how much of it is done, and how much there is.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    console = err()
    if shown and not console.is_terminal:
        tell = now_and_then()
        yield lambda what, done, total: tell(f"{what}: {done:,} of {total:,}")
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Bars(*columns, console=console, transient=True, disable=not shown) as bars:
        tasks = {}

        def progress(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(plain(what), total=total)
            bars.update(tasks[what], completed=done, total=total)

        yield progress


@contextmanager
def reported(as_json: bool) -> Iterator[None]:
    """Turn winnow's errors into a message (or JSON) and an exit code, never a traceback."""
    try:
        yield
    except WinnowError as error:
        report(error, as_json)
        raise typer.Exit(EXIT_USAGE if isinstance(error, BadInputError) else EXIT_FAILURE) from error
    except OSError as error:  # of the system, anywhere: a full disk, standard output that nobody takes
        if isinstance(error, BrokenPipeError):
            raise
        report(_of_the_system(error), as_json)
        raise typer.Exit(EXIT_FAILURE) from error
    except KeyboardInterrupt as stopped:  # a command may say what was kept
        kept = stopped.args[0] if stopped.args else "what was finished is kept"
        note(f"interrupted; {kept}")
        raise typer.Exit(EXIT_INTERRUPTED) from None


def _of_the_system(error: OSError) -> WinnowError:
    if isinstance(error, FileNotFoundError) and error.filename is None:  # what os.getcwd raises
        return WinnowError(
            "the folder in which this command runs is gone", way_out="Change to one that exists."
        )
    place = error.filename or "the output"
    return WinnowError(
        f"{place} cannot be used: {error.strerror or error}",
        way_out="Is there room on the disk, and may this user read and write there?",
    )


def report(error: WinnowError, as_json: bool) -> None:
    """Print an error and the way out of it."""
    if as_json:
        print_json({"error": {"code": error.code, "message": str(error), "way_out": error.way_out}})
        return
    err().print(Text("error: ", style="bold red") + safe(str(error)))
    if error.way_out:
        err().print(safe(error.way_out))
