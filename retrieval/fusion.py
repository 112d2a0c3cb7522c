"""Fuses the legs of a query into one ranking; candidates keep the rank and score of each leg."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from storage.qdrant.contract import DENSE, LEXICAL
from storage.records import Candidate
from storage.vectors import Hit

# With a dense share of 0.6 to 0.7, fusion was never worse than the better leg on four test sets
# (docs/evaluation.md); reciprocal ranks were on three of them.
WEIGHTS: Mapping[str, float] = {DENSE: 0.65, LEXICAL: 0.35}


def fuse(
    legs: Mapping[str, Sequence[Hit]], *, limit: int, weights: Mapping[str, float] = WEIGHTS
) -> list[Candidate]:
    """Σ over legs of weight x score / best score: a convex combination (Bruch, Gai & Ingber 2023).

    `legs` maps a leg's name to its hits, best first; negative scores count as 0. A passage that a leg did not
    find gets that leg's lowest normalised score. Returns at most `limit` candidates, best first, with
    the rank and score of every leg that found it, and the fused ones as `retrieval`. Ties go to the better
    single rank, then to the id, so that the same hits always give the same order.
    """
    found = _with_legs(legs)
    fused = dict.fromkeys(found, 0.0)
    for leg, hits in legs.items():
        normalised = _by_best(hits)
        missing = min(normalised.values(), default=0.0)
        for id_ in fused:
            fused[id_] += weights[leg] * normalised.get(id_, missing)
    order = sorted(found.values(), key=lambda c: (-fused[c.id], min(c.ranks.values()), c.id))
    return [c.ranked("retrieval", rank, fused[c.id]) for rank, c in enumerate(order[:limit], start=1)]


def _with_legs(legs: Mapping[str, Sequence[Hit]]) -> dict[str, Candidate]:
    found: dict[str, Candidate] = {}
    for leg, hits in legs.items():
        for rank, hit in enumerate(hits, start=1):
            candidate = found.get(hit.chunk.id) or Candidate(hit.chunk)
            found[candidate.id] = candidate.ranked(leg, rank, hit.score)
    return found


def _by_best(hits: Sequence[Hit]) -> dict[str, float]:
    best = max((hit.score for hit in hits), default=0.0)
    return {hit.chunk.id: max(0.0, hit.score) / best if best > 0 else 0.0 for hit in hits}
