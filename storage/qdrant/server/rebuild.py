"""Builds a generation of a collection on a server next to the one in use."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from secrets import token_hex

from storage.errors import (
    FingerprintMismatchError,
    NotFoundError,
    StoreCorruptError,
    StoreError,
    StoreLockedError,
    WinnowError,
)
from storage.qdrant.contract import CollectionStore, Fingerprint
from storage.qdrant.server.collection import ServerCollection
from storage.qdrant.server.generations import Generations, in_use, joined, pointing, read_aliases
from storage.qdrant.server.link import ServerLink
from storage.qdrant.server.physical import PhysicalCollections
from storage.qdrant.server.writes import Building, Claim, InUse, being_built, mark_replaced

_log = logging.getLogger(__name__)

# How long one that was first waits for another that began at the same time to give way.
_LOOKS, _LOOK_S = 20, 0.25


class ServerRebuild(AbstractContextManager["ServerRebuild"]):
    """A `storage.qdrant.contract.Rebuild`. `before` is the generation in use when it began.

    A claim on the new generation, which names who builds it, keeps two at once apart.
    """

    def __init__(
        self,
        store: ServerCollection,
        building: Building,
        before: str,
        link: ServerLink,
        *,
        resumed: bool,
    ) -> None:
        self.store = store
        self.resumed = resumed
        self._building = building
        self._before = before
        self._link = link
        self._finished = False

    @classmethod
    def begin(cls, collections: PhysicalCollections, name: str, fingerprint: Fingerprint) -> ServerRebuild:
        """Begin, or resume what was interrupted. Raises StoreLockedError while another process builds it."""
        found = Generations.of(collections.link)
        begun = [physical for physical in found.others(name) if _is_begun(collections, name, physical)]
        fitting = next((physical for physical in begun if _fits(collections, physical, fingerprint)), None)
        physical = fitting or joined(name, token_hex(4))
        claim = Claim.new()
        building = Building(physical, collections.link, claim)
        try:
            if fitting is None:
                collections.make(physical, fingerprint, claim)
            else:
                building.begin()
            _yield_to_others(collections, name, claim)
            building.confirm()
            store = collections.open(physical, building)
        except BaseException as error:
            with suppress(WinnowError):  # the claim expires by itself
                building.end()
                if fitting is None and isinstance(error, StoreLockedError):
                    collections.delete(physical)
            raise
        return cls(store, building, found.current(name), collections.link, resumed=fitting is not None)

    def finish(self, old: CollectionStore | None) -> ServerCollection:
        """Swap by one request, which is atomic. Raises StoreError where another re-index was quicker."""
        name, physical = self.store.name, self.store.physical
        before = old.physical if isinstance(old, ServerCollection) else self._before
        aliases = read_aliases(self._link)
        if in_use(name, aliases) != before:
            raise self._overtaken()
        self._building.check()
        operations = pointing(name, physical, aliases)
        self._link.call(name, lambda client: client.update_collection_aliases(operations))
        if in_use(name, read_aliases(self._link)) != physical:  # between the two looks
            raise self._overtaken()
        self._finished = True
        self._leave(lambda: mark_replaced(self._link, before, physical))
        self.store.writes = InUse(physical, self._link)
        self._leave(self._building.done)
        return self.store

    def __exit__(self, *_: object) -> None:
        """Leave what was built on the server, to be resumed."""
        if not self._finished:
            self._leave(self._building.end)

    def _overtaken(self) -> StoreError:
        return StoreError(
            f"the collection {self.store.name!r} at {self._link.where} was re-indexed by another process "
            "meanwhile",
            way_out="Run it again, if that one's settings were not yours: it goes on from here.",
        )

    def _leave(self, act: Callable[[], None]) -> None:
        try:
            act()
        except NotFoundError:
            pass  # the generation before was none, or is gone
        except WinnowError as error:  # the claim expires by itself
            _log.warning("a note on the re-index of %r could not be written: %s", self.store.name, error)


def _yield_to_others(collections: PhysicalCollections, name: str, claim: Claim) -> None:
    """Raise StoreLockedError where another process builds one, too, and was quicker.

    Two that began at once see each other's claims. One that is confirmed has won; of two that are not, the
    later gives way, and the earlier waits until it has.
    """
    for _ in range(_LOOKS):
        found = Generations.of(collections.link).others(name)
        rivals = [one for one in map(collections.claim, found) if one and one.token != claim.token]
        if first := next((one for one in rivals if one.confirmed or one.precedes(claim)), None):
            raise being_built(name, first)
        if not rivals:
            return
        time.sleep(_LOOK_S)
    raise being_built(name, rivals[0])


def _is_begun(collections: PhysicalCollections, name: str, physical: str) -> bool:
    """Return whether an interrupted re-index was building this; a generation once in use has no claim.

    Raises StoreLockedError while one is building it.
    """
    try:
        claim = Claim.read(collections.info(physical))
    except NotFoundError:  # swept since it was listed
        return False
    if claim is not None and claim.is_held:
        raise being_built(name, claim)
    return claim is not None


def _fits(collections: PhysicalCollections, physical: str, fingerprint: Fingerprint) -> bool:
    """Return whether a generation is whole and has this fingerprint."""
    try:
        return collections.open(physical).fingerprint == fingerprint
    except (StoreCorruptError, FingerprintMismatchError):
        return False
