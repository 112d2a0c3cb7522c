"""Fuses lists of ranks and scores of the same candidates into one score for each.

`zscore` adds standardised scores. `max` divides every list by its best score instead (a convex combination:
Bruch, Gai & Ingber 2023); `rrf` is reciprocal rank fusion (Cormack et al. 2009), which needs only ranks. Raw
scales are never mixed.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from storage.records import Candidate, Ranking

FusionMethod = Literal["max", "rrf", "zscore"]


@dataclass(frozen=True, slots=True)
class ScoreList:
    """One of the fused lists: ranks from 1 and scores by candidate, for the candidates that it found."""

    name: str
    weight: float
    ranks: Mapping[str, int]
    scores: Mapping[str, float]

    @property
    def best(self) -> float:
        """The best score; 0 where there is none."""
        return max(self.scores.values(), default=0.0)


def list_of(candidates: Sequence[Candidate], stage: str, weight: float) -> ScoreList:
    """Return the list of a stage that the candidates have been through."""
    ranks = {c.id: c.ranks[stage] for c in candidates if stage in c.ranks}
    return ScoreList(stage, weight, ranks, {c.id: c.scores[stage] for c in candidates if stage in c.scores})


def member_list(ranking: Ranking) -> ScoreList:
    """Return the list of a ranking, by the places that it gives and the scores of its last stage."""
    stage = ranking.outcomes[-1].name
    places = {candidate.id: place for place, candidate in enumerate(ranking.everything, start=1)}
    return ScoreList(stage, 1.0, places, list_of(ranking.everything, stage, 1).scores)


def fused(
    candidates: Sequence[Candidate], lists: Sequence[ScoreList], method: FusionMethod, k: int
) -> tuple[list[float], list[ScoreList]]:
    """Return the fused score of each candidate, and the lists whose scores were of no use.

    Where none is of use, and with `rrf`, whose constant is `k`, ranks alone count.
    """
    if method == "rrf":
        return _by_rank(candidates, lists, k), []
    usable = [one for one in lists if one.scores and (method == "zscore" or one.best > 0)]
    unused = [one for one in lists if one not in usable]
    if not usable:
        return _by_rank(candidates, lists, k), unused
    weights = sum(one.weight for one in usable)
    # back on the first list's scale, so that a threshold for its scores holds for these
    first = usable[0].scores.values()
    if method == "zscore":
        start, unit = statistics.fmean(first), statistics.pstdev(first) / weights
        sums = _summed(candidates, usable, standardised)
    else:
        start, unit = 0.0, max(first) / weights
        sums = _summed(candidates, usable, _by_best)
    return [start + unit * score for score in sums], unused


def standardised(scores: Mapping[str, float]) -> dict[str, float]:
    """Return the scores with mean 0 and standard deviation 1; all 0 where they are equal."""
    if not scores:
        return {}
    mean, deviation = statistics.fmean(scores.values()), statistics.pstdev(scores.values())
    return {key: (score - mean) / deviation if deviation else 0.0 for key, score in scores.items()}


def _by_best(scores: Mapping[str, float]) -> dict[str, float]:
    """Divided by the best score, which is above 0; scores below 0 count as 0."""
    best = max(scores.values())
    return {key: max(0.0, score) / best for key, score in scores.items()}


def _by_rank(candidates: Sequence[Candidate], lists: Sequence[ScoreList], k: int) -> list[float]:
    return [sum(one.weight / (k + one.ranks[c.id]) for one in lists if c.id in one.ranks) for c in candidates]


def _summed(
    candidates: Sequence[Candidate],
    lists: Sequence[ScoreList],
    normalise: Callable[[Mapping[str, float]], Mapping[str, float]],
) -> list[float]:
    """Σ weight x normalised score; a candidate that a list did not score gets its lowest."""
    scaled = [(one.weight, normalise(one.scores)) for one in lists]
    return [sum(w * found.get(c.id, min(found.values())) for w, found in scaled) for c in candidates]
