"""Building a generation of a collection on a server beside the one in use."""

from __future__ import annotations

import logging
from collections.abc import Callable
from secrets import token_hex
from types import TracebackType
from typing import Self

from qdrant_client import QdrantClient

from storage.errors import FingerprintMismatchError, StoreCorruptError, StoreError, WinnowError
from storage.qdrant.contract import CollectionStore, Fingerprint
from storage.qdrant.server.collection import ServerCollection
from storage.qdrant.server.errors import ServerLink
from storage.qdrant.server.generations import Generations, in_use, joined, pointing, read_aliases
from storage.qdrant.server.physical import PhysicalCollections
from storage.qdrant.server.writes import Building, Claim, InUse, being_built

_log = logging.getLogger(__name__)


class ServerRebuild:
    """See `storage.qdrant.contract.Rebuild`. `before` is the generation in use when it began.

    Two at once are kept apart by a note on the new generation that says who builds it.
    """

    def __init__(
        self,
        store: ServerCollection,
        building: Building,
        before: str,
        client: QdrantClient,
        link: ServerLink,
        *,
        resumed: bool,
    ) -> None:
        self.store = store
        self.resumed = resumed
        self._building = building
        self._before = before
        self._client = client
        self._link = link
        self._finished = False

    @classmethod
    def begin(cls, collections: PhysicalCollections, name: str, fingerprint: Fingerprint) -> ServerRebuild:
        """Begin, or go on with what was cut off. Raises StoreLockedError where another process is at it."""
        client, link = collections.client, collections.link
        found = Generations.of(client, link)
        begun = [physical for physical in found.others(name) if _is_begun(collections, name, physical)]
        fitting = next((physical for physical in begun if _fits(collections, physical, fingerprint)), None)
        physical = fitting or joined(name, token_hex(4))
        if fitting is None:
            collections.make(physical, fingerprint)
        building = Building(physical, client, link)
        building.begin()
        store = collections.open(physical, building)
        return cls(store, building, found.current(name), client, link, resumed=fitting is not None)

    def finish(self, old: CollectionStore | None) -> ServerCollection:
        """See `storage.qdrant.contract.Rebuild.finish`. One request that the server carries out as a whole.

        Raises StoreError where another re-index was quicker.
        """
        name, physical = self.store.name, self.store.physical
        before = old.physical if isinstance(old, ServerCollection) else self._before
        aliases = read_aliases(self._client, self._link)
        if in_use(name, aliases) != before:
            raise StoreError(
                f"the collection {name!r} at {self._link.where} was re-indexed by another process meanwhile",
                way_out="Run it again, if that one's settings were not yours: it goes on from here.",
            )
        self._building.check()
        operations = pointing(name, physical, aliases)
        self._link.call(name, lambda: self._client.update_collection_aliases(operations))
        self._finished = True
        self.store.writes = InUse(physical, self._client, self._link)
        self._leave(self._building.done)
        return self.store

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """What was built waits on the server."""
        if not self._finished:
            self._leave(self._building.end)

    def _leave(self, act: Callable[[], None]) -> None:
        try:
            act()
        except WinnowError as error:  # the note grows old by itself
            _log.warning("the note that %r is being re-indexed stays for now: %s", self.store.name, error)


def _is_begun(collections: PhysicalCollections, name: str, physical: str) -> bool:
    """Whether a re-index that was cut off was building this; what was in use once has no such note.

    Raises StoreLockedError where one is at it.
    """
    claim = Claim.read(collections.info(physical))
    if claim is not None and claim.is_held:
        raise being_built(name, claim)
    return claim is not None


def _fits(collections: PhysicalCollections, physical: str, fingerprint: Fingerprint) -> bool:
    """Whether a generation is whole and has this fingerprint."""
    try:
        return collections.open(physical).fingerprint == fingerprint
    except (StoreCorruptError, FingerprintMismatchError):
        return False
