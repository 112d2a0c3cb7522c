"""Joins what questions and ingests need out of the parts: collections, stages, ingestors."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from generation.language import language_of
from rerank.spec import PRESETS
from storage.qdrant.contract import CollectionStore, Searcher
from storage.secrets import masked
from winnow.app import distributed
from winnow.app.asked import Asked
from winnow.app.encoders import Encoders
from winnow.app.open_collections import OpenCollections
from winnow.app.setting_defaults import RetrievalSettings
from winnow.app.settings import Settings
from winnow.app.stages import NotedRetriever, Stages
from winnow.app.visibility import EVERYTHING
from winnow.app.wiring.answerers import AnswerWiring

if TYPE_CHECKING:
    from ingest.batches import Situates
    from ingest.engines.ray import RayEngine, RayParts
    from ingest.loaders.base import Columns
    from ingest.options import IngestOptions
    from ingest.run import Ingestor
    from rerank.base import Reranker
    from retrieval.base import Retriever
    from storage.manifest.manifest import Manifest


class Wiring(AnswerWiring):
    """The parts, joined into open collections, rerank chains, answerers and ingestors."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.collections = OpenCollections(self)

    def collection(self, name: str | None = None) -> CollectionStore:
        """Open a collection that fits its encoders. Raises NotFoundError, FingerprintMismatchError …"""
        return self.collections.open(name or self.settings.collection)

    def stages(self, asked: Asked) -> Stages:
        """Make the stages for a question. Raises NotFoundError, SpecError, ModelError …"""
        from retrieval.expansion import Expander

        chosen = self.settings.retrieval.chosen(
            min_score=asked.min_score, expand=asked.expand, parts=asked.parts
        )
        spec = self.settings.rerank.spec if asked.rerank is None else asked.rerank
        name, within = asked.collection or self.settings.collection, asked.within or EVERYTHING
        if within.restricted:
            within.check(name, self.stores.names())
        with self._loading_ahead(name, spec, asked.question):
            store = within.narrowed(self.collection(name))
        encoders = self.encoders_of(store.name, store.fingerprint)
        scores_of = asked.reader.scores_of
        reranker = self.reranker(store, encoders.dense, spec, top_k=asked.top_k_rerank, scores_of=scores_of)
        searched_with = {
            "where": asked.where or None,
            "min_score": chosen.min_score,
            "exact": asked.exact or None,
            "expand": chosen.expand or None,
            "parts": asked.parts,
        }
        return Stages(
            retriever=self._retriever(store, encoders, chosen, asked),
            reranker=reranker,
            generator=self.generator(store, encoders, asked.answerer, scored_by=reranker.scored_by),
            collection=store.name,
            rerank=masked(spec) if isinstance(spec, str) else reranker.name,  # it is logged and shown
            rewriter=self.rewriter(asked.answerer),
            expander=Expander(store, chosen.expand) if chosen.expand else None,
            divider=self.divider(chosen.parts),
            answers_parts=self.answers_parts(asked.answerer),
            fingerprints={
                "collection": str(store.fingerprint),
                "settings": self._settings_fingerprint(),
                **self.conditions(encoders.dense),
                **{name: str(value) for name, value in searched_with.items() if value is not None},
            },
        )

    @contextmanager
    def _loading_ahead(self, name: str, spec: str | Reranker, question: str) -> Iterator[None]:
        """Load a question's models while the collection and its encoder are: a cold one waits for all.

        What fails here for want of the encoder, or at all, fails again, and is reported, where it is used.
        """
        if self.collections.held(name) is not None:
            yield
            return

        def models() -> None:
            self.reranker(None, None, spec, remembering=False)

        # a preset reads a Chinese question with winnow's own cross-encoder, and needs no other
        chinese = language_of(question) == "zh"
        own = [self.chinese_layers] if chinese else []
        others = [] if chinese and spec in PRESETS else [models]
        loads: list[Callable[[], object]] = [*others, *own, self.score_cache]
        threads = [threading.Thread(target=_attempt, args=(load,), daemon=True) for load in loads]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            for thread in threads:
                thread.join()

    def load_readers(self, spec: str) -> None:
        """Load what a chain loads only for a question of its language, as far as it is there."""
        for load in (lambda: self.reranker(None, None, spec, remembering=False), self.chinese_layers):
            _attempt(load)

    def _retriever(
        self, store: Searcher, encoders: Encoders, chosen: RetrievalSettings, asked: Asked
    ) -> Retriever:
        from retrieval.hybrid import HybridRetriever
        from storage.qdrant.filters import parse_filter

        retriever = HybridRetriever(
            store,
            encoders.dense,
            encoders.lexical,
            mode=chosen.mode,
            where=parse_filter(asked.where) if asked.where else None,
            min_score=chosen.min_score,
            exact=bool(asked.exact),
        )
        return NotedRetriever(retriever, encoders.note) if encoders.note else retriever

    def ingestor_into(
        self,
        store: CollectionStore,
        *,
        columns: Columns | None = None,
        on_ray: bool = False,
        situates: Situates | None = None,
    ) -> Ingestor:
        """Make an ingestor into an open collection, in use or being built."""
        from ingest.chunking.sizes import ChunkSizes, about_of
        from ingest.options import IngestOptions
        from ingest.run import Ingestor
        from storage.manifest.manifest import Manifest

        encoders = self.encoders_of(store.name, store.fingerprint)
        manifest = Manifest(self.database, store.name, store.generation)
        tokens, workers = store.fingerprint.token_dim is not None, self.settings.ingest.workers
        sizes = ChunkSizes(about=about_of(store.fingerprint.chunker))
        options = IngestOptions(tokens=tokens, sizes=sizes, columns=columns, ocr=self.settings.ingest.ocr)
        if workers is not None:
            options = replace(options, workers=workers)
        ray = self._ray(store.name, manifest, options) if on_ray else None
        return Ingestor(store, encoders.dense, encoders.lexical, manifest, options, ray, situates)

    def _ray(self, name: str, manifest: Manifest, options: IngestOptions) -> RayEngine:
        from ingest.engines.ray import RayEngine

        make = partial(worker_parts, distributed.for_workers(self.settings), name)
        gpus = self.settings.ingest.gpus
        return RayEngine(manifest, make, tokens=options.tokens, workers=options.workers, gpus=gpus)

    def close(self) -> None:
        """Flush and close everything."""
        self.collections.close()
        super().close()

    def _settings_fingerprint(self) -> str:
        described = self.settings.model_dump_json(exclude={"data_dir", "models_dir", "server", "mcp"})
        return hashlib.sha256(described.encode()).hexdigest()[:16]


def worker_parts(settings: Settings, name: str) -> RayParts:
    """Make the encoders and the store of one Ray worker; runs there."""
    from ingest.engines.ray import RayParts

    wiring = Wiring(settings)
    store = wiring.collection(name)
    encoders = wiring.encoders_of(name, store.fingerprint)
    return RayParts(encoders.dense, encoders.lexical, store)


def _attempt(load: Callable[[], object]) -> None:
    """Load something ahead: what fails here fails again, and is reported, where it is used."""
    with suppress(Exception):
        load()
