"""Abstention by score: below a floor, nothing that was retrieved is good enough to be answered from."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

from generation.base import STAGE, Generator, closing, streamed
from generation.citations import flagged
from generation.language import nothing_found
from storage.records import Candidate, Generation, Outcome


class ScoreFloor:
    """A Generator that answers only where some candidate's score reaches `at_least`.

    The score is that of `stage`, or of the last stage that scored a candidate; its scale is that stage's own.
    Candidates without such a score decide nothing: where none has one (the stage fell back, say), the
    question is passed on, and the outcome is `partial`.
    """

    def __init__(self, generator: Generator, *, at_least: float, stage: str | None = None) -> None:
        self._generator = generator
        self._at_least = at_least
        self._stage = stage

    @property
    def fingerprint(self) -> str:
        """That of the answerer, where it has one, and the floor."""
        stage = f" of {self._stage}" if self._stage else ""
        return f"{getattr(self._generator, 'fingerprint', '')} from {self._at_least}{stage}".strip()

    async def generate(self, question: str, candidates: Sequence[Candidate]) -> Generation:
        if self._passes(candidates):
            return self._noted(await self._generator.generate(question, candidates), candidates)
        return self._abstained(question, candidates)

    async def stream(self, question: str, candidates: Sequence[Candidate]) -> AsyncIterator[str | Generation]:
        """As `generate`, in pieces where the answerer gives any."""
        if self._passes(candidates):
            async with closing(streamed(self._generator, question, candidates)) as items:
                async for item in items:
                    yield self._noted(item, candidates) if isinstance(item, Generation) else item
            return
        generation = self._abstained(question, candidates)
        yield generation.text
        yield generation

    def _passes(self, candidates: Sequence[Candidate]) -> bool:
        scores = [score for one in candidates if (score := self._score(one)) is not None]
        return not scores or max(scores) >= self._at_least

    def _noted(self, generation: Generation, candidates: Sequence[Candidate]) -> Generation:
        """The answer, flagged where there was nothing to hold against the floor."""
        if not candidates or any(self._score(one) is not None for one in candidates):
            return generation
        complaint = f"min_score did not decide: {self._stage or 'no stage'} gave no scores"
        return replace(generation, outcome=flagged(generation.outcome, complaint))

    def _abstained(self, question: str, candidates: Sequence[Candidate]) -> Generation:
        return Generation(
            text=nothing_found(question, passages=len(candidates)),
            outcome=Outcome(STAGE),
            answerer="score-floor",
            answered=False,
        )

    def _score(self, candidate: Candidate) -> float | None:
        stage = self._stage or next(reversed(list(candidate.scores)), None)
        return None if stage is None else candidate.scores.get(stage)
