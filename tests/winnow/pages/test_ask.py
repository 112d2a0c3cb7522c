"""The start page over HTTP: whole answers without scripts, events with them, no text executed."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import pytest

from retrieval.models.hub import MINILM
from storage.records import unreadable_question
from tests.support.browser import HOSTILE
from tests.support.endpoint import Endpoint, Response
from tests.support.endpoint import events as events_of
from tests.support.serving import QUESTION, Server, events, ingested, serving
from winnow import RAGPipeline, Settings
from winnow.server.tokens import TokenBook

pytestmark = pytest.mark.heavy

HTML = {"accept": "text/html"}
EVENTS = {"accept": "text/event-stream, application/problem+json"}
CHINESE = "重排序能找回召回阶段漏掉的段落吗？"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server over four documents, one of them hostile, and a collection made for English alone."""
    folder = tmp_path_factory.mktemp("asked 提问")
    hostile = folder / '"><img src=x onerror=alert(1)>.md'
    hostile.write_text(f"# {HOSTILE}\n\nThe password of the kraken: {HOSTILE}\n", encoding="utf-8")
    ingested(folder, collection="english", encoder={"model": MINILM})
    data = ingested(folder)
    with RAGPipeline.from_settings(Settings.load(data_dir=data)) as pipeline:
        pipeline.ingest(hostile)
    with serving(Settings.load(data_dir=data)) as running:
        yield running


def _asked(server: Server, **form: str) -> str:
    """Return the page that a browser without scripts ends on."""
    reply = server.post("/ask", data=form, headers={**HTML, "origin": server.url}, follow_redirects=True)
    assert reply.status_code == 200, reply.text
    return reply.text


def test_the_form_shows_a_filter_that_finds_something(server: Server) -> None:
    """The example in the form holds for passages of the chosen collection; a field of none is an error."""
    page = server.get("/", headers=HTML).text
    field = re.search(r'<input id="where"[^>]*placeholder="([^"]+)"', page)
    assert field
    example = unescape(field[1])
    found = server.post("/v1/search", json={"question": QUESTION, "where": example})
    assert found.status_code == 200
    assert found.json()["candidates"]
    unknown = server.post("/v1/search", json={"question": QUESTION, "where": "yaer = 1"})
    assert unknown.status_code == 400
    assert "lang (text)" in unknown.json()["way_out"]


def _text(page: str) -> str:
    return re.sub(r"<[^>]*>", "", page)


def test_a_form_is_answered_by_a_page_with_an_address(server: Server) -> None:
    """A form is answered with a 303 to the logged answer, so that a reload asks nothing."""
    reply = server.post("/ask", data={"question": QUESTION, "rerank": ""}, headers=HTML)
    assert reply.status_code == 303
    address = reply.headers["location"]
    assert re.fullmatch(r"/\?answer=[0-9a-f]{16}", address)
    page = server.get(address, headers=HTML).text
    assert "cannot bring back a passage that retrieval missed." in page
    assert 'href="#source-1"' in page
    assert "<mark>A reranker cannot bring back a passage that retrieval missed.</mark>" in page
    assert f'{address.removeprefix("/?answer=")}/feedback"' in page
    assert "#replay" in page


def test_events_end_with_the_same_html(server: Server) -> None:
    """The last event carries the same HTML as the page after a reload."""
    reply = server.post("/ask", data={"question": QUESTION}, headers=EVENTS)
    assert reply.headers["content-type"].startswith("text/event-stream")
    found = events(reply.text)
    assert [name for name, _ in found] == ["piece", "answer"]
    answer = found[-1][1]
    assert answer["html"].strip() in server.get(answer["address"], headers=HTML).text


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("en", ["What do you want to know?", "Recent questions"]),
        ("zh", ["想问什么？", "最近的问题"]),
    ],
)
def test_the_empty_page_speaks_the_readers_language(server: Server, language: str, words: list[str]) -> None:
    """The empty page is in the reader's language and lists earlier questions."""
    _asked(server, question=QUESTION)
    page = server.get("/", headers={**HTML, "accept-language": language}).text
    for word in words:
        assert word in page
    assert QUESTION in page


