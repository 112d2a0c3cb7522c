"""The page of `winnow log compare --html`: self-contained, safe, correct."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from storage.errors import BadInputError
from winnow.lab.comparing import ComparedAnswer, FinalPassage, SpecRow
from winnow.lab.evaluation import Difference, Interval
from winnow.lab.reports.comparison import html, plots
from winnow.lab.reports.page import write

HOSTILE = '<script src="http://evil">alert(1)</script>\u202e 重排序'


def an_answer(number: int, rbo: float) -> ComparedAnswer:
    logged = (FinalPassage("p1", HOSTILE, "日志 & <b>bold</b>", 3), FinalPassage("p2", "Two", "text", 0))
    replayed = logged if rbo == 1 else (FinalPassage("p9", "Nine", "other"), logged[0])
    return ComparedAnswer(
        answer_id=f"id{number}",
        question=f"question {number} {HOSTILE}",
        overlap=0.5,
        rbo=rbo,
        ms=12.0,
        cost=0.01,
        ndcg=0.75,
        logged=logged,
        replayed=replayed,
    )


def a_row(spec: str, *rbos: float) -> SpecRow:
    return SpecRow(
        spec=spec,
        answers=len(rbos),
        overlap=0.8,
        overlap_interval=Interval(0.7, 0.9),
        rbo=0.6,
        rbo_interval=Interval(0.5, 0.7),
        ms_p50=12.5,
        ms_p95=40.0,
        timed=3,
        calls=3,
        cost=0.25,
        fallbacks=1,
        judged=len(rbos),
        ndcg=0.75,
        ndcg_interval=Interval(0.6, 0.8),
        mrr=0.5,
        mrr_interval=Interval(0.4, 0.6),
        against_first=Difference(-0.125, Interval(-0.2, -0.05), 0.01),
        each=tuple(an_answer(number, rbo) for number, rbo in enumerate(rbos)),
    )


def test_a_page_fetches_nothing_and_runs_nothing() -> None:
    """The page has no script and no address, and shows documents and questions as text."""
    page = html([a_row("none", 0.4), a_row('cross-encoder(model="<i>")', 0.9)])
    assert "<script" not in page
    assert not re.search(r"(?:src|href|url)\s*[=(]", page.replace("&#34;", "").replace("src=http", ""))
    assert "default-src 'none'" in page
    assert "&lt;script src=&#34;http://evil&#34;&gt;" in page
    assert "日志 &amp; &lt;b&gt;bold&lt;/b&gt;" in page
    assert "<i>" not in page
    assert "\u202e" not in page


def test_figures_stand_with_their_intervals() -> None:
    """Each spec has quality, agreement, latency and cost; significant differences are marked."""
    page = html([a_row("none", 0.4), a_row("listwise:5", 0.9)])
    for figure in ("0.750", "[0.600, 0.800]", "0.800", "[0.700, 0.900]", "12.5", "40.0", "0.2500", "-0.125*"):
        assert figure in page
    for heading in ("Quality against latency", "Quality against cost", "Agreement against latency"):
        assert heading in page
    assert page.count("<svg") == 4


def test_the_largest_disagreements_come_first_and_agreement_is_left_out() -> None:
    """Disagreements are sorted by lowest RBO, and questions without any are left out."""
    page = html([a_row("none", 0.9, 0.2, 1.0), a_row("listwise:5", 0.95, 0.7, 1.0)])
    assert re.findall(r"<summary>RBO ([0-9.]+) question (\d)", page) == [("0.200", "1"), ("0.900", "0")]
    assert '<span class="won">new</span>' in page


def test_a_log_without_judgements_has_agreement_alone() -> None:
    """Without judgements there is no quality column or plot, and the page says so."""
    row = replace(
        a_row("none", 0.4), judged=0, ndcg=None, ndcg_interval=None, mrr=None, mrr_interval=None,
        against_first=None, cost=None,
    )  # fmt: skip
    page = html([row])
    assert "No passage of these answers was judged" in page
    assert "nDCG@5</th><th>Δ" not in page
    assert page.count("<svg") == 1
    assert "unknown" in page


def test_a_page_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    """A page that cannot be written is an error that names the file."""
    with pytest.raises(BadInputError, match="cannot be written"):
        write(html([a_row("none", 0.4)]), tmp_path / "no folder" / "page.html")


def test_a_spec_keeps_its_number_where_another_has_no_place() -> None:
    """A spec of unknown cost has no dot, others keep their numbers, and no calls means no cost."""
    unknown = replace(a_row("api", 0.4), cost=None)
    free = replace(a_row("none", 0.4), cost=None, calls=0)
    found = [plot for plot in plots([unknown, free, a_row("listwise", 0.9)]) if plot.x == "cost"]
    assert [[(dot.number, dot.x) for dot in plot.dots] for plot in found] == [[(2, 0.0), (3, 250.0)]] * 2
