"""Tries every way in as the holder of a token that sees a part."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client

from storage.errors import BadInputError, SettingsError
from tests.support.serving import Server, events, serving
from winnow import RAGPipeline, Settings
from winnow.server.tokens import TokenBook

pytestmark = pytest.mark.heavy

# Words that only passages have which the holder must not learn of.
SECRETS = ("zirconium", "Zirconium", "blueprint", "vault", "osmium", "clearance")
OPEN = "Which fruit is rich in potassium?"
SHUT = "What is the zirconium vault made of?"
HTML = {"accept": "text/html"}
MINE = "team = 'open'"


def _ingest(folder: Path) -> Path:
    """Ingest two collections: `shared`, whose documents belong to two teams, and `closed`."""
    shared, closed = folder / "shared", folder / "closed"
    for place, name, team, body in (
        (shared, "fruit.md", "open", "# Fruit\n\nBananas are the fruit rich in potassium.\n"),
        (shared, "tea.md", "open", "# Tea\n\nTea is brewed for three minutes.\n"),
        (shared, "osmium-plan.md", "shut", "# Zirconium\n\nThe zirconium vault is made of potassium.\n"),
        (closed, "osmium-sheet.md", "shut", "# Blueprint\n\nThe blueprint shows the zirconium vault.\n"),
    ):
        place.mkdir(parents=True, exist_ok=True)
        more = "clearance: 7\n" if team == "shut" else ""
        (place / name).write_text(f"---\nteam: {team}\n{more}---\n{body}", "utf-8")
    data = folder / "data"
    with RAGPipeline.from_settings(Settings.load(data_dir=data)) as pipeline:
        assert pipeline.ingest(shared, collection="shared").totals["ingested"] == 3
        assert pipeline.ingest(closed, collection="closed").totals["ingested"] == 1
    return data


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server for others, with answers of an administrator about everything in its log."""
    data = _ingest(tmp_path_factory.mktemp("seen"))
    settings = Settings.load(
        data_dir=data, collection="closed", server={"host": "0.0.0.0", "specs": ["late-interaction"]}
    )
    with serving(settings, for_agents=True) as running:
        admin = _holder(running, full=True)
        for collection in ("shared", "closed"):
            first = admin.ok("/v1/ask", {"question": SHUT, "collection": collection})
            admin.ok(
                "/v1/ask",
                {"question": "And potassium?", "collection": collection, "follow_up": first["id"]},
            )
            admin.ok(f"/v1/answers/{first['id']}/replay", {"rerank": "none"})
            admin.ok(f"/v1/answers/{first['id']}/feedback", {"good": True, "note": "zirconium"})
        yield running


class Holder:
    """A client with a token of its own."""

    def __init__(self, server: Server, token: str) -> None:
        self.server, self.token = server, token
        self.headers = {"authorization": f"Bearer {token}"}

    def send(self, method: str, path: str, **more: Any) -> httpx2.Response:
        headers = {**self.headers, **more.pop("headers", {})}
        with httpx2.Client(base_url=self.server.url, timeout=60, headers=headers) as client:
            return client.request(method, path, **more)

    def get(self, path: str, **more: Any) -> httpx2.Response:
        return self.send("GET", path, **more)

    def ok(self, path: str, body: dict[str, Any]) -> Any:
        reply = self.send("POST", path, json=body)
        assert reply.status_code == 200, reply.text
        return reply.json()


def _holder(server: Server, *, full: bool = False, **rights: Any) -> Holder:
    book = TokenBook(server.pipeline.settings.tokens_file)
    return Holder(server, book.create("a holder", "full" if full else "read", **rights)[1])


@pytest.fixture(scope="module")
def part(server: Server) -> Holder:
    """Who sees one team's documents of one collection, and else may do everything."""
    return _holder(server, full=True, collections=["shared"], where=MINE, log="all")


@pytest.fixture(scope="module")
def admins_ids(server: Server) -> list[str]:
    """The ids of the administrator's answers."""
    return [one.id for one in server.pipeline.log.list(100) if "zirconium" in one.question]


def _tells_nothing(reply: httpx2.Response, *, but: str = "") -> None:
    """No secret is in a reply, apart from the words that the holder sent."""
    text = reply.text.replace(but, "") if but else reply.text
    assert not [word for word in SECRETS if word in text], (reply.request.url, text[:2_000])


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
    _tells_nothing(reply, but=where or "")
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
        _tells_nothing(part.get(path, headers=HTML))


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
            _tells_nothing(reply)
            unknown = part.send(method, path.replace(row.id, "0" * len(row.id)))
            assert unknown.text.replace("0" * len(row.id), row.id) == reply.text


