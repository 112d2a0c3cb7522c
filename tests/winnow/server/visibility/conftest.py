"""A server whose log and collections a token sees in part."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.holders import MINE, SHUT, Holder, holder, with_secrets
from tests.support.serving import Server, serving
from winnow import Settings


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server for others, with answers of an administrator about everything in its log."""
    data = with_secrets(tmp_path_factory.mktemp("seen"))
    settings = Settings.load(
        data_dir=data,
        collection="closed",
        server={"host": "0.0.0.0", "specs": ["late-interaction"]},
        mcp={"ingest": [data.with_name("zirconium")]},
    )
    with serving(settings, for_agents=True) as running:
        admin = holder(running, full=True)
        for collection in ("shared", "closed"):
            first = admin.ok("/v1/ask", {"question": SHUT, "collection": collection})
            admin.ok(
                "/v1/ask",
                {"question": "And potassium?", "collection": collection, "follow_up": first["id"]},
            )
            admin.ok(f"/v1/answers/{first['id']}/replay", {"rerank": "none"})
            admin.ok(f"/v1/answers/{first['id']}/feedback", {"good": True, "note": "zirconium"})
        yield running


@pytest.fixture(scope="session")
def part(server: Server) -> Holder:
    """Who sees one team's documents of one collection, and else may do everything."""
    return holder(server, full=True, collections=["shared"], where=MINE, log="all")


@pytest.fixture(scope="session")
def admins_ids(server: Server) -> list[str]:
    """The ids of the administrator's answers."""
    return [one.id for one in server.pipeline.log.list(100) if "zirconium" in one.question]
