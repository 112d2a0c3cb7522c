"""The passages that an evaluation ranks: those of a set's corpus, or of a collection."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from retrieval.hybrid import HybridRetriever, Mode
from storage.errors import BadInputError
from storage.qdrant.contract import CollectionStore
from storage.records import Chunk
from winnow.lab.datasets.dataset import Dataset, check_judged
from winnow.lab.datasets.trec import TrecRun
from winnow.lab.evaluation import fingerprints
from winnow.lab.evaluation.cache import EvaluationCache
from winnow.lab.evaluation.cached_stages import CachedRetriever, CandidateSource, RunCandidates
from winnow.lab.evaluation.corpus_index import CorpusIndex
from winnow.lab.evaluation.metrics import document_name
from winnow.lab.progress import Progress

if TYPE_CHECKING:
    from winnow.app.encoders import Encoders
    from winnow.app.wiring import Wiring

MODES = ("dense", "lexical", "hybrid")


@dataclass(frozen=True, slots=True)
class EvaluationIndex:
    """Passages, and the cache of what was measured on them.

    `vectors` are searched and scored; `encoders` made them. `name` gives the name by which the judgements
    know a passage's document. `key` changes with the passages.
    """

    vectors: CorpusIndex | CollectionStore
    encoders: Encoders
    cache: EvaluationCache
    name: Callable[[Chunk], str]
    key: str

    @classmethod
    def of_corpus(cls, corpus: Path, wiring: Wiring) -> EvaluationIndex:
        """The documents of a set, cut and encoded as needed.

        Raises BadInputError where the settings want a chat model's lines.
        """
        if wiring.settings.ingest.context == "chat":
            raise BadInputError(
                "an evaluation has no chat model write lines about a corpus",
                way_out="Ingest it with --context chat, and name the --collection.",
            )
        wiring.settings.make_data_dir()
        root = wiring.settings.data_dir / "evaluation" / "corpora"
        chosen = wiring.settings.ingest
        encoders = wiring.encoders
        index = CorpusIndex.open(
            corpus,
            root,
            encoders.dense,
            encoders.lexical,
            token_vectors=chosen.token_vectors,
            context=chosen.context,
        )
        return cls(index, encoders, index.cache, document_name, index.id)

    @classmethod
    def of_collection(cls, collection: str | None, dataset: Dataset, wiring: Wiring) -> EvaluationIndex:
        """A collection as it is. Raises BadInputError for a judged document that it lacks."""
        store = wiring.collection(collection)
        names = SourceNames(frozenset(dataset.qrels.documents()))
        rows = [row for row in wiring.manifest(store.name).rows() if row.status == "ingested"]
        if rows:
            ingested = (names.name(row.id, row.source) for row in rows)
            check_judged(dataset.qrels, ingested, f"the collection {store.name!r}")
        ids = [(row.id, row.chunk_ids) for row in rows]
        key = fingerprints.key("collection", store.name, str(store.fingerprint), store.count(), ids)
        folder = wiring.settings.data_dir / "evaluation" / "collections" / key
        encoders = wiring.encoders_of(store.name, store.fingerprint)
        return cls(store, encoders, EvaluationCache.open(folder / "measured.db"), names, key)

    def sources(
        self,
        modes: Sequence[str],
        runs: Sequence[tuple[str, TrecRun]],
        top_k: int | None,
        wiring: Wiring,
        progress: Progress,
    ) -> list[CandidateSource]:
        """Candidates by retrieval mode and by run; cuts and encodes what they need.

        Raises BadInputError for a mode that does not exist, and for runs where there is no corpus.
        """
        retrievers = [self._retriever(mode, top_k, wiring) for mode in modes]
        if isinstance(self.vectors, CorpusIndex):
            _prepare(self.vectors, modes, runs, progress)
        elif runs:
            raise BadInputError(
                "a run names documents of a corpus, and a collection keeps passages",
                way_out="Give the corpus's folder.",
            )
        ranked = (
            RunCandidates(label, fingerprints.key("run", self.key, run.digest, top_k), run, self.cache, top_k)
            for label, run in runs
        )
        return [*retrievers, *ranked]

    def encoding_s(self) -> float:
        """The seconds spent on encoding passages for the first time."""
        return self.vectors.encoding_s if isinstance(self.vectors, CorpusIndex) else 0.0

    def close(self) -> None:
        """Close cache and corpus; a collection stays open."""
        if isinstance(self.vectors, CorpusIndex):
            self.vectors.close()
        else:
            self.cache.close()

    def _retriever(self, mode: str, top_k: int | None, wiring: Wiring) -> CachedRetriever:
        if mode not in MODES:
            raise BadInputError(
                f"there is no way of retrieving called {mode!r}", way_out=f"There are: {', '.join(MODES)}."
            )
        encoders = self.encoders
        depth = wiring.settings.retrieval.top_k if top_k is None else top_k
        return CachedRetriever(
            label=mode,
            key=fingerprints.retrieval_key(self.key, mode, depth),
            retriever=HybridRetriever(
                self.vectors, encoders.dense, encoders.lexical, mode=cast("Mode", mode)
            ),
            cache=self.cache,
            top_k=depth,
            forget=encoders.dense.forget_queries,
            remember=not isinstance(self.vectors, CorpusIndex),
        )


def _prepare(
    index: CorpusIndex, modes: Sequence[str], runs: Sequence[tuple[str, TrecRun]], progress: Progress
) -> None:
    wanted = {document for _, run in runs for document in run.documents()}
    index.cut(progress, None if modes else wanted)
    if modes:
        index.make_findable(progress)
    if any(mode != "lexical" for mode in modes):
        index.encode(progress)


@dataclass(frozen=True, slots=True)
class SourceNames:
    """The name by which the judgements know a document: its id, its source, or the end of its source's path.

    `docs/guide.md` in the judgements is `/home/me/docs/guide.md` in the collection. A document that nobody
    judged goes by its source.
    """

    judged: AbstractSet[str]

    def __call__(self, chunk: Chunk) -> str:
        return self.name(chunk.document_id, chunk.source)

    def name(self, document_id: str, source: str) -> str:
        """The name of a document with that id and source."""
        return next((name for name in _names(document_id, source) if name in self.judged), source)


def _names(document_id: str, source: str) -> Iterator[str]:
    yield document_id
    yield source
    rest = source.replace("\\", "/")
    while "/" in rest:
        rest = rest.partition("/")[2]
        yield rest
    # a row of a JSONL file or table: `file.jsonl#key`
    if "#" in rest:
        yield rest.partition("#")[2]
