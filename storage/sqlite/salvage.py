"""Reads the rows of a damaged SQLite table, around the pages that cannot be read.

A table is a tree of pages in the order of its keys. It is read from its beginning until a page fails, then
from its end; the gap between is halved until all that can be read of it is read.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass

from storage.sqlite.errors import is_hindrance

# Where the end of a table cannot be read, this many keys after the last good one are tried, and
# single ones up to a distance of two to the power of `_FARTHEST`.
_BEYOND = 1 << 12
_FARTHEST = 40
# Tries that fail before the rest of a table is given up; each takes some 10 µs.
_MOST_FAILURES = 50_000

Row = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """A table, its columns, and those of its key; `number` is the key's first where that is an integer."""

    name: str
    columns: Sequence[str]
    key: Sequence[str]
    number: str | None

    @classmethod
    def of(cls, connection: sqlite3.Connection, name: str) -> Table:
        """Describe a table of a file whose schema can be read."""
        found = connection.execute("SELECT name, type, pk FROM pragma_table_info(?)", (name,)).fetchall()
        keys = sorted((place, column, kind) for column, kind, place in found if place)
        key = [column for _, column, _ in keys] or ["rowid"]
        number = key[0] if not keys or keys[0][2] == "INTEGER" else None
        return cls(name, [column for column, _, _ in found], key, number)


class Salvage:
    """The rows of one table. `complete` tells after `rows` whether all could be read."""

    def __init__(self, connection: sqlite3.Connection, table: Table) -> None:
        self._connection = connection
        self._table = table
        self._failures = 0

    @property
    def complete(self) -> bool:
        return not self._failures

    def rows(self) -> Iterator[Row]:
        """Yield each row that can be read; some come twice."""
        first, last = yield from self._from_both_ends("", ())
        if self.complete or self._table.number is None:
            return
        low = 0 if first is None else first
        gaps = [(low, self._end(low) if last is None else last)]
        while gaps and self._failures < _MOST_FAILURES:
            low, high = gaps.pop()
            failures = self._failures
            where = f"WHERE {_quoted(self._table.number)} BETWEEN ? AND ?"
            first, last = yield from self._from_both_ends(where, (low, high))
            if self._failures == failures or low == high:
                continue
            low, high = low if first is None else first, high if last is None else last
            middle = (low + high) // 2
            gaps += [(middle + 1, high), (low, middle)] if low < high else []

    def _from_both_ends(
        self, where: str, values: tuple[int, ...]
    ) -> Generator[Row, None, tuple[int | None, int | None]]:
        """Yield rows forwards until one fails, then backwards; return the key where each of them ended."""
        ends: list[int | None] = []
        for direction in ("ASC", "DESC"):
            ends.append(None)
            try:
                for key, *row in self._connection.execute(self._query(where, direction), values):
                    ends[-1] = key if isinstance(key, int) else None
                    yield tuple(row)
            except (sqlite3.DatabaseError, OverflowError) as error:
                if is_hindrance(error):
                    raise
                self._failures += 1
            else:
                break
        return ends[0], ends[-1]

    def _end(self, low: int) -> int:
        """Return how far after `low` rows are looked for, where the last ones cannot be read."""
        end = low + _BEYOND
        for power in range(_FARTHEST):
            try:
                where = f"WHERE {_quoted(self._table.number or '')} = ?"
                self._connection.execute(self._query(where, "ASC"), (low + (1 << power),)).fetchall()
            except sqlite3.DatabaseError:
                continue
            end = max(end, low + (1 << power))
        return end

    def _query(self, where: str, direction: str) -> str:
        table = self._table
        order = ", ".join(f"{_quoted(column)} {direction}" for column in table.key)
        columns = ", ".join(map(_quoted, table.columns))
        return (
            f"SELECT {_quoted(table.key[0])}, {columns} FROM {_quoted(table.name)} {where} ORDER BY {order}"
        )


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
