"""How a measurement looks on a terminal, 80 columns wide."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from winnow.cli.terminal import safe
from winnow.lab.evaluation.results import Evaluation, Row, cost
from winnow.lab.significance import Difference

_SURE = 0.05


def evaluation(found: Evaluation) -> RenderableType:
    """Figures of each row, how the stages went, and what sets each row apart from the first."""
    parts: list[RenderableType] = [_metrics(found)]
    if len(found.rows) > 1:
        parts += [Text(), _differences(found)]
    parts += [Text(), _course(found)]
    if any(row.answers for row in found.rows):
        parts += [Text(), _answers(found)]
    parts += [line for number, row in enumerate(found.rows, 1) for line in _reasons(number, row)]
    return Group(*parts)


def _metrics(found: Evaluation) -> Table:
    table = _table(f"{found.dataset}: {found.questions} questions", list(found.rows[0].metrics))
    for number, row in enumerate(found.rows, 1):
        table.add_row(str(number), _label(row), *(f"{value:.4f}" for value in row.metrics.values()))
    return table


def _differences(found: Evaluation) -> Table:
    """All metrics, the first with its interval; the others' intervals are in the JSON and the report."""
    title = "against row 1: difference, 95 % interval (paired bootstrap), * p < 0.05"
    table = Table(title=title, title_justify="left", box=None)
    for name in ("#", *found.rows[0].metrics):
        table.add_column(name, justify="right", no_wrap=True)
    for number, row in enumerate(found.rows[1:], 2):
        first, *others = row.differences.values()
        spread = f"[{first.interval.low:+.3f}, {first.interval.high:+.3f}]"
        table.add_row(str(number), f"{_difference(first)} {spread}", *(_difference(one) for one in others))
    return table


def _course(found: Evaluation) -> Table:
    table = _table("how it went", ("won", "lost", "fallbacks", "calls", "cost", "p50 ms", "p95 ms"))
    for number, row in enumerate(found.rows, 1):
        spent = cost(row.usage)
        times = ("–", "–") if row.times is None else (f"{row.times.p50:.1f}", f"{row.times.p95:.1f}")
        table.add_row(
            str(number),
            _label(row),
            *(("–", "–") if number == 1 else (str(row.wins), str(row.losses))),
            str(row.statuses.get("fallback", 0)),
            str(row.usage.calls),
            "unknown" if spent is None else f"{spent:.4f}",
            *times,
        )
    return table


def _answers(found: Evaluation) -> Table:
    columns = ("answered", "contained", "exact", "cited well", "abstained", "p50 ms")
    table = _table("answers", columns)
    for number, row in enumerate(found.rows, 1):
        if (given := row.answers) is not None:
            shares = (given.answered, given.containment, given.exact_match, given.citation_precision)
            abstained = f"{_share(given.abstention)} of {given.unanswerable}"
            times = "–" if given.times is None else f"{given.times.p50:.1f}"
            table.add_row(str(number), _label(row), *(_share(share) for share in shares), abstained, times)
    return table


def _table(title: str, numbers: Sequence[str]) -> Table:
    table = Table(title=safe(title), title_justify="left", box=None)
    table.add_column("#", justify="right")
    table.add_column("retrieve → rerank", overflow="fold")
    for name in numbers:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _label(row: Row) -> Text:
    return safe(f"{row.retrieve} → {row.rerank}")


def _difference(found: Difference) -> str:
    return f"{found.mean:+.4f}{'*' if found.p < _SURE else ' '}"


def _share(share: float | None) -> str:
    return "–" if share is None else f"{share:.3f}"


def _reasons(number: int, row: Row) -> list[Text]:
    return [safe(f"row {number}: {count} × {reason}", "yellow") for reason, count in row.reasons.items()]
