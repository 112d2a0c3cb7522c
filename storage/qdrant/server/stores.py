"""Qdrant as a server or cluster, through qdrant-client: REST or gRPC."""

from __future__ import annotations

import logging
from collections.abc import Callable
from urllib.parse import urlsplit

from qdrant_client import QdrantClient

from storage.errors import BadInputError, NotFoundError
from storage.qdrant.contract import Fingerprint, begin_at_once, checked_name, is_name
from storage.qdrant.server.collection import ServerCollection
from storage.qdrant.server.generations import Generations, in_use, read_aliases, split
from storage.qdrant.server.link import Node, ServerLink
from storage.qdrant.server.physical import PhysicalCollections
from storage.qdrant.server.rebuild import ServerRebuild
from storage.qdrant.server.state import Cluster, CollectionState
from storage.qdrant.server.writes import being_built
from storage.qdrant.tuning import Tuning
from storage.reasons import Reason

__all__ = ["ServerCollection", "ServerStores"]

_log = logging.getLogger(__name__)

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class ServerStores:
    """The collections of winnow on one server (`storage.qdrant.contract.CollectionStores`).

    Collections that winnow did not make are left alone.
    """

    def __init__(self, link: ServerLink, tuning: Tuning | None = None) -> None:
        self._link = link
        self._physical = PhysicalCollections(link, tuning or Tuning())

    @classmethod
    def connect(
        cls,
        urls: str,
        *,
        api_key: str | None = None,
        prefer_grpc: bool = True,
        grpc_port: int | None = None,
        timeout_s: float = 30.0,
        tuning: Tuning | None = None,
    ) -> ServerStores:
        """Connect to one address (http or https) or to several of one cluster, with commas in between.

        The first request is made at the first use. `https` encrypts gRPC too, which is spoken where
        `grpc_port` is given or the URL's port is 6333. Raises BadInputError where one is no URL.
        """
        link = ServerLink.to(
            urls, api_key=api_key, prefer_grpc=prefer_grpc, grpc_port=grpc_port, timeout_s=timeout_s
        )
        if api_key and any(map(_is_open, link.where.split(", "))):
            _log.warning(
                "the API key travels unencrypted to %s: use https where others can listen", link.where
            )
        return cls(link, tuning)

    @classmethod
    def in_memory(cls, tuning: Tuning | None = None) -> ServerStores:
        """Use qdrant-client's local mode: the same calls without a server, for tests and small trials."""
        return cls(ServerLink([Node(QdrantClient(":memory:"))], "memory", timeout_s=0, attempts=1), tuning)

    def version(self) -> str:
        """Return the server's version. Raises StoreUnavailableError."""
        return self._link.version()

    def cluster(self) -> Cluster:
        """Describe the server and its nodes. Raises StoreUnavailableError."""
        return Cluster.of(self._link)

    def state(self, name: str) -> CollectionState:
        """Describe how the collection in use lies on the server. Raises NotFoundError."""
        return CollectionState.of(self._link, in_use(checked_name(name), read_aliases(self._link)))

    def open(self, name: str) -> ServerCollection:
        return self._physical.open(in_use(checked_name(name), read_aliases(self._link)))

    def create(self, name: str, fingerprint: Fingerprint) -> ServerCollection:
        """Make a new, empty collection and open it; one that fails half-way is deleted."""
        if in_use(checked_name(name), read_aliases(self._link)) != name:
            raise BadInputError(
                f"the collection {name!r} exists already at {self._link.where}",
                way_out="Open it, or choose another name.",
            )
        self._physical.make(name, fingerprint)
        return self._physical.open(name)

    def names(self) -> list[str]:
        found = Generations.of(self._link)
        names = {split(physical)[0] for physical in found.physical}
        return sorted(
            name
            for name in names
            if (current := found.current(name)) in found.physical and self._physical.is_listed(current)
        )

    def exists(self, name: str) -> bool:
        if not is_name(name):
            return False
        try:
            return self._physical.is_ours(in_use(name, read_aliases(self._link)))
        except NotFoundError:
            return False

    def drop(self, name: str, begin: Callable[[], None] = begin_at_once) -> None:
        """Delete a collection, complete or half made.

        Raises NotFoundError, BadInputError (not ours), StoreLockedError (it is being re-indexed).
        """
        found = Generations.of(self._link)
        current = found.current(checked_name(name))
        if not self._physical.is_ours(current):
            raise BadInputError(
                f"the collection {name!r} at {self._link.where} was not made by winnow",
                way_out="Delete it with Qdrant's own tools, if that is what you want.",
            )
        if claim := next(filter(None, map(self._physical.claim, found.others(name))), None):
            raise being_built(name, claim)
        begin()
        # the one in use goes last: without it an older one would take its place
        for physical in [*self._physical.idle(found.others(name)), current]:
            self._physical.delete(physical)

    def generation(self, name: str) -> str:
        return split(in_use(checked_name(name), read_aliases(self._link)))[1]

    def fingerprint(self, name: str) -> Fingerprint | None:
        try:
            return self.open(name).fingerprint
        except NotFoundError:
            return None

    def rebuild(self, name: str, fingerprint: Fingerprint) -> ServerRebuild:
        return ServerRebuild.begin(self._physical, checked_name(name), fingerprint)

    def leftovers(self) -> dict[str, tuple[str, ...]]:
        found = Generations.of(self._link)
        others = {split(physical)[0]: found.others(split(physical)[0]) for physical in found.physical}
        return {
            name: tuple(Reason("storage.left-unused", name=physical) for physical in physicals)
            for name, left in sorted(others.items())
            if (physicals := self._physical.idle(left))
        }

    def sweep(self, name: str) -> None:
        others = Generations.of(self._link).others(checked_name(name))
        for physical in self._physical.idle(others):
            self._physical.delete(physical)

    def close(self) -> None:
        """Close the connections."""
        self._link.close()


def _is_open(url: str) -> bool:
    """Return whether others may listen on the way to this address."""
    parts = urlsplit(url)
    return parts.scheme == "http" and parts.hostname not in _LOOPBACK
