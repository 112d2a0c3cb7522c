"""Opens, makes and deletes generations of collections by their physical names on a Qdrant server."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from qdrant_client import QdrantClient, models

from storage.errors import NotFoundError, StoreError, StoreUnavailableError, WinnowError
from storage.qdrant.contract import Fingerprint
from storage.qdrant.payload_indexes import OWN_ON_A_SERVER, IndexKind
from storage.qdrant.server.collection import ServerCollection
from storage.qdrant.server.errors import UnservedError
from storage.qdrant.server.generations import CURRENT, joined, split
from storage.qdrant.server.layout import SCHEMAS, layout, metadata_of, read_fingerprint
from storage.qdrant.server.link import ServerLink
from storage.qdrant.server.writes import Claim, InUse, WriteCheck, describe, successor
from storage.qdrant.tuning import Tuning

_log = logging.getLogger(__name__)


class PhysicalCollections:
    """The generations on one server."""

    def __init__(self, link: ServerLink, tuning: Tuning) -> None:
        self.link = link
        self._tuning = tuning

    def open(self, physical: str, writes: WriteCheck | None = None) -> ServerCollection:
        """Open a generation: the one in use, or one whose `writes` are checked in another way.

        Raises StoreError where another one has taken its place and the key may not see which.
        """
        info = self.info(physical)
        name = split(physical)[0]
        if writes is None and (newer := successor(info)):
            raise StoreError(
                f"the collection {name!r} at {self.link.where} was re-indexed: {newer!r} is in use, "
                "which this key may not see",
                way_out=f"The key needs the alias {joined(name, CURRENT)!r} and that collection, too.",
            )
        fingerprint = read_fingerprint(name, self.link.where, info)
        writes = writes or InUse(physical, self.link)
        return ServerCollection(physical, fingerprint, info, self.link, writes, tuning=self._tuning)

    def info(self, physical: str) -> models.CollectionInfo:
        """Describe a generation. Raises NotFoundError."""
        return describe(self.link, physical)

    def make(self, physical: str, fingerprint: Fingerprint, claim: Claim | None = None) -> None:
        """Make a generation of a collection, claimed or not; one that fails half-way is deleted."""
        arguments = layout(fingerprint, self._tuning, claim.note if claim else {})
        made_by: QdrantClient | None = None
        try:
            # once: a second try would meet its own collection
            made_by = self.link.once(physical, lambda client: client.create_collection(physical, **arguments))
        except StoreUnavailableError:
            if not self._has_arrived(physical, arguments["metadata"]):
                raise
        try:
            for path, kind in OWN_ON_A_SERVER.items():
                self._make_index(physical, path, kind)
        except WinnowError:
            if made_by is not None:  # otherwise nobody said that it is this process's
                self._take_back(physical, made_by)
            raise

    def _has_arrived(self, physical: str, metadata: Mapping[str, object]) -> bool:
        """Return whether a creation whose answer was lost was done after all, and nobody uses it yet."""
        try:
            info = self.info(physical)
        except WinnowError:
            return False
        return info.config.metadata == metadata and not info.points_count

    def claim(self, physical: str) -> Claim | None:
        """Return the claim of whoever is building this generation now; None where nobody is."""
        try:
            claim = Claim.read(self.info(physical))
        except NotFoundError:
            return None
        return claim if claim and claim.is_held else None

    def is_ours(self, physical: str) -> bool:
        """Return whether winnow made it. Raises NotFoundError."""
        return metadata_of(self.info(physical)) is not None

    def is_listed(self, physical: str) -> bool:
        """Return whether it is to be listed: winnow made it, or nobody can tell while its nodes are down."""
        try:
            return self.is_ours(physical)
        except NotFoundError:  # deleted since the server listed it
            return False
        except UnservedError:
            return True

    def idle(self, physicals: Sequence[str]) -> list[str]:
        """Return those that winnow made and nobody builds."""
        return [one for one in physicals if self._is_idle(one)]

    def _is_idle(self, physical: str) -> bool:
        try:
            return self.is_ours(physical) and self.claim(physical) is None
        except (NotFoundError, UnservedError):
            return False

    def delete(self, physical: str) -> None:
        self.link.call(physical, lambda client: client.delete_collection(physical))

    def _make_index(self, physical: str, path: str, kind: IndexKind) -> None:
        self.link.call(
            physical, lambda client: client.create_payload_index(physical, path, SCHEMAS[kind], wait=True)
        )

    def _take_back(self, name: str, made_by: QdrantClient) -> None:
        """Delete what was just made, at the node that made it: another one's may be somebody else's."""
        try:
            with self.link.errors.translated(name):
                made_by.delete_collection(name)
        except WinnowError as error:
            _log.warning("the half-made collection %r stays at %s: %s", name, self.link.where, error)
