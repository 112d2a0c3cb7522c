"""What one stage remembers of earlier answers to a question: the score cache, which may fail without harm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rerank.base import flagged
from rerank.parts import ScoreCache
from storage.errors import WinnowError
from storage.records import Outcome


class Memory:
    """The score cache for one strategy and question. Blocking: call it in a worker thread.

    Where the cache fails, nothing is known and nothing is kept, and the outcome says why.
    """

    def __init__(self, cache: ScoreCache | None, fingerprint: str, question: str) -> None:
        self.failure = ""
        self._cache = cache
        self._fingerprint = fingerprint
        self._question = question

    @property
    def there(self) -> bool:
        """Whether there is a cache that works."""
        return self._cache is not None and not self.failure

    def known(self, keys: Sequence[str]) -> dict[str, float]:
        """The scores that are known, by key."""
        if self._cache is None or self.failure or not keys:
            return {}
        try:
            return self._cache.get_many(self._fingerprint, self._question, keys)
        except WinnowError as error:
            self.failure = str(error)
            return {}

    def keep(self, scores: Mapping[str, float]) -> None:
        """Keep scores by key."""
        if self._cache is None or self.failure or not scores:
            return
        try:
            self._cache.put_many(self._fingerprint, self._question, scores)
        except WinnowError as error:
            self.failure = str(error)

    def told(self, outcome: Outcome) -> Outcome:
        """The outcome, with a word about a cache that failed."""
        return flagged(outcome, "ok", f"the score cache failed: {self.failure}") if self.failure else outcome
