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
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.pool import ConnectionPoolEntry

from storage.errors import BadInputError, LogError, MissingDependencyError, WinnowError
from storage.migrations.upgrade import needs_upgrade, upgrade
from storage.private_files import make_private_file, make_private_folder
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
        with translated(self.shown), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Give the only connection that may write. It is rolled back unless it is committed.

        A thread within such a block must not begin another.
        """
        with self._turn, translated(self.shown), self._engine.connect() as connection:
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
        with translated(self.shown), closing(self._engine.raw_connection()) as pooled:
            driver = pooled.driver_connection
            assert isinstance(driver, sqlite3.Connection)
            yield driver

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
                    if not _is_busy(error) or time.monotonic() > deadline:
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


def _file_of(url: URL) -> Path | None:
    """Return the file of an SQLite database; None for any other kind."""
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
    with suppress(OSError):  # the engine says what stands in the way; its -wal and -shm get the file's rights
        make_private_file(file)
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


# By SQLite's names of its primary result codes (https://www.sqlite.org/rescode.html): the state of the file,
# and the way out.
_SQLITE: dict[str, tuple[str, str]] = {
    "SQLITE_BUSY": (
        "is locked by another process",
        "wait until the other process is done, or stop it; then try again",
    ),
    "SQLITE_LOCKED": ("is locked by another connection of this process", "try again"),
    "SQLITE_READONLY": (
        "is read-only",
        "make the file and its folder writable for this user, or use another data folder",
    ),
    "SQLITE_PERM": ("may not be used by this user", "give this user the right to read and write it"),
    "SQLITE_CANTOPEN": (
        "cannot be opened",
        "check that this user may write in its folder, where SQLite keeps -wal and -shm files too",
    ),
    "SQLITE_CORRUPT": (
        "is damaged",
        "restore a backup, or move the file away; `sqlite3 FILE .recover` may save the rest",
    ),
    "SQLITE_NOTADB": (
        "is not an SQLite database",
        "name another file, or move this one away: a new log is begun",
    ),
    "SQLITE_FULL": ("cannot grow: the disk is full", "free some space; nothing half-written was kept"),
    "SQLITE_TOOBIG": ("was given a value that is too big for it", "ask with shorter texts"),
    "SQLITE_IOERR": (
        "cannot be read or written: the disk reports an error",
        "check the disk and its free space; nothing half-written was kept",
    ),
}


@contextmanager
def translated(shown: str) -> Iterator[None]:
    """Raise errors of a driver or SQLAlchemy as `LogError`; `shown` names the database."""
    try:
        yield
    except WinnowError:
        raise
    except UnicodeDecodeError as error:  # of the driver, which meets other bytes where text should be
        raise LogError(
            f"the database {shown} is damaged: it holds what is no text ({error.reason})",
            way_out=_SQLITE["SQLITE_CORRUPT"][1],
        ) from error
    except UnicodeEncodeError as error:
        raise BadInputError(f"{error.object[:80]!r} is no text", way_out="Write it in UTF-8.") from error
    except (SQLAlchemyError, sqlite3.Error, OverflowError) as error:
        raise _log_error(error, shown) from error


def _log_error(error: Exception, shown: str) -> WinnowError:
    driver = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(driver, sqlite3.Error):
        return _sqlite_error(driver, shown)
    if isinstance(error, NoSuchModuleError | ImportError):
        return MissingDependencyError(
            f"no driver for the database {shown}: {error}",
            way_out="use an SQLite file, or install the driver that the URL names (pip install psycopg)",
        )
    if isinstance(error, PoolTimeoutError):
        return LogError(f"the database {shown} is busy: {error}", way_out="ask fewer questions at once")
    return LogError(
        f"the database {shown} failed: {driver}",
        way_out="check the URL, and that the database is up and may be written by this user",
    )


def _sqlite_error(error: sqlite3.Error, shown: str) -> LogError:
    # Extended codes such as SQLITE_BUSY_SNAPSHOT begin with their primary code.
    name = getattr(error, "sqlite_errorname", "") or ""
    known = next(
        (meaning for code, meaning in _SQLITE.items() if name == code or name.startswith(f"{code}_")), None
    )
    if known is None:
        return LogError(f"the database {shown} failed: {error}", way_out="see `winnow doctor`")
    what, way_out = known
    return LogError(f"the database {shown} {what} ({error})", way_out=way_out)


def _is_busy(error: Exception) -> bool:
    """Return whether a driver's error means that another process holds the file now."""
    driver = error.orig if isinstance(error, DBAPIError) else error
    return getattr(driver, "sqlite_errorname", "").startswith(("SQLITE_BUSY", "SQLITE_LOCKED"))
