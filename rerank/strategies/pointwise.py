"""Pointwise: each passage is judged alone, all concurrently. N calls.

Where the server gives label probabilities, the score is the expected relevance (Zhuang et al. 2023,
arXiv 2310.14122), which tells apart what the generated label calls equal. Otherwise the reply is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from rerank.base import by_score, check_top_k, unchanged
from rerank.llm.judge import Court, Form, ModelOptions, Verdict
from rerank.llm.replies import expected_number, expected_yes, read_number, read_yes_no
from rerank.options import at_least, read_options
from rerank.parts import RerankParts
from rerank.spec import Value
from storage.chat import Completion
from storage.records import Candidate, Outcome, Ranking

_LOGPROBS = 20  # as many as OpenAI's API gives


@dataclass(frozen=True, slots=True, kw_only=True)
class PointwiseOptions(ModelOptions):
    """`scale`: a number from 0 to `top`, or yes/no (scores 0 to 1). `logprobs=false` never asks for them."""

    scale: Literal["number", "yes-no"] = "number"
    top: int = 10
    logprobs: bool = True

    def __post_init__(self) -> None:
        ModelOptions.__post_init__(self)
        at_least(1, top=self.top)


class Pointwise:
    """Scores lie in 0 to `top` (yes/no: 0 to 1). A passage without a verdict has none, and follows."""

    needs = "a chat model"

    def __init__(self, court: Court, top: int) -> None:
        self.name = court.name
        self._court = court
        self._top = top

    @classmethod
    def load(cls, parts: RerankParts, name: str, **options: Value) -> Pointwise:
        chosen = read_options(PointwiseOptions, name, options)
        template, read = ("pointwise", _number) if chosen.scale == "number" else ("yesno", _yes_no)
        form = Form(template, read, lambda _n: 32, top_logprobs=_LOGPROBS if chosen.logprobs else 0)
        return cls(Court.of(parts, name, chosen, form), chosen.top)

    @staticmethod
    def calls(n: int, k: int) -> int:  # noqa: ARG004 - every passage is judged
        return n

    async def rerank(self, query: str, candidates: Sequence[Candidate], top_k: int) -> Ranking:
        check_top_k(top_k)
        if not candidates:
            return Ranking((), (Outcome(self.name),))
        async with self._court.judge(query, candidates) as judge:
            verdicts = await judge.verdicts([(i,) for i in range(len(candidates))], self._top)
        outcome = judge.outcome()
        if outcome.status == "fallback":
            return unchanged(candidates, top_k, outcome)
        scores = [verdict[0] if verdict else None for verdict in verdicts]
        return by_score(self.name, candidates, scores, top_k, outcome)


def _number(completion: Completion, n: int, top: int) -> Verdict | None:  # noqa: ARG001 - one passage
    expected = None if completion.first_token is None else expected_number(completion.first_token, top)
    return _verdict(read_number(completion.text, top) if expected is None else expected)


def _yes_no(completion: Completion, n: int, top: int) -> Verdict | None:  # noqa: ARG001 - one passage
    expected = None if completion.first_token is None else expected_yes(completion.first_token)
    return _verdict(read_yes_no(completion.text) if expected is None else expected)


def _verdict(score: float | None) -> Verdict | None:
    return None if score is None else Verdict((score,))
