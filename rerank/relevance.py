"""Turns the scores of earlier stages into numbers that later ones can weigh."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from storage.records import Candidate


def relevance(candidates: Sequence[Candidate]) -> list[float]:
    """From 0 to 1, never rising along the incoming order: what the last stage with scores gave.

    Scores beyond 0 to 1 are stretched to it. A score above that of a candidate before it counts as that
    one's: the order is what the stage decided, and a stage may mix scales. Without scores, places count:
    1, 1/2, 1/3 …
    """
    stages = [list(candidate.scores) for candidate in candidates]
    last = next((names[-1] for names in stages if names), None)
    if last is None:
        return [1 / place for place in range(1, len(candidates) + 1)]
    found = [candidate.scores.get(last) for candidate in candidates]
    known = [score for score in found if score is not None]
    low, high = min(0.0, *known), max(1.0, *known)
    if low < 0 or high > 1:
        low, high = min(known), max(known)
    width = (high - low) or 1.0
    scaled = [0.0 if score is None else (score - low) / width for score in found]
    return list(accumulate(scaled, min))
