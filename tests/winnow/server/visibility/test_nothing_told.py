"""Two servers, one with hidden documents and one without: who may not see them is told the same by both.

Every route of the API and of the pages is asked, with tricks.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi.routing import APIRoute

from tests.support.holders import HTML, MINE, OPEN, SHUT, holder
from tests.support.reindexing import encoders
from tests.support.serving import Server, serving
from winnow import RAGPipeline, Settings
from winnow.server.pages.routes import ROUTERS, UPLOADS

pytestmark = pytest.mark.nightly

# Numbers and moments differ from run to run; scores depend a little on what all passages say.
_VARYING = [
    (re.compile(r"127\.0\.0\.1:\d+"), "HOST"),
    # in this order: the digits of a number may look like an id, its end like a moment's
    (re.compile(r"20\d\d-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(\+\d\d:\d\d)?"), "MOMENT"),
    (re.compile(r"\d+(\.\d+)? m?s\b"), "DURATION"),
    (re.compile(r"-?\d+\.\d+(e-?\d+)?"), "NUMBER"),
    (re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|\b[0-9a-f]{32}\b|\b[0-9a-f]{16}\b"), "ID"),
    # those that begin most like the one that was asked for, whatever that is
    (re.compile(r"near are ID(, ID)*"), "near are IDS"),
    (re.compile(r'"(created|ms)": ?\d+'), "NUMBER"),
    (re.compile(r'(?<= x=")[\d.]+|(?<=width=")[\d.]+'), "NUMBER"),
]
_FILTERS = [
    "team = 'shut'",
    "clearance = 7",
    "not (clearance = 7)",
    "clearance is null",
    "clearance > 'a'",
    "level = 'high' or team = 'open'",
    "nobody_has_this = 7",
    "source contains 'osmium'",
]
_COLLECTIONS = ["closed", "nothing", "Closed", "closed%00", "a" * 101]
# Asked below with bodies of their own, or by nobody who is logged in already.
_APART = {"/static/{name}", "/login", "/logout", "/favicon.ico", "/mcp"}


def _served(folder: Path, encoder: Path, *, hidden: bool) -> Iterator[tuple[Server, list[str]]]:
    """A server in a folder, and the ids of what is hidden there; of nothing, where nothing is."""
    shared, closed = folder / "shared", folder / "closed"
    files = [
        (shared, "fruit.md", "open", "Bananas are rich in potassium."),
        (shared, "tea.md", "open", "Tea."),
    ]
    if hidden:
        files += [(shared, f"osmium{n}.md", "shut", "The zirconium vault of potassium.") for n in (1, 2)]
        files += [(closed, "osmium.md", "shut", "The blueprint of the zirconium vault.")]
    for place, name, team, body in files:
        place.mkdir(parents=True, exist_ok=True)
        more = "clearance: 7\nlevel: high\n" if team == "shut" else ""
        (place / name).write_text(f"---\nteam: {team}\n{more}---\n# {name[0]}\n\n{body}\n", "utf-8")
    settings = Settings.load(
        data_dir=folder / "data",
        collection="closed",
        encoder={"model": str(encoder), "device": "cpu"},
        ingest={"workers": 1},
        server={"host": "0.0.0.0", "per_minute": 100_000},
    )
    with RAGPipeline.from_settings(settings) as pipeline:
        for place in (shared, closed) if hidden else (shared,):
            pipeline.ingest(place, collection=place.name)
    with serving(settings) as server:
        ids = ["f0e1d2c3b4a59687", "0f1e2d3c4b5a6978", "c0ffee00-1234-5678-9abc-def012345678"]
        if hidden:
            admin = holder(server, full=True)
            asked = [{"question": SHUT, "collection": one} for one in ("shared", "closed")]
            answers = [admin.ok("/v1/ask", one)["id"] for one in asked]
            rows = server.pipeline.wiring.manifest("shared").rows()
            ids = [*answers, next(row.id for row in rows if "osmium" in row.source)]
        yield server, ids


def _requests(server: Server, ids: list[str]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Method, path and what is sent, for every route and trick."""
    for question, where in [(OPEN, None), (SHUT, None), *((OPEN, one) for one in _FILTERS)]:
        body = {"question": question, "collection": "shared"} | ({"where": where} if where else {})
        for path in ("/v1/search", "/v1/ask"):
            yield "POST", path, {"json": body}
        yield "POST", "/ask", {"data": body}
    for more in ({"follow_up": ids[0]}, {"follow_up": ids[0][:8]}, {"collection": "closed"}, {"expand": 9}):
        yield "POST", "/v1/ask", {"json": {"question": OPEN, "collection": "shared", **more}}
    for model in ("winnow", "winnow/closed", "winnow/nothing"):
        talk = [{"role": "user", "content": OPEN}]
        yield "POST", "/v1/chat/completions", {"json": {"model": model, "messages": talk}}
    for path in ("/rerank", "/v1/rerank", "/v2/rerank"):
        yield "POST", path, {"json": {"query": SHUT, "documents": ["The zirconium vault of potassium."]}}
    for collection in _COLLECTIONS:
        for path in ("/v1/documents", "/v1/answers", "/v1/answers/export", "/answers", "/fields", "/"):
            yield "GET", f"{path}?collection={collection}", {}
        for path in ("/v1/ingest", "/collections"):
            files = {"file": ("osmium1.md", b"# o\n\nThe zirconium vault of potassium.\n")}
            yield "POST", path, {"files": files, "data": {"collection": collection}}
    for identifier in ids:
        yield "POST", f"/v1/answers/{identifier}/replay", {"json": {"rerank": "none"}}
        yield "POST", f"/v1/answers/{identifier}/feedback", {"json": {"good": True}}
    yield "GET", "/v1/documents?collection=shared&text=osmium", {}
    yield "GET", "/answers?text=zirconium", {}
    for method, template in _routes(server):
        for identifier in ids:
            path = re.sub(r"\{(?:\w*id)\}", identifier, template)
            for collection in ("shared", *_COLLECTIONS) if "{" in path else ("",):
                whole = re.sub(r"\{\w+(:path)?\}", collection, path)
                yield (
                    method,
                    whole,
                    {"data": {"rerank": "none", "good": "bad"}} if method == "POST" else {},
                )


