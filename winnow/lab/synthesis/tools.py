"""What recipes are made with: the tools of a run, and what becomes of a passage or a question."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from rerank.llm.calls import Lost, Request
from rerank.llm.templates import language_of
from rerank.training.forms import GRADES, Form
from rerank.training.records import LabelledPassage, Provenance, TrainingRecord
from rerank.training.scribe import Scribe, requested
from storage.records import Candidate, Usage
from winnow.lab.synthesis.context import Bench
from winnow.lab.synthesis.false_negatives import Check

U = TypeVar("U", contravariant=True)

# What a later run may ask again.
LATER: tuple[Lost, ...] = ("not asked", "failed")


@dataclass(frozen=True, slots=True)
class Made:
    """What became of one passage or question. `left` counts what could not be asked now."""

    records: tuple[TrainingRecord, ...] = ()
    rejected: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    left: int = 0

    def __add__(self, other: Made) -> Made:
        return Made(
            self.records + other.records,
            self.rejected + other.rejected,
            self.dropped + other.dropped,
            self.left + other.left,
        )


class Recipe(Protocol, Generic[U]):
    async def make(self, unit: U) -> Made: ...

    async def requests(self, unit: U) -> Sequence[Request]:
        """What `make` may ask at most; where a request holds replies, something of their length instead."""
        ...


@dataclass(frozen=True, slots=True)
class Tools:
    """What recipes share: the bench, one run's scribe and check, and the templates' hash."""

    bench: Bench
    scribe: Scribe
    check: Check

    def request(
        self, form: Form[Any], language: str, n: int, question: str = "", passages: Sequence[str] = ()
    ) -> Request:
        return requested(self.bench.templates, form, language, n, question=question, passages=passages)

    def check_requests(self, question: str, passages: Sequence[str]) -> list[Request]:
        """What checking so many passages asks."""
        language = language_of(question)
        return [self.request(GRADES, language, len(passages), question, passages)] * self.check.calls

    def provenance(self, method: str, prompt: str, origin: str, cost: float | None, *made: str) -> Provenance:
        """Where a record comes from; `made` are the texts that tell it from others."""
        return Provenance(
            method=method,
            model=self.bench.chat.model,
            prompt=prompt,
            collection=self.bench.collection,
            origin=origin,
            created_at=self.bench.journal.time_of(method, *made),
            cost=cost,
        )


def labelled(candidate: Candidate, label: int, score: float | None = None) -> LabelledPassage:
    """A passage with its label, its text as rerankers see it."""
    chunk = candidate.chunk
    return LabelledPassage(
        text=chunk.encoded_text, label=label, id=chunk.id, source=chunk.source, score=score
    )


def rejected(reason: str) -> Made:
    """Nothing was made, and why."""
    return Made(rejected=Counter({reason: 1}))


def lost(why: Lost | None) -> Made:
    """Nothing was made, because a reply is missing or of no use."""
    if why in LATER:
        return Made(left=1)
    return rejected("the model refused" if why == "refused" else "the reply could not be read")


def false(count: int) -> Counter[str]:
    """So many passages were no negatives after all."""
    return +Counter({"answers the question too": count})


def divided(usage: Usage, parts: int) -> Usage:
    """The share of the cost that each of several things bears."""
    return Usage(cost=None if usage.cost is None else usage.cost / parts)
