"""The pages that compare rerank specs: the summary of the log, and replays as a job."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import httpx2
import pytest
from selectolax.lexbor import LexborHTMLParser as HTMLParser

from storage.records import Outcome, Usage
from tests.support.browser import HOSTILE
from tests.support.log_samples import a_plain_answer
from tests.support.serving import QUESTION, Server, ingested, serving
from winnow import Settings
from winnow.server.tokens import TokenBook

pytestmark = pytest.mark.heavy

HTML = {"accept": "text/html"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server over three documents; two questions were asked, one of them hostile and judged."""
    data = ingested(tmp_path_factory.mktemp("compared 对比"))
    with serving(Settings.load(data_dir=data)) as running:
        running.headers.update(HTML)
        log = running.pipeline.log
        first = running.pipeline.ask(QUESTION, rerank="late-interaction")
        turned = replace(
            first, id="hostile", question=HOSTILE, text=HOSTILE, candidates=_turned(first.candidates)
        )
        log.save(turned)
        log.feedback("hostile", good=True, grades={1: 3, 2: 0})
        yield running


def _turned(candidates: Sequence[object]) -> tuple:  # type: ignore[type-arg]
    """Return the candidates in reverse final order, with hostile texts and titles."""
    bad = [
        replace(one, chunk=replace(one.chunk, text=HOSTILE + one.text, title=HOSTILE))  # type: ignore[attr-defined,type-var]
        for one in reversed(candidates)
    ]
    return tuple(replace(one, ranks={**one.ranks, "final": at}) for at, one in enumerate(bad, 1))


def _ended(server: Server, started: httpx2.Response) -> HTMLParser:
    """Wait until a comparison has ended, and return its page."""
    assert started.status_code == 303, started.text
    while True:
        reply = server.get(started.headers["location"])
        assert reply.status_code == 200
        if not (tree := HTMLParser(reply.text)).css_first("[data-job]"):
            return tree
        time.sleep(0.05)


def test_the_log_is_summed_up_by_spec(server: Server) -> None:
    """The summary has answers, times, cost, fallbacks and verdicts by spec, without replays."""
    log = server.pipeline.log
    paid = Outcome("listwise", ms=5, usage=Usage(1, cost=0.5))
    log.save(a_plain_answer(1, rerank="listwise", stages=(paid,)))
    log.save(a_plain_answer(2, rerank="listwise", stages=(Outcome("listwise", "fallback", "down"),)))
    log.save(a_plain_answer(3, rerank="listwise", stages=(paid,)), replay_of="answer-000001")
    log.feedback("answer-000001", good=False)
    rows = HTMLParser(server.get("/compare").text).css("section:first-of-type tbody tr")
    [listwise] = [row for row in rows if row.css_first("code").text() == "listwise"]
    cells = [cell.text(strip=True) for cell in listwise.css("td")]
    assert (cells[0], cells[3], cells[4], cells[5:]) == ("2", "0.5", "50%", ["–", "1", "–"])
    link = str(listwise.css_first("td a").attributes["href"])
    assert len(HTMLParser(server.get(link).text).css(".log li")) == 2


def test_specs_are_compared_as_a_job(server: Server) -> None:
    """A comparison runs as a job and gives a table with intervals, plots and disagreements."""
    form = {"spec": ["none", "late-interaction"], "others": "none:2,none\n\n none ", "last": "10"}
    tree = _ended(server, server.post("/compare", data={**form, "text": "reranker"}))
    specs = [node.text() for node in tree.css("table.specs th code")]
    assert specs == ["none", "late-interaction", "none:2,none"]
    assert "nDCG@5" not in [node.text() for node in tree.css("th")]
    whole = _ended(server, server.post("/compare", data={**form, "collection": "default", "last": "50"}))
    assert "nDCG@5" in [node.text() for node in whole.css("th")]
    assert len(whole.css(".plots svg")) == 2
    assert len(whole.css(".plots circle")) == 2  # of the one spec that the log has times of
    assert "RBO" in whole.css_first(".dispute summary").text()
    assert server.pipeline.log.count() == server.get("/v1/answers").json()["total"]


def test_no_text_acts_on_the_page(server: Server) -> None:
    """Hostile questions, titles, passages and specs stay text."""
    found = _ended(server, server.post("/compare", data={"spec": "none", "last": "50"}))
    refused = HTMLParser(server.post("/compare", data={"others": HOSTILE, "last": "5"}).text)
    for tree in (found, refused):
        assert "window.hacked=1" in tree.text()
        assert all(node.attributes["src"].startswith("/static/") for node in tree.css("script"))
        assert not tree.css("img, style, [style], [onload], [onerror], [onmouseover]")