@pytest.mark.parametrize("page", [False, True])
def test_answers_of_others_are_not_there(part: Holder, admins_ids: list[str], page: bool) -> None:
    """No list, count, search, export or id gives an answer that was found outside of the filter."""
    assert admins_ids
    if page:
        for path in ("/answers", "/answers?text=zirconium", "/compare", "/"):
            _tells_nothing(part.get(path, headers=HTML), but="zirconium" if "text=" in path else "")
    else:
        for query in ("", "?text=zirconium", "?collection=closed", "?feedback=good", "?replays=true"):
            reply = part.get(f"/v1/answers{query}")
            _tells_nothing(reply)
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


def test_a_filter_holds_in_follow_up_expansion_replay_and_citation(part: Holder) -> None:
    """What follows from an answer stays within: last, follow-ups, neighbours, replays, documents cited."""
    asked = {"question": OPEN, "collection": "shared", "expand": 3}
    first = part.ok("/v1/ask", asked)
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
        _tells_nothing(shown)


def test_streams_and_chat_stay_within(part: Holder) -> None:
    """Streamed answers and OpenAI's face are held to the same rights; the default is a visible collection."""
    streamed = part.send("POST", "/v1/ask", json={"question": OPEN, "stream": True})
    assert events(streamed.text)[-1][1]["collection"] == "shared"
    _tells_nothing(streamed)
    talk = {"model": "winnow", "messages": [{"role": "user", "content": OPEN}]}
    said = part.send("POST", "/v1/chat/completions", json=talk)
    assert "fruit.md" in said.text or "Fruit" in said.text
    _tells_nothing(said)


def test_who_sees_a_part_changes_nothing_of_it(part: Holder) -> None:
    """An upload could replace another's file, or tell that one has the same content: neither is allowed."""
    for path in ("/v1/ingest", "/collections"):
        for collection in ("shared", "closed", "new"):
            files = {"file": ("osmium-plan.md", b"# Mine\n\nmine")}
            reply = part.send("POST", path, files=files, data={"collection": collection})
            assert reply.status_code == 403
            _tells_nothing(reply, but="osmium-plan.md")


@pytest.mark.parametrize("path", ["/settings", "/metrics"])
def test_pages_about_the_whole_server_are_refused(part: Holder, path: str) -> None:
    """Settings name paths and collections, metrics count everybody's questions."""
    assert part.get(path).status_code == 403
    assert 'href="/settings"' not in part.get("/", headers=HTML).text


def test_comparisons_are_of_the_answers_seen(server: Server, part: Holder) -> None:
    """A comparison replays visible answers alone, and nobody else's comparison is there."""
    admin = _holder(server, full=True)
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
    _tells_nothing(page)
    assert theirs.rpartition("/")[2] not in part.get("/compare", headers=HTML).text
    assert mine.rpartition("/")[2] in admin.get("/compare", headers=HTML).text


def test_agents_are_held_to_the_token(part: Holder, server: Server, admins_ids: list[str]) -> None:
    """Every tool and resource of MCP gives the visible part; what is hidden is not found."""
    [hidden] = list(server.pipeline.wiring.manifest("closed").rows())

    async def use(client: Client) -> None:
        for tool, given in (
            ("search", {"question": OPEN}),
            ("search", {"question": OPEN, "where": "team = 'shut' or true = true", "collection": "shared"}),
            ("search", {"question": OPEN, "where": "team = 'shut'", "expand": 5}),
            ("ask", {"question": OPEN, "collection": "shared"}),
            ("ask", {"question": OPEN, "follow_up": admins_ids[0]}),
            ("ask", {"question": OPEN, "collection": "closed"}),
            ("show_answer", {"answer_id": admins_ids[0]}),
            ("show_answer", {"answer_id": admins_ids[0][:8]}),
            ("list_collections", {}),
            ("list_documents", {}),
            ("list_documents", {"collection": "closed"}),
            ("list_documents", {"text": "osmium"}),
        ):
            said = await client.call_tool(tool, given)
            text = json.dumps([one.model_dump(mode="json") for one in said.content], ensure_ascii=False)
            assert not [word for word in SECRETS if word in text], (tool, given, text)
            if "closed" in given.values() or admins_ids[0] in given.values():
                assert said.is_error
        listed = await client.list_resources()
        names = [f"{one.name} {one.uri}" for one in listed.resources]
        assert names
        assert not [one for one in names if any(word in one for word in (*SECRETS, *admins_ids))]
        for uri in (
            f"winnow://answers/{admins_ids[0]}",
            f"winnow://documents/closed/{hidden.id}",
            f"winnow://documents/shared/{hidden.id}",
        ):
            with pytest.raises(MCPError):
                await client.read_resource(uri)

    async def run() -> None:
        async with (
            httpx2.AsyncClient(headers=part.headers, timeout=60) as http,
            Client(streamable_http_client(f"{server.url}/mcp", http_client=http)) as client,
        ):
            await use(client)

    asyncio.run(run())


