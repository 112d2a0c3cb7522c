"""Finds what is wrong with an SQLite file of log and manifest, whatever state it is in."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from glob import escape
from pathlib import Path

import storage.log.tables
import storage.manifest.tables  # noqa: F401 - both enter their tables into TableBase.metadata
from storage.migrations.upgrade import known_revisions
from storage.reasons import Reason
from storage.sqlite.errors import is_damage
from storage.tables import TableBase

# Between the name of a database and the time when it was set aside.
ASIDE = ".damaged-"

Columns = dict[str, list[str]]


def damage_of(path: Path) -> str | None:
    """Return what is wrong with the file in one line; None where it is whole, newer than this, or not there.

    Reads all of it, which takes a second for some 100 MB. Raises sqlite3.Error where it cannot be read for
    another reason: it is locked, or this user may not, or the disk fails.
    """
    if path.is_dir():
        return Reason("storage.database-folder")
    if not path.exists():
        return None
    if path.stat().st_size == 0:
        return Reason("storage.database-empty")
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True)) as connection:
            return _examined(connection)
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        if not is_damage(error):
            raise
        return str(error)


def set_aside(path: Path) -> list[Path]:
    """Return the damaged files that this database took the place of, the oldest first."""
    found = path.parent.glob(f"{escape(path.name)}{ASIDE}*") if path.parent.is_dir() else ()
    return sorted(one for one in found if not one.name.endswith(("-wal", "-shm")))


def _examined(connection: sqlite3.Connection) -> str | None:
    [found] = connection.execute("PRAGMA integrity_check(1)").fetchone()
    if found != "ok":
        return " ".join(found.split())
    revision = revision_of(connection)
    if revision is not None and revision != known_revisions()[-1]:
        return None  # an older schema is upgraded, a newer one left alone
    there = columns_of(connection)
    if revision is None:
        ours = sorted(set(there) & set(TableBase.metadata.tables))
        return Reason("storage.database-unnumbered", tables=ours) if ours else None
    for name, table in TableBase.metadata.tables.items():
        missing = {column.name for column in table.columns} - set(there.get(name, ()))
        if missing:
            if name in there:
                return Reason("storage.table-lacks", table=name, columns=sorted(missing))
            return Reason("storage.no-table", table=name)
    return None


def revision_of(connection: sqlite3.Connection) -> str | None:
    """Return the schema's revision; None where it cannot be read."""
    try:
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.DatabaseError:
        return None
    return None if row is None else str(row[0])


def columns_of(connection: sqlite3.Connection) -> Columns:
    """Return the columns of every table with pages of its own, by its name."""
    tables = "SELECT name FROM sqlite_master WHERE type = 'table' AND rootpage > 0"
    names = connection.execute(tables).fetchall()
    return {
        name: [column for (column,) in connection.execute("SELECT name FROM pragma_table_info(?)", (name,))]
        for (name,) in names
    }
