"""Fusing the legs of a query into one ranking. Both legs' ranks and scores stay with the candidate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from storage.records import Candidate
from storage.vectors import Hit

RRF_K = 60


def reciprocal_rank_fusion(
    legs: Mapping[str, Sequence[Hit]],
    *,
    limit: int,
    k: int = RRF_K,
    weights: Mapping[str, float] | None = None,
) -> list[Candidate]:
    """Σ over legs of weight / (k + rank) (Cormack, Clarke & Büttcher 2009).

    `legs` maps a leg's name to its hits, best first. Gives at most `limit` candidates, best first, each with
    the rank and score of every leg that found it, and `retrieval`, the fused ones. Ties go to the better
    single rank, then to the id, so that the same hits always give the same order.
    """
    weight = weights or {}
    found: dict[str, Candidate] = {}
    fused: dict[str, float] = {}
    for leg, hits in legs.items():
        for rank, hit in enumerate(hits, start=1):
            candidate = found.get(hit.chunk.id) or Candidate(hit.chunk)
            found[candidate.id] = candidate.ranked(leg, rank, hit.score)
            fused[candidate.id] = fused.get(candidate.id, 0.0) + weight.get(leg, 1.0) / (k + rank)
    order = sorted(found.values(), key=lambda c: (-fused[c.id], min(c.ranks.values()), c.id))
    return [c.ranked("retrieval", rank, fused[c.id]) for rank, c in enumerate(order[:limit], start=1)]
