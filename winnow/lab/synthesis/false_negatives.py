"""False negatives: passages that were meant not to answer a question, and do."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from rerank.base import Reranker
from rerank.llm.calls import CallCounts, Lost
from rerank.llm.templates import language_of
from rerank.training.forms import GRADES
from rerank.training.scribe import Scribe
from storage.records import Candidate, Outcome, Usage

# From this grade on a passage answers, at least in part.
ANSWERS = 2


@dataclass(frozen=True, slots=True)
class Checked:
    """What a check says of a question's passages, the positive one first.

    A passage is false where its place is not in `fine`; `scores` are a reranker's, where one was asked.
    Where there is no verdict, `lost` says why a reply is missing, or `trouble` what the reranker said.
    """

    fine: frozenset[int] = frozenset()
    lost: Lost | None = None
    trouble: str = ""
    scores: Sequence[float | None] = ()
    usage: Usage = field(default_factory=Usage)


class Check(Protocol):
    """Looks at a question's passages, the positive one first."""

    calls: int

    async def __call__(self, question: str, passages: Sequence[Candidate]) -> Checked: ...


class NoCheck:
    """Believes everything."""

    calls = 0

    async def __call__(self, question: str, passages: Sequence[Candidate]) -> Checked:  # noqa: ARG002
        return Checked(frozenset(range(len(passages))))


class ModelCheck:
    """The chat model grades all passages in one call: the positive must answer, the others must not."""

    calls = 1

    def __init__(self, scribe: Scribe) -> None:
        self._scribe = scribe

    async def __call__(self, question: str, passages: Sequence[Candidate]) -> Checked:
        order = list(range(len(passages)))
        random.Random(question).shuffle(order)  # a first place of its own would tell which is the positive
        reading = await self._scribe.fill(
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


class ScoreCheck:
    """A reranker scores all passages: a negative lies by a margin below the positive."""

    calls = 0

    def __init__(self, reranker: Reranker, margin: float, tally: CallCounts) -> None:
        self._reranker = reranker
        self._margin = margin
        self._tally = tally

    async def __call__(self, question: str, passages: Sequence[Candidate]) -> Checked:
        scores, outcome = await scored(self._reranker, question, passages)
        self._tally.usage += outcome.usage
        best = scores[0]
        if best is None:
            return Checked(trouble=outcome.reason or "it gives no scores", usage=outcome.usage)
        limit = below(best, self._margin)
        fine = {i for i, score in enumerate(scores) if i == 0 or (score is not None and score <= limit)}
        return Checked(frozenset(fine), scores=scores, usage=outcome.usage)


async def scored(
    reranker: Reranker, question: str, passages: Sequence[Candidate]
) -> tuple[list[float | None], Outcome]:
    """The last stage's score of each passage, None where it gave none, and how it went."""
    ranking = await reranker.rerank(question, passages, max(1, len(passages)))
    stage = ranking.outcomes[-1].name if ranking.outcomes else ""
    found = {candidate.id: candidate.scores.get(stage) for candidate in ranking.everything}
    return [found.get(passage.id) for passage in passages], ranking.outcome


def below(positive: float, margin: float) -> float:
    """What a negative may score at most: the positive's score less a share of its size.

    NV-Retriever's positive-aware mining, TopK-PercPos (Moreira et al. 2024, arXiv 2407.15831); the size is
    taken without its sign, so that log-odds work too.
    """
    return positive - margin * abs(positive)
