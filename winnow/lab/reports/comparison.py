"""`winnow log compare --html`: one page about rerank specs over logged answers, for people.

It fetches nothing and runs no script; every text from questions and documents is escaped.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from winnow.lab.comparing import ComparedAnswer, FinalPassage, SpecRow
from winnow.lab.reports.page import page, plain, safe, table, write
from winnow.lab.reports.plots import COLOURS, Dot, scatter
from winnow.lab.significance import Interval

_SHOWN = 20
_NOTE = (
    "Overlap and RBO (rank-biased) hold each spec's final passages against the logged ones: 1 is the "
    "same. In brackets: 95 % intervals by bootstrap over the answers, the same draws for every spec; * marks "
    "a paired difference to the first spec with p < 0.05. Times and costs are those of the rerank stages."
)

_X = {"latency": ("latency", "median ms of reranking"), "cost": ("cost", "cost of 1,000 questions")}


@dataclass(frozen=True, slots=True)
class Plot:
    """A dot a spec, numbered as the rows are. Latency is to be drawn on a logarithmic scale."""

    x: Literal["latency", "cost"]
    y: str
    dots: tuple[Dot, ...]


def write_report(rows: Sequence[SpecRow], path: Path) -> None:
    """Write the page; an older one stays whole until the new one is there. Raises BadInputError."""
    write(html(rows), path)


def html(rows: Sequence[SpecRow]) -> str:
    """The page's text."""
    return page("winnow log compare", "".join(_body(rows)))


def _body(rows: Sequence[SpecRow]) -> Iterator[str]:
    first = rows[0]
    judged = f", {first.judged} of them judged" if first.judged else ""
    yield f"<h1>Rerank specs over {first.answers} logged answers{judged}</h1>"
    if not first.judged:
        yield "<p>No passage of these answers was judged: there is agreement, and no quality.</p>"
    yield _specs(rows)
    yield f'<p class="small">{safe(_NOTE)}</p>'
    yield f'<div class="plots">{"".join(_drawn(plot, _key(rows)) for plot in plots(rows))}</div>'
    yield "<h2>Where the specs disagree most with the logged answers</h2>"
    yield "".join(_question(rows, place) for place in disputed(rows)) or "<p>Nowhere.</p>"


def _specs(rows: Sequence[SpecRow]) -> str:
    quality = ["nDCG@5", "Δ", "MRR"] if rows[0].judged else []
    rest = ["overlap", "RBO", "p50 ms", "p95 ms", "calls", "cost", "fallbacks"]
    lines = (_spec(number, row) for number, row in enumerate(rows, 1))
    return table(["", "rerank", *quality, *rest], lines)


def _spec(number: int, row: SpecRow) -> list[str]:
    quality = [_with_interval(row.ndcg, row.ndcg_interval), _difference(row)]
    quality += [_with_interval(row.mrr, row.mrr_interval)]
    return [
        f'<b style="color:{_colour(number)}">{number}</b>',
        safe(row.spec),
        *(quality if row.judged else []),
        _with_interval(row.overlap, row.overlap_interval),
        _with_interval(row.rbo, row.rbo_interval),
        f"{row.ms_p50:.1f}",
        f"{row.ms_p95:.1f}",
        str(row.calls),
        "unknown" if row.cost is None and row.calls else f"{row.cost or 0:.4f}",
        str(row.fallbacks),
    ]


def _with_interval(value: float | None, interval: Interval | None) -> str:
    if value is None or interval is None:
        return "–"
    return f'{value:.3f} <span class="small">[{interval.low:.3f}, {interval.high:.3f}]</span>'


def _difference(row: SpecRow) -> str:
    found = row.against_first
    return "–" if found is None else f"{found.mean:+.3f}{'*' if found.p < 0.05 else ''}"


