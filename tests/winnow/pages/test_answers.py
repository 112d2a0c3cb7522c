"""The pages of the log: search, filters, one answer in full, judgements, side-by-side replays."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from selectolax.lexbor import LexborHTMLParser as HTMLParser

from storage.records import Answer, Candidate, Exchange, Outcome, Usage
from tests.support.browser import HOSTILE
from tests.support.endpoint import Endpoint
from tests.support.log_samples import a_candidate, a_chunk, a_citation, a_full_answer, a_plain_answer
from tests.support.serving import QUESTION, Server, ingested, serving
from winnow import Settings
from winnow.server.pages.answers import PER_PAGE
from winnow.server.pages.views.differences import difference
from winnow.server.tokens import TokenBook

pytestmark = pytest.mark.heavy

HTML = {"accept": "text/html"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server over three documents, and a log of answers of every kind."""
    data = ingested(tmp_path_factory.mktemp("logged 日志"))
    with serving(Settings.load(data_dir=data)) as running:
        running.headers.update(HTML)
        for number in range(PER_PAGE + 3):
            running.pipeline.log.save(a_plain_answer(number, minutes=number))
        running.pipeline.log.save(a_full_answer())
        running.pipeline.log.save(hostile_answer())
        yield running


def hostile_answer() -> Answer:
    """Return an answer whose every text tries to be more than text."""
    chunk = replace(a_chunk(1, HOSTILE), title=HOSTILE, source=HOSTILE, headings=(HOSTILE,), page=None)
    candidate = Candidate(chunk).ranked("retrieval", 1, 0.5).ranked("listwise", 1).ranked("final", 1)
    exchange = Exchange("m" + HOSTILE, ((HOSTILE, HOSTILE),), HOSTILE, Usage(1), 1.0, HOSTILE)
    return a_plain_answer(
        666,
        id="hostile",
        question=HOSTILE,
        text=f"{HOSTILE} [1]",
        rerank="listwise",
        collection=HOSTILE,
        answerer=HOSTILE,
        prompt=HOSTILE,
        warnings=(HOSTILE,),
        fingerprints={HOSTILE: HOSTILE},
        candidates=(candidate,),
        neighbours=(chunk,),
        citations=(replace(a_citation(1), chunk_id=chunk.id, title=HOSTILE, source=HOSTILE),),
        stages=(Outcome("retrieval"), Outcome("listwise", "fallback", HOSTILE, 1.0, exchanges=(exchange,))),
    )


def questions(reply: httpx2.Response) -> list[str]:
    """The questions of a list, in its order."""
    return [node.text(strip=True) for node in HTMLParser(reply.text).css("a.log-question")]


def harmless(reply: httpx2.Response) -> None:
    """Assert that no element, attribute or address of a page came from a text."""
    tree = HTMLParser(reply.text)
    assert "window.hacked=1" in tree.text(), "the hostile text is not even shown"
    assert all(node.attributes.get("src", "").startswith("/static/") for node in tree.css("script"))
    assert not tree.css("img, iframe, style, base, object")
    for node in tree.css("*"):
        for name, value in node.attributes.items():
            assert not name.startswith("on"), node.html
            assert name != "style", node.html
            assert name not in ("href", "src", "action") or not str(value).startswith("javascript"), value
    assert "\u202e" not in reply.text
    assert "49" not in re.findall(r"x=&#39; (\S+)", reply.text)


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


def test_an_answer_is_shown_with_all_that_happened(server: Server) -> None:
    """An answer shows stages with reasons and costs, all ranks, the prompt, and the answer before it."""
    reply = server.get("/answers/0198a-full")
    tree, text = HTMLParser(reply.text), reply.text
    assert reply.status_code == 200
    for shown in ("two numbers were missing", "1 retry", "4 from the cache", "3000 → 60", "0.0125"):
        assert shown in text, shown
    for shown in ("为什么精排需要重排序", "gpt-4o-mini", "429: too many requests", "ab12", "你给段落排序"):
        assert shown in text, shown
    assert len(tree.css("table.candidates tr.final")) == 5
    assert len(tree.css("table.candidates tbody tr")) == 50
    assert len(tree.css(".rank-chart-picture .way")) == 50
    assert len(tree.css("details.source")) == 2
    assert tree.css_first("mark")
    assert tree.css_first('a[href="/v1/answers/0198a-full?exchanges=true"]')


