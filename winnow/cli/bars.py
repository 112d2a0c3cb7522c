"""Progress bars for long work."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from winnow.cli.terminal import err, plain

if TYPE_CHECKING:
    from winnow.lab.evaluation import Progress


@contextmanager
def progress_bars(*, shown: bool = True) -> Iterator[Progress]:
    """Show bars on standard error if that is a terminal; they vanish when the work is done.

    The work reports its name, how much of it is done, and how much there is.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    console = err()
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Bars(*columns, console=console, transient=True, disable=not (shown and console.is_terminal)) as bars:
        tasks = {}

        def progress(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(plain(what), total=total)
            bars.update(tasks[what], completed=done, total=total)

        yield progress