def _routes(server: Server) -> list[tuple[str, str]]:
    """Method and path of every operation of the API, and of every page and form."""
    api = holder(server, full=True).get("/openapi.json").json()["paths"]
    found = [(method.upper(), path) for path, operations in api.items() for method in operations]
    pages = [route for router in (*ROUTERS, UPLOADS) for route in router.routes]
    found += [(method, page.path) for page in pages if isinstance(page, APIRoute) for method in page.methods]
    assert len(found) > 50
    return sorted(one for one in found if one[1] not in _APART)


def _told(server: Server, ids: list[str]) -> list[tuple[str, int, str]]:
    """What a holder of a part is told: request, status and text, without what varies by itself."""
    part = holder(server, full=True, collections=["shared"], where=MINE, log="all")
    found = []
    headers = {**part.headers, **HTML, "origin": server.url}
    with httpx2.Client(base_url=server.url, timeout=60, headers=headers) as client:
        for method, path, more in _requests(server, ids):
            reply = client.request(method, path, **more)
            found.append(
                (
                    _alike(f"{method} {path} {more}", server, ids),
                    reply.status_code,
                    _alike(reply.text, server, ids),
                )
            )
    return found


def _alike(text: str, server: Server, ids: list[str]) -> str:
    """The text without what varies from one run to the next."""
    for number, identifier in enumerate(ids):
        text = text.replace(identifier, f"<{number}>").replace(identifier[:8], f"<{number}>")
    text = text.replace(str(server.pipeline.settings.data_dir.parent), "FOLDER")
    for pattern, name in _VARYING:
        text = pattern.sub(name, text)
    return text


def test_what_is_hidden_changes_no_reply(tmp_path: Path) -> None:
    """Filters, names, ids, uploads, deletions, pages, lists: with hidden documents as without them."""
    encoder, _ = encoders(tmp_path / "encoders")
    both = []
    for hidden in (True, False):
        folder = tmp_path / "files"  # its name is told
        for server, ids in _served(folder, encoder, hidden=hidden):
            both.append(_told(server, ids))
        shutil.rmtree(folder)
    assert len(both[0]) > 300
    differing = [(one, other) for one, other in zip(*both, strict=True) if one != other]
    assert differing == []
