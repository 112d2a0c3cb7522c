"""Makes rerank chains out of the parts."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import anyio

from storage.errors import LogError
from storage.qdrant.contract import TokenScorer
from storage.secrets import masked
from winnow.app.parts import Parts
from winnow.app.settings import Settings

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

    from rerank.base import Reranker
    from rerank.chain import Chain
    from rerank.cross.models import PairModel
    from rerank.parts import RerankParts
    from rerank.spec import Spec
    from retrieval.encoders.encoder import Encoder
    from storage.log.score_cache import SqlScoreCache


def ready_chain(reranker: Any, settings: Settings) -> Chain:
    """Make a chain of a user's reranker: its output is checked, a failure is a flagged fallback."""
    from rerank.base import adapted
    from rerank.chain import Chain, ChainStage

    checked = adapted(reranker)
    return Chain([ChainStage(checked)], name=checked.name, on_failure=settings.rerank.on_failure)


class RerankWiring(Parts):
    """The parts, and the rerank chains that are made of them."""

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
        from rerank.cross.chinese import WEIGHTS
        from retrieval.models.locate import named_weights

        llm, chosen = self.settings.llm, self.settings.rerank
        return {
            "encoder": encoder.id,
            "llm": masked(f"{llm.name} at {llm.place}") + _told(llm.body),
            "cross_encoder": named_weights(chosen.cross_encoder),
            "cross_encoder_zh": "none" if encoder.packaged is None else WEIGHTS,
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
            cache=self.score_cache(scores_of) if remembering else None,
            prompts=chosen.prompts,
            keep_exchanges=self.settings.log.llm_calls,
            context=self.settings.llm.holds,
            constrained=self.settings.llm.gguf is not None,
            locate=checked_folder,
            cross_encoder=chosen.cross_encoder,
            chinese=self.chinese(encoder),
            trust_remote_code=chosen.trust_remote_code,
            instruction=chosen.instruction,
            device=self.settings.encoder.device,
            exported=self.settings.models_dir or usual_root(),
            api_key=self.rerank_api_key,
            max_reply_bytes=self.settings.llm.max_reply_bytes,
            on_failure=chosen.on_failure,
        )

    def chinese(self, encoder: Encoder | None) -> Callable[[], PairModel] | None:
        """Return what loads winnow's own cross-encoder; its embeddings are the packaged encoder's."""
        if encoder is None or encoder.packaged is None:
            return None
        packaged = encoder.packaged

        def load() -> PairModel:
            from rerank.cross.chinese import load_chinese

            return self.kept("chinese", lambda: load_chinese(packaged, self.chinese_layers))

        return load

    def chinese_layers(self) -> InferenceSession:
        """Return the layers of winnow's own cross-encoder."""
        from rerank.cross.chinese import opened

        return self.kept("chinese layers", opened)

    def score_cache(self, owner: str = "") -> SqlScoreCache | None:
        """Return the verdicts that the log keeps, where the settings want them and it can be opened."""
        if not (self.settings.rerank.cache and self.settings.logging):
            return None
        from storage.log.score_cache import SqlScoreCache

        try:
            return SqlScoreCache(self.database, owner=owner)
        except LogError:
            return None  # the same database then fails to log the answer, which says so


def _told(body: Mapping[str, Any]) -> str:
    """Whatever else a chat model is told with every request."""
    return f" with {masked(json.dumps(body, sort_keys=True))}" if body else ""
