"""Reranking without a store: texts in, texts out, for users with their own retrieval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rerank.base import check_top_k
from rerank.chain import Chain
from rerank.parts import RerankParts
from rerank.spec import Spec
from storage.errors import BadInputError
from storage.records import Candidate, Outcome


@dataclass(frozen=True, slots=True)
class RankedText:
    """A ranked text. `index` is its place in the input; `score` is the last stage's, if it gave one."""

    index: int
    text: str
    score: float | None


@dataclass(frozen=True, slots=True)
class RankedTexts:
    """The kept texts, best first, and each stage's outcome."""

    results: tuple[RankedText, ...]
    outcomes: tuple[Outcome, ...]


async def rerank_texts(
    question: str, texts: Sequence[str], spec: str, parts: RerankParts, *, top_k: int | None = None
) -> RankedTexts:
    """The best `top_k` (all, if not given) of the texts by a rerank spec.

    Raises SpecError for a spec that does not parse, BadInputError for what is no text, and the errors of
    loading its strategies.
    """
    if kinds := sorted({type(one).__name__ for one in texts if not isinstance(one, str)}):
        raise BadInputError(
            f"each document must be a text, not {kinds[0]}", way_out="Give the text of each alone."
        )
    if top_k is not None:
        check_top_k(top_k)
    chain = Chain.load(Spec.parse(spec, top_k=top_k), parts)
    candidates = [Candidate.from_text(text, id=str(index)) for index, text in enumerate(texts)]
    ranking = await chain.rerank(question, candidates, top_k or max(1, len(texts)))
    stages = [outcome.name for outcome in ranking.outcomes]
    return RankedTexts(tuple(_result(c, stages) for c in ranking.candidates), ranking.outcomes)


def _result(candidate: Candidate, stages: Sequence[str]) -> RankedText:
    score = next((candidate.scores[stage] for stage in reversed(stages) if stage in candidate.scores), None)
    return RankedText(int(candidate.id), candidate.text, score)
