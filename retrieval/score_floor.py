"""A floor under the candidates of a search: the cosine that the dense leg gives.

Of the scores at hand only this one means the same for every question: BM25 has no upper end, and a fused
score is relative to the best hit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from storage.qdrant.contract import DENSE
from storage.records import Candidate
from storage.vectors import Hit


@dataclass(frozen=True, slots=True)
class Floored:
    """The candidates that reach the floor, in their order, and what is to be said of the others."""

    candidates: list[Candidate]
    note: str


def floored(candidates: Sequence[Candidate], dense: Sequence[Hit], floor: float) -> Floored:
    """The candidates whose cosine is `floor` or more.

    What the dense leg did not find is no nearer than the last that it found, and goes with that one. What the
    encoder cannot read has no cosine, and stays.
    """
    last = min((hit.score for hit in dense), default=floor)
    kept = [one for one in candidates if not one.chunk.legible or one.scores.get(DENSE, last) >= floor]
    unread = sum(not one.chunk.legible for one in kept)
    cut = len(candidates) - len(kept)
    said = [f"{cut} of {len(candidates)} candidates lie below min_score {floor:g} (cosine)"] if cut else []
    if unread:
        said.append(f"{unread} that the encoder cannot read have no cosine and stay")
    return Floored(kept, "; ".join(said))
