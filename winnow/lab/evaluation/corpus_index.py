"""The passages of a corpus, cut and encoded as in ingestion, and kept for the next evaluation.

Work is done when it is needed: a lexical run encodes nothing, a reranker that reads token vectors encodes
the passages that it is given. One folder for a corpus, encoder and chunker; deleting it loses only time.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from storage.errors import NotFoundError
from storage.qdrant.conditions import Condition
from storage.qdrant.contract import Fingerprint
from storage.records import Chunk, Document
from storage.vectors import Floats, Hit, Leg, Point
from winnow.app.setting_defaults import ContextName
from winnow.lab.datasets.dataset import CorpusDocument, read_corpus
from winnow.lab.datasets.reading import file_digest
from winnow.lab.evaluation.cache import ENCODED, LEXICAL, EvaluationCache
from winnow.lab.progress import Progress, silent

if TYPE_CHECKING:
    from ingest.chunking.chunker import Chunker
    from retrieval.encoders.encoder import Encoder
    from retrieval.lexical import LexicalEncoder
    from storage.qdrant.edge.stores import EdgeCollection

_ENCODE_BATCH = 128
_LEXICAL_BATCH = 1_000


@dataclass(slots=True)
class CorpusIndex:
    """A `Searcher` and a `TokenScorer` over a corpus. `encoding_s`: seconds spent on missing vectors."""

    corpus: Path
    cache: EvaluationCache
    collection: EdgeCollection
    encoder: Encoder
    lexical: LexicalEncoder
    chunker: Chunker
    encoding_s: float = 0.0

    @classmethod
    def open(
        cls,
        corpus: Path,
        root: Path,
        encoder: Encoder,
        lexical: LexicalEncoder,
        *,
        token_vectors: bool = True,
        context: ContextName = "off",
    ) -> CorpusIndex:
        """Open or make the index of a corpus below `root`. Raises StoreLockedError, StoreCorruptError."""
        from ingest.chunking.chunker import Chunker
        from ingest.chunking.sizes import ChunkSizes, chunker_fingerprint
        from storage.qdrant.edge.stores import EdgeStores

        sizes = ChunkSizes(about=context)
        chunker = Chunker(encoder.counter, encoder.max_tokens, sizes)
        fingerprint = Fingerprint(
            encoder=encoder.id,
            dim=encoder.dim,
            chunker=chunker_fingerprint(encoder.max_tokens, sizes),
            lexical=lexical.id,
            token_dim=encoder.token_dim if token_vectors else None,
        )
        folder = root / f"{file_digest(corpus)[:16]}-{fingerprint}"
        stores = EdgeStores(folder)
        try:
            collection = stores.open("passages")
        except NotFoundError:
            collection = stores.create("passages", fingerprint)
        try:
            cache = EvaluationCache.open(folder / "measured.db")
        except BaseException:
            collection.close()
            raise
        return cls(corpus, cache, collection, encoder, lexical, chunker)

    def close(self) -> None:
        self.collection.close()
        self.cache.close()

    @property
    def id(self) -> str:
        """Changes with corpus, encoder and chunker."""
        return self.cache.path.parent.name

    def cut(self, progress: Progress = silent, only: AbstractSet[str] | None = None) -> None:
        """Cut the corpus into passages, or `only` the documents of these ids."""
        total = sum(1 for _ in read_corpus(self.corpus)) if only is None else len(only)
        done = 0
        for _, document in read_corpus(self.corpus):
            if only is not None and document.id not in only:
                continue
            if not self.cache.has_document(document.id):
                self.cache.add_document(document.id, self._passages(document))
            done += 1
            if done % 200 == 0:
                self.cache.commit()
                progress("cutting documents", done, total)
        self.cache.commit()

    def make_findable(self, progress: Progress = silent) -> None:
        """Give every passage that was cut its lexical vector."""
        total = self.cache.count_behind(LEXICAL)
        done = 0
        for batch in self.cache.batches_behind(LEXICAL, _LEXICAL_BATCH):
            self.collection.upsert(
                [Point(chunk, self.lexical.encode_passage(chunk.encoded_text)) for chunk in batch]
            )
            self.cache.mark((chunk.id for chunk in batch), LEXICAL)
            done += len(batch)
            progress("indexing words", done, total)

    def encode(self, progress: Progress = silent) -> None:
        """Give every passage that was cut its dense and token vectors."""
        total = self.cache.count_behind(ENCODED)
        done = 0
        for batch in self.cache.batches_behind(ENCODED, _ENCODE_BATCH):
            self._encode(batch)
            done += len(batch)
            progress("encoding passages", done, total)

    def search(self, legs: Sequence[Leg], limit: int, where: Condition | None = None) -> list[list[Hit]]:
        """See `storage.qdrant.contract.Searcher`; finds what `make_findable` and `encode` indexed."""
        return self.collection.search(legs, limit, where)

    def max_sim(self, query: Floats, chunk_ids: Sequence[str]) -> dict[str, float]:
        """See `TokenScorer.max_sim`. Encodes passages without vectors, which counts in `encoding_s`."""
        self._encode_missing(chunk_ids)
        return self.collection.max_sim(query, chunk_ids)

    def token_vectors(self, chunk_ids: Sequence[str]) -> dict[str, Floats]:
        """See `storage.qdrant.contract.TokenScorer`."""
        self._encode_missing(chunk_ids)
        return self.collection.token_vectors(chunk_ids)

    def dense_vectors(self, chunk_ids: Sequence[str]) -> dict[str, Floats]:
        """See `storage.qdrant.contract.TokenScorer`."""
        self._encode_missing(chunk_ids)
        return self.collection.dense_vectors(chunk_ids)

    def _encode_missing(self, chunk_ids: Iterable[str]) -> None:
        if self.collection.fingerprint.token_dim is None:
            return
        started = time.perf_counter()
        missing = self.cache.behind(chunk_ids, ENCODED)
        if missing:
            self._encode(missing)
        self.encoding_s += time.perf_counter() - started

    def _encode(self, chunks: Sequence[Chunk]) -> None:
        tokens = self.collection.fingerprint.token_dim is not None
        legible = [chunk for chunk in chunks if chunk.legible]
        encoded = self.encoder.encode_passages([chunk.encoded_text for chunk in legible], tokens=tokens)
        vectors = {chunk.id: encoding for chunk, encoding in zip(legible, encoded, strict=True)}
        points = []
        for chunk in chunks:
            found = vectors.get(chunk.id)
            dense = () if found is None else (found.dense, found.tokens)
            points.append(Point(chunk, self.lexical.encode_passage(chunk.encoded_text), *dense))
        self.collection.upsert(points)
        # after the store has them: a crash in between repeats work, and loses none
        self.cache.mark((chunk.id for chunk in chunks), ENCODED)

    def _passages(self, document: CorpusDocument) -> list[Chunk]:
        whole = Document(
            id=document.id,
            source=document.id,
            title=document.title,
            text=document.text,
            mime="text/plain",
            content_hash="",
        )
        chunks = self.chunker.chunks(whole) if document.text.strip() else []
        return [replace(chunk, legible=self.encoder.reads(chunk.encoded_text)) for chunk in chunks]
