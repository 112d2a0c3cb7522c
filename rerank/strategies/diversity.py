"""Diversity: passages that say the same take one place, and similar ones have to be more relevant.

Maximal marginal relevance (Carbonell & Goldstein 1998) over the passages' stored vectors: each place goes to
the passage of the highest (1 - weight) * relevance - weight * similarity to the nearest one that has a place.
Vectors are taken from the candidates' mean, since those of one question point into much the same direction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from anyio import to_thread
from pydantic import Field

from rerank.base import LocalStrategy, check_top_k, flagged, in_order
from rerank.options import read_options
from rerank.parts import RerankParts
from rerank.relevance import relevance
from rerank.spec import Value
from rerank.twins import ALIKE, folded, without_twins
from storage.reasons import Reason
from storage.records import Candidate, Outcome, Ranking
from storage.vectors import Floats, normalised


@dataclass(frozen=True, slots=True, kw_only=True)
class DiversityOptions:
    """`weight`: of dissimilarity, against relevance; 0 only folds. `alike`: the Jaccard similarity of
    trigrams from which passages of two files say the same; 1 folds nothing but equal ones.
    """

    weight: Annotated[float, Field(ge=0, le=1)] = 0.3
    alike: Annotated[float, Field(ge=0.5, le=1)] = ALIKE


class Diversity(LocalStrategy):
    """Of passages that say the same the newest stays, by the documents' `date`, or else the first.

    The others are dropped, and the outcome lists them.

    Where texts are ranked for somebody who brings their own, all are given back: twins come last, or with a
    weight of 0 where they are.
    """

    needs = "nothing; with a weight, the collection's vectors"
    declares = DiversityOptions
    scores = False

    def __init__(self, name: str, parts: RerankParts, options: DiversityOptions) -> None:
        self.name = name
        self._parts = parts
        self._options = options

    @classmethod
    def load(cls, parts: RerankParts, name: str, **options: Value) -> Diversity:
        return cls(name, parts, read_options(DiversityOptions, name, options))

    async def rerank(self, query: str, candidates: Sequence[Candidate], top_k: int) -> Ranking:  # noqa: ARG002
        check_top_k(top_k)
        return await to_thread.run_sync(self._ranked, candidates, top_k)

    def _ranked(self, candidates: Sequence[Candidate], top_k: int) -> Ranking:
        outcome = Outcome(self.name)
        if not self._options.weight and not self._parts.drop_twins:
            return in_order(self.name, [(one, None) for one in candidates], top_k, outcome)
        distance = None
        if self._options.weight and len(candidates) > 1:
            vectors, missing = self._vectors(candidates)
            distance = _Distance(relevance(candidates), vectors, self._options.weight)
            if missing:
                reason = Reason("rerank.without-vectors", count=missing, total=len(candidates))
                outcome = flagged(outcome, "ok", reason)
        places, twins = without_twins(candidates, top_k, self._options.alike, distance)
        if twins:
            outcome = flagged(outcome, "ok", folded(candidates, twins))
        settled = {*places, *twins}
        rest = [place for place in range(len(candidates)) if place not in settled]
        order = [*places, *rest, *twins]
        ranking = in_order(
            self.name, [(candidates[place], None) for place in order], len(order) or 1, outcome
        )
        kept = min(top_k, len(order) - len(twins) if self._parts.drop_twins else len(order))
        return Ranking(ranking.candidates[:kept], ranking.outcomes, ranking.candidates[kept:])

    def _vectors(self, candidates: Sequence[Candidate]) -> tuple[Floats, int]:
        """A vector for each candidate, zeros where there is none, and the number of those."""
        ids = [candidate.id for candidate in candidates]
        found = self._parts.scorer.dense_vectors(ids) if self._parts.scorer is not None else {}
        encoder = self._parts.encoder
        if encoder is not None and self._parts.scorer is None:
            legible = [c for c in candidates if c.chunk.legible and encoder.reads(c.chunk.encoded_text)]
            encoded = encoder.encode_passages([c.chunk.encoded_text for c in legible], tokens=False)
            found = {c.id: one.dense for c, one in zip(legible, encoded, strict=True)}
        width = len(next(iter(found.values()))) if found else 1
        rows = np.stack([found.get(one, np.zeros(width, np.float32)) for one in ids])
        known = np.array([one in found for one in ids])
        if known.any():
            rows[known] = normalised(rows[known] - rows[known].mean(axis=0))
        return rows, int((~known).sum())


class _Distance:
    """Marginal relevance of the candidates, given those that have a place."""

    def __init__(self, relevance: Sequence[float], vectors: Floats, weight: float) -> None:
        self._relevance = (1 - weight) * np.asarray(relevance)
        self._vectors = vectors
        self._weight = weight
        self._nearest = np.zeros(len(vectors))

    def best(self, left: Sequence[int]) -> int:
        """The position in `left` of the best; of equal ones the first."""
        return int(np.argmax((self._relevance - self._weight * self._nearest)[left]))

    def choose(self, place: int) -> None:
        """Note that this one has a place now."""
        self._nearest = np.maximum(self._nearest, self._vectors @ self._vectors[place])
