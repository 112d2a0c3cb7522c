"""A chain of rerank stages, itself a Reranker: `cross-encoder:20,listwise:5` is the cascade 50 → 20 → 5.

A stage that fails is stepped over: the chain goes on from the stage before, and the outcome says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import Literal

from rerank.base import Reranker, check_top_k, gives_scores, in_order, unchanged
from rerank.gates import Gates, above, margin
from rerank.llm.budget import CURRENT_METER, Budget, Meter
from rerank.options import split_options
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
    gates: Gates = field(default_factory=Gates)
    budget: Budget = field(default_factory=Budget)


class Chain:
    """Runs its stages one after the other, each over what the stage before kept.

    What a later stage drops comes before what an earlier one dropped. `budget` holds for a question,
    all stages together. With `on_failure="raise"` a failing stage raises StageError instead.
    """

    def __init__(
        self,
        links: Sequence[Link],
        *,
        name: str = "chain",
        budget: Budget | None = None,
        on_failure: OnFailure = "fallback",
    ) -> None:
        self.name = name
        self._links = tuple(links)
        self._budget = budget or Budget()
        self._on_failure = on_failure

    @classmethod
    def load(
        cls,
        spec: Spec,
        parts: RerankParts,
        *,
        prefix: str = "",
        ready: Mapping[str, Reranker] | None = None,
    ) -> Chain:
        """The chain of a spec. Raises SpecError for what the spec names and nobody offers.

        `prefix` comes before the stages' names, for a chain inside another strategy. `ready` holds stages, by
        name, that need not be made: a replay's logged ones.
        """
        links = []
        for stage_name, stage in zip(spec.names, spec.stages, strict=True):
            name = prefix + stage_name
            gates, budget, options = split_options(name, dict(stage.options))
            given = (ready or {}).get(name)
            reranker = given or strategy(stage.name).load(parts, name, **options)
            links.append(Link(reranker, stage.keep, gates, budget))
        return cls(links, name=str(spec), budget=parts.budget, on_failure=parts.on_failure)

    @property
    def scored_by(self) -> str:
        """The last stage that gives scores, fallen back or not: the scale of the final ones."""
        names = (link.reranker.name for link in reversed(self._links) if gives_scores(link.reranker))
        return next(names, "retrieval")

    def watched(self, watch: Callable[[Reranker], Reranker]) -> Chain:
        """The same chain with every stage wrapped, for who wants to see what it is given and gives back."""
        links = [replace(link, reranker=watch(link.reranker)) for link in self._links]
        return Chain(links, name=self.name, budget=self._budget, on_failure=self._on_failure)

    async def rerank(self, query: str, candidates: Sequence[Candidate], top_k: int) -> Ranking:
        check_top_k(top_k)
        meter = Meter(self._budget, CURRENT_METER.get())
        ranking = Ranking(tuple(candidates), ())
        before = "retrieval"
        for position, link in enumerate(self._links, start=1):
            last = position == len(self._links)
            keep = _keep(link, last=last, top_k=top_k, available=len(ranking.candidates))
            found = await self._run(link, meter, query, ranking.candidates, keep, before)
            ranking = Ranking(
                found.candidates, ranking.outcomes + found.outcomes, found.dropped + ranking.dropped
            )
            before = link.reranker.name
        return ranking

    async def _run(
        self, link: Link, meter: Meter, query: str, candidates: Sequence[Candidate], keep: int, before: str
    ) -> Ranking:
        name = link.reranker.name
        if not candidates:
            return Ranking((), (Outcome(name, reason="nothing to rank"),))
        sure, enough = margin(candidates, keep, before), link.gates.skip_if_margin
        if enough is not None and sure is not None and sure >= enough:
            reason = f"skipped: {before} is sure, margin {sure:.3g} ≥ {enough:g}"
            return in_order(name, [(c, None) for c in candidates], keep, Outcome(name, reason=reason))
        started = perf_counter()
        ranking = await self._ranked(link, meter, query, candidates, keep)
        ranking = replace(ranking, outcomes=_timed(ranking.outcomes, (perf_counter() - started) * 1000))
        if link.gates.min_score is not None and ranking.outcome.status != "fallback":
            return above(ranking, name, link.gates.min_score)
        return ranking

    async def _ranked(
        self, link: Link, meter: Meter, query: str, candidates: Sequence[Candidate], keep: int
    ) -> Ranking:
        token = CURRENT_METER.set(Meter(link.budget, meter))
        try:
            ranking = await link.reranker.rerank(query, candidates, keep)
        except Exception as raised:  # noqa: BLE001 - whatever a strategy raises, the question is answered
            error, name = _first(raised), link.reranker.name
            if self._on_failure == "raise":
                raise _as_stage_error(name, error) from error
            return unchanged(candidates, keep, Outcome(name, "fallback", _said(error)))
        finally:
            CURRENT_METER.reset(token)
        if self._on_failure == "raise":
            _refuse_fallback(ranking)
        return ranking


def _keep(link: Link, *, last: bool, top_k: int, available: int) -> int:
    if last:
        return top_k if link.keep is None else min(link.keep, top_k)
    return max(1, available) if link.keep is None else link.keep


def _timed(outcomes: tuple[Outcome, ...], ms: float) -> tuple[Outcome, ...]:
    """The stage's time; a nested chain has measured its own stages."""
    return (replace(outcomes[0], ms=ms),) if len(outcomes) == 1 else outcomes


def _first(error: Exception) -> Exception:
    """The error itself, where concurrent calls have wrapped it in a group."""
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error


def _said(error: Exception) -> str:
    return str(error) if isinstance(error, WinnowError) else f"{type(error).__name__}: {error}"


def _as_stage_error(stage: str, error: Exception) -> WinnowError:
    return error if isinstance(error, WinnowError) else StageError(f"{stage} failed: {_said(error)}")


def _refuse_fallback(ranking: Ranking) -> None:
    for outcome in ranking.outcomes:
        if outcome.status == "fallback":
            raise StageError(f"{outcome.name} fell back: {outcome.reason}")
