"""The inverse document frequency of a collection of several shards.

A server weighs the terms of a question by the frequencies in each shard, so that passages of different shards
are not scored alike. Here the scores are made again with those of the whole collection.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence

from qdrant_client import models

from storage.qdrant.contract import LEXICAL
from storage.qdrant.points import vector_of
from storage.vectors import SparseVector

# Asks several requests at once: the points of each.
Ask = Callable[[Sequence[models.QueryRequest]], list[list[models.ScoredPoint]]]

# A term in fewer passages is counted, which takes some 40 bytes each; of a more frequent one the shards'
# frequencies differ little where passages are spread evenly.
COUNTED = 1_000
# Passages asked for, for each that is kept: the shards' own order decides which come.
SPARE = 3

_PER_SHARD = 8
_KEPT_S = 300.0


class DocumentFrequencies:
    """The known frequencies of one collection's terms; asked for again after some minutes, or a write.

    `ask` asks the server, `count` returns the number of passages; a term in `counted` or more is estimated.
    """

    def __init__(self, shards: int, ask: Ask, count: Callable[[], int], counted: int = COUNTED) -> None:
        self._shards = shards
        self._ask = ask
        self._count = count
        self._counted = counted
        self._idf: dict[int, float] = {}
        self._passages = 0
        self._since = 0.0

    def forget(self) -> None:
        """Forget everything: the collection was written to."""
        self._since = 0.0

    def scored(self, query: SparseVector, points: Sequence[models.ScoredPoint]) -> list[models.ScoredPoint]:
        """Return points, which came with their lexical vectors, scored again, best first."""
        idf = self._of(query.indices)
        weights = {term: weight * idf[term] for term, weight in zip(query.indices, query.values, strict=True)}
        scored = []
        for point in points:
            own = vector_of(point, LEXICAL)
            score = sum(
                weights.get(term, 0.0) * value for term, value in zip(own.indices, own.values, strict=True)
            )
            scored.append(point.model_copy(update={"score": score, "vector": None}))
        return sorted(scored, key=lambda point: -point.score)

    def _of(self, terms: Sequence[int]) -> dict[int, float]:
        if time.monotonic() - self._since > _KEPT_S or not self._since:
            self._idf, self._passages, self._since = {}, self._count(), time.monotonic()
        idf = self._idf
        if unknown := [term for term in terms if term not in idf]:
            most = self._counted
            found = self._ask([_holders(term, most, vectors=False) for term in unknown])
            frequent = [term for term, points in zip(unknown, found, strict=True) if len(points) >= most]
            idf |= {term: self._idf_of(len(points)) for term, points in zip(unknown, found, strict=True)}
            idf |= self._measured(frequent)
        return idf

    def _measured(self, terms: Sequence[int]) -> dict[int, float]:
        """Estimate frequent terms by the mean of the shards' frequencies, read off the best passages' scores.

        A shard that none of these is from does not count.
        """
        if not terms:
            return {}
        limit = min(self._counted, _PER_SHARD * self._shards)
        found = self._ask([_holders(term, limit, vectors=True) for term in terms])
        measured = {}
        for term, points in zip(terms, found, strict=True):
            shares = {round(math.exp(-point.score / _weight(point, term)), 9) for point in points}
            measured[term] = self._idf_of(sum(shares) / len(shares) * (self._passages + 1) - 0.5)
        return measured

    def _idf_of(self, frequency: float) -> float:
        """Return Qdrant's inverse document frequency."""
        passages = max(self._passages, frequency)
        return math.log((passages - frequency + 0.5) / (frequency + 0.5) + 1)


def _holders(term: int, limit: int, *, vectors: bool) -> models.QueryRequest:
    return models.QueryRequest(
        query=models.SparseVector(indices=[term], values=[1.0]),
        using=LEXICAL,
        limit=limit,
        with_payload=False,
        with_vector=[LEXICAL] if vectors else False,
    )


def _weight(point: models.ScoredPoint, term: int) -> float:
    own = vector_of(point, LEXICAL)
    return float(own.values[own.indices.index(term)])
