"""One open collection on a Qdrant server or cluster."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from collections.abc import Collection as Container
from itertools import islice
from typing import TypeGuard, TypeVar

from qdrant_client import QdrantClient, models

from storage.errors import NotFoundError, StoreError
from storage.qdrant.collection import MOST_DOCUMENTS, CollectionReader
from storage.qdrant.conditions import Condition, Equals, payload_key
from storage.qdrant.contract import LEXICAL, TOKENS, Fingerprint
from storage.qdrant.payload_indexes import IndexKind
from storage.qdrant.server.document_frequency import COUNTED, SPARE, DocumentFrequencies
from storage.qdrant.server.errors import OversizedError
from storage.qdrant.server.generations import split
from storage.qdrant.server.layout import SCHEMAS
from storage.qdrant.server.limits import StrictLimits
from storage.qdrant.server.link import ServerLink
from storage.qdrant.server.points import batches, server_filter, to_query, to_struct
from storage.qdrant.server.substrings import MOST_VALUES, SINCE, has_contains, number, spelled_out
from storage.qdrant.server.writes import WriteCheck, describe
from storage.qdrant.tuning import Tuning
from storage.vectors import Floats, Leg, Point, SparseVector

T = TypeVar("T")

_PAGE = 256
_VECTORS_PAGE = 32
_EXACT = models.SearchParams(exact=True)


class ServerCollection(CollectionReader):
    """One collection on a server (`storage.qdrant.contract.CollectionStore`). Threads may share it.

    `writes` checks after each write that it was not lost.
    """

    def __init__(
        self,
        physical: str,
        fingerprint: Fingerprint,
        info: models.CollectionInfo,
        link: ServerLink,
        writes: WriteCheck,
        *,
        tuning: Tuning,
    ) -> None:
        self.name, self.generation = split(physical)
        self.writes = writes
        self.physical = physical
        self.fingerprint = fingerprint
        self._limits = StrictLimits.of(info)
        self._indexed = self._limits.indexed(info)
        self._link = link
        self._params = self._limits.params(tuning)
        self._shards = info.config.params.shard_number or 1
        counted = self._limits.most(COUNTED)
        self._frequencies = DocumentFrequencies(self._shards, self._ask, self.count, counted)
        self._closed = False

    def upsert(self, points: Sequence[Point]) -> None:
        """Store points in batches by bytes, each acknowledged by the server.

        Raises StoreError where another process has replaced this generation by a new one.
        """
        for path, kind in self._indexed.missing(points).items():
            self._make_index(path, kind)
        for batch in batches(points):
            self._store(batch)
        self._frequencies.forget()
        self.writes.check()

    def delete_document(self, document: str, *, keep: Container[str] = ()) -> None:
        kept: list[models.Condition] = [models.HasIdCondition(has_id=list(keep))] if keep else []
        doomed = models.FilterSelector(
            filter=models.Filter(must=[server_filter(Equals("document_id", document))], must_not=kept)
        )
        self._write(lambda client: client.delete(self.physical, doomed, wait=True))
        self._frequencies.forget()
        self.writes.check()

    def flush(self) -> None:
        """Make what a creation that was cut off left out, and check the writes once more.

        A server answers each write after it is in its log.
        """
        for path, kind in self._indexed.lacking().items():
            self._make_index(path, kind)
        self.writes.check()

    def graph_pays(self) -> bool:
        """False: a server builds its graph by itself, in the background."""
        return False

    @property
    def has_graph(self) -> bool:
        """The server builds its own."""
        return True

    def build_graph(self) -> bool:
        return False

    def max_sim(self, query: Floats, chunk_ids: Sequence[str]) -> dict[str, float]:
        """Score on the server: an exact scan of the given passages' multivectors."""
        if not chunk_ids or self.fingerprint.token_dim is None:
            return {}
        asked, most = query.tolist(), self._limits.most(len(chunk_ids))
        scores: dict[str, float] = {}
        for start in range(0, len(chunk_ids), most):
            scores |= self._max_sim(asked, list(chunk_ids[start : start + most]))
        return scores

    def _max_sim(self, query: list[list[float]], ids: list[str]) -> dict[str, float]:
        answer = self._call(
            lambda client: client.query_points(
                self.physical,
                query=query,
                using=TOKENS,
                query_filter=models.Filter(must=[models.HasIdCondition(has_id=[*ids])]),
                search_params=_EXACT if self._limits.exact else None,
                limit=len(ids),
                with_payload=False,
            )
        )
        return {str(point.id): point.score for point in answer.points}

    def count(self) -> int:
        exact = self._limits.exact
        return self._call(lambda client: client.count(self.physical, exact=exact)).count

    def close(self) -> None:
        """Refuse further calls; the connections belong to the stores."""
        self._closed = True

    def unknown(self, where: Condition) -> set[str]:
        if self._indexed.unknown(where):  # another process may have brought new metadata since
            self._indexed = self._limits.indexed(describe(self._link, self.physical))
        return super().unknown(where)

    def _fitted(self, where: Condition) -> Condition:
        self.unknown(where)
        fitted = super()._fitted(where)
        if has_contains(fitted) and SINCE > number(version := self._link.version()) > ():
            return spelled_out(fitted, self._indexed, self._values, version)
        return fitted

    def _values(self, field: str) -> list[str]:
        """Return the different values of a field that has an index of keywords."""
        answer = self._call(lambda client: client.facet(self.physical, payload_key(field), limit=MOST_VALUES))
        return [hit.value for hit in answer.hits if isinstance(hit.value, str)]

    def _query(
        self, legs: Sequence[Leg], limit: int, where: Condition | None
    ) -> list[list[models.ScoredPoint]]:
        chosen = None if where is None else server_filter(where)
        answers = self._ask([self._request(leg, limit, chosen) for leg in legs])
        return [
            self._frequencies.scored(leg.query, points)[:limit] if self._is_scattered(leg.query) else points
            for leg, points in zip(legs, answers, strict=True)
        ]

    def _request(self, leg: Leg, limit: int, chosen: models.Filter | None) -> models.QueryRequest:
        scattered = self._is_scattered(leg.query)
        return models.QueryRequest(
            query=to_query(leg.query),
            using=leg.name,
            filter=chosen,
            limit=self._limits.most(limit * SPARE if scattered else limit),
            with_payload=True,
            with_vector=[LEXICAL] if scattered else False,
            params=_EXACT if leg.exact else self._params,
        )

    def _is_scattered(self, query: Floats | SparseVector) -> TypeGuard[SparseVector]:
        """Return whether the server scores a query shard by shard, each in its own way."""
        return self._shards > 1 and isinstance(query, SparseVector)

    def _ask(self, requests: Sequence[models.QueryRequest]) -> list[list[models.ScoredPoint]]:
        asked = list(requests)
        answers = self._call(lambda client: client.query_batch_points(self.physical, asked))
        return [answer.points for answer in answers]

    def _retrieve(
        self, ids: Sequence[str], vectors: bool | list[str], *, payload: bool
    ) -> Iterator[models.Record]:
        page = _VECTORS_PAGE if vectors else _PAGE
        for start in range(0, len(ids), page):
            yield from self._some(list(ids[start : start + page]), vectors, payload=payload)

    def _some(self, ids: list[str], vectors: bool | list[str], *, payload: bool) -> list[models.Record]:
        return self._call(
            lambda client: client.retrieve(self.physical, ids, with_payload=payload, with_vectors=vectors)
        )

    def _first(self, where: Condition, limit: int) -> list[models.Record]:
        return list(islice(self._scroll(server_filter(where), limit), limit))

    def _among(self, ids: Sequence[str], where: Condition) -> Iterator[models.Record]:
        chosen, page = server_filter(where), self._limits.most(_PAGE)
        for start in range(0, len(ids), page):
            some = list(ids[start : start + page])
            yield from self._page(
                models.Filter(must=[models.HasIdCondition(has_id=list(some)), chosen]), len(some)
            )[0]

    def _facet(self, field: str, where: Condition) -> dict[str, int]:
        chosen = server_filter(where)
        if not self._limits.exact or self._limits.results is not None:  # neither counts nor lists them all
            return dict(Counter(str((record.payload or {})[field]) for record in self._scroll(chosen)))
        answer = self._call(
            lambda client: client.facet(
                self.physical, field, facet_filter=chosen, limit=MOST_DOCUMENTS, exact=True
            )
        )
        return {str(hit.value): hit.count for hit in answer.hits}

    def _scroll(self, chosen: models.Filter | None = None, page: int = _PAGE) -> Iterator[models.Record]:
        offset: models.ExtendedPointId | None = None
        while True:
            records, offset = self._page(chosen, self._limits.most(page), offset)
            yield from records
            if offset is None:
                return

    def _page(
        self, chosen: models.Filter | None, limit: int, offset: models.ExtendedPointId | None = None
    ) -> tuple[list[models.Record], models.ExtendedPointId | None]:
        return self._call(
            lambda client: client.scroll(
                self.physical, scroll_filter=chosen, limit=limit, offset=offset, with_payload=True
            )
        )

    def _make_index(self, path: str, kind: IndexKind) -> None:
        self._write(lambda client: client.create_payload_index(self.physical, path, SCHEMAS[kind], wait=True))
        self._indexed.add(path, kind)

    def _store(self, batch: Sequence[Point]) -> None:
        """Store a batch; one that the server finds too large goes in halves."""
        structs = [to_struct(point) for point in batch]
        try:
            self._write(lambda client: client.upsert(self.physical, structs, wait=True))
        except OversizedError as error:
            if len(batch) == 1:
                chunk = batch[0].chunk
                raise StoreError(
                    f"passage {chunk.ordinal} of {chunk.source} ({chunk.id}) cannot be stored: {error}",
                    way_out=error.way_out,
                ) from error
            for half in (batch[: len(batch) // 2], batch[len(batch) // 2 :]):
                self._store(half)

    def _write(self, request: Callable[[QdrantClient], object]) -> None:
        try:
            self._call(request)
        except NotFoundError:
            self.writes.check()  # explains it where a re-index replaced and removed the collection
            raise

    def _call(self, request: Callable[[QdrantClient], T]) -> T:
        if self._closed:
            raise StoreError(f"the collection {self.name!r} is closed")
        return self._link.call(self.name, request)
