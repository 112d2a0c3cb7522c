"""One open collection on a Qdrant server or cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from collections.abc import Collection as Container
from typing import TypeVar

import numpy as np
from qdrant_client import QdrantClient, models

from storage.errors import NotFoundError, StoreError
from storage.qdrant.conditions import Condition
from storage.qdrant.contract import TOKENS, Fingerprint, check_legs
from storage.qdrant.neighbours import around, most_around
from storage.qdrant.payload import DOCUMENT_ID, from_payload
from storage.qdrant.payload_indexes import Indexed, IndexKind
from storage.qdrant.server.errors import ServerLink
from storage.qdrant.server.filters import server_filter
from storage.qdrant.server.generations import split
from storage.qdrant.server.layout import SCHEMAS
from storage.qdrant.server.points import batches, from_record, named, to_query, to_struct
from storage.qdrant.server.writes import Writes
from storage.qdrant.tuning import Tuning
from storage.records import Chunk
from storage.vectors import Floats, Hit, Leg, Point

T = TypeVar("T")

_PAGE = 256
_TOKEN_PAGE = 32
_EXACT = models.SearchParams(exact=True)


class ServerCollection:
    """One collection on a server: see `storage.qdrant.contract.CollectionStore`. Threads may share it.

    `writes` looks after each write whether it still counts.
    """

    def __init__(
        self,
        physical: str,
        fingerprint: Fingerprint,
        indexed: Indexed,
        client: QdrantClient,
        link: ServerLink,
        writes: Writes,
        *,
        tuning: Tuning,
    ) -> None:
        self.name, self.generation = split(physical)
        self.writes = writes
        self.physical = physical
        self.fingerprint = fingerprint
        self._indexed = indexed
        self._client = client
        self._link = link
        self._params = models.SearchParams(exact=tuning.exact, hnsw_ef=tuning.hnsw_ef)
        self._closed = False

    def search(self, legs: Sequence[Leg], limit: int, where: Condition | None = None) -> list[list[Hit]]:
        """All legs in one `query_batch_points`."""
        if not legs:
            return []
        check_legs(legs, self.fingerprint)
        chosen = None if where is None else server_filter(self._indexed.fitted(where))
        requests = [
            models.QueryRequest(
                query=to_query(leg.query),
                using=leg.name,
                filter=chosen,
                limit=limit,
                with_payload=True,
                params=_EXACT if leg.exact else self._params,
            )
            for leg in legs
        ]
        answers = self._call(lambda: self._client.query_batch_points(self.physical, requests))
        return [
            [Hit(from_payload(str(point.id), point.payload), point.score) for point in answer.points]
            for answer in answers
        ]

    def upsert(self, points: Sequence[Point]) -> None:
        """Store points in batches by bytes, each acknowledged by the server.

        Raises StoreError where another process has put a new generation in the place of this one.
        """
        for path, kind in self._indexed.missing(points).items():
            self._index(path, kind)
        for batch in batches(points):
            structs = [to_struct(point) for point in batch]
            self._write(lambda structs=structs: self._client.upsert(self.physical, structs, wait=True))  # type: ignore[misc]  # a default in a lambda
        self.writes.check()

    def delete_document(self, document: str, *, keep: Container[str] = ()) -> None:
        belongs = models.FieldCondition(key=DOCUMENT_ID, match=models.MatchValue(value=document))
        kept: list[models.Condition] = [models.HasIdCondition(has_id=list(keep))] if keep else []
        selector = models.FilterSelector(filter=models.Filter(must=[belongs], must_not=kept))
        self._write(lambda: self._client.delete(self.physical, selector, wait=True))
        self.writes.check()

    def flush(self) -> None:
        """A server answers a write after it is in its log; that it still counts is looked at once more."""
        self.writes.check()

    def graph_pays(self) -> bool:
        """Never: a server builds its graph by itself, in the background."""
        return False

    def build_graph(self) -> bool:
        return False

    def max_sim(self, query: Floats, chunk_ids: Sequence[str]) -> dict[str, float]:
        """MaxSim on the server: an exact scan of the given passages' multivectors."""
        if not chunk_ids or self.fingerprint.token_dim is None:
            return {}
        answer = self._call(
            lambda: self._client.query_points(
                self.physical,
                query=query.tolist(),
                using=TOKENS,
                query_filter=models.Filter(must=[models.HasIdCondition(has_id=list(chunk_ids))]),
                search_params=_EXACT,
                limit=len(chunk_ids),
                with_payload=False,
            )
        )
        return {str(point.id): point.score for point in answer.points}

    def token_vectors(self, chunk_ids: Sequence[str]) -> dict[str, Floats]:
        if self.fingerprint.token_dim is None:
            return {}
        found: dict[str, Floats] = {}
        for start in range(0, len(chunk_ids), _TOKEN_PAGE):
            for record in self._retrieve(chunk_ids[start : start + _TOKEN_PAGE], [TOKENS], payload=False):
                tokens = named(record.vector).get(TOKENS)
                if tokens:
                    found[str(record.id)] = np.asarray(tokens, dtype=np.float32)
        return found

    def neighbours(self, chunks: Sequence[Chunk], reach: int) -> list[Chunk]:
        """One scroll under a filter."""
        if not chunks:
            return []
        chosen = server_filter(around(chunks, reach))
        most = most_around(chunks, reach)
        records, _ = self._call(
            lambda: self._client.scroll(self.physical, scroll_filter=chosen, limit=most, with_payload=True)
        )
        return [from_payload(str(record.id), record.payload) for record in records]

    def count(self) -> int:
        return self._call(lambda: self._client.count(self.physical, exact=True)).count

    def chunks(self) -> Iterator[Chunk]:
        """All passages, by id."""
        offset: models.ExtendedPointId | None = None
        while True:
            start = offset
            records, offset = self._call(
                lambda start=start: self._client.scroll(self.physical, limit=_PAGE, offset=start)  # type: ignore[misc]
            )
            yield from (from_payload(str(record.id), record.payload) for record in records)
            if offset is None:
                return

    def passages(self, chunk_ids: Sequence[str]) -> list[Chunk]:
        """The given passages; those that are not there are left out."""
        records = self._retrieve(chunk_ids, False, payload=True)
        return [from_payload(str(record.id), record.payload) for record in records]

    def points(self, chunk_ids: Sequence[str]) -> list[Point]:
        """The given passages with all their vectors; those that are not there are left out."""
        return [from_record(record) for record in self._retrieve(chunk_ids, True, payload=True)]

    def close(self) -> None:
        """Let go: the connections belong to the stores."""
        self._closed = True

    def _index(self, path: str, kind: IndexKind) -> None:
        self._write(lambda: self._client.create_payload_index(self.physical, path, SCHEMAS[kind], wait=True))
        self._indexed.add(path, kind)

    def _retrieve(
        self, ids: Sequence[str], vectors: bool | list[str], *, payload: bool
    ) -> list[models.Record]:
        return self._call(
            lambda: self._client.retrieve(
                self.physical, list(ids), with_payload=payload, with_vectors=vectors
            )
        )

    def _write(self, request: Callable[[], object]) -> None:
        try:
            self._call(request)
        except NotFoundError:
            self.writes.check()  # says so where a re-index took its place and removed it
            raise

    def _call(self, request: Callable[[], T]) -> T:
        if self._closed:
            raise StoreError(f"the collection {self.name!r} is closed")
        return self._link.call(self.name, request)
