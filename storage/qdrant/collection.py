"""Reads an open collection: what the embedded engine and a server do alike, given their records."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from operator import itemgetter
from typing import Any

from storage.qdrant.conditions import All, Condition, around
from storage.qdrant.contract import DENSE, TOKENS, Fingerprint, check_legs
from storage.qdrant.payload_indexes import Indexed
from storage.qdrant.points import chunk_of, floats, from_payload, point_of, vector_of
from storage.records import Chunk
from storage.vectors import Floats, Hit, Leg, Point

# More documents than one collection has.
MOST_DOCUMENTS = 10_000_000

_EVERY = All(())
# Two engines, or two shards, add the same products in another order: scores as near as this are one.
_SAME = 2e-6
# How many equal scores at the end of a list are put in order.
_BEYOND = 10


def _in_order(points: Iterable[Any]) -> list[tuple[str, float, Any]]:
    """Return (id, score, scored point) best first, those of one score by id, as every store gives them."""
    found: list[tuple[str, float, Any]] = []
    tied: list[tuple[str, float, Any]] = []
    for one in sorted(((str(point.id), point.score, point) for point in points), key=lambda one: -one[1]):
        if tied and tied[0][1] - one[1] > _SAME * max(1.0, abs(tied[0][1])):
            found += sorted(tied, key=itemgetter(0)) if len(tied) > 1 else tied
            tied = []
        tied.append(one)
    return found + sorted(tied, key=itemgetter(0))


class CollectionReader(ABC):
    """The reading half of `storage.qdrant.contract.CollectionStore`."""

    fingerprint: Fingerprint
    _indexed: Indexed

    def search(self, legs: Sequence[Leg], limit: int, where: Condition | None = None) -> list[list[Hit]]:
        if not legs:
            return []
        check_legs(legs, self.fingerprint)
        # a few more, so that a tie at the end is cut alike everywhere
        results = self._query(legs, limit + _BEYOND, where and self._fitted(where))
        ordered = [_in_order(points)[:limit] for points in results]
        # most of the time of a search: what several legs found is read once
        found = {id_: point for hits in ordered for id_, _, point in hits}
        chunks = {id_: from_payload(id_, point.payload) for id_, point in found.items()}
        return [[Hit(chunks[id_], score) for id_, score, _ in hits] for hits in ordered]

    def token_vectors(self, chunk_ids: Sequence[str]) -> dict[str, Floats]:
        return {} if self.fingerprint.token_dim is None else self._vectors(TOKENS, chunk_ids)

    def dense_vectors(self, chunk_ids: Sequence[str]) -> dict[str, Floats]:
        return self._vectors(DENSE, chunk_ids)

    def neighbours(self, chunks: Sequence[Chunk], reach: int, where: Condition | None = None) -> list[Chunk]:
        if not chunks:
            return []
        near = around(chunks, reach)
        # each place in a document taken once
        most = len(chunks) * (2 * reach + 1)
        found = self._first(near if where is None else All((near, self._fitted(where))), most)
        return [chunk_of(record) for record in found]

    def chunks(self) -> Iterator[Chunk]:
        return (chunk_of(record) for record in self._scroll())

    def unknown(self, where: Condition) -> set[str]:
        return self._indexed.unknown(where) if self._indexed.knows_all else set()

    def by_document(self, where: Condition) -> dict[str, int]:
        return self._facet("document_id", self._fitted(where))

    def first(self, limit: int, where: Condition = _EVERY) -> list[Chunk]:
        return [chunk_of(record) for record in self._first(self._fitted(where), limit)]

    def passages(self, chunk_ids: Sequence[str], where: Condition | None = None) -> list[Chunk]:
        if where is None:
            return [chunk_of(record) for record in self._retrieve(chunk_ids, False, payload=True)]
        return [chunk_of(record) for record in self._among(chunk_ids, self._fitted(where))]

    def points(self, chunk_ids: Sequence[str]) -> list[Point]:
        return [point_of(record) for record in self._retrieve(chunk_ids, True, payload=True)]

    def _vectors(self, name: str, chunk_ids: Sequence[str]) -> dict[str, Floats]:
        records = self._retrieve(chunk_ids, [name], payload=False) if chunk_ids else ()
        stored = ((str(record.id), floats(vector_of(record, name))) for record in records)
        return {id_: vectors for id_, vectors in stored if vectors is not None}

    def _fitted(self, where: Condition) -> Condition:
        """Return the condition as the engine is asked. Raises BadInputError for a field that nothing has."""
        self._indexed.check(where)
        return self._indexed.fitted(where)

    @abstractmethod
    def _query(self, legs: Sequence[Leg], limit: int, where: Condition | None) -> Iterable[Iterable[Any]]:
        """Return the scored points of each leg, with payloads, in one request."""

    @abstractmethod
    def _retrieve(self, ids: Sequence[str], vectors: bool | list[str], *, payload: bool) -> Iterable[Any]:
        """Return the records of the ids that exist, with these vectors (all, none, or by name)."""

    @abstractmethod
    def _first(self, where: Condition, limit: int) -> Iterable[Any]:
        """Return at most `limit` records that meet the condition, with payloads."""

    @abstractmethod
    def _among(self, ids: Sequence[str], where: Condition) -> Iterable[Any]:
        """Return the records of those of the ids that meet the condition, with payloads."""

    @abstractmethod
    def _facet(self, field: str, where: Condition) -> dict[str, int]:
        """Count the points that meet `where` by the value of a field of keywords."""

    @abstractmethod
    def _scroll(self) -> Iterator[Any]:
        """Yield all records with payloads, page by page."""
