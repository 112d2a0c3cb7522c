"""Pointwise: each passage is judged alone, all concurrently. N calls.

Where the server gives label probabilities, the score is the expected relevance (Zhuang et al. 2023,
arXiv 2310.14122), which separates passages of the same generated label. Otherwise the reply is read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from rerank.llm.judge import Judgement, JudgementPrompt, LLMStage, ModelOptions, PassageJudge
from rerank.llm.replies import expected_number, expected_yes, read_number, read_yes_no, settled
from storage.chat import Completion
from storage.records import Ranking

_LOGPROBS = 20  # as many as OpenAI's API gives


@dataclass(frozen=True, slots=True, kw_only=True)
class PointwiseOptions(ModelOptions):
    """`scale`: a number from 0 to `top`, or yes/no (scores 0 to 1). `logprobs=false` never requests them."""

    scale: Literal["number", "yes-no"] = "number"
    top: Annotated[int, Field(ge=1)] = 10
    logprobs: bool = True


class Pointwise(LLMStage[PointwiseOptions]):
    """Scores lie in 0 to `top` (yes/no: 0 to 1). Passages without a judgement follow the others."""

    declares = PointwiseOptions
    fewest = 1

    def asks(self) -> JudgementPrompt:
        yes_no = self.options.scale == "yes-no"
        return JudgementPrompt(
            "yesno" if yes_no else "pointwise",
            _yes_no if yes_no else _number,
            lambda _n: 32,
            top_logprobs=_LOGPROBS if self.options.logprobs else 0,
            verdicts=lambda _n, top: ("yes", "no") if yes_no else range(top + 1),
        )

    @staticmethod
    def calls(n: int, k: int) -> int:  # noqa: ARG004 - every passage is judged
        return n

    async def rank(self, judge: PassageJudge, n: int, top_k: int) -> Ranking:
        judged = await judge.scores_of_all([(i,) for i in range(n)], self.options.top)
        return await judge.by_score([scores[0] if scores else None for scores in judged], top_k)


def _number(completion: Completion, n: int, top: int) -> Judgement | None:  # noqa: ARG001 - one passage
    expected = None if completion.first_token is None else expected_number(completion.first_token, top)
    return _judgement(read_number(settled(completion), top) if expected is None else expected)


def _yes_no(completion: Completion, n: int, top: int) -> Judgement | None:  # noqa: ARG001 - one passage
    expected = None if completion.first_token is None else expected_yes(completion.first_token)
    return _judgement(read_yes_no(settled(completion)) if expected is None else expected)


def _judgement(score: float | None) -> Judgement | None:
    return None if score is None else Judgement((score,))
