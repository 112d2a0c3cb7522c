"""Claims on a re-index: one winner and a told loser, and none that outlives its holder."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

import pytest
from qdrant_client import models

from storage.errors import StoreError, StoreLockedError
from storage.qdrant.contract import Rebuild
from storage.qdrant.server.stores import ServerStores
from tests.support.passages import FINGERPRINT, points
from tests.support.qdrant_wire import Fault, Wire, serving

pytestmark = pytest.mark.heavy

OTHER = replace(FINGERPRINT, encoder="test/other@1")


@pytest.fixture
def wire() -> Iterator[Wire]:
    with serving() as wire:
        yield wire


@pytest.fixture
def stores(wire: Wire) -> Iterator[ServerStores]:
    with closing(ServerStores.connect(wire.url, prefer_grpc=False)) as stores:
        yield stores


@pytest.mark.parametrize("_", range(5))
def test_of_two_that_begin_at_once_one_wins(wire: Wire, stores: ServerStores, _: int) -> None:
    """Two re-indexes that start together: one builds, the other is told so and leaves nothing behind."""
    stores.create("papers", FINGERPRINT)
    together = threading.Barrier(2)
    begun: list[Rebuild] = []
    refused: list[StoreLockedError] = []

    def begin() -> None:
        with closing(ServerStores.connect(wire.url, prefer_grpc=False)) as mine:
            mine.names()
            together.wait()
            try:
                begun.append(mine.rebuild("papers", OTHER))
            except StoreLockedError as error:
                refused.append(error)

    threads = [threading.Thread(target=begin) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(begun), len(refused)) == (1, 1)
    assert "is being re-indexed by process" in str(refused[0])
    there = [one.name for one in wire.client.get_collections().collections]
    assert sorted(there) == ["papers", begun[0].store.physical]  # type: ignore[attr-defined]  # a server's


def test_a_claim_that_could_not_be_given_up_does_not_lock_its_own_process_out(
    wire: Wire, stores: ServerStores
) -> None:
    """A re-index that failed because the server did is gone on with at once."""
    stores.create("papers", FINGERPRINT)
    with stores.rebuild("papers", OTHER) as rebuild:
        rebuild.store.upsert(points(5))
        wire.fail(Fault(500, path="/collections/papers@"))
    with stores.rebuild("papers", OTHER) as again:
        assert again.resumed
        assert again.store.count() == 5


@pytest.mark.parametrize("others", [False, True])
def test_a_key_that_may_not_see_the_alias_never_writes_to_what_was_replaced(
    wire: Wire, stores: ServerStores, *, others: bool
) -> None:
    """A server hides aliases from a key without an error; the old generation itself says that it is old."""
    with closing(stores.create("papers", FINGERPRINT)) as before:
        with stores.rebuild("papers", OTHER) as rebuild:
            rebuild.finish(None).close()
        newer = "papers@" + stores.generation("papers")
        wire.hides_aliases = True
        if others:
            theirs = models.CreateAlias(collection_name=newer, alias_name="theirs")
            wire.client.update_collection_aliases([models.CreateAliasOperation(create_alias=theirs)])
        with pytest.raises(StoreError, match=r"'papers' at .* was re-indexed: ") as caught:
            stores.open("papers")
        assert newer in str(caught.value)
        assert "'papers@current'" in caught.value.way_out
        with pytest.raises(StoreError, match="re-indexed by another process"):
            before.upsert(points(1))
    wire.hides_aliases = False
    assert stores.open("papers").physical == newer


def test_a_swap_that_another_one_follows_at_once_is_told(wire: Wire, stores: ServerStores) -> None:
    """One whose swap is undone before it has looked again is told so."""
    stores.create("papers", FINGERPRINT)
    stores.create("quick", FINGERPRINT)

    def other_swap() -> None:
        wire.before["GET /aliases"] = lambda: wire.client.update_collection_aliases(
            [
                models.CreateAliasOperation(
                    create_alias=models.CreateAlias(collection_name="quick", alias_name="papers@current")
                )
            ]
        )

    with stores.rebuild("papers", OTHER) as rebuild:
        wire.before["POST /collections/aliases"] = other_swap
        with pytest.raises(StoreError, match="was re-indexed by another process meanwhile"):
            rebuild.finish(None)
