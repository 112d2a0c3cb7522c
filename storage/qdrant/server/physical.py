"""Opens, makes and deletes generations of collections by their physical names on a Qdrant server."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from qdrant_client import models

from storage.errors import WinnowError
from storage.qdrant.contract import Fingerprint
from storage.qdrant.payload_indexes import OWN, Indexed, IndexKind
from storage.qdrant.server.collection import ServerCollection
from storage.qdrant.server.generations import split
from storage.qdrant.server.layout import SCHEMAS, layout, metadata_of, read_fingerprint
from storage.qdrant.server.link import ServerLink
from storage.qdrant.server.writes import Claim, InUse, WriteCheck
from storage.qdrant.tuning import Tuning

_log = logging.getLogger(__name__)


class PhysicalCollections:
    """The generations on one server."""

    def __init__(self, link: ServerLink, tuning: Tuning) -> None:
        self.link = link
        self._tuning = tuning

    def open(self, physical: str, writes: WriteCheck | None = None) -> ServerCollection:
        """Open a generation: the one in use, or one whose `writes` are checked in another way."""
        info = self.info(physical)
        fingerprint = read_fingerprint(split(physical)[0], self.link.where, info)
        indexed = Indexed.of(info, SCHEMAS)
        writes = writes or InUse(physical, self.link)
        return ServerCollection(physical, fingerprint, indexed, self.link, writes, tuning=self._tuning)

    def info(self, physical: str) -> models.CollectionInfo:
        """Describe a generation. Raises NotFoundError."""
        return self.link.call(physical, lambda client: client.get_collection(physical))

    def make(self, physical: str, fingerprint: Fingerprint) -> ServerCollection:
        """Make a generation of a collection; one that fails half-way is deleted."""
        # once: a second try would meet its own collection
        arguments = layout(fingerprint, self._tuning)
        self.link.once(physical, lambda client: client.create_collection(physical, **arguments))
        try:
            for path, kind in OWN.items():
                self._make_index(physical, path, kind)
            return self.open(physical)
        except WinnowError:
            self._take_back(physical)
            raise

    def claim(self, physical: str) -> Claim | None:
        """Return the claim of whoever is building this generation now; None where nobody is."""
        claim = Claim.read(self.info(physical))
        return claim if claim and claim.is_held else None

    def is_ours(self, physical: str) -> bool:
        return metadata_of(self.info(physical)) is not None

    def idle(self, physicals: Sequence[str]) -> list[str]:
        """Return those that winnow made and nobody builds."""
        return [one for one in physicals if self.is_ours(one) and self.claim(one) is None]

    def delete(self, physical: str) -> None:
        self.link.call(physical, lambda client: client.delete_collection(physical))

    def _make_index(self, physical: str, path: str, kind: IndexKind) -> None:
        self.link.call(
            physical, lambda client: client.create_payload_index(physical, path, SCHEMAS[kind], wait=True)
        )

    def _take_back(self, name: str) -> None:
        try:
            self.link.undo(name, lambda client: client.delete_collection(name))
        except WinnowError as error:
            _log.warning("the half-made collection %r stays at %s: %s", name, self.link.where, error)
