"""`winnow log compare --html`: one page about rerank specs over logged answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from winnow.lab.comparing import SpecRow
from winnow.lab.reports.page import render
from winnow.lab.reports.plots import Dot, scatter
from winnow.lab.significance import Interval

_MOST_DISPUTES = 20
_X_LABELS = {"latency": "median ms of reranking", "cost": "cost of 1,000 questions"}


@dataclass(frozen=True, slots=True)
class Plot:
    """A plot with a dot per spec, numbered as the rows are. Latency belongs on a logarithmic scale."""

    x: Literal["latency", "cost"]
    y: str
    dots: tuple[Dot, ...]


def html(rows: Sequence[SpecRow]) -> str:
    """The page's text."""
    drawn = [
        (
            plot,
            scatter(plot.dots, x_label=_X_LABELS[plot.x], y_label=plot.y, logarithmic=plot.x == "latency"),
        )
        for plot in plots(rows)
    ]
    disputes = [(place, _least_rbo(rows, place)) for place in disputed(rows)]
    return render("comparison.html", rows=rows, plots=drawn, disputes=disputes)


def plots(rows: Sequence[SpecRow]) -> Iterator[Plot]:
    """Quality (if any is known) and agreement, each against latency and, if any is known, cost."""
    # a replay's time is none that a question takes
    times = [max(row.ms_p50, 0.1) if row.timed else None for row in rows]
    # without calls there is no cost; None: unknown
    costs = [row.cost if row.calls else 0.0 for row in rows]
    ndcg = [(row.ndcg, row.ndcg_interval) for row in rows]
    for y, values in (("nDCG@5", ndcg), ("RBO", [(row.rbo, row.rbo_interval) for row in rows])):
        if y == "RBO" or rows[0].judged:
            if any(times):
                yield Plot("latency", y, _dots(rows, times, values))
            if any(costs):
                thousands = [
                    cost and cost / row.answers * 1000 for cost, row in zip(costs, rows, strict=True)
                ]
                yield Plot("cost", y, _dots(rows, thousands, values))


def disputed(rows: Sequence[SpecRow]) -> list[int]:
    """Places of the answers on which the specs disagree with the log, least agreement first."""
    least = {place: _least_rbo(rows, place) for place in range(rows[0].answers)}
    unlike = [place for place, rbo in least.items() if rbo < 0.9995]
    return sorted(unlike, key=least.__getitem__)[:_MOST_DISPUTES]


def _least_rbo(rows: Sequence[SpecRow], place: int) -> float:
    return min(row.each[place].rbo for row in rows)


def _dots(
    rows: Sequence[SpecRow], xs: Sequence[float | None], ys: Sequence[tuple[float | None, Interval | None]]
) -> tuple[Dot, ...]:
    return tuple(
        Dot(row.spec, x, y, interval.low, interval.high, number)
        for number, (row, x, (y, interval)) in enumerate(zip(rows, xs, ys, strict=True), 1)
        if x is not None and y is not None and interval is not None
    )
