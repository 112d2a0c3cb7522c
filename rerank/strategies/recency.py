"""Recency: newer passages first, as far as they are relevant.

Exponential decay: a passage one half-life older than the newest candidate counts half as much for its age.
Ages are taken from the newest candidate and not from the clock, so that a replay gives the same ranking.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated

from pydantic import Field

from rerank.base import LocalStrategy, by_score, check_top_k, flagged
from rerank.options import read_options
from rerank.parts import RerankParts
from rerank.relevance import relevance
from rerank.spec import Value
from storage.qdrant.matching import moment
from storage.reasons import Reason
from storage.records import Candidate, Outcome, Ranking

_DAY_S = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RecencyOptions:
    """`field`: of the documents' metadata, a date ("2024-01-31") or a number (a year, a version).
    `half_life`: in days for dates, otherwise in the numbers' own unit. `weight`: what age takes away at most.
    """

    field: str = "date"
    half_life: Annotated[float, Field(gt=0)] = 365.0
    weight: Annotated[float, Field(ge=0, le=1)] = 0.5


class Recency(LocalStrategy):
    """Scores are relevance (0 to 1) * (1 - weight + weight * 2^(-age / half_life)).

    A passage without the field counts as one half-life old, and the outcome says how many there are.
    """

    needs = "dates in the documents' metadata"
    declares = RecencyOptions

    def __init__(self, name: str, options: RecencyOptions) -> None:
        self.name = name
        self._options = options

    @classmethod
    def load(cls, parts: RerankParts, name: str, **options: Value) -> Recency:  # noqa: ARG003 - nothing is needed
        return cls(name, read_options(RecencyOptions, name, options))

    async def rerank(self, query: str, candidates: Sequence[Candidate], top_k: int) -> Ranking:  # noqa: ARG002
        check_top_k(top_k)
        times = [_time(candidate, self._options.field) for candidate in candidates]
        known = [time for time in times if time is not None]
        outcome = Outcome(self.name)
        if lost := len(times) - len(known):
            reason = Reason("rerank.field-missing", field=self._options.field, count=lost, total=len(times))
            outcome = flagged(outcome, "ok" if known else "partial", reason)
        newest = max(known, default=0.0)
        scores = [
            score * self._factor(1.0 if time is None else (newest - time) / self._options.half_life)
            for score, time in zip(relevance(candidates), times, strict=True)
        ]
        return by_score(self.name, candidates, scores, top_k, outcome)

    def _factor(self, half_lives: float) -> float:
        weight = self._options.weight
        return float(1.0 - weight + weight * 0.5**half_lives)


def _time(candidate: Candidate, field: str) -> float | None:
    """The field as days since 1970, or as the number that it is; None where it is neither."""
    value = candidate.chunk.metadata.get(field.removeprefix("metadata."))
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int | float):
        return float(value)
    found = moment(value)
    return None if found is None else (found - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() / _DAY_S
