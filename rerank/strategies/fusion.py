"""Fusion: combines the legs of retrieval and other rerankers, so that no single one decides.

By default late interaction with half of each leg, every list divided by its best score (a convex
combination: Bruch, Gai & Ingber 2023): better than late interaction alone in nDCG@10 and MRR@10 on seven sets
(docs/evaluation.md). `rrf` is reciprocal rank fusion (Cormack et al. 2009), which needs only ranks; `zscore`
adds standardised scores. Raw scales are never mixed.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, Literal

from pydantic import Field

from rerank.base import Reranker, by_score, check_top_k, flagged, gathered, unchanged
from rerank.options import read_options
from rerank.parts import RerankParts
from rerank.spec import Spec, Value
from storage.errors import SpecError
from storage.reasons import Reason
from storage.records import Candidate, Outcome, Ranking

_LEGS = ("dense", "lexical")


@dataclass(frozen=True, slots=True, kw_only=True)
class FusionOptions:
    """`of`: specs, separated by `;`, each with weight 1. `dense`, `lexical`: the weights of the legs; a leg
    that searched alone counts half.

    `retrieval`: the weight of the incoming order (`rrf`), or of retrieval's scores (`max`, `zscore`).
    `k`: the constant of `rrf`.
    """

    of: str = "late-interaction"
    method: Literal["max", "rrf", "zscore"] = "max"
    dense: Annotated[float, Field(ge=0)] = 0.5
    lexical: Annotated[float, Field(ge=0)] = 0.5
    retrieval: Annotated[float, Field(ge=0)] = 0.0
    k: Annotated[int, Field(ge=1)] = 60


@dataclass(frozen=True, slots=True)
class _List:
    """One of the fused lists: ranks from 1 and scores by candidate, for the candidates that it found."""

    name: str
    weight: float
    ranks: Mapping[str, int]
    scores: Mapping[str, float]


class Fusion:
    """Runs its members concurrently over all candidates. A member that falls back is left out and flagged."""

    needs = "what its members need"

    def __init__(self, name: str, members: Sequence[Reranker], options: FusionOptions) -> None:
        self.name = name
        self._members = members
        self._options = options

    @classmethod
    def load(cls, parts: RerankParts, name: str, **options: Value) -> Fusion:
        from rerank.chain import Chain  # a chain may hold a fusion, which holds chains

        chosen = read_options(FusionOptions, name, options)
        specs = [Spec.parse(text) for text in chosen.of.split(";")]
        if len({spec.stages[-1].name for spec in specs}) < len(specs):
            raise SpecError(f"{name}: two members of `of` end in the same strategy")
        return cls(name, [Chain.load(spec, parts, prefix=f"{name}.") for spec in specs], chosen)

    @staticmethod
    def calls(n: int, k: int) -> int:  # noqa: ARG004 - its default member asks nothing over the network
        return 0

    async def rerank(self, query: str, candidates: Sequence[Candidate], top_k: int) -> Ranking:
        check_top_k(top_k)
        if not candidates:
            return Ranking((), (Outcome(self.name),))
        n = len(candidates)
        rankings = await gathered([partial(one.rerank, query, candidates, n) for one in self._members])
        useful = [ranking for ranking in rankings if ranking.outcome.status != "fallback"]
        outcome = Outcome(self.name)
        members = tuple(o for ranking in rankings for o in ranking.outcomes)
        if not useful:
            reasons = Reason.all(ranking.outcomes[-1].reason for ranking in rankings)
            ranking = unchanged(candidates, top_k, Outcome(self.name, "fallback", reasons))
        else:
            if lost := len(rankings) - len(useful):
                outcome = flagged(outcome, "partial", Reason("rerank.members-fell-back", count=lost))
            scores, outcome = self._fused(candidates, useful, outcome)
            ranking = by_score(self.name, _merged(candidates, useful), scores, top_k, outcome)
        return Ranking(ranking.candidates, (*members, *ranking.outcomes), ranking.dropped)

    def _fused(
        self, candidates: Sequence[Candidate], rankings: Sequence[Ranking], outcome: Outcome
    ) -> tuple[list[float], Outcome]:
        incoming = self._incoming(candidates)
        lists = [_member_list(ranking) for ranking in rankings] + incoming
        if len(lists) == 1:
            outcome = flagged(outcome, "ok", Reason("rerank.nothing-to-fuse"))
        if self._options.method == "rrf":
            return _by_rank(candidates, lists, self._options.k), outcome
        usable = [one for one in lists if one.scores and (self._options.method == "zscore" or _best(one) > 0)]
        for one in lists:
            if one not in usable:
                reason = Reason("rerank.list-without-scores", list=one.name)
                outcome = flagged(outcome, "partial", reason)
        if not usable:
            return _by_rank(candidates, lists, self._options.k), outcome
        if self._options.method == "zscore":
            return _summed(candidates, usable, _standardised), outcome
        # back on the first list's scale, so that a threshold for its scores holds for these
        scale = _best(usable[0]) / sum(one.weight for one in usable)
        return [scale * score for score in _summed(candidates, usable, _by_best)], outcome

    def _incoming(self, candidates: Sequence[Candidate]) -> list[_List]:
        """The candidates' own lists. Where only one leg searched, that one counts half."""
        legs = [_list_of(candidates, leg, getattr(self._options, leg)) for leg in _LEGS]
        found = [one for one in legs if one.ranks]
        if len(found) == 1:  # docs/evaluation.md
            found = [replace(found[0], weight=found[0].weight / 2)]
        places = {candidate.id: place for place, candidate in enumerate(candidates, start=1)}
        scores = _list_of(candidates, "retrieval", 1).scores
        found.append(_List("retrieval", self._options.retrieval, places, scores))
        return [one for one in found if one.weight and one.ranks]


