"""Fusion: the retrieval order and other rerankers, put together, so that no single one decides.

`rrf` is reciprocal rank fusion (Cormack et al. 2009), which needs ranks alone. `zscore` adds standardised
scores: raw scales are never mixed.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import anyio

from rerank.base import Reranker, by_score, check_top_k, flagged, unchanged
from rerank.options import at_least, read_options
from rerank.parts import RerankParts
from rerank.spec import Spec, Value
from storage.errors import SpecError
from storage.records import Candidate, Outcome, Ranking


@dataclass(frozen=True, slots=True, kw_only=True)
class FusionOptions:
    """`of`: specs, separated by `;`. `retrieval`: the weight of the incoming order; each of `of` has 1."""

    of: str = "late-interaction"
    method: Literal["rrf", "zscore"] = "rrf"
    k: int = 60
    retrieval: float = 1.0

    def __post_init__(self) -> None:
        at_least(1, k=self.k)
        at_least(0, retrieval=self.retrieval)


class Fusion:
    """Runs its members concurrently over all candidates. One that falls back is left out, and flagged."""

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
    def calls(n: int, k: int) -> int:  # noqa: ARG004 - its default member calls nobody
        return 0

    async def rerank(self, query: str, candidates: Sequence[Candidate], top_k: int) -> Ranking:
        check_top_k(top_k)
        if not candidates:
            return Ranking((), (Outcome(self.name),))
        rankings = await self._all(query, candidates)
        useful = [ranking for ranking in rankings if ranking.outcome.status != "fallback"]
        outcome = Outcome(self.name)
        members = tuple(o for ranking in rankings for o in ranking.outcomes)
        if not useful:
            outcome = flagged(outcome, "fallback", "every member fell back")
            ranking = unchanged(candidates, top_k, outcome)
        else:
            if len(useful) < len(rankings):
                outcome = flagged(outcome, "partial", f"{len(rankings) - len(useful)} members fell back")
            if self._options.method == "rrf":
                scores = self._by_rank(candidates, useful)
            else:
                scores, outcome = self._by_score(candidates, useful, outcome)
            ranking = by_score(self.name, _merged(candidates, useful), scores, top_k, outcome)
        return Ranking(ranking.candidates, (*members, *ranking.outcomes), ranking.dropped)

    async def _all(self, query: str, candidates: Sequence[Candidate]) -> list[Ranking]:
        rankings: list[Ranking | None] = [None] * len(self._members)

        async def run(place: int) -> None:
            rankings[place] = await self._members[place].rerank(query, candidates, len(candidates))

        async with anyio.create_task_group() as tasks:
            for place in range(len(self._members)):
                tasks.start_soon(run, place)
        return [ranking for ranking in rankings if ranking is not None]

    def _by_rank(self, candidates: Sequence[Candidate], rankings: Sequence[Ranking]) -> list[float]:
        orders = [(self._options.retrieval, _places(candidates))]
        orders += [(1.0, _places(ranking.everything)) for ranking in rankings]
        return [sum(w / (self._options.k + place[c.id]) for w, place in orders) for c in candidates]

    def _by_score(
        self, candidates: Sequence[Candidate], rankings: Sequence[Ranking], outcome: Outcome
    ) -> tuple[list[float], Outcome]:
        stages = [ranking.outcomes[-1].name for ranking in rankings]
        scored = [(1.0, {c.id: c.scores[stage] for c in ranking.everything if stage in c.scores})
                  for stage, ranking in zip(stages, rankings, strict=True)]  # fmt: skip
        retrieval = {c.id: c.scores["retrieval"] for c in candidates if "retrieval" in c.scores}
        scored.append((self._options.retrieval, retrieval))
        for stage, (_, scores) in zip([*stages, "retrieval"], scored, strict=True):
            if not scores and (stage != "retrieval" or self._options.retrieval):
                outcome = flagged(outcome, "partial", f"{stage} gives no scores and is left out")
        standard = [(weight, _standardised(scores)) for weight, scores in scored if scores]
        return [sum(w * z.get(c.id, min(z.values())) for w, z in standard) for c in candidates], outcome


def _places(candidates: Sequence[Candidate]) -> dict[str, int]:
    return {candidate.id: place for place, candidate in enumerate(candidates, start=1)}


def _standardised(scores: Mapping[str, float]) -> dict[str, float]:
    """Mean 0, standard deviation 1; all 0 where the scores are equal."""
    mean, deviation = statistics.fmean(scores.values()), statistics.pstdev(scores.values())
    return {key: (score - mean) / deviation if deviation else 0.0 for key, score in scores.items()}


def _merged(candidates: Sequence[Candidate], rankings: Sequence[Ranking]) -> list[Candidate]:
    """The candidates in their own order, with every member's ranks and scores."""
    seen = [{candidate.id: candidate for candidate in ranking.everything} for ranking in rankings]
    return [_joined([candidate, *(found[candidate.id] for found in seen)]) for candidate in candidates]


def _joined(versions: Sequence[Candidate]) -> Candidate:
    ranks: dict[str, int] = {}
    scores: dict[str, float] = {}
    evidence: dict[str, tuple[int, int]] = {}
    for version in versions:
        ranks |= version.ranks
        scores |= version.scores
        evidence |= version.evidence
    return Candidate(versions[0].chunk, ranks, scores, evidence)
