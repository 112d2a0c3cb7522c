"""What a measurement stands on: the passages of a corpus, or of a collection that is there already."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from retrieval.hybrid import Mode
from storage.errors import BadInputError
from storage.qdrant.contract import Searcher, TokenScorer
from storage.records import Chunk
from winnow.lab.datasets.dataset import Dataset
from winnow.lab.datasets.reading import LineError
from winnow.lab.datasets.runs import Run
from winnow.lab.evaluation import fingerprints
from winnow.lab.evaluation.cache import EvaluationCache
from winnow.lab.evaluation.collection_names import SourceNames
from winnow.lab.evaluation.corpus_index import CorpusIndex, Progress
from winnow.lab.evaluation.metrics import document_name
from winnow.lab.evaluation.sources import LegSource, RunSource, Source

if TYPE_CHECKING:
    from winnow.app.wiring import Wiring

MODES = ("dense", "lexical", "hybrid")


class SearchedAndScored(Searcher, TokenScorer, Protocol):
    """What legs search and late interaction scores with."""


class Ground(Protocol):
    """Passages with a cache of what was measured on them."""

    cache: EvaluationCache

    @property
    def vectors(self) -> SearchedAndScored: ...

    @property
    def name(self) -> Callable[[Chunk], str]:
        """The name by which the judgements know a passage's document."""
        ...

    def sources(
        self, retrieve: Sequence[str], runs: Sequence[tuple[str, Run]], top_k: int | None
    ) -> list[Source]:
        """Candidates by leg and by run, everything prepared that they need."""
        ...

    def encoding_s(self) -> float:
        """The seconds that went into encoding passages for the first time."""
        ...

    def close(self) -> None: ...


def leg_source(
    ground: Ground, key: str, mode: str, wiring: Wiring, top_k: int | None, *, remember: bool = False
) -> LegSource:
    """Retrieval by one mode. Raises BadInputError for a mode that does not exist."""
    from retrieval.hybrid import HybridRetriever

    if mode not in MODES:
        raise BadInputError(
            f"there is no way of retrieving called {mode!r}", way_out=f"There are: {', '.join(MODES)}."
        )
    depth = wiring.settings.retrieval.top_k if top_k is None else top_k
    encoder = wiring.encoder
    return LegSource(
        label=mode,
        key=fingerprints.retrieval_key(key, mode, depth),
        retriever=HybridRetriever(ground.vectors, encoder, wiring.lexical, mode=cast("Mode", mode)),
        cache=ground.cache,
        top_k=depth,
        forget=encoder.forget_queries,
        remember=remember,
    )


class CorpusGround:
    """The documents of a set, cut and encoded by need."""

    name = staticmethod(document_name)

    def __init__(self, index: CorpusIndex, wiring: Wiring, progress: Progress) -> None:
        self.cache = index.cache
        self.vectors: SearchedAndScored = index
        self._index = index
        self._wiring = wiring
        self._progress = progress

    @classmethod
    def open(cls, corpus: Path, wiring: Wiring, progress: Progress) -> CorpusGround:
        wiring.settings.make_data_dir()
        root = wiring.settings.data_dir / "evaluation" / "corpora"
        tokens = wiring.settings.ingest.token_vectors
        return cls(
            CorpusIndex.open(corpus, root, wiring.encoder, wiring.lexical, token_vectors=tokens),
            wiring,
            progress,
        )

    def sources(
        self, retrieve: Sequence[str], runs: Sequence[tuple[str, Run]], top_k: int | None
    ) -> list[Source]:
        wanted = {document for _, run in runs for document in run.documents()}
        legs = [leg_source(self, self._index.id, mode, self._wiring, top_k) for mode in retrieve]
        self._index.cut(self._progress, None if legs else wanted)
        if legs:
            self._index.make_findable(self._progress)
        if any(leg.label != "lexical" for leg in legs):
            self._index.encode(self._progress)
        ranked = (
            RunSource(
                label, fingerprints.key("run", self._index.id, run.digest, top_k), run, self._index, top_k
            )
            for label, run in runs
        )
        return [*legs, *ranked]

    def encoding_s(self) -> float:
        return self._index.encoding_s

    def close(self) -> None:
        self._index.close()


class CollectionGround:
    """A collection of the application, as it is."""

    def __init__(
        self, vectors: SearchedAndScored, key: str, cache: EvaluationCache, wiring: Wiring, name: SourceNames
    ) -> None:
        self.cache = cache
        self.vectors = vectors
        self.name = name
        self._key = key
        self._wiring = wiring

    @classmethod
    def open(cls, collection: str | None, dataset: Dataset, wiring: Wiring) -> CollectionGround:
        """Raises BadInputError for a judged document that the collection does not have."""
        store = wiring.collection(collection)
        names = SourceNames(frozenset(dataset.qrels.documents()))
        rows = [row for row in wiring.manifest(store.name).rows() if row.status == "ingested"]
        if rows:
            _check_judged(dataset, store.name, (names.name(row.id, row.source) for row in rows))
        key = fingerprints.key(
            "collection",
            store.name,
            str(store.fingerprint),
            store.count(),
            [(row.id, row.chunk_ids) for row in rows],
        )
        cache = EvaluationCache.open(
            wiring.settings.data_dir / "evaluation" / "collections" / key / "measured.db"
        )
        return cls(store, key, cache, wiring, names)

    def sources(
        self, retrieve: Sequence[str], runs: Sequence[tuple[str, Run]], top_k: int | None
    ) -> list[Source]:
        if runs:
            raise BadInputError(
                "a run names documents of a corpus, and a collection keeps passages",
                way_out="Give the corpus's folder.",
            )
        return [leg_source(self, self._key, mode, self._wiring, top_k, remember=True) for mode in retrieve]

    def encoding_s(self) -> float:
        return 0.0

    def close(self) -> None:
        self.cache.close()


def _check_judged(dataset: Dataset, collection: str, there: Iterable[str]) -> None:
    missing = dataset.qrels.documents()
    for name in there:
        missing.pop(name, None)
    if missing and not dataset.qrels.pooled:
        document, line = next(iter(missing.items()))
        raise LineError(
            dataset.qrels.path,
            line,
            f"judges the document {document!r}, which the collection {collection!r} lacks",
        )
