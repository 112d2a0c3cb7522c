"""One HTML file for people: the table, quality against latency and cost, the questions won and lost.

It fetches nothing and runs no script; every text from documents and questions is escaped.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from winnow.lab.evaluation.results import AnswerFigures, Contrast, Evaluation, Passage, Row, cost
from winnow.lab.reports.page import page, plain, safe, table, write
from winnow.lab.reports.plots import COLOURS, Dot, gains, scatter
from winnow.lab.significance import Difference

_QUALITY = "nDCG@10"


def write_report(found: Evaluation, path: Path) -> None:
    """Write the report; an older one stays whole until the new one is there. Raises BadInputError."""
    write(html(found), path)


def html(found: Evaluation) -> str:
    """The report's text."""
    title = f"winnow evaluate: {safe(found.dataset)}"
    return page(title, "".join(_body(found)))


def _body(found: Evaluation) -> Iterator[str]:
    yield f"<h1>{safe(found.dataset)}</h1><p>{found.questions} questions, seed {found.seed}.</p>"
    if found.notes:
        yield f"<ul>{''.join(f'<li>{safe(remark)}</li>' for remark in found.notes)}</ul>"
    yield _table(found.rows)
    yield (
        '<p class="small">In brackets: 95 % intervals by bootstrap over questions. Differences are against '
        "row 1, paired; * marks p &lt; 0.05.</p>"
    )
    yield f'<div class="plots">{_latency(found)}{_costs(found)}</div>'
    if any(row.answers for row in found.rows):
        yield _answers(found.rows)
    for number, row in enumerate(found.rows[1:], start=2):
        yield _against_first(number, row, found.rows[0])


def _table(rows: Sequence[Row]) -> str:
    names = list(rows[0].metrics)
    heads = [
        "",
        "retrieve",
        "rerank",
        *names,
        f"Δ {_QUALITY}",
        "fallbacks",
        "calls",
        "cost",
        "p50 ms",
        "p95 ms",
    ]
    return table(heads, ([*_label(number, row), *_figures(row, names)] for number, row in enumerate(rows, 1)))


def _label(number: int, row: Row) -> list[str]:
    colour = COLOURS[(number - 1) % len(COLOURS)]
    return [f'<b style="color:{colour}">{number}</b>', safe(row.retrieve), safe(row.rerank)]


def _figures(row: Row, names: Sequence[str]) -> list[str]:
    spent = cost(row.usage)
    times = ["–", "–"] if row.times is None else [f"{row.times.p50:.1f}", f"{row.times.p95:.1f}"]
    return [
        *(f"{row.metrics[name]:.4f} {_interval(row, name)}" for name in names),
        _difference(row.differences.get(_QUALITY)),
        str(row.statuses.get("fallback", 0)),
        str(row.usage.calls),
        "unknown" if spent is None else f"{spent:.4f}",
        *times,
    ]


def _interval(row: Row, name: str) -> str:
    found = row.intervals[name]
    return f'<span class="small">[{found.low:.3f}, {found.high:.3f}]</span>'


def _difference(found: Difference | None) -> str:
    if found is None:
        return "–"
    return f"{found.mean:+.4f}{'*' if found.p < 0.05 else ''}"


def _latency(found: Evaluation) -> str:
    timed = [(row, row.times.p50) for row in found.rows if row.times is not None and row.times.p50 > 0]
    heading = "<h2>Quality against latency</h2>"
    if not timed:
        return f"<section>{heading}<p>Nothing was timed.</p></section>"
    plot = scatter(_dots(timed), x_label="median ms a question", y_label=_QUALITY, logarithmic=True)
    return f"<section>{heading}{plot}{_key(timed)}</section>"


def _costs(found: Evaluation) -> str:
    heading = "<h2>Quality against cost</h2>"
    spent = [
        (row, value * 1000 / found.questions) for row in found.rows if (value := cost(row.usage)) is not None
    ]
    if not any(value for _, value in spent):
        unknown = len(found.rows) - len(spent)
        said = "Nothing cost anything." if not unknown else f"The cost of {unknown} rows is not known."
        return f"<section>{heading}<p>{said}</p></section>"
    plot = scatter(_dots(spent), x_label="cost of 1,000 questions", y_label=_QUALITY)
    return f"<section>{heading}{plot}{_key(spent)}</section>"


def _dots(rows: Sequence[tuple[Row, float]]) -> list[Dot]:
    dots = []
    for row, x in rows:
        spread = row.intervals[_QUALITY]
        dots.append(
            Dot(plain(f"{row.retrieve} → {row.rerank}"), x, row.metrics[_QUALITY], spread.low, spread.high)
        )
    return dots


def _key(rows: Sequence[tuple[Row, float]]) -> str:
    items = (f"<li>{safe(row.retrieve)} → {safe(row.rerank)}</li>" for row, _ in rows)
    return f"<ol>{''.join(items)}</ol>"


def _answers(rows: Sequence[Row]) -> str:
    heads = [
        "",
        "retrieve",
        "rerank",
        "answered",
        "containment",
        "exact match",
        "citation precision",
        "abstention",
    ]
    lines = (
        [*_label(number, row), *_answer_figures(row.answers)]
        for number, row in enumerate(rows, 1)
        if row.answers is not None
    )
    return f"<h2>Answers</h2>{table(heads, lines)}"


def _answer_figures(given: AnswerFigures) -> list[str]:
    shares = (given.answered, given.containment, given.exact_match, given.citation_precision)
    abstained = f"{_share(given.abstention)} of {given.unanswerable}"
    return [*(_share(share) for share in shares), abstained]


def _share(share: float | None) -> str:
    return "–" if share is None else f"{share:.3f}"


def _against_first(number: int, row: Row, first: Row) -> str:
    differences = [new - old for new, old in zip(row.per_question, first.per_question, strict=True)]
    heading = f"<h2>{number}. {safe(row.retrieve)} → {safe(row.rerank)}</h2>"
    even = len(differences) - row.wins - row.losses
    counts = (
        f'<p>Against row 1 by {_QUALITY}: <span class="won">{row.wins} won</span>, '
        f'<span class="lost">{row.losses} lost</span>, {even} even.</p>'
    )
    opened = "".join(_contrast(one) for one in row.contrasts) or "<p>None.</p>"
    return f"<section>{heading}{counts}{gains(differences)}<h3>Questions to open</h3>{opened}</section>"


def _contrast(one: Contrast) -> str:
    kind = "won" if one.here > one.first else "lost"
    answers = f'<p class="small">Gold: {safe("; ".join(one.answers[:5]))}</p>' if one.answers else ""
    first, here = f"row 1: {one.first:.3f}", f"here: {one.here:.3f}"
    return (
        f'<details><summary><span class="{kind}">{one.here - one.first:+.3f}</span> {safe(one.text)} '
        f'<span class="small">{safe(one.question)}</span></summary>{answers}<div class="sides">'
        f"{_side(first, one.first_passages)}{_side(here, one.passages)}"
        "</div></details>"
    )


def _side(heading: str, passages: Sequence[Passage]) -> str:
    items = "".join(_passage(passage) for passage in passages)
    return f"<div><h4>{heading}</h4><ol>{items}</ol></div>"


def _passage(one: Passage) -> str:
    mark = ' class="hit"' if one.relevant else ""
    return f"<li{mark}><b>{safe(one.document)}</b> {safe(one.excerpt)}</li>"
