"""One open collection in Qdrant Edge: a shard, and the lock that keeps others out."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Collection as Container
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from secrets import token_hex
from threading import RLock
from typing import Any

import qdrant_edge as qdrant

from storage.disk_space import OPENING_BYTES, DiskSpace
from storage.errors import StoreError, StoreLockedError
from storage.locks import PATIENCE_S, CollectionLock
from storage.memory import give_back
from storage.qdrant.collection import MOST_DOCUMENTS, CollectionReader
from storage.qdrant.conditions import Condition, Equals
from storage.qdrant.contract import DENSE, TOKENS, Fingerprint
from storage.qdrant.edge.errors import translated
from storage.qdrant.edge.folder import CollectionFolder, ShardGeneration
from storage.qdrant.edge.graph import built_in_copy
from storage.qdrant.edge.layout import GRAPH_PAYS_KB, SCHEMAS, field_index, new_shard
from storage.qdrant.edge.points import edge_filter, nearest, to_struct
from storage.qdrant.payload_indexes import Indexed
from storage.qdrant.tuning import Tuning
from storage.vectors import Floats, Leg, Point, payload_bytes

# Until flush() the write-ahead log keeps everything, several times its size: 100,000 passages made 30 GB.
FLUSH_BYTES = 128 * 1024 * 1024

# What was stored since the last `optimize()` keeps its terms in memory, some 25 bytes each. Chinese passages
# have 150 of them: 163,000 such passages took 750 MB, and take 580 MB so.
TERMS_IN_MEMORY = 6_000_000

# No passage has this id: what deletes it is a small last entry of the write-ahead log.
_NOBODY = "ffffffff-ffff-ffff-ffff-ffffffffffff"

_log = logging.getLogger(__name__)

_SCROLL_PAGE = 1_000
_DENSE = qdrant.Filter(must=[qdrant.HasVectorCondition(DENSE)])


class EdgeCollection(CollectionReader):
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
        self.fingerprint = built.fingerprint
        self.generation = built.id
        self._folder = folder
        self._built = built
        self._shard = shard
        self._lock: CollectionLock | None = lock
        self._params = qdrant.SearchParams(exact=tuning.exact, hnsw_ef=tuning.hnsw_ef)
        self._exact = qdrant.SearchParams(exact=True)
        self._graph_pays_bytes = (tuning.indexing_threshold_kb or GRAPH_PAYS_KB) * 1024
        with translated(self.name):
            self._indexed = Indexed.of(shard.info(), SCHEMAS)
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
        with folder.lock().kept(patience_s) as lock:
            folder.refuse_existing()  # another process may have made it while this one waited
            built = ShardGeneration(fingerprint)
            with translated(folder.name):
                shard = new_shard(folder.shard(built), fingerprint, tuning)
            folder.publish(built)
            return cls(folder, shard, built, lock, tuning)

    @classmethod
    def load(
        cls, folder: CollectionFolder, tuning: Tuning, *, patience_s: float = PATIENCE_S
    ) -> EdgeCollection:
        """Open the collection, and remove what a build of its graph that was killed has left.

        Raises what `of` does, and StoreLockedError.
        """
        with folder.lock().kept(patience_s) as lock:
            if any(folder.strays()):
                with suppress(StoreLockedError), folder.rebuild_lock().held(0):
                    folder.remove_strays()
            return cls.of(folder, folder.current(), lock, tuning)

    @classmethod
    def of(
        cls, folder: CollectionFolder, built: ShardGeneration, lock: CollectionLock, tuning: Tuning
    ) -> EdgeCollection:
        """Open a generation of the collection under a lock that is held.

        Raises StoreCorruptError, and StoreUnavailableError where the disk has no room for it.
        """
        DiskSpace(folder.path, reserve=OPENING_BYTES).check()
        with translated(folder.name, opening=True):
            shard = qdrant.EdgeShard.load(str(folder.shard(built)))
            return cls(folder, shard, built, lock, tuning)

    def upsert(self, points: Sequence[Point]) -> None:
        """Store points, durable against a crash. Raises StoreError before the disk is full."""
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
        kept: list[Any] = [qdrant.HasIdCondition(set(keep))] if keep else []
        doomed = qdrant.Filter(must=[edge_filter(Equals("document_id", document))], must_not=kept)
        with self._writing, translated(self.name):
            self._shard.update(qdrant.UpdateOperation.delete_points_by_filter(doomed))

    def flush(self) -> None:
        with self._writing, translated(self.name):
            self._flush()

    def _flush(self) -> None:
        """Make everything durable, so that the next process opens the shard at once.

        Opening reads the last entry of the write-ahead log again, even where it is durable elsewhere: a batch
        of 500 passages with token vectors took 0.3 s and 260 MB of memory.
        """
        if self._unflushed:
            self._shard.update(qdrant.UpdateOperation.delete_points([_NOBODY]))
        self._shard.flush()
        self._unflushed = 0

    def graph_pays(self) -> bool:
        """True where an exact scan of the dense vectors has become slower than a search in their graph."""
        return self._count(_DENSE) * self.fingerprint.dim * 4 >= self._graph_pays_bytes

    def optimize(self) -> bool:
        """Move terms from memory to disk; True where anything was done.

        Does nothing, and logs it, where the disk has no room. Where a segment is large enough for a graph the
        engine builds that too, and this process does nothing else meanwhile: see `build_graph`.
        """
        with self._writing, translated(self.name):
            self.flush()
            self._terms = 0
            done = self._has_room(times=1) and self._shard.optimize()
        give_back()
        return done

    @property
    def has_graph(self) -> bool:
        return bool(self._built.place)  # the place of a copy in which one was built

    def build_graph(self) -> bool:
        """Build the graph in a copy of the shard. Searches continue meanwhile; writes wait."""
        place = self._folder.path / f"shard-{token_hex(4)}"
        with self._writing, self._building():
            self.flush()
            if not self._has_room(times=2) or not built_in_copy(self._folder.shard(self._built), place):
                return False
            self._move(replace(self._built, place=place.name))
        give_back()
        return True

    @contextmanager
    def _building(self) -> Iterator[None]:
        """Keep other builders out of the folder: they would take a copy of the shard for a leftover."""
        draft = self._folder.draft()
        if draft is not None and draft.id == self.generation:
            yield  # this generation is being built itself, under the lock for it
            return
        with self._folder.rebuild_lock().held():
            self._folder.remove_strays()
            yield

    def _has_room(self, *, times: int) -> bool:
        """Return whether the disk has room for `times` more copies of the shard; log it where not."""
        size = self.disk.size()
        if self.disk.has_room(size * times):
            return True
        _log.warning(
            "%r is left as it is: the disk has no room to write its %d MB again; searches stay slower",
            self.name,
            size * times >> 20,
        )
        return False

    def _move(self, built: ShardGeneration) -> None:
        """Switch to a shard in another folder that holds the same passages, and delete the one before."""
        before, place = self._folder.shard(self._built), self._folder.shard(built)
        try:
            with translated(self.name, opening=True):
                shard = qdrant.EdgeShard.load(str(place))
            self._folder.move(built)
        except BaseException:
            shutil.rmtree(place, ignore_errors=True)
            raise
        # not closed: a search on another thread may still use the old one; it ends with its last user
        self._shard, self._built = shard, built
        self._terms, self.disk = 0, replace(self.disk, folder=place)
        shutil.rmtree(before, ignore_errors=True)

    def max_sim(self, query: Floats, chunk_ids: Sequence[str]) -> dict[str, float]:
        """Score inside the engine: an exact scan of the given passages' multivectors."""
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

    def count(self) -> int:
        return self._count(None)

    def _query(self, legs: Sequence[Leg], limit: int, where: Condition | None) -> list[list[Any]]:
        chosen = None if where is None else edge_filter(where)
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
            return self._shard.query_batch(qdrant.QueryBatchRequest(requests))

    def _retrieve(
        self, ids: Sequence[str], vectors: bool | list[str], *, payload: bool
    ) -> list[qdrant.Record]:
        with translated(self.name):
            return self._shard.retrieve(list(ids), with_payload=payload, with_vector=vectors)

    def _first(self, where: Condition, limit: int) -> list[qdrant.Record]:
        request = qdrant.ScrollRequest(limit=limit, filter=edge_filter(where), with_payload=True)
        with translated(self.name):
            return self._shard.scroll(request)[0]

    def _among(self, ids: Sequence[str], where: Condition) -> list[qdrant.Record]:
        chosen = qdrant.Filter(must=[qdrant.HasIdCondition(set(ids)), edge_filter(where)])
        request = qdrant.ScrollRequest(limit=len(ids), filter=chosen, with_payload=True)
        with translated(self.name):
            return self._shard.scroll(request)[0] if ids else []

    def _facet(self, field: str, where: Condition) -> dict[str, int]:
        request = qdrant.FacetRequest(field, limit=MOST_DOCUMENTS, exact=True, filter=edge_filter(where))
        with translated(self.name):
            return {str(hit.value): hit.count for hit in self._shard.facet(request).hits}

    def _scroll(self) -> Iterator[qdrant.Record]:
        offset: Any = None
        while True:
            request = qdrant.ScrollRequest(offset=offset, limit=_SCROLL_PAGE, with_payload=True)
            with translated(self.name):
                records, offset = self._shard.scroll(request)
            yield from records
            if offset is None:
                return

    def _count(self, chosen: qdrant.Filter | None) -> int:
        with translated(self.name):
            return self._shard.count(qdrant.CountRequest(exact=True, filter=chosen))

    def hand_over(self) -> CollectionLock:
        """Give the lock to the collection that replaces this one, which stays open without it."""
        lock, self._lock = self._lock, None
        if lock is None:
            raise StoreError(f"the collection {self.name!r} has handed over its lock already")
        return lock

    def take_over(self, lock: CollectionLock) -> None:
        """Hold this lock in place of the current one, which is released."""
        before, self._lock = self._lock, lock
        if before is not None:
            before.release()

    def close(self) -> None:
        try:
            with self._writing, translated(self.name):
                self._flush()
                self._shard.close()
        finally:
            if self._lock is not None:
                self._lock.release()
