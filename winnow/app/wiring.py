"""Joins the parts that settings describe: models, stores, stages, the log.

Everything is made on first use and kept; collections made with the same encoders share them.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio

from generation.language import language_of
from retrieval.models.hub import DEFAULT_MODEL
from storage.errors import BadInputError, LogError
from storage.qdrant.contract import CollectionStore, Searcher, TokenScorer
from storage.secrets import masked
from winnow.app import distributed
from winnow.app.answer_judges.cross_encoder import AnswerJudge, load
from winnow.app.answer_judges.verifier import AnswerVerifier, opened
from winnow.app.asked import Asked
from winnow.app.chat_models import make_prompter
from winnow.app.encoders import Encoders
from winnow.app.in_parts.dividing import ClauseDivider, Divider
from winnow.app.open_collections import OpenCollections
from winnow.app.parts import Parts
from winnow.app.setting_defaults import PartsName, RetrievalSettings, answerer_name
from winnow.app.settings import Settings
from winnow.app.stages import NotedRetriever, Stages
from winnow.app.visibility import EVERYTHING

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

    from generation.base import Generator
    from generation.extractive.answerer import Scale
    from generation.followup import Rewriter
    from ingest.batches import Situates
    from ingest.engines.ray import RayEngine, RayParts
    from ingest.loaders.base import Columns
    from ingest.options import IngestOptions
    from ingest.run import Ingestor
    from rerank.base import Reranker
    from rerank.chain import Chain
    from rerank.parts import RerankParts
    from rerank.spec import Spec
    from retrieval.base import Retriever
    from retrieval.encoders.encoder import Encoder
    from storage.log.score_cache import SqlScoreCache
    from storage.manifest.manifest import Manifest


def ready_chain(reranker: Any, settings: Settings) -> Chain:
    """Make a chain of a user's reranker: its output is checked, a failure is a flagged fallback."""
    from rerank.base import adapted
    from rerank.chain import Chain, ChainStage

    checked = adapted(reranker)
    return Chain([ChainStage(checked)], name=checked.name, on_failure=settings.rerank.on_failure)


def similarity_scale(encoder: Encoder) -> Scale:
    """Return how the extractive answerer reads an encoder's similarities."""
    from generation.extractive.answerer import E5, PROJECTED, WHOLE

    if encoder.id.startswith(DEFAULT_MODEL):
        return E5
    return PROJECTED if encoder.projects_tokens else WHOLE


