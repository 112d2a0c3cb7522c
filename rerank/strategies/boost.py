"""Boost: passages that meet a filter count more, or less."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from rerank.base import LocalStrategy, by_score, check_top_k, flagged
from rerank.options import read_options
from rerank.parts import RerankParts
from rerank.relevance import relevance
from rerank.spec import Value
from storage.errors import BadInputError, SpecError
from storage.qdrant.conditions import Condition
from storage.qdrant.filters import parse_filter
from storage.qdrant.matching import matches
from storage.reasons import Reason
from storage.records import Candidate, Outcome, Ranking


@dataclass(frozen=True, slots=True, kw_only=True)
class BoostOptions:
    """`where`: a filter, as in `winnow ask --where`. `factor`: what relevance is multiplied by."""

    where: str = ""
    factor: Annotated[float, Field(gt=0)] = 2.0


class Boost(LocalStrategy):
    """Scores are relevance (0 to 1), times `factor` where the passage meets the filter."""

    needs = "a filter"
    declares = BoostOptions

    def __init__(self, name: str, condition: Condition, factor: float) -> None:
        self.name = name
        self._condition = condition
        self._factor = factor

    @classmethod
    def load(cls, parts: RerankParts, name: str, **options: Value) -> Boost:  # noqa: ARG003 - nothing is needed
        chosen = read_options(BoostOptions, name, options)
        if not chosen.where:
            raise SpecError(
                f"{name} needs a filter",
                way_out="""Say which passages: boost(where="lang = 'zh'",factor=2).""",
            )
        try:
            return cls(name, parse_filter(chosen.where), chosen.factor)
        except BadInputError as error:
            raise SpecError(f"{name}: {error}", way_out=error.way_out) from error

    async def rerank(self, query: str, candidates: Sequence[Candidate], top_k: int) -> Ranking:  # noqa: ARG002
        check_top_k(top_k)
        met = [matches(self._condition, candidate.chunk) for candidate in candidates]
        outcome = Outcome(self.name)
        if candidates and not any(met):
            outcome = flagged(outcome, "ok", Reason("rerank.nothing-boosted", total=len(candidates)))
        scores = [
            score * self._factor if own else score
            for score, own in zip(relevance(candidates), met, strict=True)
        ]
        return by_score(self.name, candidates, scores, top_k, outcome)
