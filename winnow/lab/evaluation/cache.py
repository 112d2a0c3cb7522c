"""The cache of an evaluation in one SQLite file: passages, rankings, answers.

Every result is committed at once, so that an interrupted run resumes where it stopped.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import wraps
from pathlib import Path
from threading import RLock
from typing import Any, Concatenate, ParamSpec, TypeVar

from storage.errors import StoreError
from storage.qdrant.points import from_payload, to_payload
from storage.records import Chunk

T = TypeVar("T")
P = ParamSpec("P")

# The stages of a passage: cut, in the lexical index, encoded.
CUT, LEXICAL, ENCODED = 0, 1, 2

_SCHEMA = """
CREATE TABLE IF NOT EXISTS documents (id TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS passages (
    id TEXT PRIMARY KEY, document TEXT NOT NULL, ordinal INTEGER NOT NULL, payload TEXT NOT NULL,
    stage INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS passages_of ON passages (document, ordinal);
CREATE INDEX IF NOT EXISTS passages_at ON passages (stage);
CREATE TABLE IF NOT EXISTS results (
    key TEXT NOT NULL, question TEXT NOT NULL, body TEXT NOT NULL, PRIMARY KEY (key, question)) WITHOUT ROWID;
"""


def _translated(
    method: Callable[Concatenate[EvaluationCache, P], T],
) -> Callable[Concatenate[EvaluationCache, P], T]:
    @wraps(method)
    def translated(self: EvaluationCache, /, *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            with self.lock:
                return method(self, *args, **kwargs)
        except sqlite3.Error as error:
            raise _store_error(self.path, error) from error

    return translated


class EvaluationCache:
    """The file and its tables. Calls from several threads are safe."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self.lock = RLock()
        self._connection = connection
        self._forgotten: set[str] = set()

    @classmethod
    def open(cls, path: Path) -> EvaluationCache:
        """Open or make the file. Raises StoreError."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(path, check_same_thread=False, timeout=30)
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")
            connection.executescript(_SCHEMA)
        except (sqlite3.Error, OSError) as error:
            raise _store_error(path, error) from error
        return cls(path, connection)

    def close(self) -> None:
        with self.lock:
            self._connection.close()

    @_translated
    def add_document(self, document: str, passages: Sequence[Chunk]) -> None:
        """Keep a document's passages, in a transaction that `commit` ends."""
        self._connection.execute("INSERT OR IGNORE INTO documents VALUES (?)", (document,))
        self._insert(passages, CUT)

    @_translated
    def remember(self, passages: Sequence[Chunk]) -> None:
        """Keep passages of a collection, so that rankings of them can be restored."""
        self._insert(passages, ENCODED)
        self._connection.commit()

    @_translated
    def commit(self) -> None:
        self._connection.commit()

    @_translated
    def has_document(self, document: str) -> bool:
        found = self._connection.execute("SELECT 1 FROM documents WHERE id = ?", (document,))
        return found.fetchone() is not None

    @_translated
    def passages_of(self, document: str) -> list[Chunk]:
        """The passages of a document, in its order."""
        rows = self._connection.execute(
            "SELECT id, payload FROM passages WHERE document = ? ORDER BY ordinal", (document,)
        )
        return [from_payload(name, json.loads(payload)) for name, payload in rows]

    @_translated
    def passages(self, ids: Iterable[str]) -> dict[str, Chunk]:
        """Passages by id; unknown ones are left out."""
        return {name: chunk for name, _, chunk in self._rows(ids)}

    @_translated
    def behind(self, ids: Iterable[str], stage: int) -> list[Chunk]:
        """The passages that have not reached `stage`."""
        return [chunk for _, reached, chunk in self._rows(ids) if reached < stage]

    def batches_behind(self, stage: int, size: int) -> Iterator[list[Chunk]]:
        """All passages that have not reached `stage`, in batches; each must be marked before the next."""
        while batch := self._batch_behind(stage, size):
            yield batch

    @_translated
    def count_behind(self, stage: int) -> int:
        found = self._connection.execute("SELECT count(*) FROM passages WHERE stage < ?", (stage,))
        return int(found.fetchone()[0])

    @_translated
    def mark(self, ids: Iterable[str], stage: int) -> None:
        """Record that passages have reached `stage`."""
        self._connection.executemany(
            "UPDATE passages SET stage = max(stage, ?) WHERE id = ?", [(stage, name) for name in ids]
        )
        self._connection.commit()

    @_translated
    def result(self, key: str, question: str) -> Any:
        """The kept result, or None."""
        found = self._connection.execute(
            "SELECT body FROM results WHERE key = ? AND question = ?", (key, question)
        ).fetchone()
        return None if found is None else json.loads(found[0])

    @_translated
    def keep(self, key: str, question: str, body: Any) -> None:
        """Keep a result; it replaces an earlier one."""
        text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
        self._connection.execute("INSERT OR REPLACE INTO results VALUES (?, ?, ?)", (key, question, text))
        self._connection.commit()

    @_translated
    def forget(self, key: str) -> None:
        """Drop the results of a key, unless this run dropped them before."""
        if key in self._forgotten:
            return
        self._forgotten.add(key)
        self._connection.execute("DELETE FROM results WHERE key = ?", (key,))
        self._connection.commit()

    def _insert(self, passages: Sequence[Chunk], stage: int) -> None:
        self._connection.executemany(
            "INSERT OR IGNORE INTO passages VALUES (?, ?, ?, ?, ?)",
            [
                (one.id, one.document_id, one.ordinal, json.dumps(to_payload(one), ensure_ascii=False), stage)
                for one in passages
            ],
        )

    def _rows(self, ids: Iterable[str]) -> list[tuple[str, int, Chunk]]:
        found = []
        for name in ids:
            row = self._connection.execute(
                "SELECT stage, payload FROM passages WHERE id = ?", (name,)
            ).fetchone()
            if row is not None:
                found.append((name, int(row[0]), from_payload(name, json.loads(row[1]))))
        return found

    @_translated
    def _batch_behind(self, stage: int, size: int) -> list[Chunk]:
        rows = self._connection.execute(
            "SELECT id, payload FROM passages WHERE stage < ? LIMIT ?", (stage, size)
        )
        return [from_payload(name, json.loads(payload)) for name, payload in rows]


def _store_error(path: Path, error: Exception) -> StoreError:
    return StoreError(
        f"the cache of measurements {path} cannot be used: {error}",
        way_out="Close what else uses it, or delete it: everything in it can be measured again.",
    )
