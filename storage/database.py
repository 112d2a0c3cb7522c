"""The database under the log and the manifest: SQLite, or any other that SQLAlchemy speaks to.

A file that does not exist is made, an older schema is brought up to date, a newer one refused. Every
failure is raised as `LogError`.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Self

from sqlalchemy import URL, Connection, Engine, Insert, create_engine, event, insert, make_url, text
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import ConnectionPoolEntry

from storage.errors import LogError
from storage.migrations.upgrade import needs_upgrade, upgrade
from storage.private_files import make_private_folder
from storage.sqlite.errors import REPAIR, is_busy, translated
from storage.sqlite.file import identity, make_file
from storage.tables import TableBase

# How long a writer waits for another process before it gives up, in seconds.
PATIENCE_S = 10.0

# An arbitrary number that all processes that migrate the same PostgreSQL database share.
_POSTGRES_LOCK = 0x77696E6E6F77


class Database:
    """An open database. Threads may share it; each `reading` or `writing` takes a connection of its own."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.path = _file_of(engine.url)
        self.shown = str(self.path) if self.path else engine.url.render_as_string(hide_password=True)
        self._file = identity(self.path)
        # SQLite lets one connection write at a time and has the others poll: of forty threads some never get
        # their turn. Those of one process wait for each other here.
        self._turn: AbstractContextManager[object] = threading.Lock() if self.is_sqlite else nullcontext()

    @classmethod
    def open(cls, url: str | Path, *, patience_s: float = PATIENCE_S) -> Database:
        """Open a database by its SQLAlchemy URL, or an SQLite file by its path.

        `patience_s` is how long to wait for another process that writes to an SQLite file, in seconds.
        Raises LogError where the file is locked, read-only and outdated, damaged, or of a newer schema.
        """
        address = URL.create("sqlite", database=str(url)) if isinstance(url, Path) else _parsed(url)
        with translated(address.render_as_string(hide_password=True)):
            database = cls(_engine(address, patience_s))
        try:
            database._prepare(patience_s)
        except BaseException:
            database.close()
            raise
        return database

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Give a connection that sees one state of the database until the block ends."""
        self.check()
        with translated(self.shown), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Give the only connection that may write. It is rolled back unless it is committed.

        A thread within such a block must not begin another.
        """
        with self._turn:
            self.check()
            with translated(self.shown), self._engine.connect() as connection:
                yield connection.execution_options(winnow_writes=True)

    @contextmanager
    def driver(self) -> Iterator[sqlite3.Connection]:
        """Give SQLite's own connection outside of any transaction.

        Raises LogError where the database is of another kind.
        """
        if not self.is_sqlite:
            raise LogError(
                f"the database {self.shown} is not an SQLite file", way_out="use the tools of its own server"
            )
        self.check()
        with translated(self.shown), closing(self._engine.raw_connection()) as pooled:
            driver = pooled.driver_connection
            assert isinstance(driver, sqlite3.Connection)
            yield driver

    def check(self) -> None:
        """Raise LogError where the file is not the one that was opened: what is written to that is lost."""
        if self.path is not None and (found := identity(self.path)) != self._file:
            raise LogError(
                f"the database {self.path} was {'removed' if found is None else 'replaced'} while in use",
                way_out="put the old file back, or start this program again: it then uses what is there",
            )

    def close(self) -> None:
        """Close every connection; using the database again opens new ones."""
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def is_sqlite(self) -> bool:
        return self._engine.dialect.name == "sqlite"

    def _prepare(self, patience_s: float) -> None:
        """Make or upgrade the schema where needed; two processes may do so at once."""
        if self.path is not None and self.path.is_dir():
            raise LogError(f"a folder is in the place of the database {self.path}", way_out=REPAIR)
        if self.path is not None and self.path.is_file() and not self.path.stat().st_size:
            raise LogError(f"the database {self.path} is empty: its content is lost", way_out=REPAIR)
        with self.reading() as connection:
            outdated = needs_upgrade(connection, self.shown)
        if not outdated:
            return
        if self.is_sqlite:
            self._use_wal(time.monotonic() + patience_s)
        with self.writing() as connection:
            if self._engine.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _POSTGRES_LOCK})
            if needs_upgrade(connection, self.shown):
                upgrade(connection)
                connection.commit()

    def _use_wal(self, deadline: float) -> None:
        """Allow readers next to one writer from now on: the file remembers its journal mode.

        SQLite does not wait when two connections change the mode at the same time.
        """
        with self.driver() as driver:
            while True:
                try:
                    driver.execute("PRAGMA journal_mode=WAL")
                    return
                except sqlite3.OperationalError as error:
                    if not is_busy(error) or time.monotonic() > deadline:
                        raise
                    time.sleep(0.02)


def _parsed(url: str) -> URL:
    try:
        return make_url(url)
    except ArgumentError as error:
        raise LogError(
            f"{url!r} is not a database URL",
            way_out="write sqlite:///path/to/file.db, or another SQLAlchemy URL",
        ) from error


def file_of(address: str | Path) -> Path | None:
    """Return the file of an SQLite database; None for any other kind. Raises LogError."""
    return address if isinstance(address, Path) else _file_of(_parsed(address))


def _file_of(url: URL) -> Path | None:
    if url.get_backend_name() != "sqlite":
        return None
    name = (url.database or "").removeprefix("file:")
    if not name or name.startswith(":memory:") or url.query.get("mode") == "memory":
        raise LogError(
            "a database in memory keeps nothing",
            way_out="name a file: sqlite:///path/to/file.db, or turn the log off",
        )
    return Path(name)


def _engine(url: URL, patience_s: float) -> Engine:
    if (file := _file_of(url)) is None:
        return create_engine(url)
    make_folder(file.parent)
    with suppress(OSError, sqlite3.Error):  # the engine says what is in the way
        make_file(file)
    engine = create_engine(url)
    event.listen(engine, "connect", _configure(patience_s))
    event.listen(engine, "begin", _begin)
    return engine


def make_folder(folder: Path) -> None:
    """Make the folder of a database. Raises LogError where that fails."""
    try:
        make_private_folder(folder)
    except OSError as error:
        raise LogError(
            f"the folder {folder} of the database cannot be made: {error.strerror or error}",
            way_out="make it, or use another data folder",
        ) from error


def _configure(patience_s: float) -> Callable[[DBAPIConnection, ConnectionPoolEntry], None]:
    def configure(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
        # The driver would begin transactions late and as readers, which cannot become writers safely.
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout={int(patience_s * 1000)}")
        cursor.execute("PRAGMA foreign_keys=ON")
        # With a write-ahead log this survives a crash of the process; a power cut may take the last answers.
        cursor.execute("PRAGMA synchronous=NORMAL")
        cursor.close()

    return configure


def _begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get("winnow_writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def insert_new(connection: Connection, table: type[TableBase]) -> Insert:
    """Return an insert that skips rows whose key exists already."""
    if connection.dialect.name == "postgresql":
        from sqlalchemy.dialects import postgresql

        return postgresql.insert(table).on_conflict_do_nothing()
    return insert(table).prefix_with("OR IGNORE", dialect="sqlite")
