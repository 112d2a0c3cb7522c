"""The report of `winnow evaluate`: its table, quality against latency and cost, questions won and lost."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from winnow.lab.evaluation.results import Evaluation, EvaluationRow, cost
from winnow.lab.reports.page import render
from winnow.lab.reports.plots import Dot, gains, scatter

_QUALITY = "nDCG@10"


def html(found: Evaluation) -> str:
    """The report's text."""
    rows = found.rows
    timed = [(row, row.times.p50) for row in rows if row.times is not None and row.times.p50 > 0]
    priced = [(row, value * 1000 / found.questions) for row in rows if (value := cost(row.usage)) is not None]
    paid = priced if any(value for _, value in priced) else []
    return render(
        "evaluation.html",
        found=found,
        quality=_QUALITY,
        cost=cost,
        timed=[row for row, _ in timed],
        latency_svg=_scatter(timed, "median ms a question", logarithmic=True),
        priced=[row for row, _ in paid],
        cost_svg=_scatter(paid, "cost of 1,000 questions"),
        unpriced=len(rows) - len(priced),
        gains=lambda row: gains(
            [new - old for new, old in zip(row.per_question, rows[0].per_question, strict=True)]
        ),
    )


def _scatter(
    rows: Sequence[tuple[EvaluationRow, float]], x_label: str, *, logarithmic: bool = False
) -> Markup | None:
    """Quality of the rows against a figure of theirs; None where no row has it."""
    if not rows:
        return None
    dots = [
        Dot(f"{row.retrieve} → {row.rerank}", x, row.metrics[_QUALITY], interval.low, interval.high)
        for row, x in rows
        for interval in [row.intervals[_QUALITY]]
    ]
    return scatter(dots, x_label=x_label, y_label=_QUALITY, logarithmic=logarithmic)
