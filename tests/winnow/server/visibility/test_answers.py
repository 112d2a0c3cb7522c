"""Answers of the log, what follows from them, and comparisons, for who sees a part."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.endpoint import Endpoint
from tests.support.holders import HTML, MINE, OPEN, SECRETS, SHUT, Holder, holder, tells_nothing
from tests.support.serving import Server, serving
from winnow import Settings

pytestmark = pytest.mark.heavy


@pytest.mark.parametrize("page", [False, True])
def test_answers_of_others_are_not_there(part: Holder, admins_ids: list[str], page: bool) -> None:
    """No list, count, search, export or id gives an answer that was found outside of the filter."""
    assert admins_ids
    if page:
        for path in ("/answers", "/answers?text=zirconium", "/compare", "/"):
            tells_nothing(part.get(path, headers=HTML), but="zirconium" if "text=" in path else "")
    else:
        for query in ("", "?text=zirconium", "?collection=closed", "?feedback=good", "?replays=true"):
            reply = part.get(f"/v1/answers{query}")
            tells_nothing(reply)
            assert not {one["id"] for one in reply.json()["answers"]} & set(admins_ids)
        for form in ("jsonl", "csv", "beir"):
            exported = part.get(f"/v1/answers/export?form={form}&collection=shared")
            own = exported.content.replace(b"text contains 'zirconium'", b"")  # a filter of the holder's
            assert b"irconium" not in own
    for one in admins_ids:
        for prefix in (one, one[:10]):
            paths = (
                (f"/answers/{prefix}", f"/answers/{prefix}/beside", f"/?answer={prefix}")
                if page
                else (f"/v1/answers/{prefix}", f"/v1/answers/{prefix}?exchanges=true")
            )
            for path in paths:
                reply = part.get(path)
                assert reply.status_code == 404
                assert not [other for other in admins_ids if other in reply.text and other != prefix]
        for path, body in (
            (f"/v1/answers/{one}/replay", {"rerank": "none"}),
            (f"/v1/answers/{one}/feedback", {"good": False}),
            ("/v1/ask", {"question": "And then?", "collection": "shared", "follow_up": one}),
        ):
            assert part.send("POST", path, json=body).status_code == 404
        for path in (f"/answers/{one}/replay", f"/answers/{one}/feedback"):
            reply = part.send("POST", path, data={"rerank": "none", "good": "bad"})
            assert reply.status_code == 404


def test_neighbours_are_joined_within_the_filter(server: Server, tmp_path: Path) -> None:
    """Of a document that is seen in part no hidden passage is joined to one that is found."""
    whole, open_half = holder(server, full=True), holder(server, where="ordinal = 0", log="all")
    filling = "Bananas are the fruit rich in potassium, and nothing else is said of them here. " * 40
    (tmp_path / "book.md").write_text(f"# Fruit\n\n{filling}\n\nThe zirconium vault is next.\n", "utf-8")
    server.pipeline.ingest(tmp_path, collection="book")
    asked = {"question": OPEN, "collection": "book", "top_k_rerank": 1, "expand": 10}
    for path in ("/v1/ask", "/v1/search"):
        assert "zirconium" in json.dumps(whole.ok(path, asked)["neighbours"])
        found = open_half.ok(path, asked)
        assert len(found["candidates"]) == 1
        assert found["neighbours"] == []


def test_a_line_about_a_passage_tells_nothing_of_hidden_ones(tmp_path: Path, endpoint: Endpoint) -> None:
    """It quotes the document's beginning, which a filter may hide: replies, pages, prompts are without it."""
    endpoint.reply = "Bananas. [1]"
    filling = "Bananas are the fruit rich in potassium, and nothing else is said of them here. " * 40
    text = "# Fruit\n\nThe zirconium vault is locked by three keys and a guard.\n\n" + filling
    (tmp_path / "summed.md").write_text(text, "utf-8")
    llm = {"base_url": endpoint.url, "model": "m", "max_retries": 0}
    chosen = Settings.load(
        data_dir=tmp_path / "data",
        collection="summed",
        llm=llm,
        ingest={"context": "summary"},
        answer={"answerer": "openai"},
        server={"host": "0.0.0.0"},
    )
    with serving(chosen) as own:
        own.pipeline.ingest(tmp_path / "summed.md")
        whole, later = holder(own, full=True), holder(own, full=True, where="ordinal >= 1", log="all")
        asked = {"question": OPEN, "rerank": "late-interaction", "expand": 1}
        assert "zirconium vault" in str([one["about"] for one in whole.ok("/v1/search", asked)["candidates"]])
        answers = [later.ok("/v1/ask", asked), later.ok("/v1/search", asked)]
        assert all(one["candidates"] for one in answers)
        assert "zirconium" not in json.dumps(answers)
        assert "Bananas are" in str([request.body for request in endpoint.requests])
        assert "zirconium" not in str([request.body for request in endpoint.requests])
        [document] = {one["document_id"] for one in answers[0]["candidates"]}
        for path in (f"/v1/documents/{document}", f"/collections/summed/documents/{document}"):
            tells_nothing(later.get(path))


