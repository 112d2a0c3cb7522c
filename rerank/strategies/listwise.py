"""Listwise: the model orders a window of passages at once (RankGPT: Sun et al. 2023, arXiv 2304.09542).

A window of `window` passages slides from the back to the front by `step` and carries the best forward: 1 +
⌈(N − window) / step⌉ calls per pass. With `permutations=m` the orders of m shuffles are averaged (permutation
self-consistency: Tang et al. 2024, arXiv 2310.07712), which removes the model's position bias.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Annotated

import anyio
from pydantic import Field

from rerank.base import flagged
from rerank.llm.judge import Judgement, JudgementPrompt, LLMStage, ModelOptions, PassageJudge
from rerank.llm.permutations import read_permutation
from rerank.parts import RerankParts
from storage.chat import Completion
from storage.reasons import Reason
from storage.records import Ranking

SCHEMA = {
    "type": "object",
    "properties": {"ranking": {"type": "array", "items": {"type": "integer"}}},
    "required": ["ranking"],
    "additionalProperties": False,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ListwiseOptions(ModelOptions):
    """`window`: the number of passages in one prompt; `step`: how far it slides. `seed` chooses the shuffles
    of `permutations`; the first of them is the incoming order itself.
    """

    window: Annotated[int, Field(ge=2)] = 20
    step: Annotated[int, Field(ge=1)] = 10
    passes: Annotated[int, Field(ge=1)] = 1
    permutations: Annotated[int, Field(ge=1)] = 1
    seed: int = 0

    def __post_init__(self) -> None:
        if self.step >= self.window:
            raise ValueError(
                f"step={self.step} must be smaller than window={self.window}, so that windows overlap"
            )


class Listwise(LLMStage[ListwiseOptions]):
    """One permutation gives an order without scores; several give the mean rank as a score from 0 to 1."""

    declares = ListwiseOptions

    def __init__(self, parts: RerankParts, name: str, options: ListwiseOptions) -> None:
        super().__init__(parts, name, options)
        self.scores = options.permutations > 1

    def asks(self) -> JudgementPrompt:
        return JudgementPrompt("listwise", _order, lambda n: 16 + 6 * n, schema=SCHEMA)

    @staticmethod
    def calls(n: int, k: int) -> int:  # noqa: ARG004 - a pass sees every passage
        return len(list(windows(n, ListwiseOptions().window, ListwiseOptions().step)))

    async def rank(self, judge: PassageJudge, n: int, top_k: int) -> Ranking:
        orders = [self._start(i, n) for i in range(self.options.permutations)]
        async with anyio.create_task_group() as tasks:
            for order in orders:
                tasks.start_soon(self._sort, judge, order)
        if len(orders) == 1:
            ranking = await judge.in_order(orders[0], top_k)
        else:
            ranking = await judge.by_score(_mean_ranks(orders), top_k)
        return self._with_reach(ranking, n, top_k)

    def _start(self, permutation: int, n: int) -> list[int]:
        order = list(range(n))
        if permutation:
            Random(f"{self.options.seed}/{permutation}").shuffle(order)
        return order

    async def _sort(self, judge: PassageJudge, order: list[int]) -> None:
        for _ in range(self.options.passes):
            for start, end in windows(len(order), self.options.window, self.options.step):
                group = tuple(order[start:end])
                scores = await judge.scores_of(group)
                if scores is not None:
                    ranked = sorted(zip(group, scores, strict=True), key=lambda pair: -pair[1])
                    order[start:end] = [i for i, _ in ranked]

    def _with_reach(self, ranking: Ranking, n: int, top_k: int) -> Ranking:
        """A pass carries `window - step` passages to the front: the outcome mentions it if too few."""
        carried = (self.options.window - self.options.step) * self.options.passes
        if top_k >= n or n <= self.options.window or carried >= top_k:
            return ranking
        reason = Reason("rerank.windows-carry-too-few", carried=carried, wanted=top_k)
        return replace(ranking, outcomes=(flagged(ranking.outcomes[0], "ok", reason),))


def windows(n: int, window: int, step: int) -> Iterator[tuple[int, int]]:
    """Windows over `n` places from the back to the front, each as (start, end); together they cover all."""
    for number in range(1 + math.ceil(max(0, n - window) / step)):
        start = max(0, n - window - number * step)
        yield start, min(n, start + window)


def _order(completion: Completion, n: int, top: int) -> Judgement | None:  # noqa: ARG001 - all are ordered
    found = read_permutation(completion.text, n, cut=bool(completion.cut))
    if found is None:
        return None
    scores = [0.0] * n
    for rank, i in enumerate(found.order):
        scores[i] = float(n - rank)
    return Judgement(tuple(scores), found.defects)


def _mean_ranks(orders: Sequence[Sequence[int]]) -> list[float]:
    """The Borda count as a share: 1 for a passage that every order puts first, 0 for always last."""
    n = len(orders[0])
    total = [0] * n
    for order in orders:
        for rank, i in enumerate(order):
            total[i] += n - 1 - rank
    return [points / (len(orders) * (n - 1)) for points in total]