class Wiring(Parts):
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
            rewriter=self._rewriter(asked.answerer),
            expander=Expander(store, chosen.expand) if chosen.expand else None,
            divider=self._divider(chosen.parts),
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

        def attempt(load: Callable[[], object]) -> None:
            with suppress(Exception):
                load()

        loads: list[Callable[[], object]] = [models, self._score_cache]
        if language_of(question) == "zh":
            loads.append(self._verifying_layers)
        threads = [threading.Thread(target=attempt, args=(load,), daemon=True) for load in loads]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            for thread in threads:
                thread.join()

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

    def reranker(
        self,
        store: TokenScorer | None,
        encoder: Encoder | None,
        rerank: str | Reranker,
        *,
        top_k: int | None = None,
        remembering: bool = True,
        scores_of: str = "",
    ) -> Chain:
        """Make the chain of a spec over a collection's token vectors and encoder, or of a ready reranker.

        Without `remembering`, for evaluations, the score cache is neither read nor written, and passages that
        say the same all stay: judgements count each. `scores_of`: see `LogReader.scores_of`.
        """
        from rerank.spec import Spec

        if not isinstance(rerank, str):
            return ready_chain(rerank, self.settings)
        parsed = Spec.parse(rerank, top_k=top_k)
        return self.chain(parsed, store, encoder, remembering=remembering, scores_of=scores_of)

    def chain(
        self,
        spec: Spec,
        store: TokenScorer | None,
        encoder: Encoder | None,
        *,
        ready: Mapping[str, Reranker] | None = None,
        remembering: bool = True,
        scores_of: str = "",
    ) -> Chain:
        """Make the chain of a spec; `ready` stages, by name, are used as they are."""
        from rerank.chain import Chain

        parts = self.rerank_parts(store, encoder, remembering=remembering, scores_of=scores_of)
        if not remembering:
            parts = replace(parts, drop_twins=False)
        return Chain.load(spec, parts, ready=ready)

    def conditions(self, encoder: Encoder) -> dict[str, str]:
        """Return what a rerank stage's result depends on besides its options: models, endpoint, templates."""
        from retrieval.models.locate import named_weights

        llm, chosen = self.settings.llm, self.settings.rerank
        return {
            "encoder": encoder.id,
            "llm": masked(f"{llm.name} at {llm.place}") + _told(llm.body),
            "cross_encoder": named_weights(chosen.cross_encoder),
            "prompts": str(chosen.prompts or "winnow's"),
            "instruction": chosen.instruction or "none",
        }

    def rerank_parts(
        self,
        store: TokenScorer | None,
        encoder: Encoder | None,
        *,
        remembering: bool = True,
        scores_of: str = "",
    ) -> RerankParts:
        """Return the parts of rerank strategies; `store` has token vectors that `encoder` made, if any."""
        from rerank.parts import RerankParts
        from retrieval.models.locate import checked_folder
        from retrieval.models.prepared import usual_root

        chosen = self.settings.rerank
        return RerankParts(
            encoder=encoder,
            scorer=store,
            drop_twins=store is not None,
            chat=self.traced_chat,
            limiter=self.kept("limiter", lambda: anyio.CapacityLimiter(chosen.in_flight)),
            budget=chosen.budget,
            prices=self.settings.llm.prices,
            cache=self._score_cache(scores_of) if remembering else None,
            prompts=chosen.prompts,
            keep_exchanges=self.settings.log.llm_calls,
            context=self.settings.llm.holds,
            constrained=self.settings.llm.gguf is not None,
            locate=checked_folder,
            cross_encoder=chosen.cross_encoder,
            trust_remote_code=chosen.trust_remote_code,
            instruction=chosen.instruction,
            device=self.settings.encoder.device,
            exported=self.settings.models_dir or usual_root(),
            api_key=self.rerank_api_key,
            max_reply_bytes=self.settings.llm.max_reply_bytes,
            on_failure=chosen.on_failure,
        )

    def _score_cache(self, owner: str = "") -> SqlScoreCache | None:
        if not (self.settings.rerank.cache and self.settings.logging):
            return None
        from storage.log.score_cache import SqlScoreCache

        try:
            return SqlScoreCache(self.database, owner=owner)
        except LogError:
            return None  # the same database then fails to log the answer, which says so

    def generator(
        self,
        store: TokenScorer,
        encoders: Encoders,
        answerer: str | None = None,
        *,
        scored_by: str | None = None,
    ) -> Generator:
        """Make the answerer that the settings or the caller name.

        `scored_by` is the stage whose scores `answer.min_score` applies to, by default the last that scored
        a candidate.
        """
        from generation.abstention import ScoreFloor

        chosen = self.settings.answer
        generator = self._answerer(store, encoders, answerer_name(answerer or chosen.answerer))
        if chosen.min_score is None:
            return generator
        return ScoreFloor(generator, at_least=chosen.min_score, stage=scored_by)

    def _answerer(self, store: TokenScorer, encoders: Encoders, name: str) -> Generator:
        if name == "extractive":
            from generation.extractive.answerer import ExtractiveAnswerer

            scale, judge = similarity_scale(encoders.dense), self.kept("judge", lambda: AnswerJudge(load))
            return ExtractiveAnswerer(
                encoders.dense,
                store,
                encoders.lexical,
                scale=scale,
                judge=judge,
                verifier=self._verifier(encoders.dense),
            )
        if name != "openai":
            raise BadInputError(f"there is no answerer {name!r}", way_out="There are: extractive, openai.")
        from generation.chat.answerer import ChatAnswerer

        return ChatAnswerer(
            self.traced_chat(),
            prompter=make_prompter(self.settings),
            max_tokens=self.settings.answer.max_tokens,
            check=self.settings.answer.check,
            keep_exchanges=self.settings.log.llm_calls,
        )

    def _verifier(self, encoder: Encoder) -> AnswerVerifier | None:
        """The verifier, whose lowest part is the packaged encoder; it was trained on no other."""
        return None if encoder.packaged is None else AnswerVerifier(encoder.packaged, self._verifying_layers)

    def _verifying_layers(self) -> InferenceSession:
        return self.kept("verifier", opened)

    def answers_parts(self, answerer: str | None = None) -> bool:
        """True if the answerer takes one question at a time; a chat model answers several at once."""
        name: str = answerer_name(answerer or self.settings.answer.answerer)
        return name == "extractive"

    def _divider(self, parts: PartsName) -> Divider | None:
        if parts == "off":
            return None
        if parts == "clauses":
            return ClauseDivider()
        from generation.chat.templating import Templates
        from winnow.app.in_parts.chat_divider import ChatDivider

        templates = Templates.load(self.settings.answer.templates)
        return ChatDivider(
            self.traced_chat(), parts, templates, self.rerank_parts(None, None, remembering=False)
        )

    def _rewriter(self, answerer: str | None) -> Rewriter:
        """Make the rewriter of follow-ups: the chat model only if it answers, too."""
        from generation.chat.templating import Templates
        from generation.followup import ChatRewriter, JoinedRewriter

        if answerer_name(answerer or self.settings.answer.answerer) != "openai":
            return JoinedRewriter()
        templates = Templates.load(self.settings.answer.templates)
        return ChatRewriter(self.traced_chat(), templates, keep_exchanges=self.settings.log.llm_calls)

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


def _told(body: Mapping[str, Any]) -> str:
    """Whatever else a chat model is told with every request."""
    return f" with {masked(json.dumps(body, sort_keys=True))}" if body else ""


def worker_parts(settings: Settings, name: str) -> RayParts:
    """Make the encoders and the store of one Ray worker; runs there."""
    from ingest.engines.ray import RayParts

    wiring = Wiring(settings)
    store = wiring.collection(name)
    encoders = wiring.encoders_of(name, store.fingerprint)
    return RayParts(encoders.dense, encoders.lexical, store)