@pytest.mark.parametrize(
    ("form", "status", "said"),
    [
        ({"last": "5"}, 400, "0 rerank specs"),
        ({"others": "\n".join(f"none:{n},none" for n in range(5, 14)), "last": "5"}, 400, "9 rerank specs"),
        ({"spec": "none", "last": "0"}, 400, "last"),
        ({"spec": "none", "last": "201"}, 400, "last"),
        ({"spec": "none", "last": "9" * 5_000}, 400, "last"),
        ({"spec": "none", "last": "²"}, 400, "last"),
        ({"spec": "none"}, 400, "last"),
        ({"spec": "none", "last": "5", "since": "soon"}, 400, "since"),
        ({"spec": "none", "last": "5", "text": "nowhere"}, 400, "nothing to compare"),
        ({"spec": "none", "others": "listwise", "last": "5"}, 403, "calls a chat model"),
        ({"spec": "nine", "last": "5"}, 400, "nine"),
    ],
)
def test_a_comparison_that_is_refused_says_why_in_place(
    server: Server, form: dict[str, str], status: int, said: str
) -> None:
    """A refused comparison says why in place, keeps the input, and starts no job."""
    before = len(HTMLParser(server.get("/compare").text).css(".earlier li"))
    reply = server.post("/compare", data=form)
    assert reply.status_code == status
    tree = HTMLParser(reply.text)
    assert said in tree.css_first(".problem").text()
    assert tree.css_first("textarea").text() == form.get("others", "")
    assert len(tree.css(".earlier li")) == before
    ticked = [node.attributes["value"] for node in tree.css("input[checked]")]
    assert ticked == [spec for spec in (form.get("spec"),) if spec == "none"] or "spec" not in form


def test_a_spec_that_is_not_allowed_cannot_be_ticked(tmp_path: Path) -> None:
    """A spec of a logged answer that is not allowed is listed with the reason but cannot be chosen."""
    with serving(Settings.load(data_dir=tmp_path / "data")) as fresh:
        fresh.pipeline.log.save(a_plain_answer(1, rerank="cross-encoder:20,listwise"))
        tree = HTMLParser(fresh.get("/compare", headers=HTML).text)
    box = tree.css_first('input[value="cross-encoder:20,listwise"]')
    assert "disabled" in box.attributes
    assert "calls a chat model" in str(box.parent.attributes["title"])


def test_a_comparison_is_cancelled(server: Server) -> None:
    """A cancelled comparison says so and can be run again; an unknown one is an error page."""
    started = server.post("/compare", data={"spec": ["none", "late-interaction"], "last": "50"})
    path = started.headers["location"]
    assert server.post(f"{path}/cancel").headers["location"] == path
    tree = _ended(server, started)
    state = server.get("/compare").text
    assert ("cancelled" in state) or tree.css("table.specs")
    for method, missing in (("GET", "/compare/nothing"), ("POST", "/compare/nothing/cancel")):
        assert server.request(method, missing).status_code == 404


def test_with_an_empty_log_the_page_says_what_to_do(tmp_path: Path) -> None:
    """With an empty log the page says to ask a question first."""
    with serving(Settings.load(data_dir=tmp_path / "data")) as fresh:
        tree = HTMLParser(fresh.get("/compare", headers=HTML).text)
        assert tree.css_first('.empty a[href="/"]')
        assert not tree.css("form.compare-form")
        assert fresh.post("/compare", data={"spec": "none", "last": "5"}).status_code == 400


def test_who_may_only_read_sees_and_does_not_start(tmp_path: Path) -> None:
    """A read-only reader sees the summary and cannot start a comparison."""
    settings = Settings.load(data_dir=tmp_path / "data", server={"host": "0.0.0.0"})
    _, text = TokenBook(settings.tokens_file).create("somebody", "read", log="all")
    with serving(settings) as guarded:
        guarded.pipeline.log.save(a_plain_answer(1))
        headers = {**HTML, "authorization": f"Bearer {text}", "accept-language": "zh"}
        page = guarded.get("/compare", headers=headers).text
        assert "日志中的情况" in page
        assert "compare-form" not in page
        sent = guarded.post("/compare", headers=headers, data={"spec": "none", "last": "5"})
        assert sent.status_code == 403
