"""The list of answers: paged, filtered as by the API, and what it says of each."""

from __future__ import annotations

from pathlib import Path

import pytest
from selectolax.lexbor import LexborHTMLParser as HTMLParser

from storage.records import Outcome
from tests.support.log_samples import a_plain_answer
from tests.support.logged_pages import HTML, questions
from tests.support.serving import Server, serving
from winnow import Settings
from winnow.server.pages.answers import PER_PAGE
from winnow.server.pages.threads import PER_PAGE as THREADS_PER_PAGE

pytestmark = pytest.mark.heavy


def test_the_list_is_newest_first_and_paged_by_links(server: Server) -> None:
    """Page links keep the filter, and a page beyond the last shows the last."""
    query = {"collection": "default", "until": "2026-06-01"}  # before whatever other tests ask
    first = server.get("/answers", params=query)
    assert questions(first)[0] == f"question {PER_PAGE + 2}"
    assert len(questions(first)) == PER_PAGE
    link = HTMLParser(first.text).css_first("a[rel=next]").attributes["href"]
    second = server.get(str(link))
    assert questions(second) == ["question 2", "question 1", "question 0"]
    assert HTMLParser(second.text).css_first("a[rel=prev]").attributes["href"] == (
        "/answers?until=2026-06-01&collection=default&page=1"
    )
    assert questions(server.get("/answers", params={**query, "page": 99})) == questions(second)


@pytest.mark.parametrize(
    "query",
    [
        {"text": "精排 五十"},
        {"status": "repaired"},
        {"status": "fallback"},
        {"answered": "false"},
        {"strategy": "listwise:20"},
        {"min_ms": "1000"},
        {"min_cost": "0.01"},
        {"replays": "false", "feedback": "none", "collection": "知识库"},
        {"since": "2026-03-14T12:20:00+00:00", "until": "2026-03-14T12:22:00+00:00"},
        {"text": '" OR *'},
    ],
)
def test_the_filters_mean_what_they_mean_to_the_api(server: Server, query: dict[str, str]) -> None:
    """The filters mean the same as in the API, and empty fields are ignored."""
    page = server.get("/answers", params={"text": "", "status": "", "min_ms": "", "since": "", **query})
    assert page.status_code == 200
    found = server.get("/v1/answers", params={**query, "limit": PER_PAGE}).json()["answers"]
    ids = [one.attributes["href"] for one in HTMLParser(page.text).css("a.log-question")]
    assert ids == [f"/answers/{one['id']}" for one in found]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("status", "no-such"),
        ("min_ms", "-1"),
        ("since", "soon"),
        ("answered", "maybe"),
        ("text", "x" * 1_001),
    ],
)
def test_a_field_that_cannot_be_used_is_named_where_it_was_typed(
    server: Server, name: str, value: str
) -> None:
    """An invalid field is marked in place, and the form keeps its input."""
    reply = server.get("/answers", params={name: value})
    assert reply.status_code == 400
    assert HTMLParser(reply.text).css_first("[role=alert]")
    assert not questions(reply)


def test_an_empty_list_says_what_to_do(server: Server, tmp_path: Path) -> None:
    """An empty log suggests asking; an empty search suggests removing filters."""
    assert HTMLParser(server.get("/answers?text=nowhere").text).css_first('.empty a[href="/answers"]')
    with serving(Settings.load(data_dir=tmp_path / "data")) as fresh:
        fresh.headers.update(HTML)
        assert HTMLParser(fresh.get("/answers").text).css_first('.empty a[href="/"]')
        fresh.pipeline.log.off()
        assert "winnow log on" in fresh.get("/answers").text


def test_a_fallback_is_seen_in_the_list(server: Server) -> None:
    """A list entry shows status, missing answer, judged passages and verdict."""
    log = server.pipeline.log
    stages = (Outcome("retrieval"), Outcome("listwise", "fallback", "down"))
    log.save(a_plain_answer(7_000, id="fell", question="marked?", stages=stages, answered=False))
    log.feedback("fell", good=False, grades={1: 2})
    [line] = HTMLParser(server.get("/answers?text=marked").text).css(".log li")
    assert [node.text(strip=True) for node in line.css(".badge")] == [
        "fell back",
        "no answer",
        "1 passage judged",
    ]
    assert line.css_first(".verdict").attributes["aria-label"] == "Bad"


def test_all_conversations_can_be_paged_to(server: Server) -> None:
    """Every logged question that is no replay ends a conversation, and is on one page."""
    link, seen = "/threads", list[str]()
    while link:
        page = HTMLParser(server.get(link).text)
        seen += [str(one.attributes["href"]) for one in page.css("a.thread-name")]
        following = page.css_first("a[rel=next]")
        link = str(following.attributes["href"]) if following else ""
    logged = server.get("/v1/answers", params={"replays": "false", "limit": 200}).json()["answers"]
    assert seen == [f"/?answer={one['id']}" for one in logged]
    assert len(seen) > THREADS_PER_PAGE
    beyond = HTMLParser(server.get("/threads", params={"page": 99}).text)
    assert not beyond.css("a.thread-name")
    assert beyond.css_first("main a[href='/threads']") is not None
