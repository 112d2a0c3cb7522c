"""Keeps the log small, private and safe: prune, redact, vacuum, backup."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import aliased

from storage.database import Database, make_folder
from storage.errors import BadInputError
from storage.log.records import Pruned
from storage.log.redaction import COLUMNS, Redactor
from storage.log.rows import iso, with_address
from storage.log.tables import AnswerRow, CandidateRow, NeighbourRow, PassageRow
from storage.log.threads import with_replays
from storage.log.write import index, unindex
from storage.private_files import make_private_file
from storage.sqlite.errors import translated
from storage.tables import TableBase

# Answers deleted, or rows redacted, in one transaction: other processes may write in between.
_BATCH = 200
# The tables by which an answer holds passages.
_HOLDING = (CandidateRow, NeighbourRow)


def prune(database: Database, older_than: datetime, *, judged: bool) -> Pruned:
    """Delete answers from before `older_than`; those with feedback, their replays' too, only where `judged`.

    Their replays go with them, however new, and their calls, feedback and links, and passages that no other
    answer holds. A replay without its original would pass for an answer to somebody's question.
    """
    old = AnswerRow.created_at < iso(older_than)
    going = old if judged else sa.and_(old, AnswerRow.number.not_in(_wanted()))
    answers = passages = 0
    while True:
        with database.writing() as connection:
            batch = connection.execute(sa.select(AnswerRow.number).where(going).limit(_BATCH)).scalars().all()
            numbers = with_replays(connection, batch)
            passages += _forget(connection, numbers)
            connection.commit()
        answers += len(numbers)
        if len(batch) < _BATCH:
            break
    with database.reading() as connection:
        kept = connection.execute(sa.select(sa.func.count()).select_from(AnswerRow).where(old)).scalar_one()
    return Pruned(answers=answers, passages=passages, kept=kept)


def delete(database: Database, numbers: Sequence[int]) -> None:
    """Delete answers with all that belongs to them."""
    with database.writing() as connection:
        _forget(connection, numbers)
        connection.commit()


def _wanted() -> sa.Select[tuple[int]]:
    """Select the answers that have feedback, and those whose replay has."""
    judged = sa.or_(AnswerRow.feedback.is_not(None), AnswerRow.judged > 0)
    found = sa.select(AnswerRow.number, AnswerRow.replay_of).where(judged).cte("wanted", recursive=True)
    original = aliased(AnswerRow)
    step = sa.select(original.number, original.replay_of).where(original.number == found.c.replay_of)
    return sa.select(found.union(step).c.number)


def _forget(connection: sa.Connection, numbers: Sequence[int]) -> int:
    """Delete answers; return the number of passages that went with them."""
    mine = sa.select(AnswerRow.number, AnswerRow.question, AnswerRow.text)
    rows = connection.execute(mine.where(AnswerRow.number.in_(numbers))).all()
    theirs = (sa.select(table.passage_number).where(table.answer_number.in_(numbers)) for table in _HOLDING)
    passages = connection.execute(sa.union(*theirs)).scalars().all()
    unindex(connection, [(row.number, row.question, row.text) for row in rows])
    connection.execute(sa.delete(AnswerRow).where(AnswerRow.number.in_(numbers)))
    free = [~sa.exists().where(table.passage_number == PassageRow.number) for table in _HOLDING]
    gone = 0
    for start in range(0, len(passages), 1000):
        some = PassageRow.number.in_(passages[start : start + 1000])
        gone += connection.execute(sa.delete(PassageRow).where(some, *free)).rowcount
    return gone


def redact(database: Database, redactor: Redactor) -> int:
    """Redact everything that is logged; return the number of rows that changed."""
    changed = 0
    for table in COLUMNS:
        last: tuple[Any, ...] | None = None
        while True:
            with database.writing() as connection:
                rows = _page(connection, table, last)
                changed += sum(_redacted(connection, table, dict(row._mapping), redactor) for row in rows)
                connection.commit()
            if not rows:
                break
            last = tuple(rows[-1]._mapping[column.name] for column in sa.inspect(table).primary_key)
    return changed


def _page(connection: sa.Connection, table: type[TableBase], after: tuple[Any, ...] | None) -> Sequence[Any]:
    """Return the rows of a table that follow `after` in the order of its key."""
    key = sa.inspect(table).primary_key
    query = sa.select(table).order_by(*key).limit(_BATCH)
    return connection.execute(query if after is None else query.where(sa.tuple_(*key) > after)).all()


def _redacted(
    connection: sa.Connection, table: type[TableBase], row: dict[str, Any], redactor: Redactor
) -> bool:
    """Redact a row in place; return whether anything changed."""
    new = redactor.row(table, row)
    if new == row:
        return False
    if table is PassageRow:
        _move_passage(connection, row["number"], with_address(new))
        return True
    if table is AnswerRow:
        unindex(connection, [(row["number"], row["question"], row["text"])])
        index(connection, [(row["number"], new["question"], new["text"])])
    _update(connection, table, new)
    return True


def _move_passage(connection: sa.Connection, number: int, new: dict[str, Any]) -> None:
    """Give a passage its new content and address, or replace it by the passage that has them already."""
    same = connection.execute(sa.select(PassageRow.number).where(PassageRow.hash == new["hash"])).scalar()
    if same is None:
        _update(connection, PassageRow, new)
        return
    for table in _HOLDING:
        moved = sa.update(table).where(table.passage_number == number)
        connection.execute(moved.values(passage_number=same))
    connection.execute(sa.delete(PassageRow).where(PassageRow.number == number))


def _update(connection: sa.Connection, table: type[TableBase], row: dict[str, Any]) -> None:
    plain = table.__table__
    assert isinstance(plain, sa.Table)
    names = {column.name for column in plain.primary_key}
    same_key = (column == row[column.name] for column in plain.primary_key)
    values = {name: value for name, value in row.items() if name not in names}
    connection.execute(sa.update(plain).where(*same_key).values(values))


def vacuum(database: Database) -> int:
    """Free unused space, and leave no trace of what was deleted; return the number of bytes saved."""
    with database.driver() as driver:
        before = _size(database)
        driver.execute("INSERT INTO answers_fts (answers_fts) VALUES ('optimize')")
        driver.execute("PRAGMA optimize")
        driver.execute("VACUUM")
        driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        return before - _size(database)


def _size(database: Database) -> int:
    assert database.path is not None
    files = (database.path, database.path.with_name(f"{database.path.name}-wal"))
    return sum(path.stat().st_size for path in files if path.exists())


def backup(database: Database, target: Path) -> None:
    """Copy the whole database to a new file while others write.

    Raises BadInputError where the file exists already.
    """
    if target.exists():
        raise BadInputError(f"{target} exists already", way_out="name a new file")
    make_folder(target.parent)
    try:
        with suppress(OSError):  # SQLite says why
            make_private_file(target)
        with translated(str(target)), closing(sqlite3.connect(target)) as copy, database.driver() as driver:
            driver.backup(copy)
    except BaseException:
        target.unlink(missing_ok=True)
        raise
