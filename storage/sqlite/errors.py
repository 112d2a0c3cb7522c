"""Errors of SQLAlchemy and of SQLite's driver as winnow's own, each with a way out."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from storage.errors import BadInputError, LogError, MissingDependencyError, WinnowError

REPAIR = "`winnow doctor --repair` saves what can be read and sets the old file aside; or restore a backup"

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
        REPAIR,
    ),
    "SQLITE_NOTADB": (
        "is not an SQLite database",
        f"name another file, or: {REPAIR}",
    ),
    "SQLITE_FULL": ("cannot grow: the disk is full", "free some space; nothing half-written was kept"),
    "SQLITE_TOOBIG": ("was given a value that is too big for it", "ask with shorter texts"),
    "SQLITE_IOERR": (
        "cannot be read or written: the disk reports an error",
        "check the disk and its free space; nothing half-written was kept",
    ),
}


_HINDRANCES = (
    *("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_READONLY", "SQLITE_PERM"),
    *("SQLITE_CANTOPEN", "SQLITE_FULL", "SQLITE_IOERR"),
)


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


def is_busy(error: Exception) -> bool:
    """Return whether a driver's error means that another process holds the file now."""
    return _is(error, "SQLITE_BUSY", "SQLITE_LOCKED")


def is_damage(error: Exception) -> bool:
    """Return whether a driver's error means that the file holds what it should not."""
    return isinstance(error, UnicodeDecodeError) or _is(error, "SQLITE_CORRUPT", "SQLITE_NOTADB")


def is_hindrance(error: Exception) -> bool:
    """Return whether a driver's error comes from the disk, rights or others, whatever the file holds."""
    return _is(error, *_HINDRANCES)


def _is(error: Exception, *names: str) -> bool:
    driver = error.orig if isinstance(error, DBAPIError) else error
    return (getattr(driver, "sqlite_errorname", "") or "").startswith(names)
