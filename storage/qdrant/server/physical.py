"""Collections on a Qdrant server under their physical names: a generation each, opened, made and deleted."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from qdrant_client import QdrantClient, models

from storage.errors import WinnowError
from storage.qdrant.contract import Fingerprint
from storage.qdrant.payload_indexes import OWN, Indexed
from storage.qdrant.server.collection import ServerCollection
from storage.qdrant.server.errors import ServerLink
from storage.qdrant.server.generations import split
from storage.qdrant.server.layout import SCHEMAS, layout, metadata_of, read_fingerprint
from storage.qdrant.server.writes import Claim, InUse, WriteCheck
from storage.qdrant.tuning import Tuning

_log = logging.getLogger(__name__)


class PhysicalCollections:
    """The generations on one server, by the names that the server knows them by."""

    def __init__(self, client: QdrantClient, link: ServerLink, tuning: Tuning) -> None:
        self.client = client
        self.link = link
        self._tuning = tuning

    def open(self, physical: str, writes: WriteCheck | None = None) -> ServerCollection:
        """Open a generation by its name on the server: the one in use, unless `writes` says otherwise."""
        info = self.info(physical)
        fingerprint = read_fingerprint(split(physical)[0], self.link.where, info)
        indexed = Indexed.of(info, SCHEMAS)
        writes = writes or InUse(physical, self.client, self.link)
        return ServerCollection(
            physical, fingerprint, indexed, self.client, self.link, writes, tuning=self._tuning
        )

    def info(self, physical: str) -> models.CollectionInfo:
        """What the server says of a generation. Raises NotFoundError."""
        return self.link.call(split(physical)[0], lambda: self.client.get_collection(physical))

    def make(self, physical: str, fingerprint: Fingerprint) -> ServerCollection:
        """Make a generation of a collection under its name on the server."""
        config = layout(fingerprint, self._tuning)
        # once: a second try after a lost answer would meet its own collection
        self.link.call_once(split(physical)[0], lambda: self.client.create_collection(physical, **config))
        try:
            self.link.call(split(physical)[0], lambda: self._index(physical))
            return self.open(physical)
        except WinnowError:
            self._take_back(physical)
            raise

    def claim(self, physical: str) -> Claim | None:
        """Who is building this generation just now; None where nobody is."""
        claim = Claim.read(self.info(physical))
        return claim if claim and claim.is_held else None

    def is_ours(self, physical: str) -> bool:
        return metadata_of(self.info(physical)) is not None

    def idle(self, physicals: Sequence[str]) -> list[str]:
        """Those that winnow made and nobody builds."""
        return [one for one in physicals if self.is_ours(one) and self.claim(one) is None]

    def delete(self, physical: str) -> None:
        self.link.call(split(physical)[0], lambda: self.client.delete_collection(physical))

    def _index(self, name: str) -> None:
        for path, kind in OWN.items():
            self.client.create_payload_index(name, path, SCHEMAS[kind], wait=True)

    def _take_back(self, name: str) -> None:
        try:
            self.link.call(name, lambda: self.client.delete_collection(name))
        except WinnowError as error:
            _log.warning("the half-made collection %r stays at %s: %s", name, self.link.where, error)