def test_nothing_is_silent(server: Server) -> None:
    """Every stage has a badge, and degradations are shown above the answer, in the reader's language."""
    asked = {"question": CHINESE, "rerank": "late-interaction", "collection": "english"}
    address = server.post("/ask", data=asked, headers=HTML).headers["location"]
    english = server.get(address, headers=HTML).text
    assert unreadable_question() in _text(english).replace("&#39;", "'")
    assert english.count('class="badge fallback"') == 2
    assert "The reranker failed" in english
    chinese = server.get(address, headers={**HTML, "accept-language": "zh"}).text
    assert "编码器读不懂这个问题" in chinese
    assert "重排序失败" in chinese
    assert unreadable_question() not in chinese


def test_hostile_text_stays_text(server: Server) -> None:
    """Hostile questions, titles, file names and passages stay text, in pages and in events."""
    for question in ("What is the password of the kraken?", HOSTILE):
        page = _asked(server, question=question)
        [answer] = [
            value
            for name, value in events(server.post("/ask", data={"question": question}, headers=EVENTS).text)
            if name == "answer"
        ]
        for html in (page, answer["html"]):
            assert "window.hacked" in html
            ours = re.sub(r'<script type="module" src="/static/[a-z]+\.js"></script>', "", html)
            tags = re.findall(r"<[^>]*>", ours)
            assert not [
                tag for tag in tags if re.match(r"<(script|img|style|iframe|object)|<svg onload", tag)
            ]
            without_values = [re.sub(r'"[^"]*"', '""', tag) for tag in tags]
            assert not [tag for tag in without_values if re.search(r"\son\w+\s*=|hacked|javascript:", tag)]
            assert "\u202e" not in html
            assert "{{7*7}}" in html


def test_a_mistake_is_a_problem_with_its_way_out(server: Server) -> None:
    """An error is a page for a browser and JSON for a script; unknown fields and files are refused."""
    form = {"question": QUESTION, "rerank": "late-interacton"}
    page = server.post("/ask", data=form, headers=HTML)
    assert page.status_code == 400
    assert "did you mean" in page.text
    assert "Presets:" in page.text
    problem = server.post("/ask", data=form, headers=EVENTS)
    assert (problem.status_code, problem.json()["code"]) == (400, "spec")
    for odd in (
        {"question": ""},
        {"question": QUESTION, "top_k_rerank": "many"},
        {"question": "q", "x": "y"},
    ):
        assert server.post("/ask", data=odd, headers=EVENTS).status_code == 422, odd
    filed = server.post("/ask", files={"question": ("a.txt", b"What?")}, headers=EVENTS)
    assert filed.status_code == 400
    missing = server.get("/?answer=0123456789", headers=HTML)
    assert missing.status_code == 404
    assert "answer" in missing.text


def test_another_sites_form_is_refused(server: Server) -> None:
    """A form of another site is refused."""
    reply = server.post(
        "/ask", data={"question": QUESTION}, headers={**HTML, "origin": "http://evil.example"}
    )
    assert reply.status_code == 403


def test_choices_of_the_form_reach_the_answer(server: Server) -> None:
    """Spec, filter and limits of the form apply; empty fields leave them to the settings."""
    page = _asked(
        server,
        question=QUESTION,
        rerank="none",
        top_k_retrieve="3",
        top_k_rerank="2",
        where="",
        collection="",
    )
    assert "Nothing was reranked: these are retrieval&#39;s own first 2 of 3." in page
    wide = page.partition("rank-chart-narrow")[0]
    assert wide.count('class="way ') == 3


def test_the_form_says_how_a_question_may_be_divided_and_keeps_the_choice(server: Server) -> None:
    """Each way has a line, what would ask a chat model is greyed with the reason, the choice is kept."""
    form = _parts_of(server.get("/", headers=HTML).text)
    assert form["clauses"] == ("", "clauses: divided by its clauses, without a model")
    assert form["decompose"][0] == " disabled"
    assert "this server calls no chat model" in form["decompose"][1]
    chinese = server.get("/", headers={**HTML, "accept-language": "zh"}).text
    assert _parts_of(chinese)["off"] == ("", "off: 不拆分")
    two = "Can a reranker bring back a missed passage, and which fruit is rich in potassium?"
    assert "Dividing" in _asked(server, question=two, parts="")
    whole = _asked(server, question=two, parts="off")
    assert "Dividing" not in whole
    assert _parts_of(whole)["off"][0] == " selected"


def _parts_of(page: str) -> dict[str, tuple[str, str]]:
    """The ways of dividing that a form offers, each with its attributes and its text."""
    select = page.partition('<select id="parts"')[2].partition("</select>")[0]
    found = re.findall(r'<option value="([^"]+)"([^>]*)>([^<]*)</option>', select)
    return {name: (attributes, unescape(text)) for name, attributes, text in found}


