"""The page of an answer: all that happened, judgements, and that no text of it acts on a page."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from selectolax.lexbor import LexborHTMLParser as HTMLParser

from tests.support.browser import HOSTILE
from tests.support.log_samples import a_candidate, a_plain_answer
from tests.support.logged_pages import HTML, harmless, hostile_answer
from tests.support.serving import Server, serving
from winnow import Settings
from winnow.server.tokens import TokenBook

pytestmark = pytest.mark.heavy


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


def test_ranks_that_a_candidate_has_not_are_blank(server: Server) -> None:
    """A stage that did not see a candidate shows a dash, not a zero."""
    candidates = (a_candidate(0, final=True), a_candidate(1, final=False))
    server.pipeline.log.save(a_plain_answer(8_000, id="gaps", collection="gaps", candidates=candidates))
    rows = HTMLParser(server.get("/answers/gaps").text).css("table.candidates tbody tr")
    assert [cell.text(strip=True) for cell in rows[1].css("td.number")][1] == "–"
