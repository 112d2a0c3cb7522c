"""False negatives: passages that were meant not to answer a question, and do."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from rerank.base import Reranker
from rerank.llm.calls import CallCounts, Lost
from rerank.llm.templates import language_of
from rerank.training.forms import GRADES, FormFiller
from storage.records import Candidate, Outcome, Usage

# The lowest grade of a passage that answers, at least in part.
ANSWERS = 2


@dataclass(frozen=True, slots=True)
class Checked:
    """The result of checking a question's passages, the positive one first.

    `fine` has the places of those labelled rightly; `scores` are a reranker's, if one was used. Without a
    verdict, `lost` says why a reply is missing, or `trouble` what the reranker reported.
    """

    fine: frozenset[int] = frozenset()
    lost: Lost | None = None
    trouble: str = ""
    scores: Sequence[float | None] = ()
    usage: Usage = field(default_factory=Usage)


class NoCheck:
    """Accepts everything. `calls`, here and below: the requests to the chat model for each question."""

    calls = 0

    async def __call__(self, question: str, passages: Sequence[Candidate]) -> Checked:  # noqa: ARG002
        return Checked(frozenset(range(len(passages))))


@dataclass(frozen=True, slots=True)
class ModelCheck:
    """The chat model grades all passages in one call: the positive must answer, the others must not."""

    filler: FormFiller
    calls: ClassVar[int] = 1

    async def __call__(self, question: str, passages: Sequence[Candidate]) -> Checked:
        order = list(range(len(passages)))
        random.Random(question).shuffle(order)  # so that no place gives the positive away
        reading = await self.filler.fill(
            GRADES,
            language_of(question),
            len(order),
            question=question,
            passages=[passages[i].chunk.encoded_text for i in order],
        )
        if reading.value is None:
            return Checked(lost=reading.lost, usage=reading.usage)
        graded = zip(order, reading.value, strict=True)
        fine = {i for i, grade in graded if (grade >= ANSWERS) == (i == 0)}
        return Checked(frozenset(fine), usage=reading.usage)


@dataclass(frozen=True, slots=True)
class ScoreCheck:
    """A reranker scores all passages: a negative scores a margin below the positive."""

    reranker: Reranker
    margin: float
    tally: CallCounts
    calls: ClassVar[int] = 0

    async def __call__(self, question: str, passages: Sequence[Candidate]) -> Checked:
        scores, outcome = await scored(self.reranker, question, passages)
        self.tally.usage += outcome.usage
        best = scores[0]
        if best is None:
            return Checked(trouble=outcome.reason or "it gives no scores", usage=outcome.usage)
        limit = below(best, self.margin)
        fine = {i for i, score in enumerate(scores) if i == 0 or (score is not None and score <= limit)}
        return Checked(frozenset(fine), scores=scores, usage=outcome.usage)


NegativeCheck = NoCheck | ModelCheck | ScoreCheck


async def scored(
    reranker: Reranker, question: str, passages: Sequence[Candidate]
) -> tuple[list[float | None], Outcome]:
    """The last stage's score of each passage, None where it gave none, and its outcome."""
    ranking = await reranker.rerank(question, passages, max(1, len(passages)))
    stage = ranking.outcomes[-1].name if ranking.outcomes else ""
    found = {candidate.id: candidate.scores.get(stage) for candidate in ranking.everything}
    return [found.get(passage.id) for passage in passages], ranking.outcome


def below(positive: float, margin: float) -> float:
    """The highest score of a negative: the positive's score less a share of its size.

    NV-Retriever's positive-aware mining, TopK-PercPos (Moreira et al. 2024, arXiv 2407.15831); the size
    is taken without its sign, so that log-odds work too.
    """
    return positive - margin * abs(positive)
