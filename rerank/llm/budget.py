"""Budgets: the most that a question may spend, checked before each call.

A call reserves the most that it may cost, then settles its actual cost. One that would not fit is not made.
"""

from __future__ import annotations

import math
from contextvars import ContextVar
from dataclasses import dataclass
from time import monotonic

from storage.reasons import Reason
from storage.records import Usage


@dataclass(frozen=True, slots=True)
class Budget:
    """Limits for one question; None means no limit. `max_cost` is in the currency of the price table."""

    max_calls: int | None = None
    max_tokens: int | None = None
    max_cost: float | None = None
    deadline_ms: float | None = None

    def __post_init__(self) -> None:
        for name in ("max_calls", "max_tokens", "max_cost", "deadline_ms"):
            value = getattr(self, name)
            if value is not None and value < 0:
                raise ValueError(f"{name} must not be negative, and is {value}")


class Meter:
    """Tracks spending against a Budget: what was spent, what calls in flight have reserved, the deadline.

    A stage's meter has the question's as its `parent`: both must admit a call.
    """

    def __init__(self, budget: Budget, parent: Meter | None = None) -> None:
        self._budget = budget
        self._parent = parent
        self._spent = Usage(cost=0.0)
        self._deadline = math.inf if budget.deadline_ms is None else monotonic() + budget.deadline_ms / 1000

    @property
    def remaining_s(self) -> float:
        """Seconds until the earliest deadline; infinite without one."""
        mine = self._deadline - monotonic()
        return mine if self._parent is None else min(mine, self._parent.remaining_s)

    def refusal(self, wanted: Usage) -> Reason | None:
        """The reason not to make a call that costs `wanted` at most; None where it may be made."""
        total, budget = self._spent + wanted, self._budget
        if budget.max_calls is not None and total.calls > budget.max_calls:
            return Reason("rerank.max-calls-reached", limit=budget.max_calls)
        tokens = total.prompt_tokens + total.completion_tokens
        if budget.max_tokens is not None and tokens > budget.max_tokens:
            return Reason("rerank.max-tokens-reached", limit=budget.max_tokens)
        if budget.max_cost is not None:
            if wanted.cost is None:
                return Reason("rerank.no-price")
            if (total.cost or 0.0) > budget.max_cost:
                return Reason("rerank.max-cost-reached", limit=budget.max_cost)
        if monotonic() >= self._deadline:
            return Reason("rerank.deadline-passed", limit=budget.deadline_ms)
        return self._parent.refusal(wanted) if self._parent else None

    def reserve(self, wanted: Usage) -> None:
        """Set aside the most that a call may cost."""
        self._add(wanted, 1)

    def settle(self, wanted: Usage, spent: Usage) -> None:
        """Release the reserved amount and book the spent one."""
        self._add(wanted, -1)
        self._add(spent, 1)

    def charge(self, spent: Usage, ms: float) -> None:
        """Book what was spent before this meter, the time of it included."""
        self._add(spent, 1)
        self._deadline -= ms / 1000

    def _add(self, usage: Usage, sign: int) -> None:
        self._spent += Usage(
            sign * usage.calls,
            sign * usage.prompt_tokens,
            sign * usage.completion_tokens,
            sign * (usage.cost or 0.0),
        )
        if self._parent:
            self._parent._add(usage, sign)


# The meter of the running stage. A chain sets it; a strategy used alone has none and is not limited.
CURRENT_METER: ContextVar[Meter | None] = ContextVar("rerank_meter", default=None)


def current_meter() -> Meter:
    """The running stage's meter, or one without limits."""
    return CURRENT_METER.get() or Meter(Budget())


def estimated_tokens(text: str) -> int:
    """A safe estimate of a text's tokens where the model's tokenizer is unknown.

    Chat models' tokenizers give English about 4 characters a token, Chinese about 1; this counts 3 and 0.8.
    """
    ascii_only = sum(character.isascii() for character in text)
    return math.ceil(ascii_only / 3 + (len(text) - ascii_only) * 1.25)
