"""One open collection on a Qdrant server or cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from collections.abc import Collection as Container
from typing import ParamSpec, TypeVar

from qdrant_client import models

from storage.errors import NotFoundError, StoreError
from storage.qdrant.collection import CollectionReader
from storage.qdrant.conditions import Condition, Equals
from storage.qdrant.contract import TOKENS, Fingerprint
from storage.qdrant.payload_indexes import Indexed
from storage.qdrant.server.errors import ServerLink
from storage.qdrant.server.generations import split
from storage.qdrant.server.layout import SCHEMAS
from storage.qdrant.server.points import batches, server_filter, to_query, to_struct
from storage.qdrant.server.writes import WriteCheck
from storage.qdrant.tuning import Tuning
from storage.vectors import Floats, Leg, Point

P = ParamSpec("P")
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
        indexed: Indexed,
        link: ServerLink,
        writes: WriteCheck,
        *,
        tuning: Tuning,
    ) -> None:
        self.name, self.generation = split(physical)
        self.writes = writes
        self.physical = physical
        self.fingerprint = fingerprint
        self._indexed = indexed
        self._client = link.client
        self._link = link
        self._params = models.SearchParams(exact=tuning.exact, hnsw_ef=tuning.hnsw_ef)
        self._closed = False

    def upsert(self, points: Sequence[Point]) -> None:
        """Store points in batches by bytes, each acknowledged by the server.

        Raises StoreError where another process has replaced this generation by a new one.
        """
        for path, kind in self._indexed.missing(points).items():
            self._write(self._client.create_payload_index, self.physical, path, SCHEMAS[kind], wait=True)
            self._indexed.add(path, kind)
        for batch in batches(points):
            structs = [to_struct(point) for point in batch]
            self._write(self._client.upsert, self.physical, structs, wait=True)
        self.writes.check()

    def delete_document(self, document: str, *, keep: Container[str] = ()) -> None:
        kept: list[models.Condition] = [models.HasIdCondition(has_id=list(keep))] if keep else []
        doomed = models.Filter(must=[server_filter(Equals("document_id", document))], must_not=kept)
        self._write(self._client.delete, self.physical, models.FilterSelector(filter=doomed), wait=True)
        self.writes.check()

    def flush(self) -> None:
        """Check the writes once more; a server answers each after it is in its log."""
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
        answer = self._call(
            self._client.query_points,
            self.physical,
            query=query.tolist(),
            using=TOKENS,
            query_filter=models.Filter(must=[models.HasIdCondition(has_id=list(chunk_ids))]),
            search_params=_EXACT,
            limit=len(chunk_ids),
            with_payload=False,
        )
        return {str(point.id): point.score for point in answer.points}

    def count(self) -> int:
        return self._call(self._client.count, self.physical, exact=True).count

    def close(self) -> None:
        """Refuse further calls; the connections belong to the stores."""
        self._closed = True

    def _query(
        self, legs: Sequence[Leg], limit: int, where: Condition | None
    ) -> list[list[models.ScoredPoint]]:
        chosen = None if where is None else server_filter(where)
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
        answers = self._call(self._client.query_batch_points, self.physical, requests)
        return [answer.points for answer in answers]

    def _retrieve(
        self, ids: Sequence[str], vectors: bool | list[str], *, payload: bool
    ) -> Iterator[models.Record]:
        page = _VECTORS_PAGE if vectors else _PAGE
        for start in range(0, len(ids), page):
            some = list(ids[start : start + page])
            yield from self._call(
                self._client.retrieve, self.physical, some, with_payload=payload, with_vectors=vectors
            )

    def _first(self, where: Condition, limit: int) -> list[models.Record]:
        chosen = server_filter(where)
        scroll = self._client.scroll
        return self._call(scroll, self.physical, scroll_filter=chosen, limit=limit, with_payload=True)[0]

    def _scroll(self) -> Iterator[models.Record]:
        offset: models.ExtendedPointId | None = None
        while True:
            records, offset = self._call(self._client.scroll, self.physical, limit=_PAGE, offset=offset)
            yield from records
            if offset is None:
                return

    def _write(self, request: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> None:
        try:
            self._call(request, *args, **kwargs)
        except NotFoundError:
            self.writes.check()  # explains it where a re-index replaced and removed the collection
            raise

    def _call(self, request: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        if self._closed:
            raise StoreError(f"the collection {self.name!r} is closed")
        return self._link.call(self.name, request, *args, **kwargs)
