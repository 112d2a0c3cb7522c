"""How alike two rankings are."""

from __future__ import annotations

from collections.abc import Sequence

# The usual persistence: the first five places carry about two thirds of the weight.
PERSISTENCE = 0.9


def overlap(one: Sequence[str], other: Sequence[str]) -> float:
    """The share (0 to 1) of the longer ranking that stands in both; 1 for two empty ones."""
    longer = max(len(one), len(other))
    return len(set(one) & set(other)) / longer if longer else 1.0


def rank_biased_overlap(one: Sequence[str], other: Sequence[str], p: float = PERSISTENCE) -> float:
    """Extrapolated rank-biased overlap, RBO_ext (Webber, Moffat & Zobel 2010, eq. 23), for equal depths.

    0 (nothing shared) to 1 (the same); the top weighs most. Rankings of unequal length are compared to the
    shorter one's depth; two empty ones are the same.
    """
    depth = min(len(one), len(other))
    if depth == 0:
        return 1.0 if len(one) == len(other) else 0.0
    shared = [len(set(one[:d]) & set(other[:d])) for d in range(1, depth + 1)]
    weighted = sum(count / d * p**d for d, count in enumerate(shared, start=1))
    return shared[-1] / depth * p**depth + (1 - p) / p * weighted