def _list_of(candidates: Sequence[Candidate], stage: str, weight: float) -> _List:
    ranks = {c.id: c.ranks[stage] for c in candidates if stage in c.ranks}
    return _List(stage, weight, ranks, {c.id: c.scores[stage] for c in candidates if stage in c.scores})


def _member_list(ranking: Ranking) -> _List:
    stage = ranking.outcomes[-1].name
    places = {candidate.id: place for place, candidate in enumerate(ranking.everything, start=1)}
    return _List(stage, 1.0, places, _list_of(ranking.everything, stage, 1).scores)


def _best(found: _List) -> float:
    return max(found.scores.values(), default=0.0)


def _by_rank(candidates: Sequence[Candidate], lists: Sequence[_List], k: int) -> list[float]:
    return [sum(one.weight / (k + one.ranks[c.id]) for one in lists if c.id in one.ranks) for c in candidates]


def _summed(
    candidates: Sequence[Candidate],
    lists: Sequence[_List],
    normalise: Callable[[Mapping[str, float]], Mapping[str, float]],
) -> list[float]:
    """Σ weight x normalised score; a candidate that a list did not score gets its lowest."""
    scaled = [(one.weight, normalise(one.scores)) for one in lists]
    return [sum(w * found.get(c.id, min(found.values())) for w, found in scaled) for c in candidates]


def _by_best(scores: Mapping[str, float]) -> dict[str, float]:
    """Divided by the best score, which is above 0; scores below 0 count as 0."""
    best = max(scores.values())
    return {key: max(0.0, score) / best for key, score in scores.items()}


def _standardised(scores: Mapping[str, float]) -> dict[str, float]:
    """Mean 0, standard deviation 1; all 0 where the scores are equal."""
    mean, deviation = statistics.fmean(scores.values()), statistics.pstdev(scores.values())
    return {key: (score - mean) / deviation if deviation else 0.0 for key, score in scores.items()}


def _merged(candidates: Sequence[Candidate], rankings: Sequence[Ranking]) -> list[Candidate]:
    """The candidates in their own order, with every member's ranks and scores."""
    merged = list(candidates)
    for ranking in rankings:
        ranked = {candidate.id: candidate for candidate in ranking.everything}
        merged = [_joined(candidate, ranked[candidate.id]) for candidate in merged]
    return merged


def _joined(one: Candidate, other: Candidate) -> Candidate:
    return replace(
        one,
        ranks={**one.ranks, **other.ranks},
        scores={**one.scores, **other.scores},
        evidence={**one.evidence, **other.evidence},
    )
