"""Built next to the old collection and swapped at the end, while questions are asked."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from threading import Thread

import pytest

from storage.errors import FingerprintMismatchError, StoreLockedError
from storage.qdrant.contract import CollectionStore, Rebuild
from storage.qdrant.edge.stores import EdgeStores
from tests.support.qdrant_wire import serving
from tests.support.reindexing import Place, content, pipeline, write
from winnow.upkeep.rebuild import IngestChoices, reindex

pytestmark = pytest.mark.heavy


def test_the_result_is_that_of_a_first_ingest(place: Place, tmp_path: Path) -> None:
    """A re-index gives the ids, manifest and vectors of a first ingest, and leaves nothing old behind."""
    with pipeline(place.data, place.other) as rag:
        rag.ingest(reindex=True)
        assert rag.wiring.stores.leftovers() == {}
        assert len(rag.wiring.manifest().generations()) == 1
    with pipeline(tmp_path / "anew", place.other) as rag:
        rag.ingest(place.docs)
    assert content(place.data, place.other) == content(tmp_path / "anew", place.other)


def test_questions_are_answered_while_it_is_built_and_after_the_swap(place: Place) -> None:
    """The re-indexing pipeline answers from the old collection until the swap, then from the new one."""
    asked: list[int] = []
    with pipeline(place.data, place.one) as rag:
        rag.search("dog")
        held = rag.wiring.collection()
        rag.ingest(reindex=True, progress=lambda _: asked.append(len(rag.search("quick fox").candidates)))
        assert asked
        assert all(asked)
        assert held.count() > 0, "a question on its way is not cut off"
        assert rag.search("the quick question").candidates
        assert rag.wiring.collection().generation != held.generation


class _AskedWhileItSwaps:
    """A rebuild with a question from another thread in the middle of its swap."""

    def __init__(self, rebuild: Rebuild, ask: Callable[[], object]) -> None:
        self.store, self.resumed = rebuild.store, rebuild.resumed
        self._rebuild = rebuild
        self.question = Thread(target=ask)

    def finish(self, old: CollectionStore | None) -> CollectionStore:
        swapped = self._rebuild.finish(old)
        self.question.start()
        self.question.join(0.5)  # time enough to be refused
        return swapped

    def __enter__(self) -> Rebuild:
        return self

    def __exit__(self, *_: object) -> None:
        self._rebuild.__exit__(None, None, None)


def test_a_question_in_the_middle_of_the_swap_gets_the_new_one(place: Place) -> None:
    """A question in the middle of the swap waits, and is answered from the new collection."""
    given: list[str] = []
    with pipeline(place.data, place.one) as rag:
        rag.wiring._parts["stores"] = EdgeStores(place.data / "collections", patience_s=0.1)
        old = rag.wiring.collection()
        begun = rag.wiring.stores.rebuild("default", old.fingerprint)
        rebuild = _AskedWhileItSwaps(begun, lambda: given.append(rag.wiring.collection().generation))
        new = rag.wiring.collections.swap(rebuild, old)
        rebuild.question.join()
        assert given == [new.generation]


def test_other_processes_ask_the_old_one_meanwhile(place: Place) -> None:
    """Other processes can ask the old collection; if one holds the lock, the swap waits for the next call."""
    stores = EdgeStores(place.data / "collections", patience_s=0.1)
    with pipeline(place.data, place.other) as rag:
        rag.wiring._parts["stores"] = stores
        held = stores.open("default")
        with pytest.raises(StoreLockedError, match="is built") as caught:
            rag.ingest(reindex=True)
        assert "same command again" in caught.value.way_out
        assert held.count() > 0
        held.close()
        report = rag.ingest(reindex=True)
    assert report.totals["unchanged"] == 6
    assert report.embedded == 0


def test_what_is_ingested_meanwhile_is_not_lost(place: Place, tmp_path: Path) -> None:
    """A document that another process adds during a re-index is in the new collection."""
    late = tmp_path / "late"
    write(late, 77)
    added: list[str] = []

    def add(_: object) -> None:
        if not added:
            added.append("77.md")
            with pipeline(place.data, place.one) as second:
                second.ingest(late)

    with pipeline(place.data, place.one) as rag:
        report = reindex(rag.wiring, "default", (), IngestChoices(progress=add))
    assert report.totals["documents"] == 7
    assert any(source.endswith("77.md") for source in content(place.data, place.one)[1])


def test_what_was_deleted_between_two_attempts_does_not_come_back(place: Place) -> None:
    """A document deleted after an attempt that could not swap does not come back."""
    write(place.docs, 9)
    with pipeline(place.data, place.one) as rag:
        rag.ingest(place.docs)
    stores = EdgeStores(place.data / "collections", patience_s=0.1)
    with closing(stores.open("default")), pipeline(place.data, place.other) as rag:
        rag.wiring._parts["stores"] = stores
        with pytest.raises(StoreLockedError):
            rag.ingest(reindex=True)
    (place.docs / "9.md").unlink()
    with pipeline(place.data, place.one) as rag:
        row = next(row for row in rag.wiring.manifest().rows() if row.source.endswith("9.md"))
        rag.wiring.collections.remove("default", row)
    with pipeline(place.data, place.other) as rag:
        assert rag.ingest(reindex=True).totals["unchanged"] == 6
    assert not any(source.endswith("9.md") for source in content(place.data, place.other)[1])


@pytest.mark.filterwarnings("ignore:Payload indexes have no effect:UserWarning")
def test_on_a_server_a_long_lived_pipeline_follows_the_swap(place: Place) -> None:
    """On a server, an open pipeline of another process follows the swap, or says what differs."""
    docs = place.data.parent / "papers"
    write(docs, 1, 2)
    with serving() as wire:
        store = {"url": wire.url, "prefer_grpc": False}
        with pipeline(place.data, place.one, store) as rag, pipeline(place.data, place.one, store) as other:
            rag.ingest(docs)
            assert other.search("lazy dog").candidates
            rag.ingest(reindex=True)
            assert other.search("lazy dog").candidates
            assert other.wiring.collection().generation == rag.wiring.stores.generation("default") != ""
        with pipeline(place.data, place.other, store) as rag:
            rag.ingest(reindex=True)
            assert rag.wiring.stores.leftovers() == {}
        with pipeline(place.data, place.one, store) as rag, pytest.raises(FingerprintMismatchError):
            rag.search("lazy dog")


@pytest.mark.filterwarnings("ignore:Payload indexes have no effect:UserWarning")
def test_on_a_server_an_older_generation_gives_nothing_back(place: Place) -> None:
    """A leftover generation with the same settings does not bring deleted documents back."""
    docs = place.data.parent / "papers"
    write(docs, 1, 2)
    with serving() as wire:
        store = {"url": wire.url, "prefer_grpc": False}
        with pipeline(place.data, place.one, store) as rag:
            rag.ingest(docs)
            rag.ingest(reindex=True)
            rag.wiring.collections._retired.clear()
            rag.ingest(reindex=True)
            assert any("default@" in left for left in rag.wiring.stores.leftovers()["default"])
            rag.wiring.collections._retired.clear()  # the crash
        (docs / "2.md").unlink()
        with pipeline(place.data, place.one, store) as rag:
            rag.ingest(reindex=True, prune=True)
            sources = {chunk.source for chunk in rag.wiring.collection().chunks()}
            assert sources == {str(docs / "1.md")}
