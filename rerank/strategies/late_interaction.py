"""Late interaction (ColBERT: Khattab & Zaharia 2020): MaxSim of question and passage token vectors.

The passages' vectors are stored with them, so that a question costs one short forward pass and one look-up
in the store. Where a collection has none, they are computed on the fly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from anyio import to_thread

from rerank.base import LocalStrategy, by_score, check_top_k, flagged, unchanged
from rerank.options import read_options
from rerank.parts import RerankParts
from rerank.spec import Value
from storage.cancellation import stop_if_cancelled
from storage.errors import ModelError
from storage.qdrant.contract import TokenScorer
from storage.reasons import Reason
from storage.records import Candidate, Outcome, Ranking, unreadable_question
from storage.vectors import Floats, TokenEncoder, max_sim

# Passages encoded together: a server gives this many a pass of their own, which no question waits for.
_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class LateInteractionOptions:
    """`model`: a late-interaction model, hub id or folder; by default the collection's encoder."""

    model: str | None = None


class LateInteraction(LocalStrategy):
    """Ranks by MaxSim, the mean over the question's tokens: scores lie in [-1, 1].

    A question that the encoder cannot read is a `fallback`; passages that it cannot read follow the others
    in the incoming order, and the outcome is `partial`.
    """

    needs = "the collection's encoder"
    declares = LateInteractionOptions

    def __init__(
        self, encoder: TokenEncoder, scorer: TokenScorer | None, name: str = "late-interaction"
    ) -> None:
        self.name = name
        self._encoder = encoder
        self._scorer = scorer

    @classmethod
    def load(cls, parts: RerankParts, name: str, **options: Value) -> LateInteraction:
        chosen = read_options(LateInteractionOptions, name, options)
        if chosen.model is None:
            return cls(parts.needed_encoder(name), parts.scorer, name)
        from rerank.cross.multi_vector import load_multi_vector

        return cls(
            load_multi_vector(parts.needed_folder(name, chosen.model), device=parts.device), None, name
        )

    async def rerank(self, query: str, candidates: Sequence[Candidate], top_k: int) -> Ranking:
        check_top_k(top_k)
        if not candidates:
            return Ranking((), (Outcome(self.name),))
        scored = await to_thread.run_sync(self._scored, query, candidates)
        if scored is None:
            return unchanged(candidates, top_k, Outcome(self.name, "fallback", unreadable_question()))
        scores, outcome = scored
        return by_score(self.name, candidates, scores, top_k, outcome)

    def _scored(
        self, query: str, candidates: Sequence[Candidate]
    ) -> tuple[list[float | None], Outcome] | None:
        """MaxSim of every legible candidate; None where the question itself is illegible."""
        if not self._encoder.reads(query):
            return None
        question = self._encoder.encode_query(query)
        tokens = question.tokens
        if tokens is None or not len(tokens):
            raise ModelError(
                "the encoder gives no token vectors (one behind an endpoint has none); "
                "take another strategy, or late-interaction(model=…)"
            )
        legible = [candidate for candidate in candidates if candidate.chunk.legible]
        found: dict[str, float] = {}
        if self._scorer is not None and legible:
            found = self._scorer.max_sim(tokens, [candidate.id for candidate in legible])
        missing = {candidate.id: candidate for candidate in legible if candidate.id not in found}
        computed, cut = self._computed(tokens, list(missing.values()))
        found = {**found, **computed}
        scores = [found[c.id] / len(tokens) if c.id in found else None for c in candidates]
        outcome = Outcome(self.name)
        if computed:
            outcome = flagged(outcome, "ok", Reason("rerank.passages-encoded-now", count=len(computed)))
        if question.truncated:
            outcome = flagged(outcome, "partial", Reason("rerank.question-cut"))
        if cut:
            outcome = flagged(outcome, "partial", Reason("rerank.passages-cut", count=cut))
        if illegible := scores.count(None):
            reason = Reason("rerank.passages-illegible", count=illegible, total=len(candidates))
            outcome = flagged(outcome, "partial", reason)
        return scores, outcome

    def _computed(self, query: Floats, candidates: Sequence[Candidate]) -> tuple[dict[str, float], int]:
        """MaxSim of passages without stored vectors, by id, and the number of truncated passages."""
        found: dict[str, float] = {}
        cut = 0
        # a passage's token vectors take 100 times its text: no more are held than are made together
        for start in range(0, len(candidates), _AT_ONCE):
            stop_if_cancelled()
            some = candidates[start : start + _AT_ONCE]
            readable = [c for c in some if self._encoder.reads(c.chunk.encoded_text)]
            encoded = self._encoder.encode_passages([c.chunk.encoded_text for c in readable], tokens=True)
            found |= {
                candidate.id: max_sim(query, encoding.tokens)
                for candidate, encoding in zip(readable, encoded, strict=True)
                if encoding.tokens is not None and len(encoding.tokens)
            }
            cut += sum(encoding.truncated for encoding in encoded)
        return found, cut
