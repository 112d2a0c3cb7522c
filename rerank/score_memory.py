"""The score cache as one strategy and question see it: it may fail without harm."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rerank.base import flagged
from storage.errors import WinnowError
from storage.reasons import Reason
from storage.records import Outcome

if TYPE_CHECKING:
    from storage.log.score_cache import SqlScoreCache


class ScoreMemory:
    """Earlier scores for one question. Blocking: call it in a worker thread.

    Where the cache fails, nothing is known and nothing is kept, and the outcome says why.
    """

    def __init__(self, cache: SqlScoreCache | None, fingerprint: str, question: str) -> None:
        self._cache = cache
        self._fingerprint = fingerprint
        self._question = question
        self._failure = ""

    @property
    def available(self) -> bool:
        """True while there is a cache that works."""
        return self._cache is not None and not self._failure

    def known(self, keys: Sequence[str]) -> dict[str, float]:
        """The known scores, by key."""
        if self._cache is None or self._failure or not keys:
            return {}
        try:
            return self._cache.get_many(self._fingerprint, self._question, keys)
        except WinnowError as error:
            self._failure = str(error)
            return {}

    def keep(self, scores: Mapping[str, float]) -> None:
        """Keep scores by key."""
        if self._cache is None or self._failure or not scores:
            return
        try:
            self._cache.put_many(self._fingerprint, self._question, scores)
        except WinnowError as error:
            self._failure = str(error)

    def flagged(self, outcome: Outcome) -> Outcome:
        """The outcome, with a reason where the cache failed."""
        if not self._failure:
            return outcome
        return flagged(outcome, "ok", Reason("rerank.score-cache-failed", error=self._failure))


def text_key(text: str) -> str:
    """The key of a text: its SHA-256, in hex."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
