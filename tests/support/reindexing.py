"""Helpers for tests of re-indexing: a small pipeline, two tiny encoders, a process that can be killed."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from storage.qdrant.contract import CollectionStore
from tests.support.tiny_models import bert_encoder
from winnow.app.settings import Settings
from winnow.pipeline import RAGPipeline

# The texts that the tiny encoders' vocabulary was made from: they read nothing else.
_WORDS = (
    *("reranker", "reads", "question", "passage", "together", "Late"),
    *("interaction", "compares", "token", "vectors", "Judge", "whether"),
)


@dataclass(frozen=True)
class Place:
    """A collection of six documents, made with the encoder `one`."""

    docs: Path
    data: Path
    one: Path
    other: Path


def encoders(folder: Path) -> tuple[Path, Path]:
    """Return two encoders that differ only in pooling, and so in their vectors."""
    return bert_encoder(folder / "mean"), bert_encoder(folder / "cls", pooling="cls")


def write(docs: Path, *numbers: int) -> None:
    docs.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        one, two = _WORDS[number % len(_WORDS)], _WORDS[number // len(_WORDS)]
        body = "\n\n".join(f"The lazy dog {one} jumps over the quick {two} and {word}." for word in _WORDS)
        (docs / f"{number}.md").write_text(f"# The {one} {two} 文档\n\n{body}\n", encoding="utf-8")


def pipeline(data: Path, encoder: Path, store: dict[str, object] | None = None) -> RAGPipeline:
    chosen = {"model": str(encoder), "device": "cpu"}
    settings = Settings.load(data_dir=data, encoder=chosen, ingest={"workers": 1}, store=store or {})
    return RAGPipeline.from_settings(settings)


def content(data: Path, encoder: Path) -> tuple[set[str], dict[str, tuple[str, tuple[str, ...]]], bytes]:
    """Passage ids, the manifest, and the dense vectors in the order of the ids, of the collection in use."""
    with pipeline(data, encoder) as rag:
        store: CollectionStore = rag.wiring.stores.open("default")
        ids = sorted(chunk.id for chunk in store.chunks())
        vectors = b"".join(
            point.dense.round(3).tobytes()
            for point in sorted(store.points(ids), key=lambda point: point.chunk.id)
            if point.dense is not None
        )
        assert store.count() == len(set(ids))
        store.close()
        rows = {row.source: (row.status, row.chunk_ids) for row in rag.wiring.manifest().rows()}
    return set(ids), rows, vectors


def main(data: str, encoder: str) -> None:
    """Re-index in a real process, for tests that kill it: print `ready`, then run."""
    with pipeline(Path(data), Path(encoder)) as rag:
        _ = rag.wiring.encoder
        print("ready", flush=True)  # noqa: T201 - the parent waits for it
        rag.ingest(reindex=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