def test_a_filter_holds_in_follow_up_replay_and_citation(server: Server, part: Holder) -> None:
    """What follows from an answer stays within: last, follow-ups, replays, documents cited."""
    asked = {"question": OPEN, "collection": "shared"}
    first = part.ok("/v1/ask", asked)
    # as much may be seen by another, whose answers are not one's own
    holder(server, collections=["shared"], where=MINE, log="all").ok("/v1/ask", asked)
    after = part.ok("/v1/ask", {"question": "And the others?", "collection": "shared", "follow_up": "last"})
    assert after["follow_up"]["answer_id"] == first["id"]
    again = part.ok(f"/v1/answers/{first['id']}/replay", {"rerank": "late-interaction"})
    for given in (first, after, again):
        text = json.dumps(given).replace("And the others?", "").replace(after["follow_up"]["question"], "")
        assert not [word for word in SECRETS if word in text]
    cited = {one["document_id"] for one in first["citations"]}
    assert cited
    for document in cited:
        shown = part.get(f"/v1/documents/{document}?collection=shared")
        assert shown.status_code == 200
        tells_nothing(shown)


def test_comparisons_are_of_the_answers_seen(server: Server, part: Holder) -> None:
    """A comparison replays visible answers alone, and nobody else's comparison is there."""
    admin = holder(server, full=True)
    form = {"spec": "none", "last": "50"}
    theirs = admin.send("POST", "/compare", data=form).headers["location"]
    part.ok("/v1/ask", {"question": OPEN, "collection": "shared"})
    mine = part.send("POST", "/compare", data=form).headers["location"]
    for path in (theirs, f"{theirs}/cancel"):
        reply = part.send("POST" if path.endswith("cancel") else "GET", path)
        assert reply.status_code == 404
    for _ in range(200):
        page = part.get(mine, headers=HTML)
        if "http-equiv" not in page.text:
            break
    tells_nothing(page)
    assert theirs.rpartition("/")[2] not in part.get("/compare", headers=HTML).text
    assert mine.rpartition("/")[2] in admin.get("/compare", headers=HTML).text


def test_a_log_of_ones_own(server: Server) -> None:
    """Without a grant each sees their own answers; who was granted the log sees those of others."""
    one, two = holder(server), holder(server)
    everybody = holder(server, log="all")
    mine = one.ok("/v1/ask", {"question": "Mine alone?", "collection": "shared"})["id"]
    assert one.get(f"/v1/answers/{mine}").status_code == 200
    assert two.get(f"/v1/answers/{mine}").status_code == 404
    assert two.get("/v1/answers?text=Mine").json()["total"] == 0
    assert everybody.get(f"/v1/answers/{mine}").status_code == 200


def test_who_sees_a_collection_sees_no_follow_up_from_elsewhere(server: Server) -> None:
    """A follow-up of others repeats what they asked, perhaps of another collection."""
    admin, guest = holder(server, full=True), holder(server, collections=["shared"], log="all")
    first = admin.ok("/v1/ask", {"question": SHUT, "collection": "closed"})["id"]
    alone = admin.ok("/v1/ask", {"question": OPEN, "collection": "shared"})["id"]
    crossed = admin.ok("/v1/ask", {"question": "And here?", "collection": "shared", "follow_up": first})["id"]
    told = admin.ok(
        "/v1/ask",
        {
            "question": "And here?",
            "collection": "shared",
            "history": [{"question": SHUT, "answer": "Of a blueprint."}],
        },
    )["id"]
    assert guest.get(f"/v1/answers/{alone}").status_code == 200
    for hidden in (first, crossed, told):
        assert guest.get(f"/v1/answers/{hidden}").status_code == 404
