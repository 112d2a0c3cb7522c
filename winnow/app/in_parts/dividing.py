"""The questions that a question is searched as: found by its clauses, told of, and read from a log."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from retrieval.clauses import clauses
from storage.reasons import Reason
from storage.records import Outcome

STAGE = "parts"


@dataclass(frozen=True, slots=True)
class Division:
    """The questions that a question is searched as, and how that was found out.

    `each`: they ask for different things, and each is ranked and answered; otherwise they are other words
    for the same. `passage` would answer the question, and is searched with beside it.
    """

    questions: tuple[str, ...]
    outcome: Outcome
    each: bool = True
    passage: str = ""


class Divider(Protocol):
    """Divides a question."""

    async def divide(self, question: str) -> Division | None:
        """The division; None for a question that is left as it is, without a trace."""
        ...


class ClauseDivider:
    """A Divider that looks at clauses, conjunctions and comparisons alone."""

    async def divide(self, question: str) -> Division | None:
        parts = clauses(question)
        return Division(parts, Outcome(STAGE, reason=asked_in(parts))) if len(parts) > 1 else None


def asked_in(questions: Sequence[str], *, each: bool = True) -> Reason:
    """The remark that lists the sub-questions, from which `logged_division` reads them."""
    listed = [part_of(n, one) for n, one in enumerate(questions, start=1)]
    if each:
        return Reason("winnow.app.asked-in-parts", n=len(listed), parts=listed)
    return Reason("winnow.app.asked-in-words", n=len(listed), parts=listed)


def part_of(n: int, question: str) -> Reason:
    """Return the remark that names the n-th sub-question."""
    return Reason("winnow.app.part", n=n, question=question)


def logged_division(stages: Iterable[Outcome]) -> Division | None:
    """The division that an answer's stages tell of."""
    for stage in stages:
        if stage.name != STAGE:
            continue
        # what it cost was paid then, and which passages say the same is found again
        reasons = [one for one in Reason.of(stage.reason).parts if one.code != "rerank.twins-folded"]
        again = Outcome(STAGE, stage.status, Reason.all(reasons) if stage.reason else "")
        for reason in reasons:
            if reason.code in ("winnow.app.asked-in-parts", "winnow.app.asked-in-words"):
                questions = tuple(str(part.values["question"]) for part in reason.values["parts"])
                return Division(questions, again, each=reason.code == "winnow.app.asked-in-parts")
        return Division((), again)
    return None
