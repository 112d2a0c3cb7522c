"""What happened while a stage asked a model, counted, and how that makes an outcome."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from rerank.base import flagged
from storage.records import Exchange, Outcome, Usage

# So many calls in a row that fail mean that the endpoint is down; so many replies that cannot be read (and
# none that can) that the model does not understand. The others are not paid for.
_GIVE_UP_AFTER = 5


@dataclass(slots=True)
class Tally:
    """Counts of one stage and one question. `stopped` says why no further call is made."""

    judged: int = 0
    cached: int = 0
    unreadable: int = 0
    not_asked: int = 0
    stopped: str = ""
    mended: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    shortened: set[int] = field(default_factory=set)
    usage: Usage = field(default_factory=Usage)
    exchanges: list[Exchange] = field(default_factory=list)
    _failed_in_a_row: int = 0

    def succeeded(self, usage: Usage) -> None:
        """Count a call that brought a reply, readable or not."""
        self.usage += usage
        self._failed_in_a_row = 0

    def failed_with(self, reason: str, usage: Usage) -> None:
        """Count a call that brought none."""
        self.usage += usage
        self.failed[reason] += 1
        self._failed_in_a_row += 1
        if self._failed_in_a_row >= _GIVE_UP_AFTER:
            self.stopped = self.stopped or f"gave up after {self._failed_in_a_row} failures in a row"

    def unread(self) -> None:
        """Count a reply that could not be read, asked for twice."""
        self.unreadable += 1
        if not self.judged and self.unreadable >= _GIVE_UP_AFTER:
            self.stopped = self.stopped or f"gave up after {self.unreadable} replies that could not be read"

    def outcome(self, name: str) -> Outcome:
        """`fallback` where there is no verdict at all, `partial` where some are missing."""
        outcome = Outcome(name, usage=self.usage, exchanges=tuple(self.exchanges))
        for lost in self._losses():
            outcome = flagged(outcome, "partial" if self.judged + self.cached else "fallback", lost)
        for mended, count in sorted(self.mended.items()):
            outcome = flagged(outcome, "repaired", f"{count} replies mended: {mended}")
        if self.shortened:
            outcome = flagged(outcome, "ok", f"{len(self.shortened)} long passages shortened for the prompt")
        if self.cached:
            outcome = flagged(outcome, "ok", f"{self.cached} verdicts from the cache")
        return outcome

    def _losses(self) -> Iterator[str]:
        for failure, count in sorted(self.failed.items()):
            yield f"{count} calls failed: {failure}"
        if self.unreadable:
            yield f"{self.unreadable} replies could not be read"
        if self.not_asked:
            yield f"{self.not_asked} calls not made: {self.stopped}"
