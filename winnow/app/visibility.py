"""The rights of a token to collections and log, which go with every question."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from storage.errors import NotFoundError
from storage.log.records import LogReader, LogRight
from storage.qdrant.conditions import Absent, All, AnyOf, Condition, Not
from storage.qdrant.contract import CollectionStore, Fingerprint
from storage.qdrant.payload_indexes import ALWAYS, NEVER
from storage.records import Chunk
from storage.vectors import Floats, Hit, Leg


@dataclass(frozen=True, slots=True, kw_only=True)
class Visibility:
    """The rights of `asker`, a token's id; empty where no token is needed.

    `collections`: no others are there for the asker; None: all are. `where`: the filter that every passage
    must meet. `log`: the asker's own answers, or those of others too.
    """

    asker: str = ""
    collections: tuple[str, ...] | None = None
    where: Condition | None = None
    log: LogRight = "all"

    @property
    def restricted(self) -> bool:
        """True where some passage of some collection may be hidden."""
        return self.collections is not None or self.where is not None

    @property
    def reader(self) -> LogReader:
        """The part of the rights that the log applies."""
        return LogReader(
            asker=self.asker,
            scope="" if self.where is None else str(self.where),
            collections=self.collections,
            own=self.log == "own",
        )

    def seen(self, names: Sequence[str]) -> list[str]:
        """Return those of the collections that may be seen."""
        return [name for name in names if self.collections is None or name in self.collections]

    def check(self, name: str, names: Sequence[str]) -> None:
        """Raise NotFoundError for a collection that is hidden, as for one that is not among `names`."""
        seen = self.seen(names)
        if name not in seen:
            there = f"There are: {', '.join(seen)}." if seen else "There is none yet."
            raise NotFoundError(f"there is no collection {name!r}", way_out=there)

    def narrowed(self, store: CollectionStore) -> CollectionStore | VisiblePassages:
        """Return a collection as far as it may be seen."""
        return store if self.where is None else VisiblePassages(store, self.where)


EVERYTHING = Visibility()


@dataclass(frozen=True)
class VisiblePassages:
    """The passages of a collection that meet a filter, as if there were no others.

    They come without `about`: that line is made from the whole document, whose other passages may be hidden.
    """

    store: CollectionStore
    where: Condition

    @property
    def name(self) -> str:
        return self.store.name

    @property
    def fingerprint(self) -> Fingerprint:
        return self.store.fingerprint

    @cached_property
    def by_document(self) -> Mapping[str, int]:
        """The number of passages of each document that has any, by the document's id."""
        return self.store.by_document(self._fitted(self.where))

    def search(self, legs: Sequence[Leg], limit: int, where: Condition | None = None) -> list[list[Hit]]:
        """See `storage.qdrant.contract.Searcher`; a field that no passage has is no error here."""
        parts = [self.where] if where is None else [self.where, where]
        found = self.store.search(legs, limit, self._fitted(All(tuple(parts))))
        return [[replace(hit, chunk=replace(hit.chunk, about="")) for hit in hits] for hits in found]

    def max_sim(self, query: Floats, chunk_ids: Sequence[str]) -> dict[str, float]:
        """See `storage.qdrant.contract.TokenScorer`; the ids come from a search."""
        return self.store.max_sim(query, chunk_ids)

    def token_vectors(self, chunk_ids: Sequence[str]) -> dict[str, Floats]:
        return self.store.token_vectors(chunk_ids)

    def dense_vectors(self, chunk_ids: Sequence[str]) -> dict[str, Floats]:
        return self.store.dense_vectors(chunk_ids)

    def neighbours(self, chunks: Sequence[Chunk], reach: int) -> list[Chunk]:
        return _alone(self.store.neighbours(chunks, reach, self._fitted(self.where)))

    def passages(self, chunk_ids: Sequence[str]) -> list[Chunk]:
        return _alone(self.store.passages(chunk_ids, self._fitted(self.where)))

    def first(self, limit: int) -> list[Chunk]:
        """Return some of the passages, at most `limit`."""
        return _alone(self.store.first(limit, self._fitted(self.where)))

    def count(self) -> int:
        return sum(self.by_document.values())

    def _fitted(self, where: Condition) -> Condition:
        """Decide beforehand about fields that no passage of the whole collection has.

        The store refuses these, and names the fields that there are: of hidden passages, too.
        """
        unknown = self.store.unknown(where)
        return _decided(where, unknown) if unknown else where


def _alone(chunks: Iterable[Chunk]) -> list[Chunk]:
    return [replace(chunk, about="") for chunk in chunks]


def _decided(where: Condition, unknown: Container[str]) -> Condition:
    match where:
        case All(parts):
            return All(tuple(_decided(part, unknown) for part in parts))
        case AnyOf(parts):
            return AnyOf(tuple(_decided(part, unknown) for part in parts))
        case Not(part):
            return Not(_decided(part, unknown))
    if where.field not in unknown:
        return where
    return ALWAYS if isinstance(where, Absent) else NEVER
