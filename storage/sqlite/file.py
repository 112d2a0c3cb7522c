"""The file of an SQLite database: made whole, and told from another one that took its place."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

from storage.private_files import make_private_file


def make_file(file: Path) -> None:
    """Make a database for this user alone, where there is none; its -wal and -shm get the same rights.

    It comes into its place whole: an empty file there is one that lost its content.
    """
    if file.exists():
        return
    with TemporaryDirectory(prefix=".new-", dir=file.parent) as folder:
        new = Path(folder) / file.name
        make_private_file(new)
        with closing(sqlite3.connect(new)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
        try:
            file.hardlink_to(new)
        except FileExistsError:
            return  # another process was faster
        except OSError:  # a disk without links
            new.rename(file)


def identity(path: Path | None) -> tuple[int, int] | None:
    """Return what tells a file from another one at its place; None where there is none."""
    try:
        found = path.stat() if path is not None else None
    except OSError:
        return None
    return None if found is None else (found.st_dev, found.st_ino)
