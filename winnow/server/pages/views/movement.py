"""Sum up in one sentence's worth of figures what reranking changed, computed from the ranks alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from storage.records import AROUND_RERANK, Answer, Outcome, retrieval_stages

Kind = Literal["nothing-found", "nothing-kept", "not-asked", "fell-back", "lifted", "reordered", "unmoved"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Movement:
    """Of `retrieved` candidates `kept` are final; retrieval had `lifted` of these below the first `kept`.

    `place` and `was` are the final rank and the retrieval rank of the lifted one that rose furthest, 0 where
    there is none. `cited` counts the lifted ones that the answer cites.
    """

    kind: Kind
    retrieved: int
    kept: int
    lifted: int = 0
    place: int = 0
    was: int = 0
    cited: int = 0


def rerank_stages(answer: Answer) -> list[Outcome]:
    """Return the stages of the chain in order, without those that ran side by side inside another."""
    names = {stage.name for stage in answer.stages}
    return [
        stage
        for stage in answer.stages
        if stage.name not in AROUND_RERANK and stage.name.rpartition(".")[0] not in names
    ]


def ranking_stages(answer: Answer) -> list[str]:
    """Return the names of the stages that ranked candidates, retrieval's legs first."""
    reranks = [stage.name for stage in answer.stages if stage.name not in AROUND_RERANK]
    names = [*retrieval_stages(answer.candidates), *reranks]
    return [name for name in names if any(name in candidate.ranks for candidate in answer.candidates)]


def movement(answer: Answer) -> Movement:
    """Compare retrieval's order with the final one."""
    final = answer.final
    before = [candidate.ranks.get("retrieval") for candidate in final]
    lifted = [
        (candidate, place, was)
        for place, (candidate, was) in enumerate(zip(final, before, strict=True), start=1)
        if was is not None and was > len(final)
    ]
    cited = {citation.chunk_id for citation in answer.citations}
    _, place, was = max(lifted, key=lambda one: one[2] - one[1], default=(None, 0, 0))
    return Movement(
        kind=_kind(answer, before, lifted=bool(lifted)),
        retrieved=len(answer.candidates),
        kept=len(final),
        lifted=len(lifted),
        place=place,
        was=was,
        cited=sum(candidate.id in cited for candidate, _, _ in lifted),
    )


def _kind(answer: Answer, before: list[int | None], *, lifted: bool) -> Kind:
    reranks = rerank_stages(answer)
    if not answer.candidates:
        return "nothing-found"
    if not before:
        return "nothing-kept"
    if lifted:
        return "lifted"
    known = [rank for rank in before if rank is not None]
    if known != sorted(known):
        return "reordered"
    if all(stage.name.partition("#")[0] == "none" for stage in reranks):
        return "not-asked"
    return "fell-back" if all(stage.status == "fallback" for stage in reranks) else "unmoved"
