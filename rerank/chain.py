"""A chain of rerank stages, itself a Reranker: `cross-encoder:20,listwise:5` is the cascade 50 → 20 → 5.

A stage that fails is skipped: the chain continues with the output of the stage before, and flags it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import Literal

from rerank.base import Reranker, check_top_k, flagged, gives_scores, in_order, unchanged
from rerank.llm.budget import CURRENT_METER, Budget, Meter
from rerank.options import Gates, read_options, split_options
from rerank.parts import RerankParts
from rerank.registry import strategy
from rerank.spec import Spec
from rerank.twins import ALIKE
from storage.errors import StageError, WinnowError
from storage.reasons import Reason
from storage.records import Candidate, Outcome, Ranking

OnFailure = Literal["fallback", "raise"]


@dataclass(frozen=True, slots=True)
class ChainStage:
    """One stage, ready to run; `keep` None keeps all (the last stage: `top_k`)."""

    reranker: Reranker
    keep: int | None = None
    gates: Gates = field(default_factory=Gates)
    budget: Budget = field(default_factory=Budget)


class Chain:
    """Runs its stages one after the other, each over the candidates that the stage before kept.

    Candidates dropped by a later stage rank above those dropped by an earlier one. `budget` limits one
    question, all stages together. With `on_failure="raise"` a failing stage raises StageError instead.
    `folds`: how alike passages are of which one alone stays (`rerank.twins`); None where all do.
    """

    def __init__(
        self,
        stages: Sequence[ChainStage],
        *,
        name: str = "chain",
        budget: Budget | None = None,
        on_failure: OnFailure = "fallback",
        folds: float | None = None,
    ) -> None:
        self.name = name
        self.folds = folds
        self._stages = tuple(stages)
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
        """The chain of a spec. Raises SpecError for any unknown strategy or option before a model is loaded.

        `prefix` comes before the stages' names, for a chain inside another strategy. `ready` holds stages, by
        name, that need not be made: a replay's logged ones.
        """
        check_spec(spec, prefix=prefix)
        stages, folds = [], None
        for stage_name, stage in zip(spec.names, spec.stages, strict=True):
            name = prefix + stage_name
            gates, budget, options = split_options(name, dict(stage.options))
            given = (ready or {}).get(name)
            reranker = given or strategy(stage.name).load(parts, name, **options)
            stages.append(ChainStage(reranker, stage.keep, gates, budget))
            if stage.name == "diversity" and parts.drop_twins:
                folds = float(options.get("alike", ALIKE))
        return cls(stages, name=str(spec), budget=parts.budget, on_failure=parts.on_failure, folds=folds)

    @property
    def scored_by(self) -> str:
        """The last stage that gives scores, fallen back or not: the scale of the final scores."""
        names = (stage.reranker.name for stage in reversed(self._stages) if gives_scores(stage.reranker))
        return next(names, "retrieval")

    def watched(self, watch: Callable[[Reranker], Reranker]) -> Chain:
        """The same chain with every stage wrapped, to observe each stage's input and output."""
        stages = [replace(stage, reranker=watch(stage.reranker)) for stage in self._stages]
        return Chain(
            stages, name=self.name, budget=self._budget, on_failure=self._on_failure, folds=self.folds
        )

    @contextmanager
    def one_question(self, before: Outcome) -> Iterator[None]:
        """Let several rankings count as one question, and share its budget less what `before` took of it."""
        meter = Meter(self._budget, CURRENT_METER.get())
        meter.charge(before.usage, before.ms)
        token = CURRENT_METER.set(meter)
        try:
            yield
        finally:
            CURRENT_METER.reset(token)

    async def rerank(self, query: str, candidates: Sequence[Candidate], top_k: int) -> Ranking:
        check_top_k(top_k)
        meter = Meter(self._budget, CURRENT_METER.get())
        ranking = Ranking(tuple(candidates), ())
        before = "retrieval"
        for position, stage in enumerate(self._stages, start=1):
            last = position == len(self._stages)
            keep = _keep(stage, last=last, top_k=top_k, available=len(ranking.candidates))
            new = await self._run(stage, meter, query, ranking.candidates, keep, before)
            ranking = Ranking(new.candidates, ranking.outcomes + new.outcomes, new.dropped + ranking.dropped)
            before = stage.reranker.name
        return ranking

    async def _run(
        self,
        stage: ChainStage,
        meter: Meter,
        query: str,
        candidates: Sequence[Candidate],
        keep: int,
        before: str,
    ) -> Ranking:
        name = stage.reranker.name
        if not candidates:
            return Ranking((), (Outcome(name, reason=Reason("rerank.nothing-to-rank")),))
        margin, enough = _margin(candidates, keep, before), stage.gates.skip_if_margin
        if enough is not None and margin is not None and margin >= enough:
            reason = Reason("rerank.skipped", stage=before, margin=float(f"{margin:.3g}"), enough=enough)
            return in_order(name, [(c, None) for c in candidates], keep, Outcome(name, reason=reason))
        started = perf_counter()
        ranking = await self._ranked(stage, meter, query, candidates, keep)
        ranking = replace(ranking, outcomes=_timed(ranking.outcomes, (perf_counter() - started) * 1000))
        if stage.gates.min_score is not None and ranking.outcome.status != "fallback":
            return _above(ranking, name, stage.gates.min_score)
        return ranking

    async def _ranked(
        self, stage: ChainStage, meter: Meter, query: str, candidates: Sequence[Candidate], keep: int
    ) -> Ranking:
        token = CURRENT_METER.set(Meter(stage.budget, meter))
        try:
            ranking = await stage.reranker.rerank(query, candidates, keep)
        except Exception as raised:  # noqa: BLE001 - whatever a strategy raises, the question is answered
            error, name = _first(raised), stage.reranker.name
            if self._on_failure == "raise":
                wrapped = StageError(f"{name} failed: {_message(error)}")
                raise (error if isinstance(error, WinnowError) else wrapped) from error
            reason = Reason("rerank.stage-failed", error=_message(error))
            return unchanged(candidates, keep, Outcome(name, "fallback", reason))
        finally:
            CURRENT_METER.reset(token)
        failed = next((outcome for outcome in ranking.outcomes if outcome.status == "fallback"), None)
        if failed and self._on_failure == "raise":
            raise StageError(f"{failed.name} fell back: {failed.reason}")
        return ranking


