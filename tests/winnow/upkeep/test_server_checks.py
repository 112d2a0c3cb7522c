"""Checks of a Qdrant server by `winnow doctor`, and `/readyz` with one that stands still."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.qdrant_wire import Fault, Wire, serving
from tests.support.reindexing import encoders, write
from tests.support.serving import serving as serving_winnow
from winnow.app.settings import Settings
from winnow.pipeline import RAGPipeline
from winnow.upkeep import doctor_checks

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.filterwarnings("ignore:Payload indexes have no effect:UserWarning"),
]


@pytest.fixture
def wire() -> Iterator[Wire]:
    with serving() as wire:
        yield wire


@pytest.fixture
def settings(wire: Wire, tmp_path: Path) -> Settings:
    encoder = {"model": str(encoders(tmp_path / "encoders")[0]), "device": "cpu"}
    store = {"url": wire.url, "prefer_grpc": False}
    return Settings.load(data_dir=tmp_path / "data", encoder=encoder, ingest={"workers": 1}, store=store)


def _server(settings: Settings) -> list[tuple[str, str, str]]:
    found = doctor_checks.run(settings)
    return [(check.state, check.finding, check.advice) for check in found if check.name == "server"]


def test_doctor_describes_the_server(settings: Settings, wire: Wire, tmp_path: Path) -> None:
    """The version, the collection's shards and missing indexes are told; an older version is a note."""
    write(tmp_path / "docs", 1, 2)
    with RAGPipeline.from_settings(settings) as rag:
        rag.ingest(tmp_path / "docs")
    version, state = _server(settings)
    assert version[:2] == ("ok", "Qdrant 1.20.0")
    assert state[0] == "ok"
    assert state[1] == "default: 1 shards, optimizer ok"
    wire.version = "1.19.2"
    wire.strict = {"max_query_limit": 1_000}
    del wire.indexes["default"]["ordinal"]
    version, state, lacking = _server(settings)
    assert version[:2] == ("note", "Qdrant 1.19.2; winnow is written for Qdrant 1.20")
    assert state[1] == "default: 1 shards, optimizer ok, strict mode"
    assert lacking == (
        "note",
        "default has no payload index over ordinal",
        "The next winnow ingest makes it.",
    )
    with RAGPipeline.from_settings(settings) as rag:
        assert rag.ingest(tmp_path / "docs").totals["ingested"] == 0
    assert len(_server(settings)) == 2


def test_readiness_does_not_wait_for_a_store_that_stands_still(settings: Settings, wire: Wire) -> None:
    """A store that does not answer is told as such, long before its own patience ends."""
    with serving_winnow(settings) as server:
        wire.fail(*[Fault(delay_s=25)] * 3)
        answer = server.get("/readyz")
        assert answer.status_code == 503
        assert "did not answer within 2 s" in answer.json()["detail"]
        wire.released.set()
