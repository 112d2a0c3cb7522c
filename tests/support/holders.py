"""Holders of tokens, and a server with something to hide from them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx2

from tests.support.serving import Server
from winnow import RAGPipeline, Settings
from winnow.server.tokens import TokenBook

# Words that only passages have which the holder must not learn of.
SECRETS = ("zirconium", "Zirconium", "blueprint", "vault", "osmium", "clearance")
OPEN = "Which fruit is rich in potassium?"
SHUT = "What is the zirconium vault made of?"
HTML = {"accept": "text/html"}
MINE = "team = 'open'"


def with_secrets(folder: Path) -> Path:
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


def holder(server: Server, *, full: bool = False, **rights: Any) -> Holder:
    book = TokenBook(server.pipeline.settings.tokens_file)
    return Holder(server, book.create("a holder", "full" if full else "read", **rights)[1])


def tells_nothing(reply: httpx2.Response, *, but: str = "") -> None:
    """No secret is in a reply, apart from the words that the holder sent."""
    text = reply.text.replace(but, "") if but else reply.text
    assert not [word for word in SECRETS if word in text], (reply.request.url, text[:2_000])
