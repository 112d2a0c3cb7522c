"""Keeps scores that were paid for, by strategy, question and passage, in the log's database."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence

from sqlalchemy import Connection, delete, func, select

from storage.database import Database, insert_new
from storage.log.tables import ScoreRow

# Databases bound the number of parameters of a query.
_BATCH = 1000
MAX_ROWS = 1_000_000


class SqlScoreCache:
    """At most `max_rows` scores; the oldest go first. Every method raises LogError where the database fails.

    Keys are hashes that the caller makes, of a passage or of anything else that is scored, such as a pair. A
    score that is known already is not replaced. `owner` is who alone reuses them; empty: everybody.
    """

    def __init__(self, database: Database, *, max_rows: int = MAX_ROWS, owner: str = "") -> None:
        self._database = database
        self._max_rows = max_rows
        self._owner = owner

    def get_many(self, fingerprint: str, question: str, passage_hashes: Sequence[str]) -> dict[str, float]:
        """Return the known scores of these passages, by hash.

        `fingerprint` identifies what made the scores: strategy, model and prompt.
        """
        asked = self._address(fingerprint, question)
        found: dict[str, float] = {}
        with self._database.reading() as connection:
            for some in _batches(passage_hashes):
                query = select(ScoreRow.passage, ScoreRow.score).where(
                    ScoreRow.question == asked, ScoreRow.passage.in_(some)
                )
                found.update({row.passage: row.score for row in connection.execute(query)})
        return found

    def put_many(self, fingerprint: str, question: str, scores: Mapping[str, float]) -> None:
        """Keep scores by the passages' hashes, except NaN."""
        asked = self._address(fingerprint, question)
        rows = [
            {"question": asked, "passage": passage, "score": float(score)}
            for passage, score in scores.items()
            if not math.isnan(score)
        ]
        if not rows:
            return
        with self._database.writing() as connection:
            connection.execute(insert_new(connection, ScoreRow), rows)
            _bound(connection, self._max_rows)
            connection.commit()

    def _address(self, fingerprint: str, question: str) -> str:
        key = f"{fingerprint}\0{question}" + (f"\0{self._owner}" if self._owner else "")
        return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _bound(connection: Connection, max_rows: int) -> None:
    """Delete the oldest: numbers only grow, so they lie far behind the last. Gaps make it delete early."""
    last = connection.execute(select(func.max(ScoreRow.number))).scalar() or 0
    connection.execute(delete(ScoreRow).where(ScoreRow.number <= last - max_rows))


def _batches(items: Sequence[str]) -> Iterator[Sequence[str]]:
    return (items[start : start + _BATCH] for start in range(0, len(items), _BATCH))
