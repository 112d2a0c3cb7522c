"""Rebuilding a collection next to the one in use, and swapping: one contract over every store."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from storage.errors import BadInputError, NotFoundError, StoreLockedError
from storage.qdrant.contract import CollectionStores
from storage.qdrant.edge.stores import EdgeStores
from storage.qdrant.server.stores import ServerStores
from tests.support import real_qdrant
from tests.support.passages import FINGERPRINT, legs, points
from tests.support.qdrant_grpc import serving_grpc
from tests.support.qdrant_wire import serving

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.filterwarnings("ignore:Local mode performs exact:UserWarning"),
    pytest.mark.filterwarnings("ignore:Payload indexes have no effect:UserWarning"),
]

OTHER = replace(FINGERPRINT, encoder="test/other@1", dim=FINGERPRINT.dim)


@contextmanager
def _stores(kind: str, folder: Path) -> Iterator[CollectionStores]:
    if kind == "edge":
        yield EdgeStores(folder / "edge", patience_s=0.1)
    elif kind == "memory":
        yield ServerStores.in_memory()
    elif kind == "rest":
        with serving() as wire, closing(ServerStores.connect(wire.url, prefer_grpc=False)) as stores:
            yield stores
    elif kind == "server":
        with real_qdrant.connected("论文") as stores:
            yield stores
    else:
        with (
            serving_grpc() as grpc_wire,
            closing(ServerStores.connect(grpc_wire.url, grpc_port=grpc_wire.port)) as stores,
        ):
            yield stores


@pytest.fixture(params=["edge", "memory", "rest", "grpc", *real_qdrant.KINDS])
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[CollectionStores]:
    with _stores(request.param, tmp_path) as stores:
        yield stores


def _made(stores: CollectionStores) -> None:
    with closing(stores.create("论文", FINGERPRINT)) as store:
        store.upsert(points(8))


def _ids(stores: CollectionStores) -> set[str]:
    with closing(stores.open("论文")) as store:
        return {chunk.id for chunk in store.chunks()}


def test_what_is_built_beside_is_not_seen_before_the_swap(stores: CollectionStores) -> None:
    """During a rebuild the old collection answers, is listed once and keeps its fingerprint."""
    _made(stores)
    with closing(stores.open("论文")) as old, stores.rebuild("论文", OTHER) as rebuild:
        rebuild.store.upsert(points(20))
        assert old.count() == 8
        assert len(old.search(legs(), limit=40)[0]) == 7
        assert stores.names() == ["论文"]
        assert stores.generation("论文") == ""
        assert rebuild.store.name == "论文"
    assert len(_ids(stores)) == 8


def test_the_swap_makes_the_new_one_the_collection(stores: CollectionStores) -> None:
    """After the swap the collection opens as the new one, and the old one is swept away as a leftover."""
    _made(stores)
    with closing(stores.open("论文")) as old, stores.rebuild("论文", OTHER) as rebuild:
        rebuild.store.upsert(points(20))
        new = rebuild.finish(old)
        assert old.count() == 8, "a question on its way is answered to its end"
        assert new.count() == 20
        assert new.generation == stores.generation("论文") != ""
    new.close()
    assert stores.names() == ["论文"]
    assert list(stores.leftovers()) == ["论文"]
    stores.sweep("论文")
    assert stores.leftovers() == {}
    with closing(stores.open("论文")) as opened:
        assert (opened.count(), opened.fingerprint) == (20, OTHER)


def test_a_rebuild_that_stopped_is_gone_on_with(stores: CollectionStores) -> None:
    """A rebuild resumes with what it had stored; with other settings it starts again from nothing."""
    _made(stores)
    with stores.rebuild("论文", OTHER) as rebuild:
        assert not rebuild.resumed
        rebuild.store.upsert(points(5))
    with stores.rebuild("论文", OTHER) as again:
        assert again.resumed
        assert again.store.count() == 5
    with stores.rebuild("论文", replace(OTHER, chunker="another")) as anew:
        assert not anew.resumed
        assert anew.store.count() == 0
        anew.finish(None).close()
    stores.sweep("论文")
    assert _ids(stores) == set()
    assert stores.leftovers() == {}


def test_one_swap_after_another(stores: CollectionStores) -> None:
    """A collection can be rebuilt repeatedly."""
    _made(stores)
    for count in (3, 6, 9):
        with stores.rebuild("论文", FINGERPRINT) as rebuild:
            rebuild.store.upsert(points(count))
            rebuild.finish(None).close()
        stores.sweep("论文")
        assert len(_ids(stores)) == count
    with pytest.raises(BadInputError, match="论文"):
        stores.create("论文", FINGERPRINT)


def test_dropping_takes_every_generation(stores: CollectionStores) -> None:
    """Dropping a collection removes every generation of it."""
    _made(stores)
    with stores.rebuild("论文", OTHER) as rebuild:
        rebuild.finish(None).close()
    with stores.rebuild("论文", FINGERPRINT):
        pass
    stores.drop("论文")
    assert stores.names() == []
    assert stores.leftovers() == {}
    with pytest.raises(NotFoundError):
        stores.open("论文")
    stores.create("论文", FINGERPRINT).close()


def test_a_collection_that_was_lost_is_rebuilt_from_nothing(stores: CollectionStores) -> None:
    """A lost collection can be rebuilt without an old one."""
    with stores.rebuild("论文", FINGERPRINT) as rebuild:
        rebuild.store.upsert(points(4))
        rebuild.finish(None).close()
    assert len(_ids(stores)) == 4
    assert stores.names() == ["论文"]


def test_two_at_once_are_refused(stores: CollectionStores) -> None:
    """A second rebuild is refused with the name of the first, and resumes it once that has stopped."""
    _made(stores)
    refused = pytest.raises(StoreLockedError, match=f"is being re-indexed by process {os.getpid()}")
    with stores.rebuild("论文", OTHER), refused:
        stores.rebuild("论文", OTHER)
    with stores.rebuild("论文", OTHER) as again:
        assert again.resumed
