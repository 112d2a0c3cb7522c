"""Setwise (Zhuang et al. 2024, arXiv 2310.09497): which of these passages is the most relevant?

A heap whose families are as large as one prompt sorts the best `k` out: O(N / (size − 1) + k log N) calls.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from rerank.llm.judge import Judgement, JudgementPrompt, LLMStage, ModelOptions, PassageJudge, numbered
from rerank.llm.replies import read_choice, settled
from rerank.strategies.heapsort import best_first, expected_calls
from storage.chat import Completion
from storage.records import Ranking


@dataclass(frozen=True, slots=True, kw_only=True)
class SetwiseOptions(ModelOptions):
    """`size`: the number of passages in one prompt."""

    size: Annotated[int, Field(ge=3)] = 10


class Setwise(LLMStage[SetwiseOptions]):
    """An order without scores."""

    declares = SetwiseOptions
    scores = False

    def asks(self) -> JudgementPrompt:
        return JudgementPrompt("setwise", _chosen, lambda _n: 32, verdicts=lambda n, _top: numbered(n))

    @staticmethod
    def calls(n: int, k: int) -> int:
        return expected_calls(n, k, SetwiseOptions().size - 1)

    async def rank(self, judge: PassageJudge, n: int, top_k: int) -> Ranking:
        arity = self.options.size - 1
        order = await best_first(n, min(top_k, n), arity, lambda numbers: _best(judge, numbers))
        return await judge.in_order(order, top_k)


async def _best(judge: PassageJudge, numbers: Sequence[int]) -> int:
    """The best of a family, shown in the incoming order; without an answer, the earliest in that order."""
    family = tuple(sorted(numbers))
    scores = await judge.scores_of(family)
    return family[0] if scores is None else family[scores.index(max(scores))]


def _chosen(completion: Completion, n: int, top: int) -> Judgement | None:  # noqa: ARG001 - one is chosen
    choice = read_choice(settled(completion), numbered(n))
    return None if choice is None else Judgement(tuple(float(i == choice) for i in range(n)))