def plots(rows: Sequence[SpecRow]) -> Iterator[Plot]:
    """Quality (where there is any) and agreement, each against latency and, where anything is known, cost."""
    times = [max(row.ms_p50, 0.1) for row in rows]
    # what calls nobody costs nothing; None: not known
    costs = [row.cost if row.calls else 0.0 for row in rows]
    ndcg = [(row.ndcg, row.ndcg_interval) for row in rows]
    for y, values in (("nDCG@5", ndcg), ("RBO", [(row.rbo, row.rbo_interval) for row in rows])):
        if y == "RBO" or rows[0].judged:
            yield Plot("latency", y, _dots(rows, times, values))
            if any(costs):
                thousands = [
                    cost and cost / row.answers * 1000 for cost, row in zip(costs, rows, strict=True)
                ]
                yield Plot("cost", y, _dots(rows, thousands, values))


def _dots(
    rows: Sequence[SpecRow], xs: Sequence[float | None], ys: Sequence[tuple[float | None, Interval | None]]
) -> tuple[Dot, ...]:
    return tuple(
        Dot(plain(row.spec), x, y, spread.low, spread.high, number)
        for number, (row, x, (y, spread)) in enumerate(zip(rows, xs, ys, strict=True), 1)
        if x is not None and y is not None and spread is not None
    )


def _drawn(plot: Plot, key: str) -> str:
    what, unit = _X[plot.x]
    drawn = scatter(plot.dots, x_label=unit, y_label=plot.y, logarithmic=plot.x == "latency")
    kind = "Quality" if plot.y == "nDCG@5" else "Agreement"
    return f"<section><h2>{kind} against {what}</h2>{drawn}{key}</section>"


def _key(rows: Sequence[SpecRow]) -> str:
    return f"<ol>{''.join(f'<li>{safe(row.spec)}</li>' for row in rows)}</ol>"


def disputed(rows: Sequence[SpecRow]) -> list[int]:
    """Answers by place, those first on which some spec is least like the log; the same ones are left out."""
    least = {place: min(row.each[place].rbo for row in rows) for place in range(rows[0].answers)}
    return sorted((place for place, rbo in least.items() if rbo < 0.9995), key=least.__getitem__)[:_SHOWN]


def _question(rows: Sequence[SpecRow], place: int) -> str:
    logged = rows[0].each[place]
    heads = ["", "rerank", "overlap", "RBO", "nDCG@5", "ms"]
    figures = table(heads, (_figures(number, row, row.each[place]) for number, row in enumerate(rows, 1)))
    before = [passage.chunk_id for passage in logged.logged]
    sides = [_side("logged", logged.logged, before)]
    for number, row in enumerate(rows, 1):
        here = row.each[place].replayed
        if [passage.chunk_id for passage in here] != before:
            sides.append(_side(f"{number}. {row.spec}", here, before))
    least = min(row.each[place].rbo for row in rows)
    summary = f'RBO {least:.3f} {safe(logged.question)} <span class="small">{safe(logged.answer_id)}</span>'
    opened = f'{figures}<div class="sides">{"".join(sides)}</div>'
    return f"<details><summary>{summary}</summary>{opened}</details>"


def _figures(number: int, row: SpecRow, one: ComparedAnswer) -> list[str]:
    ndcg = "–" if one.ndcg is None else f"{one.ndcg:.3f}"
    label = f'<b style="color:{_colour(number)}">{number}</b>'
    return [label, safe(row.spec), f"{one.overlap:.2f}", f"{one.rbo:.3f}", ndcg, f"{one.ms:.1f}"]


def _side(heading: str, passages: Sequence[FinalPassage], before: Sequence[str]) -> str:
    """Final passages of one ranking; those that the log's had not are marked as new."""
    items = "".join(_passage(one, new=one.chunk_id not in before) for one in passages)
    return f"<div><h4>{safe(heading)}</h4><ol>{items}</ol></div>"


def _passage(one: FinalPassage, *, new: bool) -> str:
    mark = ' class="hit"' if one.grade else ""
    notes = ' <span class="won">new</span>' if new else ""
    notes += "" if one.grade is None else f' <span class="small">judged {one.grade}</span>'
    return f"<li{mark}><b>{safe(one.title)}</b>{notes}<br>{safe(one.text)}</li>"


def _colour(number: int) -> str:
    return COLOURS[(number - 1) % len(COLOURS)]
