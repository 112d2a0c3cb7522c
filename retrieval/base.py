"""The contract of a retriever, and the adapter for a user's own object."""

from __future__ import annotations

import inspect
import math
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol

import anyio.to_thread

from storage.errors import BadInputError
from storage.records import Candidate, Outcome, Retrieval


class Retriever(Protocol):
    """Anything that finds candidates for a question."""

    async def search(self, query: str, top_k: int) -> Retrieval:
        """At most `top_k` candidates, best first."""
        ...


def adapted(retriever: Any) -> Retriever:
    """Adapt a user's object with `search(query, top_k)`.

    It may be synchronous (it then runs in a worker thread) and may return a Retrieval, or a sequence of
    Candidates (or bare texts), best first. The result is checked: each passage once, at most `top_k`, and
    finite scores; the order becomes the rank.
    """
    if not callable(getattr(retriever, "search", None)):
        raise BadInputError(
            f"{type(retriever).__name__} is not a retriever: it has no method search(query, top_k)",
            way_out="See the Protocol retrieval.base.Retriever.",
        )
    return _AdaptedRetriever(retriever)


class _AdaptedRetriever:
    def __init__(self, retriever: Any) -> None:
        self._retriever = retriever

    async def search(self, query: str, top_k: int) -> Retrieval:
        started = time.perf_counter()
        if inspect.iscoroutinefunction(self._retriever.search):
            found = await self._retriever.search(query, top_k)
        else:
            found = await anyio.to_thread.run_sync(self._retriever.search, query, top_k)
            if inspect.isawaitable(found):
                found = await found
        outcome = Outcome("retrieval", ms=(time.perf_counter() - started) * 1000)
        if isinstance(found, Retrieval):
            outcome = self._completed(found.outcome, outcome.ms)
            return Retrieval(self._ranked(found.candidates, top_k), outcome)
        return Retrieval(self._ranked(found, top_k), outcome)

    def _completed(self, given: Any, ms: float) -> Outcome:
        """The retriever's own outcome with the stage's name and a time."""
        if not isinstance(given, Outcome):
            raise BadInputError(
                f"{type(self._retriever).__name__}.search gave a Retrieval without an Outcome"
            )
        return replace(given, name="retrieval", ms=given.ms or ms)

    def _ranked(self, found: Any, top_k: int) -> tuple[Candidate, ...]:
        if isinstance(found, str) or not isinstance(found, Sequence):
            raise BadInputError(
                f"{type(self._retriever).__name__}.search gave {type(found).__name__}",
                way_out="It gives a Retrieval or a sequence of Candidates; Candidate.from_text makes one.",
            )
        candidates = [_candidate(item, rank) for rank, item in enumerate(found[:top_k], start=1)]
        if len({candidate.id for candidate in candidates}) < len(candidates):
            raise BadInputError(
                f"{type(self._retriever).__name__}.search gave a candidate twice",
                way_out="Each candidate's chunk id is its own.",
            )
        return tuple(
            candidate.ranked("retrieval", rank) for rank, candidate in enumerate(candidates, start=1)
        )


def _candidate(item: Any, rank: int) -> Candidate:
    if isinstance(item, Candidate):
        for leg, score in item.scores.items():
            if not math.isfinite(score):
                raise BadInputError(f"a retriever gave {item.id} the {leg} score {score}: not a number")
        return item
    if isinstance(item, str):
        return Candidate.from_text(item, id=f"text-{rank}")
    raise BadInputError(
        f"a retriever gave {type(item).__name__} as a candidate",
        way_out="Candidate.from_text(text, id=...) makes one from bare text.",
    )
