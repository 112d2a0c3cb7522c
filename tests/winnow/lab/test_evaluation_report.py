"""The HTML report: one file that fetches nothing, with all texts escaped."""

from dataclasses import replace
from pathlib import Path

import pytest

from storage.errors import BadInputError
from storage.records import Usage
from winnow.lab.evaluation import (
    Contrast,
    ContrastPassage,
    Difference,
    Evaluation,
    EvaluationRow,
    Interval,
    Times,
)
from winnow.lab.reports.evaluation import html
from winnow.lab.reports.page import write

EVIL = "<script>alert(1)</script>\u202egnp.exe"
FIRST = EvaluationRow(
    retrieve="lexical",
    rerank="none",
    metrics={"nDCG@10": 0.5},
    intervals={"nDCG@10": Interval(0.4, 0.6)},
    statuses={"ok": 3},
    retrieval_statuses={"ok": 3},
    reasons={},
    usage=Usage(),
    times=Times(4.0, 9.0),
    retrieval_times=Times(4.0, 9.0),
    rerank_times=None,
    per_question=(0.0, 0.5, 1.0),
)
SECOND = replace(
    FIRST,
    rerank=EVIL,
    metrics={"nDCG@10": 0.6},
    differences={"nDCG@10": Difference(0.1, Interval(0.01, 0.2), 0.01)},
    usage=Usage(calls=30, cost=1.5),
    per_question=(1.0, 0.5, 0.3),
    wins=1,
    losses=1,
    contrasts=(
        Contrast(
            "q1",
            EVIL,
            (EVIL,),
            0.0,
            1.0,
            (ContrastPassage(EVIL, EVIL, False),),
            (ContrastPassage("d", "good", True),),
        ),
    ),
)
FOUND = Evaluation(EVIL, 3, 0, (FIRST, SECOND), (EVIL,))


def test_texts_are_escaped_everywhere() -> None:
    """Names, questions, answers, passages and notes are escaped, direction marks included."""
    page = html(FOUND)
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "\u202e" not in page


def test_the_page_fetches_nothing() -> None:
    """The page has no address, script or external style sheet, and a policy that forbids them."""
    page = html(FOUND)
    assert "http" not in page.replace("http-equiv", "")
    assert "src=" not in page
    assert "href=" not in page
    assert "default-src 'none'" in page


def test_quality_is_drawn_against_latency_and_cost() -> None:
    """Two scatter plots have a dot per row, and the second row's wins and losses can be opened."""
    page = html(FOUND)
    assert page.count("<circle") == 4
    assert page.count('class="bars"') == 2
    assert "1 won" in page
    assert "1 lost" in page
    assert "1 even" in page
    assert '<li class="hit"><b>d</b> good</li>' in page


def test_a_row_whose_cost_is_unknown_is_not_drawn_as_free() -> None:
    """A row with unpriced calls is left out of the cost plot, and the page says so."""
    page = html(replace(FOUND, rows=(FIRST, replace(SECOND, usage=Usage(calls=30)))))
    assert page.count("<circle") == 2
    assert "The cost of 1 rows is not known" in page


def test_nothing_is_drawn_where_nothing_was_timed() -> None:
    """A plain run has no latency, so no latency plot is drawn."""
    page = html(replace(FOUND, rows=(replace(FIRST, times=None),)))
    assert "<circle" not in page
    assert "Nothing was timed" in page


def test_a_report_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    """A report that cannot be written is an error with its path, and leaves no partial file."""
    write(html(FOUND), tmp_path / "report.html")
    assert [path.name for path in tmp_path.glob("report*")] == ["report.html"]
    with pytest.raises(BadInputError, match=r"nowhere.report\.html"):
        write(html(FOUND), tmp_path / "nowhere" / "report.html")
