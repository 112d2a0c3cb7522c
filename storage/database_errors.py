"""What SQLAlchemy and its drivers raise, told as `LogError` with a way out."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from storage.errors import LogError, MissingDependencyError, WinnowError

# SQLite's own names for its primary result codes (https://www.sqlite.org/rescode.html), each told as:
# what is the matter with the file, and what to do.
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
    """Raise what a driver or SQLAlchemy raises within as `LogError`; `shown` names the database."""
    try:
        yield
    except WinnowError:
        raise
    except (SQLAlchemyError, sqlite3.Error, OverflowError) as error:
        raise _told(error, shown) from error


def _told(error: Exception, shown: str) -> WinnowError:
    driver = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(driver, sqlite3.Error):
        return _sqlite_told(driver, shown)
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


def _sqlite_told(error: sqlite3.Error, shown: str) -> LogError:
    # Extended codes such as SQLITE_BUSY_SNAPSHOT begin with their primary code.
    name = getattr(error, "sqlite_errorname", "") or ""
    known = next(
        (told for code, told in _SQLITE.items() if name == code or name.startswith(f"{code}_")), None
    )
    if known is None:
        return LogError(f"the database {shown} failed: {error}", way_out="see `winnow doctor`")
    what, way_out = known
    return LogError(f"the database {shown} {what} ({error})", way_out=way_out)


def is_busy(error: Exception) -> bool:
    """Whether a driver's error says that another process holds the file just now."""
    driver = error.orig if isinstance(error, DBAPIError) else error
    return getattr(driver, "sqlite_errorname", "").startswith(("SQLITE_BUSY", "SQLITE_LOCKED"))
