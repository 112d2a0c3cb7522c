"""Fuses the legs of a query into one ranking; candidates keep the rank and score of each leg."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from storage.qdrant.contract import DENSE, LEXICAL
from storage.records import Candidate
from storage.vectors import Hit

# The leg of the passages that alone hold a code of the question. It outweighs both others.
CODE = "code"

# With a dense share of 0.6, fusion was never worse than the better leg (docs/evaluation.md).
WEIGHTS: Mapping[str, float] = {DENSE: 0.6, LEXICAL: 0.4, CODE: 1.0}


def fuse(legs: Mapping[str, Sequence[Hit]], *, limit: int) -> list[Candidate]:
    """Σ over legs of weight x share: a leg gives its hits shares of 1, by how far they lie above its floor.

    So a leg that singles out few passages gives each of them much, and its scale does not matter. `legs` maps
    a leg's name to its hits, best first, at most `limit`. A passage that a leg did not find gets nothing from
    it. Returns all candidates, best first, with the rank and score of every leg that found them, and the
    fused ones as `retrieval`. Ties go to the better single rank, then to the id, so that the same hits always
    give the same order.
    """
    found = _with_legs(legs)
    fused = dict.fromkeys(found, 0.0)
    for leg, hits in legs.items():
        for id_, share in _shares(hits, _floor(leg, hits, limit)).items():
            fused[id_] += WEIGHTS[leg] * share
    order = sorted(found.values(), key=lambda c: (-fused[c.id], min(c.ranks.values()), c.id))
    return [c.ranked("retrieval", rank, fused[c.id]) for rank, c in enumerate(order, start=1)]


def _with_legs(legs: Mapping[str, Sequence[Hit]]) -> dict[str, Candidate]:
    found: dict[str, Candidate] = {}
    for leg, hits in legs.items():
        for rank, hit in enumerate(hits, start=1):
            candidate = found.get(hit.chunk.id) or Candidate(hit.chunk)
            found[candidate.id] = candidate.ranked(leg, rank, hit.score)
    return found


def _floor(leg: str, hits: Sequence[Hit], limit: int) -> float:
    """The score that a passage has at best which the leg did not find.

    Lexical search that ended by itself left out only passages without a word of the question: 0. No cosine
    means that nothing is shared, so the last hit of a dense leg is its floor, wherever it ended.
    """
    cut = leg == DENSE or (leg == LEXICAL and len(hits) >= limit)
    return hits[-1].score if hits and cut else 0.0


def _shares(hits: Sequence[Hit], floor: float) -> dict[str, float]:
    """Equal where no hit lies above the floor, as with a single one."""
    total = sum(hit.score - floor for hit in hits)
    return {hit.chunk.id: (hit.score - floor) / total if total > 0 else 1 / len(hits) for hit in hits}
