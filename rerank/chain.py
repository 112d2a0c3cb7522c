"""A chain of rerank stages, itself a Reranker: `cross-encoder:20,listwise:5` is the cascade 50 → 20 → 5.

A stage that fails is stepped over: the chain goes on from the stage before, and the outcome says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Literal

from rerank.base import Reranker, check_top_k, unchanged
from rerank.parts import RerankParts
from rerank.registry import strategy
from rerank.spec import Spec
from storage.errors import StageError, WinnowError
from storage.records import Candidate, Outcome, Ranking

OnFailure = Literal["fallback", "raise"]


@dataclass(frozen=True, slots=True)
class Link:
    """One stage, ready to run; `keep` None keeps all (the last stage: `top_k`)."""

    reranker: Reranker
    keep: int | None = None


class Chain:
    """Runs its stages one after the other, each over what the stage before kept.

    What a later stage drops comes before what an earlier one dropped. With `on_failure="raise"` a failing
    stage raises StageError instead.
    """

    name = "chain"

    def __init__(self, links: Sequence[Link], *, on_failure: OnFailure = "fallback") -> None:
        self._links = tuple(links)
        self._on_failure = on_failure

    @classmethod
    def load(cls, spec: Spec, parts: RerankParts) -> Chain:
        """The chain of a spec. Raises SpecError for what the spec names and nobody offers."""
        links = []
        for name, stage in zip(spec.names, spec.stages, strict=True):
            reranker = strategy(stage.name).load(parts, name, **dict(stage.options))
            links.append(Link(reranker, stage.keep))
        return cls(links, on_failure=parts.on_failure)

    async def rerank(self, query: str, candidates: Sequence[Candidate], top_k: int) -> Ranking:
        check_top_k(top_k)
        kept, dropped = tuple(candidates), tuple[Candidate, ...]()
        outcomes: tuple[Outcome, ...] = ()
        for position, link in enumerate(self._links, start=1):
            keep = self._keep(link, last=position == len(self._links), top_k=top_k, available=len(kept))
            ranking = await self._run(link.reranker, query, kept, keep)
            kept, dropped = ranking.candidates, ranking.dropped + dropped
            outcomes += ranking.outcomes
        return Ranking(kept, outcomes, dropped)

    def _keep(self, link: Link, *, last: bool, top_k: int, available: int) -> int:
        wanted = available if link.keep is None else link.keep
        return max(1, min(wanted, top_k) if last and link.keep is not None else top_k if last else wanted)

    async def _run(
        self, reranker: Reranker, query: str, candidates: Sequence[Candidate], keep: int
    ) -> Ranking:
        if not candidates:
            return Ranking((), (Outcome(reranker.name, reason="nothing to rank"),))
        started = perf_counter()
        try:
            ranking = await reranker.rerank(query, candidates, keep)
        except Exception as error:
            if self._on_failure == "raise":
                raise _as_stage_error(reranker.name, error) from error
            ranking = unchanged(candidates, keep, Outcome(reranker.name, "fallback", _said(error)))
        if self._on_failure == "raise":
            _refuse_fallback(ranking)
        return replace(ranking, outcomes=_timed(ranking.outcomes, (perf_counter() - started) * 1000))


def _timed(outcomes: tuple[Outcome, ...], ms: float) -> tuple[Outcome, ...]:
    """The stage's time; a nested chain has measured its own stages."""
    return (replace(outcomes[0], ms=ms),) if len(outcomes) == 1 else outcomes


def _said(error: Exception) -> str:
    return str(error) if isinstance(error, WinnowError) else f"{type(error).__name__}: {error}"


def _as_stage_error(stage: str, error: Exception) -> WinnowError:
    return error if isinstance(error, WinnowError) else StageError(f"{stage} failed: {_said(error)}")


def _refuse_fallback(ranking: Ranking) -> None:
    for outcome in ranking.outcomes:
        if outcome.status == "fallback":
            raise StageError(f"{outcome.name} fell back: {outcome.reason}")
