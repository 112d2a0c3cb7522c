"""The contract of a collection in Qdrant, and the fingerprint that identifies one.

Two adapters: `storage.qdrant.edge` (the engine in this process) and `storage.qdrant.server` (a server or
cluster). Both are synchronous; the application calls them in worker threads.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Collection as Container
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from typing import Protocol
from uuid import UUID, uuid5

import numpy as np

from storage.errors import BadInputError, FingerprintMismatchError
from storage.qdrant.conditions import Condition
from storage.records import Chunk
from storage.vectors import Floats, Hit, Leg, Point, SparseVector

SCHEMA_VERSION = 1
DENSE, LEXICAL, TOKENS = "dense", "lexical", "tokens"

_SAFE_NAME = re.compile(r"[\w][\w.-]{0,99}")
# a file name has 255 bytes, some of them for what comes before and after
_MOST_BYTES = 200
_NAMESPACE = UUID("6f0c9f0e-6f2a-5f0e-9c53-77696e6e6f77")


def document_id(source: str) -> str:
    """Return the id of the document at `source`: the same on any machine, whatever bytes a path has."""
    name = source.encode("utf-8", "backslashreplace").decode()
    return str(uuid5(_NAMESPACE, f"document\0{name}"))


def chunk_id(document: str, text: str, occurrence: int) -> str:
    """Return the id of a passage, which derives from the document's id and the content.

    `occurrence` (from 0) tells apart passages of one document that have the same text.
    """
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    return str(uuid5(_NAMESPACE, f"chunk\0{document}\0{digest}\0{occurrence}"))


def begin_at_once() -> None:
    """Note nothing before a deletion begins."""


def is_name(name: str) -> bool:
    """Return whether every store takes this as the name of a collection."""
    return _SAFE_NAME.fullmatch(name) is not None and len(name.encode()) <= _MOST_BYTES


def checked_name(name: str) -> str:
    """Return the name of a collection if every store takes it. Raises BadInputError."""
    if not is_name(name):
        raise BadInputError(
            f"{name!r} is not a collection name",
            way_out="Use letters of any script, digits, '_', '.', '-'; a letter or digit first; 100 at most "
            f"(of most scripts but the Latin fewer: {_MOST_BYTES} bytes).",
        )
    return name


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """The settings that a collection was built with. Searching it with others gives nonsense."""

    encoder: str
    dim: int
    chunker: str
    lexical: str
    token_dim: int | None
    schema: int = SCHEMA_VERSION

    def to_dict(self) -> dict[str, object]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> Fingerprint:
        """Read what `to_dict` wrote, by this version or an earlier one.

        Raises FingerprintMismatchError where a newer winnow wrote it, KeyError or TypeError where nobody did.
        """
        schema = int(str(values.get("schema", 1)))
        if schema > SCHEMA_VERSION:
            raise FingerprintMismatchError(
                f"a newer winnow made the collection (schema {schema}; this one knows {SCHEMA_VERSION})",
                way_out="Upgrade winnow (pip install --upgrade winnow-rag), or use another collection.",
            )
        return cls(**values)  # type: ignore[arg-type]  # written by to_dict, read back from our own file

    def differences(self, other: Fingerprint) -> list[str]:
        """Return the differences, each as `name: mine, not theirs`; none where the two agree."""
        mine, theirs = asdict(self), asdict(other)
        different = (name for name in mine if mine[name] != theirs[name])
        return [f"{name}: {mine[name]!r}, not {theirs[name]!r}" for name in different]

    def __str__(self) -> str:
        return hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode()).hexdigest()[:16]


def check_legs(legs: Sequence[Leg], fingerprint: Fingerprint) -> None:
    """Raise BadInputError where a vector does not fit the collection or holds anything but finite numbers."""
    dims = {DENSE: fingerprint.dim, TOKENS: fingerprint.token_dim}
    for leg in legs:
        if isinstance(leg.query, SparseVector):
            continue
        if leg.query.shape[-1] != dims.get(leg.name):
            raise BadInputError(
                f"the query's {leg.name!r} vector has {leg.query.shape[-1]} dimensions, "
                f"the collection's {dims.get(leg.name)}",
                way_out="Ask with the encoder that the collection was built with.",
            )
        if not np.isfinite(leg.query).all():
            raise BadInputError(f"the query's {leg.name!r} vector holds what is not a number")


class Searcher(Protocol):
    def search(self, legs: Sequence[Leg], limit: int, where: Condition | None = None) -> list[list[Hit]]:
        """Search all legs in one batch, among the passages that meet `where`.

        Returns the hits of each leg, best first, at most `limit`. Raises BadInputError where a leg's vector
        does not fit the collection, or `where` names a field that no passage has.
        """


class Writer(Protocol):
    def upsert(self, points: Sequence[Point]) -> None:
        """Store points, replacing those with the same id. Durable against a crash when it returns."""

    def delete_document(self, document: str, *, keep: Container[str] = ()) -> None:
        """Delete the passages of a document, but for those whose ids are in `keep`."""

    def flush(self) -> None:
        """Write everything to its final place and empty the write-ahead log."""


class TokenScorer(Protocol):
    def max_sim(self, query: Floats, chunk_ids: Sequence[str]) -> dict[str, float]:
        """Score given passages by MaxSim of query token vectors, shape (n, token_dim), against their own.

        Passages without token vectors are left out of the result.
        """

    def token_vectors(self, chunk_ids: Sequence[str]) -> dict[str, Floats]:
        """Return the stored token vectors of given passages, each of shape (n_tokens, token_dim)."""

    def dense_vectors(self, chunk_ids: Sequence[str]) -> dict[str, Floats]:
        """Return the stored dense vectors, each of shape (dim,), of those passages that have one."""


class Neighbourhood(Protocol):
    def neighbours(self, chunks: Sequence[Chunk], reach: int) -> list[Chunk]:
        """Return the passages at most `reach` places before or after given ones in their documents.

        They come from one read, unordered, with the given ones among them. Passages that claim the same place
        all come, so that the caller sees where a collection has no order; but never many more than fit.
        """


class CollectionStore(Searcher, Writer, TokenScorer, Neighbourhood, Protocol):
    """An open collection."""

    @property
    def name(self) -> str: ...

    @property
    def fingerprint(self) -> Fingerprint: ...

    @property
    def generation(self) -> str:
        """Empty for the first; each re-index makes another. The manifest keeps one list a generation."""

    def chunks(self) -> Iterator[Chunk]:
        """Yield all passages, in the store's order."""

    def passages(self, chunk_ids: Sequence[str], where: Condition | None = None) -> list[Chunk]:
        """Return those of the given passages that are stored and meet `where`, in any order."""

    def neighbours(self, chunks: Sequence[Chunk], reach: int, where: Condition | None = None) -> list[Chunk]:
        """See `Neighbourhood`; of the passages found, those that meet `where`."""

    def points(self, chunk_ids: Sequence[str]) -> list[Point]:
        """Return given passages with all their vectors, without those that are not stored."""

    def unknown(self, where: Condition) -> set[str]:
        """Return the fields in `where` that no passage has, for which a search, a count or a list is refused.

        None where it is not known of all passages which fields they have.
        """

    def count(self) -> int:
        """Return the number of passages."""

    def by_document(self, where: Condition) -> dict[str, int]:
        """Return the number of passages that meet `where` by document, for documents that have any."""

    def first(self, limit: int, where: Condition = ...) -> list[Chunk]:
        """Return some passages that meet `where`, at most `limit`."""

    def graph_pays(self) -> bool:
        """Return whether a graph of the dense vectors pays now; False where the engine sees to it."""

    @property
    def has_graph(self) -> bool:
        """True where a graph of the dense vectors was built since the collection was made."""
        ...

    def build_graph(self) -> bool:
        """Build the graph, which takes minutes; True where anything was done.

        Raises StoreError where it failed and left the collection as it was.
        """

    def close(self) -> None:
        """Flush and release; further calls are an error."""


