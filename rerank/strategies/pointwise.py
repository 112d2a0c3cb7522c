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
from rerank.options import read_options
from rerank.parts import RerankParts
from rerank.spec import Value
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

    @classmethod
    def load(cls, parts: RerankParts, name: str, **options: Value) -> Pointwise:
        chosen = read_options(PointwiseOptions, name, options)
        template, read = ("pointwise", _number) if chosen.scale == "number" else ("yesno", _yes_no)
        logprobs = _LOGPROBS if chosen.logprobs else 0
        yes_no = chosen.scale == "yes-no"
        prompt = JudgementPrompt(
            template,
            read,
            lambda _n: 32,
            top_logprobs=logprobs,
            verdicts=lambda _n, top: ("yes", "no") if yes_no else range(top + 1),
        )
        return cls(parts, name, chosen, prompt)

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
