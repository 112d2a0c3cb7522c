"""One HTML file for people: the table, quality against latency and cost, the questions won and lost.

It fetches nothing and runs no script; every text from documents and questions is escaped.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from pathlib import Path

from storage.errors import BadInputError
from winnow.evaluation.plots import COLOURS, Dot, gains, scatter
from winnow.evaluation.results import AnswerFigures, Contrast, Evaluation, Passage, Row, cost
from winnow.evaluation.significance import Difference

_QUALITY = "nDCG@10"
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_STYLE = """
:root{color-scheme:light dark}
body{font:15px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem}
table{border-collapse:collapse;display:block;overflow-x:auto}
th,td{padding:.25rem .7rem;text-align:right;border-bottom:1px solid #8884;font-variant-numeric:tabular-nums}
th:nth-child(-n+3),td:nth-child(-n+3){text-align:left}
svg{width:100%;max-width:38rem;font:12px system-ui,sans-serif;fill:currentColor}
.plots{display:grid;gap:1rem;grid-template-columns:repeat(auto-fit,minmax(24rem,1fr))}
details{border:1px solid #8884;border-radius:.4rem;margin:.4rem 0;padding:.4rem .8rem}
summary{cursor:pointer}.sides{display:grid;grid-template-columns:1fr 1fr;gap:1rem}
li{margin:.3rem 0;overflow-wrap:anywhere}.hit{border-left:4px solid #009e73;padding-left:.5rem}
.won{color:#00795a}.lost{color:#b84f00}.small{opacity:.7;font-size:.9em}
@media (prefers-color-scheme:dark){.won{color:#4fd1a5}.lost{color:#ff9a57}}
"""


def write_report(found: Evaluation, path: Path) -> None:
    """Write the report; an older one stays whole until the new one is there. Raises BadInputError."""
    draft = path.with_name(f"{path.name}.draft")
    try:
        draft.write_text(html(found), encoding="utf-8")
        os.replace(draft, path)  # noqa: PTH105 - says that it is atomic
    except OSError as error:
        raise BadInputError(f"the report cannot be written to {path}: {error.strerror}") from error


def html(found: Evaluation) -> str:
    """The report's text."""
    title = f"winnow evaluate: {_safe(found.dataset)}"
    body = "".join(_body(found))
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{title}</title><style>{_STYLE}</style></head><body>{body}</body></html>\n"
    )


def _body(found: Evaluation) -> Iterator[str]:
    yield f"<h1>{_safe(found.dataset)}</h1><p>{found.questions} questions, seed {found.seed}.</p>"
    if found.notes:
        yield f"<ul>{''.join(f'<li>{_safe(remark)}</li>' for remark in found.notes)}</ul>"
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
    return _html_table(
        heads, ([*_label(number, row), *_figures(row, names)] for number, row in enumerate(rows, 1))
    )


def _label(number: int, row: Row) -> list[str]:
    colour = COLOURS[(number - 1) % len(COLOURS)]
    return [f'<b style="color:{colour}">{number}</b>', _safe(row.retrieve), _safe(row.rerank)]


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
    items = (f"<li>{_safe(row.retrieve)} → {_safe(row.rerank)}</li>" for row, _ in rows)
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
    return f"<h2>Answers</h2>{_html_table(heads, lines)}"


def _answer_figures(given: AnswerFigures) -> list[str]:
    shares = (given.answered, given.containment, given.exact_match, given.citation_precision)
    abstained = f"{_share(given.abstention)} of {given.unanswerable}"
    return [*(_share(share) for share in shares), abstained]


def _share(share: float | None) -> str:
    return "–" if share is None else f"{share:.3f}"


def _against_first(number: int, row: Row, first: Row) -> str:
    differences = [new - old for new, old in zip(row.per_question, first.per_question, strict=True)]
    heading = f"<h2>{number}. {_safe(row.retrieve)} → {_safe(row.rerank)}</h2>"
    even = len(differences) - row.wins - row.losses
    counts = (
        f'<p>Against row 1 by {_QUALITY}: <span class="won">{row.wins} won</span>, '
        f'<span class="lost">{row.losses} lost</span>, {even} even.</p>'
    )
    opened = "".join(_contrast(one) for one in row.contrasts) or "<p>None.</p>"
    return f"<section>{heading}{counts}{gains(differences)}<h3>Questions to open</h3>{opened}</section>"


def _contrast(one: Contrast) -> str:
    kind = "won" if one.here > one.first else "lost"
    answers = f'<p class="small">Gold: {_safe("; ".join(one.answers[:5]))}</p>' if one.answers else ""
    first, here = f"row 1: {one.first:.3f}", f"here: {one.here:.3f}"
    return (
        f'<details><summary><span class="{kind}">{one.here - one.first:+.3f}</span> {_safe(one.text)} '
        f'<span class="small">{_safe(one.question)}</span></summary>{answers}<div class="sides">'
        f"{_side(first, one.first_passages)}{_side(here, one.passages)}"
        "</div></details>"
    )


def _side(heading: str, passages: Sequence[Passage]) -> str:
    items = "".join(_passage(passage) for passage in passages)
    return f"<div><h4>{heading}</h4><ol>{items}</ol></div>"


def _passage(one: Passage) -> str:
    mark = ' class="hit"' if one.relevant else ""
    return f"<li{mark}><b>{_safe(one.document)}</b> {_safe(one.excerpt)}</li>"


def _html_table(heads: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    top = "".join(f"<th>{head}</th>" for head in heads)
    rows = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in line)}</tr>" for line in lines)
    return f"<table><thead><tr>{top}</tr></thead><tbody>{rows}</tbody></table>"


def _safe(text: str) -> str:
    return escape(plain(text))


def plain(text: str) -> str:
    """Text without control, direction and half characters, which could make a page show what is not there."""
    return "".join(" " if unicodedata.category(one) in ("Cc", "Cf", "Cs") else one for one in text)