class Rebuild(AbstractContextManager["Rebuild"], Protocol):
    """A generation that is being built next to the one in use. A context manager: leaving it closes it."""

    @property
    def store(self) -> CollectionStore:
        """The new generation, to be written to."""

    @property
    def resumed(self) -> bool:
        """True where this resumes what an earlier process began."""

    def finish(self, old: CollectionStore | None) -> CollectionStore:
        """Swap, in one atomic step, and return the new generation open: it is the collection from now on.

        `old` is the one in use where this process has it open; it answers until it is closed.
        """


class CollectionStores(Protocol):
    """A place where collections live: opened, made, listed, rebuilt and dropped by name."""

    def open(self, name: str) -> CollectionStore:
        """Open an existing collection. Raises NotFoundError, StoreLockedError, StoreCorruptError."""

    def create(self, name: str, fingerprint: Fingerprint) -> CollectionStore:
        """Make a new, empty collection and open it."""

    def names(self) -> list[str]: ...

    def exists(self, name: str) -> bool:
        """Return whether there is a collection of this name; no other one is looked at."""

    def drop(self, name: str, begin: Callable[[], None] = ...) -> None:
        """Delete a collection, or what an interrupted deletion left of it.

        `begin` is called before the first thing is deleted, when nothing is in the way any more. Raises
        NotFoundError, StoreLockedError.
        """

    def generation(self, name: str) -> str:
        """Return the generation in use; empty where there is none."""

    def fingerprint(self, name: str) -> Fingerprint | None:
        """Read the fingerprint of the collection in use without opening it; None where there is none."""

    def rebuild(self, name: str, fingerprint: Fingerprint) -> Rebuild:
        """Begin a new generation, or resume one that was interrupted. Raises StoreLockedError."""

    def leftovers(self) -> Mapping[str, tuple[str, ...]]:
        """Describe what crashes left behind, by collection, for people."""

    def sweep(self, name: str) -> None:
        """Remove what is not in use: older generations, and a re-index that was interrupted."""
