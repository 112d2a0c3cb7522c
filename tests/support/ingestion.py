"""Helpers for ingestion tests: a real store and manifest, and an encoder that counts its calls."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ingest.options import IngestOptions
from ingest.report import DocumentResult, IngestReport
from ingest.run import Ingestor
from retrieval.encoders.tokenizer import WholeTokenizer
from storage.database import Database
from storage.manifest.manifest import Manifest
from storage.qdrant.contract import Fingerprint
from storage.qdrant.edge.stores import EdgeCollection, EdgeStores
from storage.vectors import Encoding, SparseVector, normalised

DIM = 8
GUIDE = "# Guide\n\nRerank fifty candidates and keep five.\n\n## Costs\n\nEvery call costs money.\n"
LONG = "# Long\n\n" + "\n\n".join(
    f"Paragraph {i} says that item {i} matters more than item {i + 1}." for i in range(60)
)


def words_tokenizer() -> WholeTokenizer:
    """A tokenizer for which every word, punctuation mark and Chinese character is one token."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.normalizers import BertNormalizer
    from tokenizers.pre_tokenizers import BertPreTokenizer

    tokenizer = Tokenizer(WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    tokenizer.normalizer = BertNormalizer(lowercase=False)
    tokenizer.pre_tokenizer = BertPreTokenizer()
    return WholeTokenizer(tokenizer)


@dataclass(slots=True)
class CountingEncoder:
    """Vectors derived from the text's hash; reads ASCII. `asked` holds every text that was encoded."""

    max_tokens: int = 64
    asked: list[str] = field(default_factory=list)

    @property
    def counter(self) -> WholeTokenizer:
        return words_tokenizer()

    def reads(self, text: str) -> bool:
        return sum(character.isascii() for character in text) >= 0.9 * len(text)

    def encode_passages(self, texts: Sequence[str], *, tokens: bool) -> list[Encoding]:
        self.asked.extend(texts)
        return [_encoding(text, tokens) for text in texts]


def _encoding(text: str, tokens: bool) -> Encoding:
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")
    vectors = normalised(np.random.default_rng(seed).normal(size=(3, DIM)).astype(np.float32))
    return Encoding(vectors[0], vectors if tokens else None)


class WordHashes:
    """A lexical encoder: the hash of each word, weight 1."""

    def encode_passage(self, text: str) -> SparseVector:
        terms = sorted(
            {int.from_bytes(hashlib.md5(word.encode()).digest()[:3], "big") for word in text.split()}
        )
        return SparseVector(tuple(terms), (1.0,) * len(terms))


@dataclass(slots=True)
class World:
    """A collection under `data`, and a folder `docs` for documents."""

    docs: Path
    store: EdgeCollection
    manifest: Manifest
    encoder: CountingEncoder

    def write(self, name: str, text: str | bytes) -> Path:
        path = self.docs / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8"))
        return path

    def ingestor(self, options: IngestOptions | None = None) -> Ingestor:
        return Ingestor(
            self.store, self.encoder, WordHashes(), self.manifest, options or IngestOptions(workers=1)
        )

    def ingest(self, *paths: Path, options: IngestOptions | None = None, **flags: bool) -> IngestReport:
        return self.ingestor(options).run(list(paths) or [self.docs], **flags)

    def stored(self) -> set[str]:
        return {chunk.id for chunk in self.store.chunks()}

    def expected(self) -> set[str]:
        return {chunk for row in self.manifest.rows() for chunk in row.chunk_ids}


@contextmanager
def world(folder: Path) -> Iterator[World]:
    """Open the collection under a folder, or create it."""
    docs, data = folder / "docs 文档", folder / "data"
    docs.mkdir(parents=True, exist_ok=True)
    data.mkdir(exist_ok=True)
    stores = EdgeStores(data / "collections")
    store = (
        stores.open("c")
        if "c" in stores.names()
        else stores.create("c", Fingerprint("e", DIM, "c", "l", DIM))
    )
    with Database.open(data / "winnow.db") as database:
        try:
            yield World(docs, store, Manifest(database, "c"), CountingEncoder())
        finally:
            store.close()


def by_name(report: IngestReport) -> dict[str, DocumentResult]:
    return {Path(result.path).name: result for result in report.documents}


def main(folder: str) -> None:
    """Ingest in a real process, for tests that kill it: print `ready`, then run."""
    with world(Path(folder)) as here:
        print("ready", flush=True)  # noqa: T201 - the parent waits for it
        here.ingest(options=IngestOptions(workers=1, batch=8), prune=True)


if __name__ == "__main__":
    main(sys.argv[1])
