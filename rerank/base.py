"""The Reranker interface, and how scores become a Ranking.

Two rules hold everywhere: ties keep the incoming order, and candidates without a score follow those with one.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Protocol, TypeVar, cast

import anyio
from anyio import to_thread

from storage.errors import BadInputError, StageError
from storage.reasons import Reason
from storage.records import Candidate, Outcome, Ranking, Status, worst

T = TypeVar("T")


class Reranker(Protocol):
    """Anything that orders candidates: a strategy, a chain, or a user's own object (see `adapted`)."""

    @property
    def name(self) -> str:
        """The key of its ranks and scores in `Candidate.ranks` and `Candidate.scores`."""
        ...

    async def rerank(self, query: str, candidates: Sequence[Candidate], top_k: int) -> Ranking:
        """The best `top_k` (1 or more) of the candidates, best first; the others as `dropped`.

        No candidates give an empty ranking. Raises WinnowError where it cannot rank at all.
        """
        ...


class LocalStrategy:
    """Base of the strategies that ask nothing over the network."""

    __slots__ = ()

    @staticmethod
    def calls(n: int, k: int) -> int:  # noqa: ARG004 - none, however many candidates
        """See `rerank.registry.Strategy`."""
        return 0


def gives_scores(reranker: Reranker) -> bool:
    """True unless the reranker sets `scores = False`: its order then has no scores."""
    return bool(getattr(reranker, "scores", True))


def check_top_k(top_k: int) -> None:
    """Raise BadInputError where `top_k` is not at least 1."""
    if top_k < 1:
        raise BadInputError(f"top_k must be at least 1, not {top_k}")


def flagged(outcome: Outcome, status: Status, reason: str) -> Outcome:
    """The outcome, no better than `status`, with one more reason."""
    reasons = Reason.all([*Reason.of(outcome.reason).parts, *Reason.of(reason).parts])
    return replace(outcome, status=worst((outcome.status, status)), reason=reasons)


def probability(log_odds: float) -> float:
    """The logistic function, which does not overflow."""
    return 1 / (1 + math.exp(-log_odds)) if log_odds >= 0 else math.exp(log_odds) / (1 + math.exp(log_odds))


async def gathered(calls: Sequence[Callable[[], Awaitable[T]]]) -> list[T]:
    """The results of concurrent calls, in the order of the calls."""
    results: dict[int, T] = {}

    async def run(place: int) -> None:
        results[place] = await calls[place]()

    async with anyio.create_task_group() as tasks:
        for place in range(len(calls)):
            tasks.start_soon(run, place)
    return [results[place] for place in range(len(calls))]


def by_score(
    name: str,
    candidates: Sequence[Candidate],
    scores: Sequence[float | None],
    top_k: int,
    outcome: Outcome | None = None,
) -> Ranking:
    """Candidates ordered by score (higher is better), `None` meaning "not scored".

    Equal scores keep the incoming order; candidates without a score follow in the incoming order. A score
    that is not a finite number counts as none and makes the outcome `partial`, a fallback if all are so.
    """
    if len(scores) != len(candidates):
        raise StageError(f"{name} gave {len(scores)} scores for {len(candidates)} candidates")
    outcome = outcome or Outcome(name)
    finite = [score if score is not None and math.isfinite(score) else None for score in scores]
    if broken := finite.count(None) - sum(score is None for score in scores):
        reason = Reason("rerank.scores-not-numbers", broken=broken, total=len(scores))
        if broken == len(scores):
            return unchanged(candidates, top_k, flagged(outcome, "fallback", reason))
        outcome = flagged(outcome, "partial", reason)
    order = sorted(range(len(candidates)), key=lambda i: _descending(finite[i]))
    return in_order(name, [(candidates[i], finite[i]) for i in order], top_k, outcome)


def _descending(score: float | None) -> tuple[bool, float]:
    return (score is None, 0.0 if score is None else -score)


def in_order(
    name: str, ordered: Sequence[tuple[Candidate, float | None]], top_k: int, outcome: Outcome
) -> Ranking:
    """A Ranking of candidates that are in their final order already, each with its score if it has one."""
    check_top_k(top_k)
    ranked = tuple(
        candidate.ranked(name, rank, score) for rank, (candidate, score) in enumerate(ordered, start=1)
    )
    return Ranking(ranked[:top_k], (outcome,), ranked[top_k:])


def unchanged(candidates: Sequence[Candidate], top_k: int, outcome: Outcome) -> Ranking:
    """The incoming order, without a rank of this stage: the result of a fallback."""
    check_top_k(top_k)
    return Ranking(tuple(candidates[:top_k]), (outcome,), tuple(candidates[top_k:]))


def adapted(reranker: object) -> Reranker:
    """A user's object with a method `rerank(query, candidates, top_k)`, plain or async, as a Reranker.

    The method returns a Ranking or the kept candidates, best first; the result is checked. A plain method
    runs in a worker thread. Raises BadInputError where there is no such method.
    """
    return reranker if isinstance(reranker, AdaptedReranker) else AdaptedReranker(reranker)


class AdaptedReranker:
    """A user's reranker behind the checks that winnow's own strategies do not need."""

    def __init__(self, reranker: object) -> None:
        rerank = getattr(reranker, "rerank", None)
        if not callable(rerank):
            missing = "it has no method rerank(query, candidates, top_k)"
            raise BadInputError(f"{type(reranker).__name__} is not a reranker: {missing}")
        self.name: str = str(getattr(reranker, "name", "") or type(reranker).__name__)
        self.scores: bool = bool(getattr(reranker, "scores", True))
        self._rerank = cast("Callable[[str, Sequence[Candidate], int], object]", rerank)

    async def rerank(self, query: str, candidates: Sequence[Candidate], top_k: int) -> Ranking:
        check_top_k(top_k)
        # the user's object gets its own list, which it may sort in place
        if inspect.iscoroutinefunction(self._rerank):
            result = await self._rerank(query, list(candidates), top_k)
        else:
            result = await to_thread.run_sync(self._rerank, query, list(candidates), top_k)
            if inspect.isawaitable(result):
                result = await result
        return self._checked(result, candidates, top_k)

    def _checked(self, result: object, candidates: Sequence[Candidate], top_k: int) -> Ranking:
        outcomes: tuple[Outcome, ...] = (Outcome(self.name),)
        if isinstance(result, Ranking):
            kept, outcomes = list(result.everything), result.outcomes or outcomes
            top_k = min(top_k, len(result.candidates))
        elif isinstance(result, Sequence) and all(isinstance(item, Candidate) for item in result):
            kept = [item.ranked(self.name, rank) for rank, item in enumerate(result, start=1)]
        else:
            raise StageError(
                f"the reranker {self.name} gave back {_type_of(result)}",
                way_out="rerank() must return a Ranking, or a sequence of the Candidates that it was given.",
            )
        rest = {candidate.id: candidate for candidate in candidates}
        seen: set[str] = set()
        for candidate in kept:
            if candidate.id in seen:
                raise StageError(f"the reranker {self.name} gave back a candidate twice: {candidate.id}")
            if rest.pop(candidate.id, None) is None:
                raise StageError(
                    f"the reranker {self.name} gave back a candidate that it was not given: {candidate.id}"
                )
            seen.add(candidate.id)
        return Ranking(tuple(kept[:top_k]), outcomes, (*kept[top_k:], *rest.values()))


def _type_of(result: object) -> str:
    if isinstance(result, Sequence) and not isinstance(result, str):
        kinds = sorted({type(item).__name__ for item in result})
        return f"a {type(result).__name__} of {', '.join(kinds)}"
    return f"a {type(result).__name__}"