def check_spec(spec: Spec, *, prefix: str = "") -> None:
    """Raise SpecError for a name or an option of any stage, a fusion's members included. Loads nothing."""
    for stage_name, stage in zip(spec.names, spec.stages, strict=True):
        name = prefix + stage_name
        _, _, options = split_options(name, dict(stage.options))
        declared = getattr(strategy(stage.name), "declares", None)  # a third party's need not tell
        if declared is not None:
            for inner in getattr(read_options(declared, name, options), "specs", ()):
                check_spec(inner, prefix=f"{name}.")


def _keep(stage: ChainStage, *, last: bool, top_k: int, available: int) -> int:
    if last:
        return top_k if stage.keep is None else min(stage.keep, top_k)
    return max(1, available) if stage.keep is None else stage.keep


def _margin(candidates: Sequence[Candidate], keep: int, stage: str) -> float | None:
    """By how much `stage` scored the last to keep above the next one; None without those scores."""
    if not 0 < keep < len(candidates):
        return None
    last, following = (candidates[i].scores.get(stage) for i in (keep - 1, keep))
    return None if last is None or following is None else last - following


def _above(ranking: Ranking, stage: str, min_score: float) -> Ranking:
    """The ranking without candidates that `stage` scored below `min_score`: they lead the dropped ones.

    Where the stage gave no scores nothing is dropped, and the outcome is `partial`.
    """
    if ranking.candidates and not any(stage in candidate.scores for candidate in ranking.candidates):
        reason = Reason("rerank.min-score-without-scores")
        outcome = flagged(ranking.outcomes[-1], "partial", reason)
        return replace(ranking, outcomes=(*ranking.outcomes[:-1], outcome))
    kept = tuple(c for c in ranking.candidates if c.scores.get(stage, min_score) >= min_score)
    below = tuple(c for c in ranking.candidates if c.scores.get(stage, min_score) < min_score)
    return Ranking(kept, ranking.outcomes, below + ranking.dropped)


def _timed(outcomes: tuple[Outcome, ...], ms: float) -> tuple[Outcome, ...]:
    """The stage's time; a nested chain has measured its own stages."""
    return (replace(outcomes[0], ms=ms),) if len(outcomes) == 1 else outcomes


def _first(error: Exception) -> Exception:
    """The error itself, where concurrent calls have wrapped it in a group."""
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error


def _message(error: Exception) -> str:
    return str(error) if isinstance(error, WinnowError) else f"{type(error).__name__}: {error}"
