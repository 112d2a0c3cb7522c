"""One question on its way: retrieve, rerank, answer. What happened at every stage stays in the Answer."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from secrets import token_hex

from generation.base import Generator
from rerank.base import Reranker
from retrieval.base import Retriever
from storage.errors import BadInputError
from storage.records import Answer, Candidate, Outcome, Ranking


@dataclass(frozen=True, slots=True)
class Stages:
    """The three stages that a question goes through, and what they are called in the log."""

    retriever: Retriever
    reranker: Reranker
    generator: Generator
    collection: str
    rerank: str
    fingerprints: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SearchResult:
    """What a search gives: every candidate, the final ones first, and how the stages went."""

    question: str
    collection: str
    candidates: tuple[Candidate, ...]
    stages: tuple[Outcome, ...]

    @property
    def final(self) -> Sequence[Candidate]:
        """The candidates that an answerer would see, best first."""
        return [candidate for candidate in self.candidates if "final" in candidate.ranks]

    @property
    def warnings(self) -> tuple[str, ...]:
        """Everything that did not go as asked, one sentence each."""
        return _warnings(self.stages)


async def search(question: str, stages: Stages, *, top_k_retrieve: int, top_k_rerank: int) -> SearchResult:
    """Retrieve and rerank."""
    _check(question, top_k_retrieve, top_k_rerank)
    retrieval = await stages.retriever.search(question, top_k_retrieve)
    ranking = await stages.reranker.rerank(question, retrieval.candidates, top_k_rerank)
    return SearchResult(
        question, stages.collection, _final_first(ranking), (retrieval.outcome, *ranking.outcomes)
    )


async def ask(question: str, stages: Stages, *, top_k_retrieve: int, top_k_rerank: int) -> Answer:
    """Retrieve, rerank, answer."""
    started = time.perf_counter()
    found = await search(question, stages, top_k_retrieve=top_k_retrieve, top_k_rerank=top_k_rerank)
    generation = await stages.generator.generate(question, found.final)
    outcomes = (*found.stages, generation.outcome)
    return Answer(
        id=token_hex(8),
        question=question,
        text=generation.text,
        collection=stages.collection,
        created_at=datetime.now(UTC),
        rerank=stages.rerank,
        answerer=generation.answerer,
        top_k_retrieve=top_k_retrieve,
        top_k_rerank=top_k_rerank,
        answered=generation.answered,
        citations=generation.citations,
        candidates=found.candidates,
        stages=outcomes,
        timings_ms=_timings(outcomes, (time.perf_counter() - started) * 1000),
        warnings=_warnings(outcomes),
        prompt=generation.prompt,
        fingerprints=_with_prompt(stages),
    )


def _with_prompt(stages: Stages) -> dict[str, str]:
    prompt = getattr(stages.generator, "fingerprint", None)  # a user's own answerer may have none
    return {**stages.fingerprints, **({"prompt": prompt} if isinstance(prompt, str) else {})}


def _final_first(ranking: Ranking) -> tuple[Candidate, ...]:
    final = (candidate.ranked("final", rank) for rank, candidate in enumerate(ranking.candidates, start=1))
    return (*final, *ranking.dropped)


def _warnings(outcomes: Sequence[Outcome]) -> tuple[str, ...]:
    """One sentence a reason; stages that give the same reason share it."""
    stages: dict[str, list[str]] = {}
    for outcome in outcomes:
        if outcome.status != "ok":
            stages.setdefault(outcome.reason, []).append(f"{outcome.name} {outcome.status}")
    return tuple(f"{', '.join(names)}: {reason}" for reason, names in stages.items())


def _timings(outcomes: Sequence[Outcome], total: float) -> dict[str, float]:
    return {**{outcome.name: round(outcome.ms, 3) for outcome in outcomes}, "total": round(total, 3)}


def _check(question: str, top_k_retrieve: int, top_k_rerank: int) -> None:
    if not question.strip():
        raise BadInputError("the question is empty", way_out="Ask something.")
    if top_k_retrieve < 1 or top_k_rerank < 1:
        raise BadInputError(
            f"top_k_retrieve={top_k_retrieve} and top_k_rerank={top_k_rerank} must be 1 or more",
            way_out="The defaults are 50 and 5.",
        )
