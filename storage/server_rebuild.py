"""Building a generation of a collection on a server beside the one in use."""

from __future__ import annotations

from secrets import token_hex
from types import TracebackType
from typing import TYPE_CHECKING, Self

from qdrant_client import QdrantClient

from storage.errors import FingerprintMismatchError, StoreCorruptError
from storage.server_errors import Link
from storage.server_generations import Generations, in_use, joined, pointing, read_aliases
from storage.store import CollectionStore, Fingerprint

if TYPE_CHECKING:
    from storage.server import ServerStores
    from storage.server_collection import ServerCollection


class ServerRebuild:
    """See `storage.store.Rebuild`. Nothing keeps two machines from re-indexing one collection at once."""

    def __init__(self, store: ServerCollection, client: QdrantClient, link: Link, *, resumed: bool) -> None:
        self.store = store
        self.resumed = resumed
        self._client = client
        self._link = link

    @classmethod
    def begin(
        cls, stores: ServerStores, name: str, fingerprint: Fingerprint, client: QdrantClient, link: Link
    ) -> ServerRebuild:
        """Begin, or go on with what was cut off."""
        begun: ServerCollection | None = None
        found = Generations.of(client, link)
        for physical in found.others(name):
            other = _built(stores, physical, fingerprint)
            # the plain one, where it is not in use, was in use once and is over
            if begun is None and other is not None and physical != name:
                begun = other
        store = begun or stores.make(joined(name, token_hex(4)), fingerprint)
        return cls(store, client, link, resumed=begun is not None)

    def finish(self, old: CollectionStore | None) -> ServerCollection:  # noqa: ARG002 - the Protocol's
        """See `storage.store.Rebuild.finish`. One request that the server carries out as a whole."""
        aliases = read_aliases(self._client, self._link)
        if in_use(self.store.name, aliases) != self.store.physical:
            operations = pointing(self.store.name, self.store.physical, aliases)
            self._link.call(self.store.name, lambda: self._client.update_collection_aliases(operations))
        return self.store

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass  # what was built waits on the server


def _built(stores: ServerStores, physical: str, fingerprint: Fingerprint) -> ServerCollection | None:
    """A generation with this fingerprint; None where it has another or is half made."""
    try:
        store = stores.open_physical(physical)
    except (StoreCorruptError, FingerprintMismatchError):
        return None
    return store if store.fingerprint == fingerprint else None
