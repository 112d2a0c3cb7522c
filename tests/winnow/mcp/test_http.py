"""MCP over HTTP on the loopback: the server's own tokens, scopes, hosts and origins apply."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from tests.support.serving import DOCUMENTS, QUESTION, Server, ingested, serving
from winnow import Settings
from winnow.server.tokens import TokenBook

HOST = "winnow.example.org"


@contextmanager
def agents(folder: Path, **chosen: Any) -> Iterator[Server]:
    """A server for agents over the documents."""
    with serving(Settings.load(data_dir=ingested(folder), **chosen), for_agents=True) as server:
        yield server


def talk(server: Server, token: str | None, do: Callable[[Client], Awaitable[Any]]) -> Any:
    """Let `do` use the SDK's client with a bearer token, or none."""
    headers = {"authorization": f"Bearer {token}"} if token else {}

    async def run() -> Any:
        async with (
            httpx2.AsyncClient(headers=headers, timeout=60) as http,
            Client(streamable_http_client(f"{server.url}/mcp", http_client=http)) as client,
        ):
            return await do(client)

    return asyncio.run(run())


def test_agents_ask_beside_people(tmp_path: Path) -> None:
    """On the loopback no token is needed; the answer is in the log that pages and API read."""

    async def use(client: Client) -> Any:
        given = await asyncio.gather(
            *(client.call_tool("ask", {"question": QUESTION}) for _ in range(3)),
            client.call_tool("list_documents", {}),
        )
        assert not any(one.is_error for one in given)
        return [one.structured_content for one in given]

    with agents(tmp_path) as server:
        *answers, documents = talk(server, None, use)
        assert {answer["text"] for answer in answers} == {answers[0]["text"]}
        shown = server.get(f"/v1/answers/{answers[0]['id']}").json()["answer"]
        assert shown["text"] == answers[0]["text"]
        assert documents["total"] == len(DOCUMENTS)
        assert 'winnow_answers_total{answered="true"} 3.0' in server.get("/metrics").text


def test_tokens_and_scopes(tmp_path: Path) -> None:
    """Without a token nothing is told; a read-only one asks; only a full one ingests."""
    more = tmp_path / "more"
    more.mkdir()
    (more / "tea.md").write_text("# Tea\n\nTea is brewed for three minutes.\n", "utf-8")
    chosen = {"server": {"names": [HOST]}, "mcp": {"ingest": [more]}}

    async def use(client: Client) -> tuple[bool, Any]:
        asked = await client.call_tool("ask", {"question": QUESTION})
        return asked.is_error, await client.call_tool("ingest", {"paths": [str(more)]})

    with agents(tmp_path, **chosen) as server:
        book = TokenBook(server.pipeline.settings.tokens_file)
        (_, read), (_, full) = book.create("reader", "read"), book.create("writer", "full")
        for kind in ("POST", "GET", "DELETE"):
            refused = server.request(kind, "/mcp", json={})
            assert refused.status_code == 401
            assert refused.headers["www-authenticate"] == "Bearer"
        failed, ingest = talk(server, read, use)
        assert not failed
        assert "read-only" in ingest.content[0].text
        failed, ingest = talk(server, full, use)
        assert ingest.structured_content["totals"]["ingested"] == 1
        book.revoke(book.tokens()[0].id)
        with pytest.raises(Exception):  # noqa: B017, PT011 - whatever the SDK makes of a 401
            talk(server, read, use)


@pytest.mark.parametrize("headers", [{"host": "evil.example"}, {"origin": "https://evil.example"}])
def test_another_sites_page_may_not_call(tmp_path: Path, headers: dict[str, str]) -> None:
    """A rebound name and a foreign origin are refused, as everywhere on the server."""
    with agents(tmp_path) as server:
        call = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
        assert server.post("/mcp", json=call, headers=headers).status_code == 403


def test_a_server_without_agents_has_no_such_address(tmp_path: Path) -> None:
    """`winnow serve` alone speaks no MCP."""
    with serving(Settings.load(data_dir=ingested(tmp_path))) as server:
        assert server.post("/mcp", json={}).status_code == 404