def test_a_judgement_is_noted_by_forms_alone(server: Server) -> None:
    """Forms alone store verdict, note and grades; unchanged grades are not stored again."""
    answer = server.post("/v1/ask", json={"question": "Which fruit has potassium?"}).json()["id"]
    path = f"/answers/{answer}/feedback"
    reply = server.post(path, data={"good": "bad", "note": "没有说清楚"})
    assert (reply.status_code, reply.headers["location"]) == (303, f"/answers/{answer}#feedback")
    server.post(path, data={"grade-1": "3", "grade-2": "0", "grade-3": ""})
    server.post(path, data={"good": "good", "note": "", "grade-1": "3"})
    assert server.post(path, data={"grade-1": "3"}).status_code == 303  # saved again as it is
    kept = server.pipeline.log.feedback_of(answer)
    assert (kept.good, kept.notes, dict(kept.grades)) == (True, ("没有说清楚",), {1: 3, 2: 0})
    page = HTMLParser(server.get(f"/answers/{answer}").text)
    assert page.css_first("select[name=grade-1] option[selected]").attributes["value"] == "3"
    assert "没有说清楚" in page.text()


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"note": " "}, "no feedback to note"),
        ({"grade-1": "7"}, "grades"),
        ({"grade-99": "1"}, "no passage 99"),
        ({"grade-x": "1"}, "grades"),
        ({"grade-" + "9" * 5_000: "1"}, "grades"),
        ({"note": "n" * 10_001}, "note"),
    ],
)
def test_a_judgement_that_is_none_is_refused_in_place(
    server: Server, form: dict[str, str], said: str
) -> None:
    """An invalid judgement is refused on the answer's own page, with the reason."""
    reply = server.post("/answers/answer-000001/feedback", data=form)
    assert reply.status_code == 400
    assert said in HTMLParser(reply.text).css_first("[role=alert]").text()
    assert "question 1" in reply.text


def test_a_replay_stands_beside_its_original(server: Server) -> None:
    """A replay leads to a page with both answers: passages, moves, texts, outcomes, agreement."""
    answer = server.post("/v1/ask", json={"question": QUESTION}).json()["id"]
    reply = server.post(f"/answers/{answer}/replay", data={"rerank": "late-interaction", "other": "none"})
    assert reply.status_code == 303, reply.text
    beside = server.get(reply.headers["location"])
    tree = HTMLParser(beside.text)
    assert [node.text(strip=True) for node in tree.css(".side h2 code")][1] == "none"
    assert len(tree.css(".side .rank-chart-picture")) == 2
    assert "it was not in the logged chain" in beside.text
    assert "RBO" in beside.text
    ids = [node.attributes["id"] for node in tree.css("[id]")]
    assert len(ids) == len(set(ids)), "two pictures share an id"
    replayed = reply.headers["location"].split("/")[2]
    assert f'/answers/{replayed}/beside"' in server.get(f"/answers/{answer}").text
    assert f'/answers/{answer}"' in server.get(f"/answers/{replayed}").text


@pytest.mark.parametrize(
    ("form", "status", "said"),
    [
        ({"rerank": "listwise"}, 403, "calls a chat model"),
        ({"rerank": "none", "other": 'api(url="http://169.254.169.254")'}, 403, "may not choose"),
        ({"other": "late-interacton"}, 400, "late-interacton"),
        ({"rerank": "none", "answerer": "openai"}, 403, "no chat model"),
        ({"rerank": "none", "top_k": "0"}, 400, "top_k"),
        ({"rerank": "none", "answerer": "me"}, 400, "answerer"),
    ],
)
def test_a_replay_that_is_refused_says_why_in_place(
    server: Server, form: dict[str, str], status: int, said: str
) -> None:
    """A refused replay says why in place, keeps the input, and logs nothing."""
    before = server.pipeline.log.count()
    reply = server.post("/answers/answer-000001/replay", data=form)
    assert reply.status_code == status
    tree = HTMLParser(reply.text)
    assert said in tree.css_first(".replay-form [role=alert]").text()
    assert tree.css_first("input[name=other]").attributes["value"] == form.get("other", "")
    assert server.pipeline.log.count() == before
    moved = server.get("/answers/answer-000001/replay?lang=zh")
    assert (moved.status_code, moved.headers["location"]) == (303, "/answers/answer-000001?lang=zh")


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/answers/no-such", 404),
        ("/answers/no-such/beside", 404),
        ("/answers/answer-000001/beside", 400),
        ("/answers?page=0", 422),
        ("/answers/%00", 404),
    ],
)
def test_what_is_not_there_is_an_error_page(server: Server, path: str, status: int) -> None:
    """A missing answer or page is an error page, never a server error."""
    reply = server.get(path)
    assert reply.status_code == status
    assert reply.headers["content-type"].startswith("text/html")
    assert server.post("/answers/no-such/replay", data={"rerank": "none"}).status_code == 404
    assert server.post("/answers/no-such/feedback", data={"good": "good"}).status_code == 404


def test_no_text_of_an_answer_acts_on_a_page(server: Server) -> None:
    """Markup in questions, texts, titles, paths, notes, reasons, prompts and exchanges stays text."""
    log = server.pipeline.log
    log.feedback("hostile", note=HOSTILE)
    log.save(replace(hostile_answer(), id="hostile-again", text=f"{HOSTILE} other [1]"), replay_of="hostile")
    harmless(server.get("/answers", params={"strategy": "listwise"}))
    harmless(server.get("/answers", params={"text": HOSTILE}))
    harmless(server.get("/answers/hostile"))
    harmless(server.get("/answers/hostile-again/beside"))
    harmless(server.post("/answers/hostile/replay", data={"other": HOSTILE}))
    harmless(server.post("/answers/hostile/feedback", data={"grade-1": HOSTILE, "note": HOSTILE}))


