"""Limits of a server in strict mode, which winnow keeps to (Qdrant Cloud's default is strict)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from qdrant_client import models

from storage.qdrant.payload_indexes import MOST, OWN_ON_A_SERVER, Indexed
from storage.qdrant.server.layout import SCHEMAS
from storage.qdrant.tuning import Tuning


@dataclass(frozen=True, slots=True)
class StrictLimits:
    """The limits of one collection; without strict mode there are none.

    `results` a request, `beam` the largest `hnsw_ef`, `indexes` how many payload indexes there may be,
    `exact` and `unindexed` whether exact searches and filters on fields without an index are allowed.
    """

    results: int | None = None
    beam: int | None = None
    indexes: int | None = None
    exact: bool = True
    unindexed: bool = True

    @classmethod
    def of(cls, info: models.CollectionInfo) -> Self:
        strict = info.config.strict_mode_config
        if strict is None or not strict.enabled:
            return cls()
        return cls(
            strict.max_query_limit,
            strict.search_max_hnsw_ef,
            strict.max_payload_index_count,
            exact=strict.search_allow_exact is not False,
            unindexed=strict.unindexed_filtering_retrieve is not False,
        )

    def indexed(self, info: models.CollectionInfo) -> Indexed:
        """Return the indexes of a collection, which may get no more than the server allows."""
        own = OWN_ON_A_SERVER
        most = MOST if self.indexes is None else max(0, min(MOST, self.indexes - len(own)))
        return Indexed.of(info, SCHEMAS, own, most, strict=not self.unindexed)

    def params(self, tuning: Tuning) -> models.SearchParams:
        """Return how a collection is searched; the server refuses exact searches that it does not allow."""
        beam = tuning.hnsw_ef
        if beam is not None and self.beam is not None:
            beam = min(beam, self.beam)
        return models.SearchParams(exact=tuning.exact, hnsw_ef=beam)

    def most(self, wanted: int) -> int:
        """Return how many results to ask for at once."""
        return wanted if self.results is None else min(wanted, self.results)
