"""Concurrent writes to a server's collection during a re-index: none is lost silently."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ingest.batches import Embedder
from storage.database import Database
from storage.errors import StoreError, StoreLockedError
from storage.manifest.manifest import Manifest
from storage.qdrant.server.stores import ServerStores
from storage.vectors import Point
from tests.support.ingestion import DIM, CountingEncoder, WordHashes
from tests.support.passages import FINGERPRINT, points
from tests.support.qdrant_wire import Wire, serving
from tests.support.reindexing import encoders, pipeline, write
from winnow.pipeline import RAGPipeline
from winnow.upkeep.copy_forward import LateWrites

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.filterwarnings("ignore:Payload indexes have no effect:UserWarning"),
]

OTHER = replace(FINGERPRINT, encoder="test/other@1")


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return encoders(tmp_path_factory.mktemp("encoders"))[0]


@pytest.fixture
def wire() -> Iterator[Wire]:
    with serving() as wire:
        yield wire


@pytest.fixture
def stores(wire: Wire) -> Iterator[ServerStores]:
    with closing(ServerStores.connect(wire.url, prefer_grpc=False)) as stores:
        yield stores


@pytest.fixture
def opened(wire: Wire, tmp_path: Path, encoder: Path) -> Callable[[str], RAGPipeline]:
    """A pipeline over the server, with the data folder of that name."""
    return lambda data: pipeline(tmp_path / data, encoder, {"url": wire.url, "prefer_grpc": False})


def _claim(wire: Wire, **changed: object) -> str:
    """Change the note about the rebuild in progress; return its name on the server."""
    [physical] = [one.name for one in wire.client.get_collections().collections if "@" in one.name]
    claim = _metadata(wire, physical)["winnow_building"]
    wire.client.update_collection(physical, metadata={"winnow_building": {**claim, **changed}})
    return physical


def _metadata(wire: Wire, physical: str) -> dict[str, Any]:
    return dict(wire.client.get_collection(physical).config.metadata or {})


def _sources(rag: RAGPipeline) -> set[str]:
    return {Path(chunk.source).name for chunk in rag.wiring.collection().chunks()}


def test_an_ingest_that_a_swap_overtakes_stops_and_says_so(
    opened: Callable[[str], RAGPipeline], tmp_path: Path
) -> None:
    """An ingest overtaken by a swap stops with an error; run again, it writes to the new generation."""
    write(tmp_path / "docs", *range(3))
    write(tmp_path / "more", *range(3, 30))
    swapped: list[str] = []
    with opened("data") as rag, opened("data") as other:
        rag.ingest(tmp_path / "docs")

        def swap(_: object) -> None:
            if not swapped:
                swapped.append("once")
                other.ingest(reindex=True)

        with pytest.raises(StoreError, match=r"'default' at .* was re-indexed by another process") as caught:
            rag.ingest(tmp_path / "more", progress=swap)
        assert "Run it again" in caught.value.way_out
        report = rag.ingest(tmp_path / "more")
        assert not report.refused
        assert rag.wiring.collection().generation != ""
        assert _sources(rag) == {f"{number}.md" for number in range(30)}
        assert rag.wiring.stores.leftovers() == {}


def test_a_deletion_that_a_swap_overtakes_is_said(stores: ServerStores) -> None:
    """A deletion overtaken by a swap is reported, since it reached only the old generation."""
    with closing(stores.create("papers", FINGERPRINT)) as mine:
        mine.upsert(points(8))
        with stores.rebuild("papers", OTHER) as rebuild:
            rebuild.finish(None).close()
        with pytest.raises(StoreError, match="re-indexed"):
            mine.delete_document("doc-1")
        with pytest.raises(StoreError, match="re-indexed"):
            mine.flush()
        stores.sweep("papers")
        with pytest.raises(StoreError, match="re-indexed"):
            mine.upsert(points(9))


@pytest.mark.parametrize("data", ["data", "another machine's"])
def test_what_is_written_between_reading_and_swap_is_carried_over(
    opened: Callable[[str], RAGPipeline], wire: Wire, tmp_path: Path, data: str
) -> None:
    """Documents added, changed or removed between reading and swap are carried over."""
    write(tmp_path / "docs", *range(4))
    with opened("data") as rag, opened(data) as other:
        rag.ingest(tmp_path / "docs")
        other.ingest(tmp_path / "docs")

        def work() -> None:
            write(tmp_path / "late", 77)
            changed = tmp_path / "docs" / "1.md"
            changed.write_text("# Late\n\nThe quick fox was added.\n")
            (tmp_path / "docs" / "2.md").unlink()
            other.ingest([tmp_path / "docs", tmp_path / "late"], prune=True)

        wire.before["POST /collections/aliases"] = work
        report = rag.ingest(reindex=True)
        assert wire.before == {}
        warnings = " ".join(warning for one in report.documents for warning in one.warnings)
        assert "while the collections were swapped" in warnings
        assert _sources(rag) == {"0.md", "1.md", "3.md", "77.md"}
        texts = [chunk.text for chunk in rag.wiring.collection().chunks() if chunk.source.endswith("/1.md")]
        assert "fox was added" in "".join(texts)
        again = rag.ingest([tmp_path / "docs", tmp_path / "late"])
        assert not again.refused
        assert {chunk for row in rag.wiring.manifest().rows() for chunk in row.chunk_ids} == {
            chunk.id for chunk in rag.wiring.collection().chunks()
        }


def test_what_is_carried_over_late_is_read_by_the_new_encoder(stores: ServerStores, tmp_path: Path) -> None:
    """Passages carried over late are encoded by the new encoder, even if the old one could not read them."""
    encoder = CountingEncoder()
    embedder = Embedder(encoder, WordHashes(), tokens=True)
    with (
        Database.open(tmp_path / "winnow.db") as database,
        closing(stores.create("papers", FINGERPRINT)) as old,
        closing(stores.create("new", replace(FINGERPRINT, dim=DIM, token_dim=DIM))) as new,
    ):
        late = LateWrites(old, Manifest(database, "papers"), {})
        assert list(late.chunks()) == []
        first, second = points(2)
        unread = replace(second.chunk, text="Plain words.", title="", headings=(), legible=False)
        old.upsert([first, Point(unread, second.lexical)])
        done = late.replay(new, Manifest(database, "new"), embedder)
        assert unread.encoded_text in encoder.asked
        [point] = new.points([unread.id])
        assert point.chunk.legible
        assert point.dense is not None
        assert done.embedded + done.illegible == 2


def test_a_second_reindex_is_refused_and_the_first_named(stores: ServerStores) -> None:
    """A second re-index is refused, and the one in progress is neither swept nor dropped."""
    stores.create("papers", FINGERPRINT).close()
    with stores.rebuild("papers", OTHER) as rebuild:
        rebuild.store.upsert(points(5))
        for fingerprint in (OTHER, FINGERPRINT):
            with pytest.raises(StoreLockedError, match=f"re-indexed by process {os.getpid()} on"):
                stores.rebuild("papers", fingerprint)
        with pytest.raises(StoreLockedError):
            stores.drop("papers")
        assert stores.leftovers() == {}
        stores.sweep("papers")
        assert rebuild.store.count() == 5
        rebuild.finish(None).close()
    stores.sweep("papers")
    with stores.rebuild("papers", OTHER) as again:
        assert not again.resumed


def test_a_killed_reindex_is_gone_on_with(wire: Wire, stores: ServerStores) -> None:
    """A killed re-index is resumed at once on the same machine, and after a silence from another."""
    stores.create("papers", FINGERPRINT).close()
    stores.rebuild("papers", OTHER).store.upsert(points(5))
    _claim(wire, pid=2**22 + 1)  # above what a system gives
    with stores.rebuild("papers", OTHER) as again:
        assert again.resumed
        assert again.store.count() == 5
        _claim(wire, host="elsewhere", pid=1)
        with pytest.raises(StoreLockedError, match="elsewhere"):
            stores.rebuild("papers", OTHER)
        _claim(wire, beat=0.0)
        with stores.rebuild("papers", OTHER) as third:
            assert third.resumed


def test_who_was_taken_for_dead_and_is_not_stops(wire: Wire, stores: ServerStores) -> None:
    """A re-index wrongly taken for dead stops at its next write, without a swap."""
    stores.create("papers", FINGERPRINT).close()
    with stores.rebuild("papers", OTHER) as slow:
        _claim(wire, beat=0.0)
        with stores.rebuild("papers", OTHER) as quick:
            for act in (lambda: slow.store.upsert(points(3)), lambda: slow.finish(None)):
                with pytest.raises(StoreError, match="taken over by process"):
                    act()
            quick.store.upsert(points(4))
        slow.__exit__(None, None, None)
        with stores.rebuild("papers", OTHER) as third:
            third.finish(None).close()
    assert "winnow_building" not in _metadata(wire, "papers@" + stores.generation("papers"))


def test_who_says_nothing_for_a_while_says_so_again(wire: Wire, stores: ServerStores) -> None:
    """A write renews the note, so that a long re-index is not taken for dead."""
    stores.create("papers", FINGERPRINT).close()
    with stores.rebuild("papers", OTHER) as rebuild:
        physical = _claim(wire, beat=1.0)
        rebuild.store.upsert(points(1))
        assert _metadata(wire, physical)["winnow_building"]["beat"] > 1.0


def test_of_two_reindexes_that_began_at_once_the_later_swap_is_refused(
    wire: Wire, stores: ServerStores
) -> None:
    """Of two simultaneous re-indexes the later swap is refused, as it has not read the other's result."""
    stores.create("papers", FINGERPRINT).close()
    old = stores.open("papers")
    with stores.rebuild("papers", OTHER) as first:
        _claim(wire, beat=0.0)
        with stores.rebuild("papers", replace(OTHER, chunker="another")) as second:
            second.finish(old).close()
        with pytest.raises(StoreError, match="was re-indexed by another process"):
            first.finish(old)