def test_a_follow_up_leads_on(server: Server) -> None:
    """The form below an answer asks a follow-up to it."""
    page = _asked(server, question=QUESTION)
    [identifier] = set(re.findall(r'name="follow_up" value="([^"]+)"', page))
    again = _asked(server, question="Why not?", follow_up=identifier)
    assert "Understood as:" in again


def test_an_empty_collection_says_how_documents_come_in(tmp_path: Path) -> None:
    """An empty collection says how to add documents."""
    with serving(Settings.load(data_dir=tmp_path / "data", collection="papers")) as server:
        page = server.get("/", headers=HTML).text
        assert "The collection papers has no documents yet" in page
        assert "winnow ingest PATH -c papers" in page
        assert 'href="/collections"' in page


def test_a_collection_that_cannot_be_used_says_why_and_another_can_be_chosen(tmp_path: Path) -> None:
    """An unusable collection gives a reason, and the form still offers the others."""
    data = ingested(tmp_path / "own")
    (data / "collections" / "broken").mkdir()
    shutil.copy(data / "collections" / "default" / "fingerprint.json", data / "collections" / "broken")
    with serving(Settings.load(data_dir=data)) as server:
        page = server.get("/?collection=broken", headers=HTML)
        assert page.status_code == 200
        assert 'class="problem"' in page.text
        assert "default</option>" in page.text


def test_marks_that_turn_text_and_control_characters_are_taken_out(server: Server) -> None:
    """Direction marks and control characters are removed; spaces and line breaks stay."""
    page = server.get("/", params={"question": "a\x00b\u202ec\u2066d\r\ne\u200df重"}, headers=HTML).text
    assert "a\ufffdbcd\r\ne\u200df重" in page


def test_without_a_log_the_answer_is_shown_all_the_same(tmp_path: Path) -> None:
    """With the log off an answer has no address, feedback or replay, and says why."""
    with serving(Settings.load(data_dir=ingested(tmp_path / "own"), log={"enabled": False})) as server:
        reply = server.post("/ask", data={"question": QUESTION}, headers=HTML)
        assert reply.status_code == 200
        assert "cannot bring back a passage" in reply.text
        assert "not in the log" in reply.text
        assert "/feedback" not in reply.text
        answer = events(server.post("/ask", data={"question": QUESTION}, headers=EVENTS).text)[-1][1]
        assert answer["address"] == ""


def test_a_chat_models_answer_says_what_it_cost_and_points_at_its_sources(tmp_path: Path) -> None:
    """A chat model's answer shows model, calls, tokens and cost, and underlines the likeliest source."""
    with Endpoint() as endpoint:
        said = "**No**: a reranker cannot bring back what retrieval missed [1]. Nobody said this [9]."
        endpoint.reply = lambda request: Response(lines=events_of([said], usage=(40, 20)))
        settings = Settings.load(
            data_dir=ingested(tmp_path / "own"),
            answer={"answerer": "openai"},
            llm={
                "base_url": endpoint.url,
                "model": "small",
                "api_key": "x",
                "prices": {"small": {"call": 0.25}},
            },
        )
        with serving(settings) as server:
            told = events(server.post("/ask", data={"question": QUESTION}, headers=EVENTS).text)
            page = server.get(told[-1][1]["address"], headers=HTML).text
    assert "<strong>No</strong>: a reranker" in page
    assert "<mark>A reranker cannot bring back a passage that retrieval missed.</mark>" in page
    assert "the most similar sentences are underlined" in page
    assert "Written by served-model from the passages." in page
    assert "1 model call" in page
    assert "40 tokens sent, 20 received" in page
    assert "cost 0.25" in page
    assert "the answer cites [9]" in page
    assert "this [9]." in page


def test_a_read_only_reader_asks_and_is_offered_no_thumbs(tmp_path: Path) -> None:
    """A read-only reader can ask, but is offered no feedback buttons."""
    settings = Settings.load(data_dir=ingested(tmp_path / "own"), server={"names": ["winnow.example"]})
    with serving(settings) as server:
        _, text = TokenBook(server.pipeline.settings.tokens_file).create("reader", "read")
        headers = {**HTML, "authorization": f"Bearer {text}"}
        reply = server.post("/ask", data={"question": QUESTION}, headers=headers)
        assert reply.status_code == 303
        page = server.get(reply.headers["location"], headers=headers).text
        assert "cannot bring back a passage" in page
        assert "/feedback" not in page
