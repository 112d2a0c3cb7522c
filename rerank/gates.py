"""Gates: options by which any stage is left out, or drops what it scores too low."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rerank.base import flagged
from storage.records import Candidate, Ranking


@dataclass(frozen=True, slots=True)
class Gates:
    """`skip_if_margin`: leave the stage out where the stage before is sure, its score of the last candidate
    to be kept being so much above the next one's. `min_score`: drop what this stage scores below.
    """

    skip_if_margin: float | None = None
    min_score: float | None = None


def margin(candidates: Sequence[Candidate], keep: int, stage: str) -> float | None:
    """By how much `stage` scored the last to be kept above the next one; None where it cannot be said."""
    if not 0 < keep < len(candidates):
        return None
    last, following = (candidates[i].scores.get(stage) for i in (keep - 1, keep))
    return None if last is None or following is None else last - following


def above(ranking: Ranking, stage: str, min_score: float) -> Ranking:
    """The ranking without what `stage` scored below `min_score`; that comes first among the dropped.

    Where the stage gave no scores nothing is dropped, and the outcome is `partial`.
    """
    if not any(stage in candidate.scores for candidate in ranking.candidates):
        if not ranking.candidates:
            return ranking
        outcome = flagged(
            ranking.outcomes[-1], "partial", "min_score has no effect: the stage gave no scores"
        )
        return Ranking(ranking.candidates, (*ranking.outcomes[:-1], outcome), ranking.dropped)
    kept = tuple(c for c in ranking.candidates if c.scores.get(stage, min_score) >= min_score)
    below = tuple(c for c in ranking.candidates if c.scores.get(stage, min_score) < min_score)
    return Ranking(kept, ranking.outcomes, below + ranking.dropped)