def test_a_session_has_the_rights_of_its_token(server: Server, part: Holder) -> None:
    """Logging in with the token shows no more than the token itself."""
    with httpx2.Client(base_url=server.url, timeout=60, headers=HTML) as browser:
        browser.post("/login", data={"token": part.token}, headers={"origin": server.url})
        for path in ("/", "/answers", "/collections", "/collections/shared"):
            page = browser.get(path)
            assert page.status_code == 200
            _tells_nothing(page)
        assert browser.get("/collections/closed").status_code == 404


def test_a_log_of_ones_own(server: Server) -> None:
    """Without a grant each sees their own answers; who was granted the log sees those of others."""
    one, two = _holder(server), _holder(server)
    everybody = _holder(server, log="all")
    mine = one.ok("/v1/ask", {"question": "Mine alone?", "collection": "shared"})["id"]
    assert one.get(f"/v1/answers/{mine}").status_code == 200
    assert two.get(f"/v1/answers/{mine}").status_code == 404
    assert two.get("/v1/answers?text=Mine").json()["total"] == 0
    assert everybody.get(f"/v1/answers/{mine}").status_code == 200


def test_who_sees_a_collection_sees_no_follow_up_from_elsewhere(server: Server) -> None:
    """A follow-up of others repeats what they asked, perhaps of another collection."""
    admin, guest = _holder(server, full=True), _holder(server, collections=["shared"], log="all")
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


def test_who_sees_whole_collections_may_change_these(server: Server) -> None:
    """A full token of some collections uploads into them, sees those jobs alone, and nothing else changes."""
    guest = _holder(server, full=True, collections=["own"])
    files = {"file": ("note.md", b"# Note\n\nA note.")}
    assert guest.send("POST", "/v1/ingest", files=files, data={"collection": "shared"}).status_code == 403
    job = guest.send("POST", "/v1/ingest", files=files).json()
    assert job["collection"] == "own"
    assert guest.get(f"/v1/ingest/{job['id']}").status_code == 200
    other = _holder(server, collections=["shared"])
    assert other.get(f"/v1/ingest/{job['id']}").status_code == 404
    assert other.get("/v1/ingest").json()["jobs"] == []


def test_a_token_of_an_earlier_version_sees_what_it_saw(server: Server, admins_ids: list[str]) -> None:
    """A token without these keys has the rights that it had."""
    book = TokenBook(server.pipeline.settings.tokens_file)
    token, text = book.create("old", "read")
    file = server.pipeline.settings.tokens_file
    kept = json.loads(file.read_text("utf-8"))
    for one in kept:
        if one["id"] == token.id:
            for key in ("collections", "where", "log"):
                del one[key]
    file.write_text(json.dumps(kept), "utf-8")
    old = Holder(server, text)
    assert {one["name"] for one in old.get("/v1/collections").json()["collections"]} >= {"closed", "shared"}
    assert old.get(f"/v1/answers/{admins_ids[0]}").status_code == 200


@pytest.mark.parametrize(
    "broken",
    [{"where": "team ="}, {"collections": "closed"}, {"collections": [1]}, {"log": "everything"}],
)
def test_rights_that_cannot_be_read_let_nobody_in(tmp_path: Path, broken: dict[str, Any]) -> None:
    """A token file with rights that mean nothing is no token file: nobody gets more than was meant."""
    book = TokenBook(tmp_path / "tokens.json")
    book.create("one", "read")
    [token] = json.loads((tmp_path / "tokens.json").read_text("utf-8"))
    (tmp_path / "tokens.json").write_text(json.dumps([{**token, **broken}]), "utf-8")
    with pytest.raises(SettingsError, match="cannot be used"):
        TokenBook(tmp_path / "tokens.json").tokens()


def test_a_filter_that_cannot_be_read_makes_no_token(tmp_path: Path) -> None:
    """The mistake is told when the token is made, and nothing is kept."""
    book = TokenBook(tmp_path / "tokens.json")
    with pytest.raises(BadInputError, match="the filter cannot be read"):
        book.create("one", "read", where="team = open")
    assert book.tokens() == ()


@contextmanager
def _root() -> Iterator[Path]:
    yield Path(__file__).resolve().parents[3] / "winnow" / "server"


def test_no_route_reads_past_the_rights() -> None:
    """Routes, pages and tools reach log, manifest and store through `Visible` alone."""
    past = re.compile(
        r"pipeline\.(?:log|ask|search|stream)\b|\.stores\.names\(|wiring\.(?:collection|manifest|answers)\(|(?:served|self)\.jobs\.(?:all|get)\("
    )
    allowed = {
        "visible.py",
        "warm_up.py",  # counts collections
        "run.py",  # says at the end which uploads wait
        "pages/settings.py",  # refused to who sees a part
        "api/ingesting.py",  # jobs by collection
        "pages/views/collections.py",  # the time of the last run, to who sees the whole
    }
    with _root() as root:
        found = {
            str(path.relative_to(root)) for path in root.rglob("*.py") if past.search(path.read_text("utf-8"))
        }
    assert found <= allowed
    assert "visible.py" in found