def test_the_pages_speak_chinese(server: Server) -> None:
    """In Chinese the pages' own texts are translated; the log's stay as logged."""
    headers = {"accept-language": "zh-CN"}
    assert "搜索" in server.get("/answers", headers=headers).text
    one = server.get("/answers/0198a-full", headers=headers).text
    assert "候选段落：每个阶段的名次和得分" in one
    assert "重试 1 次" in one


def test_who_may_only_read_is_offered_no_forms(tmp_path: Path) -> None:
    """A read-only reader gets no forms, and sending one is refused, as is any from another site."""
    settings = Settings.load(data_dir=tmp_path / "data", server={"host": "0.0.0.0"})
    book = TokenBook(settings.tokens_file)
    read, full = (book.create("somebody", scope)[1] for scope in ("read", "full"))
    with serving(settings) as guarded:
        guarded.pipeline.log.save(a_plain_answer(1))
        path = "/answers/answer-000001"
        reader = {**HTML, "authorization": f"Bearer {read}"}
        writer = {**HTML, "authorization": f"Bearer {full}"}
        assert f'action="{path}' in guarded.get(path, headers=writer).text
        seen = HTMLParser(guarded.get(path, headers=reader).text)
        assert not seen.css(f'form[action="{path}/replay"], select, textarea')
        for action in ("replay", "feedback"):
            sent = {"data": {"rerank": "none", "good": "good"}}
            assert guarded.post(f"{path}/{action}", headers=reader, **sent).status_code == 403
            foreign = {**writer, "origin": "http://evil.example"}
            assert guarded.post(f"{path}/{action}", headers=foreign, **sent).status_code == 403
        assert guarded.pipeline.log.count() == 1


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


@pytest.mark.parametrize(
    ("old", "new", "gone", "came"),
    [
        (
            "A reranker cannot bring a passage back.",
            "A reranker can not bring a passage back.",
            ["cannot"],
            ["can not"],
        ),
        ("重排序无法找回漏掉的段落", "重排序不能找回漏掉的段落。", ["无法"], ["不能", "。"]),
        ("用BM25检索", "用BGE检索", ["BM25"], ["BGE"]),
        ("one two three", "", ["one two three"], []),
    ],
)
def test_a_difference_is_told_by_words_and_chinese_by_characters(
    old: str, new: str, gone: list[str], came: list[str]
) -> None:
    """Text on one side only is marked, by words in English and by characters in Chinese."""
    found = difference(old, new)
    assert [piece.text for piece in found.old if piece.marked] == gone
    assert [piece.text for piece in found.new if piece.marked] == came


@given(st.text(max_size=60), st.text(max_size=60))
def test_the_pieces_of_a_difference_are_the_texts(old: str, new: str) -> None:
    """The pieces of a difference add up to both texts."""
    found = difference(old, new)
    assert ("".join(one.text for one in found.old), "".join(one.text for one in found.new)) == (old, new)
    assert found.same == (old == new)
    assert any(one.marked for one in (*found.old, *found.new)) != found.same


def test_very_long_texts_are_shown_unmarked() -> None:
    """Very long texts are shown without marks, and the page says so."""
    found = difference("a " * 5_000, "b " * 5_000)
    assert (found.compared, found.same, len(found.old)) == (False, False, 1)


def test_ranks_that_a_candidate_has_not_are_blank(server: Server) -> None:
    """A stage that did not see a candidate shows a dash, not a zero."""
    candidates = (a_candidate(0, final=True), a_candidate(1, final=False))
    server.pipeline.log.save(a_plain_answer(8_000, id="gaps", collection="gaps", candidates=candidates))
    rows = HTMLParser(server.get("/answers/gaps").text).css("table.candidates tbody tr")
    assert [cell.text(strip=True) for cell in rows[1].css("td.number")][1] == "–"


def test_a_replay_that_takes_too_long_is_stopped(tmp_path: Path) -> None:
    """A replay over its time limit is cancelled, says so, and is not logged; the API returns 504."""
    with Endpoint() as endpoint:
        settings = Settings.load(
            data_dir=tmp_path / "data",
            answer={"answerer": "openai"},
            llm={"base_url": endpoint.url, "api_key": "k", "max_retries": 0},
            server={"timeout_s": 0.5},
        )
        go = threading.Event()
        in_time: list[bool] = []

        def late(request: object) -> str:
            in_time.append(go.wait(20))
            return "Too late [1]."

        endpoint.reply = late
        with serving(settings) as slow:
            slow.pipeline.log.save(a_plain_answer(1, answerer="gpt-x", prompt="what was sent"))
            page = slow.post("/answers/answer-000001/replay", data={"rerank": "none"}, headers=HTML)
            assert page.status_code == 504
            assert "within 0.5 s" in HTMLParser(page.text).css_first(".replay-form [role=alert]").text()
            assert slow.post("/v1/answers/answer-000001/replay", json={"rerank": "none"}).status_code == 504
            go.set()
            assert slow.pipeline.log.count() == 1
    assert endpoint.requests
    assert all(in_time)
