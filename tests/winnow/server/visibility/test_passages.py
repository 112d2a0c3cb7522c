"""Passages, documents and collections, over every route, for who sees a part."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.holders import HTML, OPEN, SHUT, Holder, holder, tells_nothing
from tests.support.serving import Server, events

pytestmark = pytest.mark.heavy


FILTERS = [
    None,
    "team = 'shut'",
    "team = 'shut' or team = 'open'",
    "not (team = 'open')",
    "team != 'open'",
    "source contains 'osmium'",
    "clearance = 7",
    "clearance is not null",
    "not (clearance is null)",
    "no_such_field = 1 or team = 'shut'",
    "team = 'open') or (team = 'shut'",
    "text contains 'zirconium'",
]


@pytest.mark.parametrize("where", FILTERS)
@pytest.mark.parametrize("path", ["/v1/search", "/v1/ask", "/ask"])
def test_no_filter_widens(part: Holder, path: str, where: str | None) -> None:
    """A filter of one's own is ANDed: neither the passages nor the fields that they have come back."""
    asked = {"question": OPEN, "collection": "shared", **({"where": where} if where else {})}
    more = (
        {"data": asked, "headers": HTML | {"origin": part.server.url}} if path == "/ask" else {"json": asked}
    )
    reply = part.send("POST", path, **more)
    tells_nothing(reply, but=where or "")
    if path == "/v1/search" and where in (None, "no_such_field = 1 or team = 'shut'"):
        found = {Path(one["source"]).name for one in reply.json()["candidates"]}
        assert found == ({"fruit.md", "tea.md"} if where is None else set())


@pytest.mark.parametrize("collection", ["closed", "nothing-of-this-name"])
def test_a_hidden_collection_is_not_there(part: Holder, collection: str) -> None:
    """A hidden collection is refused in the words of one that does not exist, and never named."""
    for method, path, body in (
        ("POST", "/v1/search", {"question": SHUT, "collection": collection}),
        ("POST", "/v1/ask", {"question": SHUT, "collection": collection}),
        ("POST", "/v1/ask", {"question": SHUT, "collection": collection, "stream": True}),
        ("GET", f"/v1/collections/{collection}", None),
        ("GET", f"/v1/documents?collection={collection}", None),
        ("GET", f"/v1/documents/x?collection={collection}", None),
        ("DELETE", f"/v1/documents/x?collection={collection}", None),
        ("GET", f"/v1/models/winnow/{collection}", None),
        ("GET", f"/collections/{collection}", None),
        ("GET", f"/collections/{collection}/documents/x", None),
        (
            "POST",
            "/v1/chat/completions",
            {"model": f"winnow/{collection}", "messages": [{"role": "user", "content": "x"}]},
        ),
    ):
        reply = part.send(method, path, **({"json": body} if body else {}))
        assert reply.status_code == 404, (path, reply.text)
        assert reply.json()["detail"] == f"there is no collection {collection!r}"
        assert "closed" not in reply.json()["way_out"]


def test_lists_have_only_what_may_be_seen(part: Holder) -> None:
    """Collections, documents, models, jobs and their counts are those of the visible part."""
    names = [one["name"] for one in part.get("/v1/collections").json()["collections"]]
    assert names == ["shared"]
    models = [one["id"] for one in part.get("/v1/models").json()["data"]]
    assert {one.partition("@")[0] for one in models} == {"winnow", "winnow/shared"}
    facts = part.get("/v1/collections/shared").json()
    assert (facts["passages"], facts["documents"], facts["last_run"]) == (2, {"ingested": 2}, None)
    listed = part.get("/v1/documents?collection=shared").json()
    assert listed["total"] == 2
    assert part.get("/v1/documents?collection=shared&text=zirconium").json()["total"] == 0
    assert (
        part.get("/v1/documents?collection=shared&limit=1&offset=1").json()["documents"][0]["title"] == "Tea"
    )
    for path in ("/v1/documents?collection=shared", "/collections", "/collections/shared", "/", "/v1/ingest"):
        tells_nothing(part.get(path, headers=HTML))


def test_a_hidden_document_is_not_there(server: Server, part: Holder) -> None:
    """Its page, its passages, its deletion: all say what they say of an id that never was."""
    wiring = server.pipeline.wiring
    for name, source in (("shared", "osmium-plan"), ("closed", "osmium-sheet")):
        [row] = [row for row in wiring.manifest(name).rows() if source in row.source]
        for method, path in (
            ("GET", f"/v1/documents/{row.id}?collection=shared"),
            ("DELETE", f"/v1/documents/{row.id}?collection=shared"),
            ("GET", f"/collections/shared/documents/{row.id}"),
            ("GET", f"/collections/shared/documents/{row.id}/delete"),
            ("POST", f"/collections/shared/documents/{row.id}/delete"),
        ):
            reply = part.send(method, path)
            assert reply.status_code == 404, (path, reply.text)
            tells_nothing(reply)
            unknown = part.send(method, path.replace(row.id, "0" * len(row.id)))
            assert unknown.text.replace("0" * len(row.id), row.id) == reply.text


def test_streams_and_chat_stay_within(part: Holder) -> None:
    """Streamed answers and OpenAI's face are held to the same rights; the default is a visible collection."""
    streamed = part.send("POST", "/v1/ask", json={"question": OPEN, "stream": True})
    assert events(streamed.text)[-1][1]["collection"] == "shared"
    tells_nothing(streamed)
    talk = {"model": "winnow", "messages": [{"role": "user", "content": OPEN}]}
    said = part.send("POST", "/v1/chat/completions", json=talk)
    assert "fruit.md" in said.text or "Fruit" in said.text
    tells_nothing(said)


def test_who_sees_a_part_changes_nothing_of_it(part: Holder) -> None:
    """An upload could replace another's file, or tell that one has the same content: neither is allowed."""
    for path in ("/v1/ingest", "/collections"):
        for collection in ("shared", "closed", "new"):
            files = {"file": ("osmium-plan.md", b"# Mine\n\nmine")}
            reply = part.send("POST", path, files=files, data={"collection": collection})
            assert reply.status_code == 403
            tells_nothing(reply, but="osmium-plan.md")


@pytest.mark.parametrize("path", ["/settings", "/metrics"])
def test_pages_about_the_whole_server_are_refused(part: Holder, path: str) -> None:
    """Settings name paths and collections, metrics count everybody's questions."""
    assert part.get(path).status_code == 403
    assert 'href="/settings"' not in part.get("/", headers=HTML).text


def test_who_sees_whole_collections_may_change_these(server: Server) -> None:
    """A full token of some collections uploads into them, sees those jobs alone, and nothing else changes."""
    guest = holder(server, full=True, collections=["own"])
    files = {"file": ("note.md", b"# Note\n\nA note.")}
    assert guest.send("POST", "/v1/ingest", files=files, data={"collection": "shared"}).status_code == 403
    job = guest.send("POST", "/v1/ingest", files=files).json()
    assert job["collection"] == "own"
    assert guest.get(f"/v1/ingest/{job['id']}").status_code == 200
    other = holder(server, collections=["shared"])
    assert other.get(f"/v1/ingest/{job['id']}").status_code == 404
    assert other.get("/v1/ingest").json()["jobs"] == []
