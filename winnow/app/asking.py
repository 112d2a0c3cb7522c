"""One question on its way: retrieve, rerank, answer. What happened at every stage stays in the Answer."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from secrets import token_hex

from generation.base import closing, streamed
from storage.errors import BadInputError, StageError
from storage.records import Answer, Candidate, FollowUp, Generation, Outcome, Ranking, Retrieval
from winnow.app.conversation import Conversation
from winnow.app.stages import SearchResult, Stages, warnings_of
from winnow.app.tracing import attributes
from winnow.app.tracing import spans as tracing


async def search(question: str, stages: Stages, *, top_k_retrieve: int, top_k_rerank: int) -> SearchResult:
    """Retrieve, rerank, and join neighbours to the final passages."""
    _check(question, top_k_retrieve, top_k_rerank)
    retrieval = await _retrieved(question, stages, top_k_retrieve)
    ranking = await stages.reranker.rerank(question, retrieval.candidates, top_k_rerank)
    outcomes = (retrieval.outcome, *ranking.outcomes)
    found = SearchResult(question, stages.collection, _final_first(ranking), outcomes)
    if stages.expander is None or not found.final:
        return found
    expansion = await stages.expander.expand(found.final)
    return replace(
        found,
        stages=(*outcomes, expansion.outcome),
        expanded=expansion.candidates,
        neighbours=expansion.neighbours,
    )


async def ask(
    question: str,
    stages: Stages,
    *,
    top_k_retrieve: int,
    top_k_rerank: int,
    conversation: Conversation | None = None,
) -> Answer:
    """Understand, retrieve, rerank, answer."""
    asked = await _asked(question, stages, top_k_retrieve, top_k_rerank, conversation)
    given = (asked.understood, asked.found.passages)
    with tracing.current().span("generation", partial(attributes.generating, *given)) as end:
        generation = await stages.generator.generate(*given)
        end(partial(attributes.generated, generation))
    return asked.answer(generation)


async def stream(
    question: str,
    stages: Stages,
    *,
    top_k_retrieve: int,
    top_k_rerank: int,
    conversation: Conversation | None = None,
) -> AsyncIterator[str | Answer]:
    """As `ask`: pieces of the text while it comes, then the whole Answer as the last item.

    The text of an answerer that cannot stream is one piece.
    """
    asked = await _asked(question, stages, top_k_retrieve, top_k_rerank, conversation)
    given = (asked.understood, asked.found.passages)
    pieces = tracing.current().stream(
        streamed(stages.generator, *given),
        "generation",
        partial(attributes.generating, *given),
        attributes.generated,
    )
    async with closing(pieces) as items:
        async for item in items:
            if isinstance(item, Generation):
                yield asked.answer(item)
                return
            yield item
    raise StageError(
        "the answerer's stream ended without an answer",
        way_out="stream() must give a Generation as its last item.",
    )


@dataclass(frozen=True, slots=True)
class _Asked:
    """A question with its passages: all that an answerer needs, and what the Answer will say beside it."""

    question: str
    stages: Stages
    top_k_retrieve: int
    top_k_rerank: int
    found: SearchResult
    rewritten: tuple[Outcome, ...]
    follow_up: FollowUp | None
    started: float

    @property
    def understood(self) -> str:
        return self.follow_up.question if self.follow_up else self.question

    def answer(self, generation: Generation) -> Answer:
        outcomes = (*self.rewritten, *self.found.stages, generation.outcome)
        return Answer(
            id=token_hex(8),
            question=self.question,
            text=generation.text,
            collection=self.stages.collection,
            created_at=datetime.now(UTC),
            rerank=self.stages.rerank,
            answerer=generation.answerer,
            top_k_retrieve=self.top_k_retrieve,
            top_k_rerank=self.top_k_rerank,
            answered=generation.answered,
            citations=generation.citations,
            candidates=self.found.candidates,
            stages=outcomes,
            timings_ms=_timings(outcomes, (time.perf_counter() - self.started) * 1000),
            warnings=warnings_of(outcomes),
            prompt=generation.prompt,
            fingerprints=_with_prompt(self.stages),
            follow_up=self.follow_up,
            neighbours=self.found.neighbours,
        )


async def _retrieved(question: str, stages: Stages, top_k: int) -> Retrieval:
    given = partial(attributes.retrieving, question, stages.collection, top_k)
    with tracing.current().span(f"retrieval {stages.collection}", given) as end:
        retrieval = await stages.retriever.search(question, top_k)
        end(partial(attributes.retrieved, retrieval))
    return retrieval


async def _asked(
    question: str, stages: Stages, top_k_retrieve: int, top_k_rerank: int, conversation: Conversation | None
) -> _Asked:
    started = time.perf_counter()
    _check(question, top_k_retrieve, top_k_rerank)
    rewritten: tuple[Outcome, ...] = ()
    follow_up: FollowUp | None = None
    if conversation is not None:
        rewrite = await stages.rewriter.rewrite(question, conversation.turns)
        rewritten = (rewrite.outcome,)
        follow_up = FollowUp(rewrite.question, rewrite.prompt, conversation.answer_id)
    understood = follow_up.question if follow_up else question
    found = await search(understood, stages, top_k_retrieve=top_k_retrieve, top_k_rerank=top_k_rerank)
    return _Asked(question, stages, top_k_retrieve, top_k_rerank, found, rewritten, follow_up, started)


def _with_prompt(stages: Stages) -> dict[str, str]:
    prompt = getattr(stages.generator, "fingerprint", None)  # a user's own answerer may have none
    return {**stages.fingerprints, **({"prompt": prompt} if isinstance(prompt, str) else {})}


def _final_first(ranking: Ranking) -> tuple[Candidate, ...]:
    final = (candidate.ranked("final", rank) for rank, candidate in enumerate(ranking.candidates, start=1))
    return (*final, *ranking.dropped)


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
