"""The flow of one question: retrieve, rerank, answer. The Answer records what happened at every stage."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from secrets import token_hex

from generation.base import Generator, closing, streamed
from rerank.base import flagged
from storage.errors import StageError
from storage.records import Answer, Candidate, FollowUp, Generation, Outcome, Ranking, Retrieval
from winnow.app.asked import Asked
from winnow.app.conversation import Conversation
from winnow.app.in_parts.answering import AnswerInParts
from winnow.app.in_parts.ranking import as_taken, one_budget, ranked, retrieved
from winnow.app.stages import SearchResult, Stages, warnings_of
from winnow.app.tracing import attributes
from winnow.app.tracing import spans as tracing


async def search(asked: Asked, stages: Stages) -> SearchResult:
    """Retrieve, rerank, and join neighbours to the final passages."""
    asked.check()
    retrieve, keep = asked.limits
    division = None if stages.divider is None else await stages.divider.divide(asked.question)
    several = division.questions if division and len(division.questions) > 1 else ()
    passage = division.passage if division else ""
    retrieval = await _retrieved(several or (asked.question,), stages, retrieve, passage)
    parts = several if division and division.each else ()
    remark = ""
    with one_budget(stages.reranker, division):
        if parts:
            ranking, remark = await ranked(parts, retrieval.candidates, stages.reranker, keep)
        else:
            ranking = await stages.reranker.rerank(asked.question, retrieval.candidates, keep)
    divided = [] if division is None else [division.outcome]
    if remark:
        divided = [flagged(one, "ok", remark) for one in divided]
    outcomes = (*divided, retrieval.outcome, *ranking.outcomes)
    result = SearchResult(asked.question, stages.collection, _final_first(ranking), outcomes, parts=parts)
    if stages.expander is None or not result.final:
        return result
    expansion = await stages.expander.expand(result.final)
    return replace(
        result,
        stages=(*outcomes, expansion.outcome),
        expanded=expansion.candidates,
        neighbours=expansion.neighbours,
    )


async def ask(asked: Asked, stages: Stages, conversation: Conversation | None = None) -> Answer:
    """Understand, retrieve, rerank, answer."""
    prepared = await _prepared(asked, stages, conversation)
    given = (prepared.understood, prepared.passages)
    with tracing.current().span("generation", partial(attributes.generating, *given)) as end:
        generation = await prepared.generator.generate(*given)
        end(partial(attributes.generated, generation))
    return prepared.answer(generation)


async def stream(
    asked: Asked, stages: Stages, conversation: Conversation | None = None
) -> AsyncIterator[str | Answer]:
    """Like `ask`, but yields pieces of the text as they come, then the whole Answer as the last item.

    The text of an answerer that cannot stream is one piece.
    """
    prepared = await _prepared(asked, stages, conversation)
    given = (prepared.understood, prepared.passages)
    pieces = tracing.current().stream(
        streamed(prepared.generator, *given),
        "generation",
        partial(attributes.generating, *given),
        attributes.generated,
    )
    async with closing(pieces) as items:
        async for item in items:
            if isinstance(item, Generation):
                yield prepared.answer(item)
                return
            yield item
    raise StageError(
        "the answerer's stream ended without an answer",
        way_out="stream() must give a Generation as its last item.",
    )


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A question with its passages: all that an answerer needs, and that the Answer records besides."""

    asked: Asked
    stages: Stages
    result: SearchResult
    rewritten: tuple[Outcome, ...]
    follow_up: FollowUp | None
    started: float

    @property
    def understood(self) -> str:
        return self.follow_up.question if self.follow_up else self.asked.question

    @property
    def generator(self) -> Generator:
        parts = self.result.parts
        if parts and self.stages.answers_parts:
            return AnswerInParts(self.stages.generator, parts)
        return self.stages.generator

    @property
    def passages(self) -> Sequence[Candidate]:
        """The passages that the answerer is given."""
        passages, parts = self.result.passages, len(self.result.parts)
        return as_taken(passages, parts) if parts else passages

    def answer(self, generation: Generation) -> Answer:
        outcomes = (*self.rewritten, *self.result.stages, generation.outcome)
        top_k_retrieve, top_k_rerank = self.asked.limits
        return Answer(
            id=token_hex(8),
            question=self.asked.question,
            text=generation.text,
            collection=self.stages.collection,
            created_at=datetime.now(UTC),
            rerank=self.stages.rerank,
            answerer=generation.answerer,
            top_k_retrieve=top_k_retrieve,
            top_k_rerank=top_k_rerank,
            answered=generation.answered,
            citations=generation.citations,
            candidates=self.result.candidates,
            stages=outcomes,
            timings_ms=_timings(outcomes, (time.perf_counter() - self.started) * 1000),
            warnings=(*([self.asked.noted] if self.asked.noted else ()), *warnings_of(outcomes)),
            prompt=generation.prompt,
            fingerprints=_with_prompt(self.stages),
            follow_up=self.follow_up,
            neighbours=self.result.neighbours,
        )


async def _retrieved(questions: Sequence[str], stages: Stages, top_k: int, passage: str) -> Retrieval:
    """The candidates of one question, or those of several, fused."""
    search = partial(_searched, stages=stages, top_k=top_k, passage=passage)
    if len(questions) == 1:
        return await search(questions[0])
    return await retrieved(questions, search, top_k)


async def _searched(question: str, stages: Stages, top_k: int, passage: str) -> Retrieval:
    given = partial(attributes.retrieving, question, stages.collection, top_k)
    with tracing.current().span(f"retrieval {stages.collection}", given) as end:
        like = getattr(stages.retriever, "search_like", None)  # a logged or a user's own has none
        if passage and like is not None:
            retrieval: Retrieval = await like(question, passage, top_k)
        else:
            retrieval = await stages.retriever.search(question, top_k)
        end(partial(attributes.retrieved, retrieval))
    return retrieval


async def _prepared(asked: Asked, stages: Stages, conversation: Conversation | None) -> _Prepared:
    started = time.perf_counter()
    asked.check()
    rewritten: tuple[Outcome, ...] = ()
    follow_up: FollowUp | None = None
    if conversation is not None:
        rewrite = await stages.rewriter.rewrite(asked.question, conversation.turns)
        rewritten = (rewrite.outcome,)
        follow_up = FollowUp(rewrite.question, rewrite.prompt, conversation.answer_id)
    understood = replace(asked, question=follow_up.question) if follow_up else asked
    # a follow-up behind the questions that it follows looks like several, of which the last alone is asked
    joined = understood.question != asked.question and understood.question.endswith(asked.question.strip())
    result = await search(understood, replace(stages, divider=None) if joined else stages)
    return _Prepared(asked, stages, result, rewritten, follow_up, started)


def _with_prompt(stages: Stages) -> dict[str, str]:
    prompt = getattr(stages.generator, "fingerprint", None)  # a user's own answerer may have none
    return {**stages.fingerprints, **({"prompt": prompt} if isinstance(prompt, str) else {})}


def _final_first(ranking: Ranking) -> tuple[Candidate, ...]:
    final = (candidate.ranked("final", rank) for rank, candidate in enumerate(ranking.candidates, start=1))
    return (*final, *ranking.dropped)


def _timings(outcomes: Sequence[Outcome], total: float) -> dict[str, float]:
    return {**{outcome.name: round(outcome.ms, 3) for outcome in outcomes}, "total": round(total, 3)}
