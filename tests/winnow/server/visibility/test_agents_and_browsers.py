"""Agents and browsers have the rights of the token that they come with."""

from __future__ import annotations

import asyncio
import json

import httpx2
import pytest
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client

from tests.support.holders import HTML, OPEN, SECRETS, Holder, tells_nothing
from tests.support.serving import Server

pytestmark = pytest.mark.heavy


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
            ("ingest", {"paths": ["/etc/passwd"]}),
        ):
            said = await client.call_tool(tool, given)
            text = json.dumps([one.model_dump(mode="json") for one in said.content], ensure_ascii=False)
            assert not [word for word in SECRETS if word in text], (tool, given, text)
            if "closed" in given.values() or admins_ids[0] in given.values():
                assert said.is_error
        tools = (await client.list_tools()).model_dump_json()
        assert "Bring files and folders" in tools
        assert not [word for word in SECRETS if word in tools]
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
            tells_nothing(page)
        assert browser.get("/collections/closed").status_code == 404
