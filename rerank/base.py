"""What a rerank strategy is, and how scores become a Ranking.

Two rules hold everywhere: ties break by the incoming order, and what has no score follows what has one.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Protocol, cast

from anyio import to_thread

from storage.errors import BadInputError, StageError
from storage.records import Candidate, Outcome, Ranking, Status, worst


class Reranker(Protocol):
    """Anything that orders candidates. A strategy, a chain, or a user's own object (see `adapted`)."""

    @property
    def name(self) -> str:
        """The key of its ranks and scores in `Candidate.ranks` and `Candidate.scores`."""
        ...

    async def rerank(self, query: str, candidates: Sequence[Candidate], top_k: int) -> Ranking:
        """The best `top_k` (1 or more) of the candidates, best first; the others as `dropped`.

        No candidates give an empty ranking. Raises WinnowError where it cannot rank at all.
        """
        ...


def gives_scores(reranker: Reranker) -> bool:
    """Whether it scores what it ranks, where it does not fall back; one that says nothing does.

    A reranker whose order has no scores says so by `scores = False`.
    """
    return bool(getattr(reranker, "scores", True))


def check_top_k(top_k: int) -> None:
    """Raises BadInputError where `top_k` is not at least 1."""
    if top_k < 1:
        raise BadInputError(f"top_k must be at least 1, not {top_k}")


def flagged(outcome: Outcome, status: Status, reason: str) -> Outcome:
    """The outcome, made no better than `status`, with one more reason."""
    reasons = "; ".join(part for part in (outcome.reason, reason) if part)
    return replace(outcome, status=worst((outcome.status, status)), reason=reasons)


def by_score(
    name: str,
    candidates: Sequence[Candidate],
    scores: Sequence[float | None],
    top_k: int,
    outcome: Outcome | None = None,
) -> Ranking:
    """Candidates ordered by score (higher is better), `None` meaning "not scored".

    Equal scores keep the incoming order; candidates without a score follow in the incoming order. A score
    that is not a finite number counts as none and makes the outcome `partial`.
    """
    if len(scores) != len(candidates):
        raise StageError(f"{name} gave {len(scores)} scores for {len(candidates)} candidates")
    outcome = outcome or Outcome(name)
    broken = sum(score is not None and not math.isfinite(score) for score in scores)
    if broken:
        outcome = flagged(outcome, "partial", f"{broken} of {len(scores)} scores were not numbers")
    finite = [None if score is None or not math.isfinite(score) else score for score in scores]
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
    """The incoming order, without a rank of this stage: what a fallback gives back."""
    check_top_k(top_k)
    return Ranking(tuple(candidates[:top_k]), (outcome,), tuple(candidates[top_k:]))


class UserReranker(Protocol):
    """A user's own reranker: `rerank(query, candidates, top_k)`, plain or async.

    It gives back a Ranking or the kept candidates, best first.
    """

    def rerank(
        self, query: str, candidates: Sequence[Candidate], top_k: int, /
    ) -> Ranking | Sequence[Candidate] | Awaitable[Ranking | Sequence[Candidate]]: ...


def adapted(reranker: Reranker | UserReranker) -> Reranker:
    """A user's object as a Reranker: a plain method runs in a worker thread, the result is checked."""
    return reranker if isinstance(reranker, Adapted) else Adapted(reranker)


class Adapted:
    """A user's reranker behind the checks that winnow's own strategies do not need."""

    def __init__(self, reranker: Reranker | UserReranker) -> None:
        if not callable(getattr(reranker, "rerank", None)):
            raise BadInputError(
                f"{type(reranker).__name__} is no reranker: it has no method rerank(query, candidates, top_k)"
            )
        self.name: str = str(getattr(reranker, "name", "") or type(reranker).__name__)
        self.scores: bool = bool(getattr(reranker, "scores", True))
        self._rerank = cast("Callable[[str, Sequence[Candidate], int], object]", reranker.rerank)

    async def rerank(self, query: str, candidates: Sequence[Candidate], top_k: int) -> Ranking:
        check_top_k(top_k)
        # the user's object gets its own list: sorting it in place must not disturb anybody else
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
        elif isinstance(result, Sequence) and all(isinstance(item, Candidate) for item in result):
            kept = list(result)
        else:
            raise StageError(
                f"the reranker {self.name} gave back {_described(result)}",
                way_out="rerank() must return a Ranking, or a sequence of the Candidates that it was given.",
            )
        self._check_members(kept, candidates)
        kept = kept if isinstance(result, Ranking) else self._with_ranks(kept)
        seen = {candidate.id for candidate in kept}
        rest = [candidate for candidate in candidates if candidate.id not in seen]
        limit = min(top_k, len(result.candidates)) if isinstance(result, Ranking) else top_k
        return Ranking(tuple(kept[:limit]), outcomes, (*kept[limit:], *rest))

    def _with_ranks(self, kept: Sequence[Candidate]) -> list[Candidate]:
        return [candidate.ranked(self.name, rank) for rank, candidate in enumerate(kept, start=1)]

    def _check_members(self, kept: Sequence[Candidate], candidates: Sequence[Candidate]) -> None:
        given = {candidate.id for candidate in candidates}
        seen: set[str] = set()
        for candidate in kept:
            if candidate.id not in given:
                raise StageError(
                    f"the reranker {self.name} gave back a candidate that it was not given: {candidate.id}"
                )
            if candidate.id in seen:
                raise StageError(f"the reranker {self.name} gave back a candidate twice: {candidate.id}")
            seen.add(candidate.id)


def _described(result: object) -> str:
    if isinstance(result, Sequence) and not isinstance(result, str):
        kinds = sorted({type(item).__name__ for item in result})
        return f"a {type(result).__name__} of {', '.join(kinds)}"
    return f"a {type(result).__name__}"
