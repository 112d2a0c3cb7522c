"""Setwise (Zhuang et al. 2024, arXiv 2310.09497): which of these passages is the most relevant?

A heap whose families are as large as one prompt sorts the best `k` out: O(N / (size − 1) + k log N) calls.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rerank.base import check_top_k, in_order, unchanged
from rerank.llm.judge import Court, Form, Judge, ModelOptions, Verdict, numbered
from rerank.llm.replies import read_choice
from rerank.options import at_least, read_options
from rerank.parts import RerankParts
from rerank.spec import Value
from rerank.strategies.heapsort import best_first, calls_of
from storage.chat import Completion
from storage.records import Candidate, Outcome, Ranking


@dataclass(frozen=True, slots=True, kw_only=True)
class SetwiseOptions(ModelOptions):
    """`size`: how many passages one prompt compares."""

    size: int = 10

    def __post_init__(self) -> None:
        ModelOptions.__post_init__(self)
        at_least(3, size=self.size)


class Setwise:
    """An order without scores."""

    needs = "a chat model"
    scores = False

    def __init__(self, court: Court, size: int) -> None:
        self.name = court.name
        self._court = court
        self._size = size

    @classmethod
    def load(cls, parts: RerankParts, name: str, **options: Value) -> Setwise:
        chosen = read_options(SetwiseOptions, name, options)
        return cls(Court.of(parts, name, chosen, Form("setwise", _chosen, lambda _n: 32)), chosen.size)

    @staticmethod
    def calls(n: int, k: int) -> int:
        return calls_of(n, k, SetwiseOptions().size - 1)

    async def rerank(self, query: str, candidates: Sequence[Candidate], top_k: int) -> Ranking:
        check_top_k(top_k)
        n = len(candidates)
        if n < 2:
            return in_order(self.name, [(c, None) for c in candidates], top_k, Outcome(self.name))
        async with self._court.judge(query, candidates) as judge:
            order = await best_first(n, min(top_k, n), self._size - 1, lambda numbers: _best(judge, numbers))
        outcome = judge.outcome()
        if outcome.status == "fallback":
            return unchanged(candidates, top_k, outcome)
        return in_order(self.name, [(candidates[i], None) for i in order], top_k, outcome)


async def _best(judge: Judge, numbers: Sequence[int]) -> int:
    """The best of a family, shown in the incoming order; without an answer, the earliest in that order."""
    family = tuple(sorted(numbers))
    scores = await judge.verdict(family)
    return family[0] if scores is None else family[scores.index(max(scores))]


def _chosen(completion: Completion, n: int, top: int) -> Verdict | None:  # noqa: ARG001 - one is chosen
    choice = read_choice(completion.text, numbered(n))
    return None if choice is None else Verdict(tuple(float(i == choice) for i in range(n)))
