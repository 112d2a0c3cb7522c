"""Replays on the pages: beside their original, with what differs marked."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from selectolax.lexbor import LexborHTMLParser as HTMLParser

from tests.support.endpoint import Endpoint
from tests.support.log_samples import a_plain_answer
from tests.support.logged_pages import HTML
from tests.support.serving import QUESTION, Server, serving
from winnow import Settings
from winnow.server.pages.views.differences import difference

pytestmark = pytest.mark.heavy


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
