"""Saves what can be read of a damaged database into a new one, and sets the damaged file aside.

Nothing is deleted: the damaged file stays, under another name, and is read from a copy.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO

from sqlalchemy import create_engine, select, text

from storage.database import Database
from storage.errors import LogError
from storage.log.tables import AnswerRow
from storage.log.write import index
from storage.migrations.upgrade import known_revisions, upgrade
from storage.private_files import make_private_file
from storage.sqlite.damage import ASIDE, Columns, columns_of, revision_of, set_aside
from storage.sqlite.errors import is_damage, is_hindrance, translated
from storage.sqlite.salvage import Row, Salvage, Table
from storage.tables import TableBase

_HEADER = 100
_PAGE = 4096
_BATCH = 500


@dataclass(frozen=True, slots=True)
class Recovered:
    """The result of a recovery: where the damaged database lies, rows saved by table, tables with gaps."""

    aside: Path
    rows: Mapping[str, int]
    incomplete: tuple[str, ...]


def recover(path: Path) -> Recovered:
    """Replace a damaged database by a new one with every row that can be read.

    Raises LogError where another process uses it, or the disk does not allow it; then all is as it was.
    """
    try:
        with TemporaryDirectory(prefix=".recovering-", dir=path.parent) as folder, translated(str(path)):
            new, work = Path(folder) / "new.db", Path(folder) / "damaged.db"
            _undo_swap(path)
            # closed last: closing it takes the lock away
            with _readable(path) as file, _locked(path) as lock:
                rows, incomplete = _saved(_copied(path, file, work), new)
                return Recovered(_swapped(path, new, lock), rows, incomplete)
    except OSError as error:
        raise LogError(
            f"the database {path} cannot be recovered: {error.strerror or error}",
            way_out="make room for two copies of it, and its folder writable for this user",
        ) from error


@contextmanager
def _locked(path: Path) -> Iterator[sqlite3.Connection | None]:
    """Keep others from writing, where the file is whole enough for that.

    An empty one is not opened: SQLite would delete the log beside it, which may hold the last rows.
    """
    if not path.is_file() or not path.stat().st_size:
        yield None
        return
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.DatabaseError as error:
            if not is_damage(error):
                raise
        yield connection


def _readable(path: Path) -> AbstractContextManager[BinaryIO | None]:
    return path.open("rb") if path.is_file() else nullcontext()


def _copied(path: Path, file: BinaryIO | None, work: Path) -> Path:
    """Copy the damaged file, and what it has not taken over yet; a folder in its place has no rows."""
    make_private_file(work)
    if file is not None:
        with work.open("wb") as copy:
            shutil.copyfileobj(file, copy)
        with suppress(FileNotFoundError):
            shutil.copyfile(f"{path}-wal", f"{work}-wal")
    return work


def _saved(work: Path, new: Path) -> tuple[dict[str, int], tuple[str, ...]]:
    """Fill a new database from the copy; return the rows saved by table, and the tables with gaps."""
    head = known_revisions()[-1]
    _make(new, head)
    _mend_header(work, new)
    with closing(sqlite3.connect(work)) as damaged:
        damaged.text_factory = lambda data: data.decode("utf-8", "replace")
        damaged.execute("PRAGMA cell_size_check=ON")
        # otherwise a file that is shorter than it says is not read at all
        damaged.execute("PRAGMA writable_schema=ON")
        there: Columns = {}
        try:
            there = columns_of(damaged)
        except sqlite3.DatabaseError as error:
            if is_hindrance(error):
                raise
        revision = revision_of(damaged) or _fitting(there, new.parent)
        if revision in known_revisions() and revision != head:
            new.unlink()
            _make(new, revision)
        saved, incomplete = _filled(new, damaged, there)
    _finish(new)
    gaps = incomplete if saved else sorted(TableBase.metadata.tables)
    return saved, tuple(gaps)


def _filled(new: Path, damaged: sqlite3.Connection, there: Columns) -> tuple[dict[str, int], list[str]]:
    saved, incomplete = {}, []
    with closing(sqlite3.connect(new)) as target:
        for name, columns in columns_of(target).items():
            if name == "alembic_version" or name.startswith(("answers_fts", "sqlite_")):
                continue
            if name not in there:
                incomplete.append(name)
                continue
            table = Table.of(damaged, name)
            salvage = Salvage(damaged, table)
            shared = [column for column in table.columns if column in columns]
            places = [table.columns.index(column) for column in shared]
            rows = salvage.rows()
            insert = f"INSERT OR IGNORE INTO {name} ({', '.join(shared)}) VALUES ({_marks(shared)})"
            while batch := [[row[place] for place in places] for row in islice(rows, _BATCH)]:
                target.executemany(insert, batch)
            if not salvage.complete:
                incomplete.append(name)
        _drop_orphans(target)
        target.commit()
        for name in there.keys() & columns_of(target).keys() & TableBase.metadata.tables.keys():
            saved[name] = target.execute(f"SELECT count(*) FROM {name}").fetchone()[0]
    return saved, incomplete


def _drop_orphans(target: sqlite3.Connection) -> None:
    """Unlink rows from others that are lost, or drop them where they mean nothing alone."""
    while orphans := target.execute("PRAGMA foreign_key_check").fetchmany(1):
        name = orphans[0][0]
        links = target.execute(f"PRAGMA foreign_key_list({name})").fetchall()
        for link in {row[0] for row in links}:
            _unlink(target, name, [row for row in links if row[0] == link])


def _unlink(target: sqlite3.Connection, name: str, link: list[Row]) -> None:
    columns = [(str(own), str(theirs)) for _, _, _, own, theirs, *_ in link]
    parent = link[0][2]
    same = " AND ".join(f"parent.{theirs} = {name}.{own}" for own, theirs in columns)
    given = " AND ".join(f"{own} IS NOT NULL" for own, _ in columns)
    lost = f"{given} AND NOT EXISTS (SELECT 1 FROM {parent} AS parent WHERE {same})"
    if link[0][6] == "SET NULL":
        target.execute(f"UPDATE {name} SET {columns[0][0]} = NULL WHERE {lost}")
    else:
        target.execute(f"DELETE FROM {name} WHERE {lost}")


def _mend_header(work: Path, new: Path) -> None:
    """Give a file whose beginning is lost that of a new database of the same layout.

    Its first page lists the tables and where they begin. Where only its header is lost the list is its own;
    otherwise that of a new database is tried, and given up where the rest of the list does not follow it.
    """
    size = work.stat().st_size
    fresh = new.read_bytes()[:_PAGE]
    if not size and Path(f"{work}-wal").exists():
        work.write_bytes(fresh)  # what the log beside it has of the first page takes the place of this
    if size < 2 * _PAGE or _layout(work):
        return
    header = bytearray(fresh[:_HEADER])
    header[28:32] = (size // _PAGE).to_bytes(4, "big")
    header[32:40] = bytes(8)  # no free pages are known
    with work.open("r+b") as file:
        own = file.read(_PAGE)
        for rest in (own[_HEADER:], fresh[_HEADER:], own[_HEADER:]):
            file.seek(0)
            file.write(bytes(header) + rest)
            file.flush()
            if (found := _layout(work)) and (rest == own[_HEADER:] or found == _layout(new)):
                return


def _layout(path: Path) -> list[Row]:
    """Return the tables and indexes and where they begin; nothing where that cannot be read."""
    try:
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA writable_schema=ON")
            return connection.execute("SELECT type, name, rootpage FROM sqlite_master").fetchall()
    except (sqlite3.DatabaseError, UnicodeDecodeError):
        return []


def _fitting(there: Columns, folder: Path) -> str | None:
    """Return the newest schema whose columns the file has, where its own number is lost."""
    for revision in reversed(known_revisions()):
        trial = folder / f"{revision}.db"
        _make(trial, revision)
        with closing(sqlite3.connect(trial)) as connection:
            wanted = columns_of(connection)
        if all(set(columns) <= set(there.get(name, ())) for name, columns in wanted.items() if name in there):
            return revision
    return None


def _make(path: Path, revision: str) -> None:
    """Make an empty database of a schema."""
    make_private_file(path)
    engine = create_engine(f"sqlite:///{path.absolute()}")
    try:
        with engine.begin() as connection:
            upgrade(connection, revision)
    finally:
        engine.dispose()


def _finish(new: Path) -> None:
    """Bring the new database to the schema of today and make its answers findable."""
    with Database.open(new) as database:
        with database.writing() as connection:
            connection.execute(text("INSERT INTO answers_fts (answers_fts) VALUES ('delete-all')"))
            wanted = select(AnswerRow.number, AnswerRow.question, AnswerRow.text)
            for batch in connection.execute(wanted).partitions(_BATCH):
                index(connection, [(row.number, row.question, row.text) for row in batch])
            connection.commit()
        with database.driver() as driver:
            driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def _swapped(path: Path, new: Path, lock: sqlite3.Connection | None) -> Path:
    """Set the damaged file aside, with what belongs to it, and put the new one in its place.

    A kill at any moment leaves one of the two there, and the damaged one's log beside one of its names.
    """
    aside = path.with_name(f"{path.name}{ASIDE}{datetime.now(UTC):%Y%m%dT%H%M%S%f}")
    if path.is_dir():
        path.rename(aside)
        new.rename(path)
        return aside
    if os.name == "nt" and lock:
        lock.close()  # what is open cannot be moved there
    with _unopened(new):
        _second_name(path, aside)
        log = Path(f"{path}-wal")
        if log.exists():
            _second_name(log, Path(f"{aside}-wal"))
        # the new database must not take over what was written for the old one, and the memory that those who
        # use the old one share holds the lock on it
        log.unlink(missing_ok=True)
        new.replace(path)
        Path(f"{path}-shm").unlink(missing_ok=True)
        if lock:
            lock.close()
    with suppress(sqlite3.OperationalError), closing(sqlite3.connect(path)) as connection:
        # as any other; where somebody was quicker, it is in use as it is
        connection.execute("PRAGMA journal_mode=WAL")
    return aside


@contextmanager
def _unopened(new: Path) -> Iterator[None]:
    """Have others wait who open the new database in its place.

    Closing a damaged one deletes the log that lies beside its former name, which must not be theirs.
    """
    if os.name == "nt":
        yield
        return
    with closing(sqlite3.connect(new, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")
        connection.execute("BEGIN EXCLUSIVE")
        yield


def _second_name(file: Path, name: Path) -> None:
    try:
        name.hardlink_to(file)
    except OSError:  # a disk without links
        shutil.copyfile(file, name)


def _undo_swap(path: Path) -> None:
    """Put the log of a damaged file back beside it, where a recovery was killed between the two."""
    for aside in set_aside(path):
        if not path.exists() or not aside.samefile(path):
            continue
        log, kept = Path(f"{path}-wal"), Path(f"{aside}-wal")
        if kept.exists() and log.exists() and not kept.samefile(log):
            continue  # somebody has written since: both stay
        if kept.exists() and not log.exists():
            kept.rename(log)
        for name in (aside, kept):
            name.unlink(missing_ok=True)


def _marks(columns: list[str]) -> str:
    return ", ".join("?" * len(columns))
