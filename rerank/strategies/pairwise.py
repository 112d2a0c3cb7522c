"""Pairwise ranking prompting (Qin et al. 2023, arXiv 2306.17563): which of two passages is more relevant?

Both orders are asked, so that a preference for the first place cancels out: a conflict counts half for each.
`heap` sorts with few comparisons, `sliding` bubbles the best `k` up, `all` compares every pair.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

from rerank.llm.judge import Judgement, JudgementPrompt, LLMStage, ModelOptions, PassageJudge
from rerank.llm.replies import read_choice, settled
from rerank.parts import RerankParts
from rerank.strategies.heapsort import best_first, expected_calls
from storage.chat import Completion
from storage.records import Ranking

_LABELS = ("A", "B")


@dataclass(frozen=True, slots=True, kw_only=True)
class PairwiseOptions(ModelOptions):
    """`method`: the choice of comparisons (see above)."""

    method: Literal["heap", "sliding", "all"] = "heap"


class Pairwise(LLMStage[PairwiseOptions]):
    """`all` scores by the share of comparisons won (0 to 1); the others give an order without scores."""

    declares = PairwiseOptions

    def __init__(self, parts: RerankParts, name: str, options: PairwiseOptions) -> None:
        super().__init__(parts, name, options)
        self.scores = options.method == "all"

    def asks(self) -> JudgementPrompt:
        return JudgementPrompt(
            "pairwise", _winner, lambda _n: 32, labels=lambda _n: _LABELS, verdicts=lambda _n, _top: _LABELS
        )

    @staticmethod
    def calls(n: int, k: int) -> int:
        # a family of three is two comparisons, each in both orders
        return 4 * expected_calls(n, k, 2)

    async def rank(self, judge: PassageJudge, n: int, top_k: int) -> Ranking:
        if self.options.method == "all":
            return await judge.by_score(await _all_pairs(judge, n), top_k)
        k = min(top_k, n)
        if self.options.method == "sliding":
            return await judge.in_order(await _sliding(judge, n, k), top_k)
        order = await best_first(n, k, 2, lambda numbers: _best(judge, numbers))
        return await judge.in_order(order, top_k)


async def _preference(judge: PassageJudge, i: int, j: int) -> float:
    """The preference for `i` over `j`, from 0 to 1, asked in both orders; 0.5 is a tie or no answer."""
    one, other = await judge.scores_of_all([(i, j), (j, i)])
    halves = (one[0] if one else 0.5, other[1] if other else 0.5)
    return sum(halves) / 2


async def _best(judge: PassageJudge, numbers: Sequence[int]) -> int:
    """The best by knock-out; a tie goes to the earlier in the incoming order."""
    best, *others = sorted(numbers)
    for other in others:
        best = other if await _preference(judge, best, other) < 0.5 else best
    return best


async def _sliding(judge: PassageJudge, n: int, k: int) -> list[int]:
    """k passes of bubble sort from the back; places that are settled are not compared again."""
    order = list(range(n))
    for done in range(min(k, n - 1)):
        for place in range(n - 1, done, -1):
            if await _preference(judge, order[place - 1], order[place]) < 0.5:
                order[place - 1], order[place] = order[place], order[place - 1]
    return order


async def _all_pairs(judge: PassageJudge, n: int) -> list[float]:
    pairs = list(combinations(range(n), 2))
    ordered = [order for i, j in pairs for order in ((i, j), (j, i))]
    wins = [0.0] * n
    for (first, second), scores in zip(ordered, await judge.scores_of_all(ordered), strict=True):
        won_first, won_second = scores or (0.5, 0.5)
        wins[first] += won_first
        wins[second] += won_second
    return [won / (2 * (n - 1)) for won in wins]


def _winner(completion: Completion, n: int, top: int) -> Judgement | None:  # noqa: ARG001 - two passages
    choice = read_choice(settled(completion), _LABELS)
    return None if choice is None else Judgement((1.0, 0.0) if choice == 0 else (0.0, 1.0))
