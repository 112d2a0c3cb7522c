"""Renders an ingest run on a terminal: a progress bar, then the documents with problems and the totals."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from ingest.report import STATUSES, DocumentResult, IngestReport
from ingest.report import Progress as Progressed
from storage.reasons import Reason
from storage.records import Usage
from winnow.cli.terminal import err, note, now_and_then, out, plain, safe, shortened, warn

_MOST_ROWS = 20
_STATUS_STYLE = {"refused": "red", "replaced": "cyan", "ingested": "green", "removed": "yellow"}


@contextmanager
def progress_bar() -> Iterator[Callable[[Progressed], None]]:
    """Show a bar on standard error that goes away when the run ends; in a pipe a line now and then."""
    if not err().is_terminal:
        tell = now_and_then()
        yield lambda progressed: tell(
            f"{progressed.documents:,} of {progressed.documents_total:,} documents, {_rate(progressed)}"
        )
        return
    bar = Progress(
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}", style="dim", markup=False),
        TextColumn("{task.description}", style="dim", markup=False),
        console=err(),
        transient=True,
    )
    task = bar.add_task("", total=None, rate="")

    def advance(progressed: Progressed) -> None:
        bar.update(
            task,
            completed=progressed.documents,
            total=progressed.documents_total,
            rate=_rate(progressed),
            description=plain(Path(progressed.path).name)[:40],
        )

    with bar:
        yield advance


def _rate(progressed: Progressed) -> str:
    left = "" if progressed.seconds_left is None else f", {_duration(progressed.seconds_left)} left"
    return f"{progressed.passages_per_second:.0f} passages/s{left}"


def print_report(report: IngestReport) -> None:
    """Print refused documents with their reasons, then warnings and totals."""
    notable = [result for result in report.documents if result.status == "refused" or _remarks(result)]
    if notable:
        out().print(_table(notable[:_MOST_ROWS]))
        if len(notable) > _MOST_ROWS:
            out().print(f"… and {len(notable) - _MOST_ROWS} more: --json lists them all", style="dim")
    out().print(_totals(report))
    warnings = (warning for result in report.documents for warning in result.warnings)
    if hint := next((one for one in warnings if Reason.of(one).code == "ingest.text-column"), None):
        note(hint)
    if report.usage.calls:
        note(f"embeddings: {_paid(report.usage)}")
    if one := report.context:
        note(f"lines of context by {one.name}: {_paid(one.usage)}, {one.usage.cached} kept from before")
        if one.reason:
            warn(one.reason)
    if report.illegible:
        warn(
            f"the encoder cannot read {report.illegible} passages: they are searched lexically only, "
            "without dense vectors or late interaction (the default encoder reads English and Chinese)"
        )


def _paid(usage: Usage) -> str:
    cost = "" if usage.cost is None else f", cost {usage.cost:.6g}"
    return f"{usage.calls} calls, {usage.prompt_tokens:,} tokens{cost}"


def _table(results: list[DocumentResult]) -> Table:
    table = Table(box=None, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    table.add_column(overflow="fold", ratio=1)
    for result in results:
        remarks = "; ".join(part for part in (result.reason, *_remarks(result)) if part)
        style = _STATUS_STYLE.get(result.status, "")
        table.add_row(Text(result.status, style=style), safe(shortened(result.path)), safe(remarks, "dim"))
    return table


def _remarks(result: DocumentResult) -> list[str]:
    """Return a document's warnings but for those that are reported once for the whole run."""
    once = ("ingest.unencoded-passages", "ingest.text-column")
    return [warning for warning in result.warnings if Reason.of(warning).code not in once]


def _totals(report: IngestReport) -> Text:
    totals = report.totals
    parts = [f"{totals[status]} {status}" for status in STATUSES if totals[status]]
    line = Text("dry run, nothing was written: " if report.dry_run else "", style="yellow")
    line.append(", ".join(parts) or "nothing to do", style="bold")
    line.append(f"  {totals['chunks']} passages, {_work(report)}", style="dim")
    if report.skipped:
        skipped = ", ".join(
            f"{count} {suffix or 'without suffix'}" for suffix, count in report.skipped.items()
        )
        line.append_text(safe(f"  skipped as unknown: {skipped}", "dim"))
    return line


def _work(report: IngestReport) -> str:
    if report.estimate is None:
        return f"{report.embedded} embedded, {_duration(report.seconds)}"
    megabytes = max(1, round(report.estimate.bytes / 1e6))
    return f"about {_duration(report.estimate.seconds)} to embed and {megabytes:,} MB on disk"


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s"
