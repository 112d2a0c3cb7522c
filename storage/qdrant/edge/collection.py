"""One open collection in Qdrant Edge: a shard, and the lock that keeps others out."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Collection as Container
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from secrets import token_hex
from threading import RLock
from typing import Any

import qdrant_edge as qdrant

from storage.disk_space import DiskSpace
from storage.errors import StoreError
from storage.locks import PATIENCE_S, CollectionLock
from storage.qdrant.conditions import Condition
from storage.qdrant.contract import DENSE, TOKENS, Fingerprint, check_legs
from storage.qdrant.edge.errors import translated
from storage.qdrant.edge.filters import edge_filter
from storage.qdrant.edge.folder import CollectionFolder, ShardGeneration
from storage.qdrant.edge.graph import built_in_copy
from storage.qdrant.edge.layout import (
    GRAPH_PAYS_KB,
    field_index,
    floats,
    from_record,
    index_kinds,
    named,
    nearest,
    new_shard,
    to_struct,
)
from storage.qdrant.edge.memory import give_back_free_memory
from storage.qdrant.neighbours import around, most_around
from storage.qdrant.payload import DOCUMENT_ID, from_payload
from storage.qdrant.payload_indexes import Indexed, IndexKind
from storage.qdrant.tuning import Tuning
from storage.records import Chunk
from storage.vectors import Floats, Hit, Leg, Point, payload_bytes

# Until flush() the write-ahead log keeps everything, several times its size: 100,000 passages made 30 GB.
FLUSH_BYTES = 128 * 1024 * 1024

# What was stored since the last `optimize()` keeps its terms in memory, some 25 bytes each. Chinese passages
# have 150 of them: 163,000 such passages took 750 MB, and take 580 MB so.
TERMS_IN_MEMORY = 6_000_000

_log = logging.getLogger(__name__)

_SCROLL_PAGE = 1_000
_DENSE = qdrant.Filter(must=[qdrant.HasVectorCondition(DENSE)])


class EdgeCollection:
    """One open collection (`storage.qdrant.contract.CollectionStore`). Safe to call from several threads."""

    def __init__(
        self,
        folder: CollectionFolder,
        shard: qdrant.EdgeShard,
        built: ShardGeneration,
        lock: CollectionLock,
        tuning: Tuning,
    ) -> None:
        self.name = folder.name
        self._folder = folder
        self._built = built
        self._shard = shard
        self._lock: CollectionLock | None = lock
        self._params = qdrant.SearchParams(exact=tuning.exact, hnsw_ef=tuning.hnsw_ef)
        self._exact = qdrant.SearchParams(exact=True)
        self._graph_pays_bytes = (tuning.indexing_threshold_kb or GRAPH_PAYS_KB) * 1024
        self._indexed = Indexed(self.indexes())
        self._unflushed = 0
        self._terms = 0
        self._writing = RLock()
        self.disk = DiskSpace(folder.shard(built))

    @classmethod
    def create(
        cls,
        folder: CollectionFolder,
        fingerprint: Fingerprint,
        tuning: Tuning,
        *,
        patience_s: float = PATIENCE_S,
    ) -> EdgeCollection:
        """Make a new collection's shard. The fingerprint is written last: it makes the collection exist."""
        lock = folder.lock()
        lock.acquire(patience_s)
        try:
            folder.refuse_existing()  # another process may have made it while this one waited
            built = ShardGeneration(fingerprint)
            with translated(folder.name):
                shard = new_shard(folder.shard(built), fingerprint, tuning)
            folder.publish(built)
            return cls(folder, shard, built, lock, tuning)
        except BaseException:
            lock.release()
            raise

    @classmethod
    def load(
        cls, folder: CollectionFolder, tuning: Tuning, *, patience_s: float = PATIENCE_S
    ) -> EdgeCollection:
        lock = folder.lock()
        lock.acquire(patience_s)
        try:
            return cls.of(folder, folder.current(), lock, tuning)
        except BaseException:
            lock.release()
            raise

    @classmethod
    def of(
        cls, folder: CollectionFolder, built: ShardGeneration, lock: CollectionLock, tuning: Tuning
    ) -> EdgeCollection:
        """A generation of the collection, opened under a lock that is held. Raises StoreCorruptError."""
        with translated(folder.name, opening=True):
            shard = qdrant.EdgeShard.load(str(folder.shard(built)))
            return cls(folder, shard, built, lock, tuning)

    @property
    def fingerprint(self) -> Fingerprint:
        return self._built.fingerprint

    @property
    def generation(self) -> str:
        return self._built.id

    def search(self, legs: Sequence[Leg], limit: int, where: Condition | None = None) -> list[list[Hit]]:
        """All legs in one `query_batch`."""
        if not legs:
            return []
        check_legs(legs, self.fingerprint)
        chosen = None if where is None else edge_filter(self._indexed.fitted(where))
        requests = [
            qdrant.QueryRequest(
                limit,
                query=nearest(leg.query, leg.name),
                filter=chosen,
                params=self._exact if leg.exact else self._params,
                with_payload=True,
            )
            for leg in legs
        ]
        with translated(self.name):
            results = self._shard.query_batch(qdrant.QueryBatchRequest(requests))
        return [
            [Hit(from_payload(str(point.id), point.payload), point.score) for point in points]
            for points in results
        ]

    def upsert(self, points: Sequence[Point]) -> None:
        """See `storage.qdrant.contract.Writer.upsert`. Raises StoreError before the disk is full."""
        if not points:
            return
        self.disk.check()
        with self._writing, translated(self.name):
            for path, kind in self._indexed.missing(points).items():
                self._shard.update(field_index(path, kind))
                self._indexed.add(path, kind)
            self._shard.update(qdrant.UpdateOperation.upsert_points([to_struct(point) for point in points]))
            self._unflushed += payload_bytes(points)
            self._terms += sum(len(point.lexical.indices) for point in points)
            if self._terms >= TERMS_IN_MEMORY and not self.graph_pays():
                self.optimize()
            elif self._unflushed >= FLUSH_BYTES:
                self.flush()

    def delete_document(self, document: str, *, keep: Container[str] = ()) -> None:
        belongs = qdrant.FieldCondition(key=DOCUMENT_ID, match=qdrant.MatchValue(document))
        kept: list[Any] = [qdrant.HasIdCondition(set(keep))] if keep else []
        with self._writing, translated(self.name):
            self._shard.update(
                qdrant.UpdateOperation.delete_points_by_filter(qdrant.Filter(must=[belongs], must_not=kept))
            )

    def flush(self) -> None:
        with self._writing, translated(self.name):
            self._shard.flush()
            self._unflushed = 0

    def graph_pays(self) -> bool:
        """Whether an exact scan of the dense vectors has become slower than a search in their graph."""
        return self._count(_DENSE) * self.fingerprint.dim * 4 >= self._graph_pays_bytes

    def optimize(self) -> bool:
        """Move terms from memory to disk; True where anything was done.

        Nothing is, and the log says so, where the disk has no room for it. Where a segment is large enough
        for a graph the engine builds that too, and this process does nothing else meanwhile: see
        `build_graph`.
        """
        with self._writing, translated(self.name):
            self.flush()
            self._terms = 0
            done = self._has_room(times=1) and self._shard.optimize()
        give_back_free_memory()
        return done

    def build_graph(self) -> bool:
        """See `CollectionStore.build_graph`. Searches go on meanwhile; writes wait."""
        place = self._folder.path / f"shard-{token_hex(4)}"
        with self._writing, self._beside():
            self.flush()
            if not self._has_room(times=2) or not built_in_copy(self._folder.shard(self._built), place):
                return False
            self._move(replace(self._built, place=place.name))
        give_back_free_memory()
        return True

    @contextmanager
    def _beside(self) -> Iterator[None]:
        """While nobody else builds beside this generation: they would take a copy of it for a leftover."""
        draft = self._folder.draft()
        if draft is not None and draft.id == self.generation:
            yield  # this is what is being built, under the lock for it
            return
        lock = self._folder.rebuild_lock()
        lock.acquire(PATIENCE_S)
        try:
            self._folder.remove_strays()
            yield
        finally:
            lock.release()

    def _has_room(self, *, times: int) -> bool:
        """Whether the disk has room to write the shard so many times more."""
        size = self.disk.size()
        if self.disk.has_room(size * times):
            return True
        _log.warning(
            "%r stays as it is: the disk has no room to write its %d MB anew; searches are slower so",
            self.name,
            size * times >> 20,
        )
        return False

    def _move(self, built: ShardGeneration) -> None:
        """Go on in another folder, which holds the same passages. The one before is deleted."""
        before, place = self._folder.shard(self._built), self._folder.shard(built)
        try:
            with translated(self.name, opening=True):
                shard = qdrant.EdgeShard.load(str(place))
            self._folder.move(built)
        except BaseException:
            shutil.rmtree(place, ignore_errors=True)
            raise
        # not closed: a search on another thread may hold the old one still; it ends with its last user
        self._shard, self._built = shard, built
        self._terms, self.disk = 0, replace(self.disk, folder=place)
        shutil.rmtree(before, ignore_errors=True)

    def max_sim(self, query: Floats, chunk_ids: Sequence[str]) -> dict[str, float]:
        """MaxSim inside the engine: an exact scan of the given passages' multivectors."""
        if not chunk_ids or self.fingerprint.token_dim is None:
            return {}
        request = qdrant.QueryRequest(
            len(chunk_ids),
            query=nearest(query, TOKENS),
            filter=qdrant.Filter(must=[qdrant.HasIdCondition(set(chunk_ids))]),
            params=self._exact,
        )
        with translated(self.name):
            return {str(point.id): point.score for point in self._shard.query(request)}

    def token_vectors(self, chunk_ids: Sequence[str]) -> dict[str, Floats]:
        if not chunk_ids or self.fingerprint.token_dim is None:
            return {}
        with translated(self.name):
            records = self._shard.retrieve(list(chunk_ids), with_payload=False, with_vector=[TOKENS])
        stored = ((str(record.id), floats(named(record.vector, TOKENS))) for record in records)
        return {id_: vectors for id_, vectors in stored if vectors is not None}

    def neighbours(self, chunks: Sequence[Chunk], reach: int) -> list[Chunk]:
        """One scroll under a filter."""
        if not chunks:
            return []
        request = qdrant.ScrollRequest(
            limit=most_around(chunks, reach), filter=edge_filter(around(chunks, reach)), with_payload=True
        )
        with translated(self.name):
            records, _ = self._shard.scroll(request)
        return [from_payload(str(record.id), record.payload) for record in records]

    def count(self) -> int:
        return self._count(None)

    def ids(self) -> Iterator[str]:
        """The ids of all passages, in the engine's order."""
        return (str(record.id) for record in self._scroll(payload=False))

    def chunks(self) -> Iterator[Chunk]:
        """All passages, in the same order."""
        return (from_payload(str(record.id), record.payload) for record in self._scroll(payload=True))

    def passages(self, chunk_ids: Sequence[str]) -> list[Chunk]:
        """The given passages; those that are not there are left out."""
        with translated(self.name):
            records = self._shard.retrieve(list(chunk_ids), with_payload=True, with_vector=False)
        return [from_payload(str(record.id), record.payload) for record in records]

    def points(self, chunk_ids: Sequence[str]) -> list[Point]:
        """The given passages with all their vectors; those that are not there are left out."""
        with translated(self.name):
            records = self._shard.retrieve(list(chunk_ids), with_payload=True, with_vector=True)
        return [from_record(record) for record in records]

    def _scroll(self, *, payload: bool) -> Iterator[qdrant.Record]:
        offset: Any = None
        while True:
            request = qdrant.ScrollRequest(offset=offset, limit=_SCROLL_PAGE, with_payload=payload)
            with translated(self.name):
                records, offset = self._shard.scroll(request)
            yield from records
            if offset is None:
                return

    def indexes(self) -> dict[str, IndexKind]:
        """The payload paths that have an index, and its kind."""
        with translated(self.name):
            return index_kinds(self._shard.info())

    def _count(self, chosen: qdrant.Filter | None) -> int:
        with translated(self.name):
            return self._shard.count(qdrant.CountRequest(exact=True, filter=chosen))

    def hand_over(self) -> CollectionLock:
        """The lock, for whoever takes this one's place; this one stays open without it."""
        lock, self._lock = self._lock, None
        if lock is None:
            raise StoreError(f"the collection {self.name!r} has handed over its lock already")
        return lock

    def take_over(self, lock: CollectionLock) -> None:
        """Hold this lock instead of the one held so far, which is released."""
        before, self._lock = self._lock, lock
        if before is not None:
            before.release()

    def close(self) -> None:
        try:
            with translated(self.name):
                self._shard.flush()
                self._shard.close()
        finally:
            if self._lock is not None:
                self._lock.release()
