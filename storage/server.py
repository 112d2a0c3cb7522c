"""Qdrant as a server or cluster, through qdrant-client: REST or gRPC."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from urllib.parse import urlsplit

from qdrant_client import QdrantClient, models

from storage.errors import BadInputError, NotFoundError, WinnowError
from storage.indexing import OWN, Indexed
from storage.server_collection import ServerCollection
from storage.server_errors import Link
from storage.server_generations import Generations, in_use, read_aliases, split
from storage.server_layout import SCHEMAS, index_kinds, layout, metadata_of, read_fingerprint
from storage.server_rebuild import ServerRebuild
from storage.server_writes import Claim, InUse, Writes, being_built
from storage.store import Fingerprint, checked_name
from storage.tuning import Tuning

__all__ = ["ServerCollection", "ServerStores"]

_log = logging.getLogger(__name__)

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class ServerStores:
    """The collections of winnow on one server. Collections that winnow did not make are left alone."""

    def __init__(self, client: QdrantClient, link: Link, tuning: Tuning | None = None) -> None:
        self._client = client
        self._link = link
        self._tuning = tuning or Tuning()

    @classmethod
    def connect(
        cls,
        url: str,
        *,
        api_key: str | None = None,
        prefer_grpc: bool = True,
        grpc_port: int = 6334,
        timeout_s: float = 30.0,
        tuning: Tuning | None = None,
    ) -> ServerStores:
        """Stores at `url` (http or https). Nothing is asked of the server before the first use.

        Raises BadInputError where `url` is none. `https` encrypts gRPC too.
        """
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise BadInputError(
                f"{url!r} is not the URL of a Qdrant server", way_out="It looks like http://localhost:6333."
            )
        if api_key and parts.scheme == "http" and parts.hostname not in _LOOPBACK:
            _log.warning("the API key travels unencrypted to %s: use https where others can listen", url)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # the client's own word on the same key
            client = QdrantClient(
                url=url,
                port=parts.port or (443 if parts.scheme == "https" else 6333),
                grpc_port=grpc_port,
                prefer_grpc=prefer_grpc,
                api_key=api_key or None,
                timeout=timeout_s,  # type: ignore[arg-type]  # annotated int; rounded up by the client itself
                check_compatibility=False,  # asked by `version`, not by a thread that prints
            )
        return cls(client, Link.to(url, timeout_s), tuning)

    @classmethod
    def in_memory(cls, tuning: Tuning | None = None) -> ServerStores:
        """qdrant-client's local mode: the same calls without a server, for tests and small trials."""
        return cls(QdrantClient(":memory:"), Link("memory", timeout_s=0, attempts=1), tuning)

    def version(self) -> str:
        """The server's version. Raises StoreUnavailableError."""
        return self._link.call("", self._client.info).version

    def open(self, name: str) -> ServerCollection:
        """See `storage.store.CollectionStores.open`."""
        return self.open_physical(in_use(checked_name(name), read_aliases(self._client, self._link)))

    def open_physical(self, physical: str, writes: Writes | None = None) -> ServerCollection:
        """Open a generation by its name on the server: the one in use, unless `writes` says otherwise."""
        info = self.info(physical)
        fingerprint = read_fingerprint(split(physical)[0], self._link.where, info)
        indexed = Indexed(index_kinds(info))
        writes = writes or InUse(physical, self._client, self._link)
        return ServerCollection(
            physical, fingerprint, indexed, self._client, self._link, writes, tuning=self._tuning
        )

    def info(self, physical: str) -> models.CollectionInfo:
        """What the server says of a generation. Raises NotFoundError."""
        return self._link.call(split(physical)[0], lambda: self._client.get_collection(physical))

    def create(self, name: str, fingerprint: Fingerprint) -> ServerCollection:
        """See `storage.store.CollectionStores.create`. What fails half-way is taken back."""
        if in_use(checked_name(name), read_aliases(self._client, self._link)) != name:
            raise BadInputError(
                f"the collection {name!r} exists already at {self._link.where}",
                way_out="Open it, or choose another name.",
            )
        return self.make(name, fingerprint)

    def make(self, physical: str, fingerprint: Fingerprint) -> ServerCollection:
        """Make a generation of a collection under its name on the server."""
        config = layout(fingerprint, self._tuning)
        # once: a second try after a lost answer would meet its own collection
        self._link.call_once(split(physical)[0], lambda: self._client.create_collection(physical, **config))
        try:
            self._link.call(split(physical)[0], lambda: self._index(physical))
            return self.open_physical(physical)
        except WinnowError:
            self._take_back(physical)
            raise

    def names(self) -> list[str]:
        """The names of winnow's collections, sorted."""
        found = Generations.of(self._client, self._link)
        names = {split(physical)[0] for physical in found.physical}
        return sorted(
            name
            for name in names
            if (current := found.current(name)) in found.physical and self._is_ours(current)
        )

    def drop(self, name: str) -> None:
        """Delete a collection, complete or half made.

        Raises NotFoundError, BadInputError (not ours), StoreLockedError (it is being re-indexed).
        """
        found = Generations.of(self._client, self._link)
        current = found.current(checked_name(name))
        if not self._is_ours(current):
            raise BadInputError(
                f"the collection {name!r} at {self._link.where} was not made by winnow",
                way_out="Delete it with Qdrant's own tools, if that is what you want.",
            )
        if claim := next(filter(None, map(self.claim, found.others(name))), None):
            raise being_built(name, claim)
        # the one in use goes last: without it an older one would take its place
        for physical in [*self._idle(found.others(name)), current]:
            self._delete(physical)

    def generation(self, name: str) -> str:
        """See `storage.store.Rebuilder.generation`."""
        return split(in_use(checked_name(name), read_aliases(self._client, self._link)))[1]

    def fingerprint(self, name: str) -> Fingerprint | None:
        """See `storage.store.Rebuilder.fingerprint`."""
        try:
            return self.open(name).fingerprint
        except NotFoundError:
            return None

    def rebuild(self, name: str, fingerprint: Fingerprint) -> ServerRebuild:
        """See `storage.store.Rebuilder.rebuild`."""
        return ServerRebuild.begin(self, checked_name(name), fingerprint, self._client, self._link)

    def leftovers(self) -> dict[str, tuple[str, ...]]:
        """See `storage.store.Rebuilder.leftovers`."""
        found = Generations.of(self._client, self._link)
        others = {split(physical)[0]: found.others(split(physical)[0]) for physical in found.physical}
        return {
            name: tuple(f"{physical}: not in use" for physical in physicals)
            for name, left in sorted(others.items())
            if (physicals := self._idle(left))
        }

    def sweep(self, name: str) -> None:
        """See `storage.store.Rebuilder.sweep`."""
        for physical in self._idle(Generations.of(self._client, self._link).others(checked_name(name))):
            self._delete(physical)

    def claim(self, physical: str) -> Claim | None:
        """Who is building this generation just now; None where nobody is."""
        claim = Claim.read(self.info(physical))
        return claim if claim and claim.is_held else None

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()

    def _is_ours(self, physical: str) -> bool:
        return metadata_of(self.info(physical)) is not None

    def _idle(self, physicals: Sequence[str]) -> list[str]:
        """Those that winnow made and nobody builds."""
        return [one for one in physicals if self._is_ours(one) and self.claim(one) is None]

    def _delete(self, physical: str) -> None:
        self._link.call(split(physical)[0], lambda: self._client.delete_collection(physical))

    def _index(self, name: str) -> None:
        for path, kind in OWN.items():
            self._client.create_payload_index(name, path, SCHEMAS[kind], wait=True)

    def _take_back(self, name: str) -> None:
        try:
            self._link.call(name, lambda: self._client.delete_collection(name))
        except WinnowError as error:
            _log.warning("the half-made collection %r stays at %s: %s", name, self._link.where, error)
