"""Locks an embedded collection for one process, and tells the others who holds it.

Qdrant Edge with its write-ahead log allows one opener, but its own error ("WouldBlock") does not name it.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from filelock import FileLock, Timeout

from storage.errors import StoreLockedError, StoreUnavailableError
from storage.private_files import read_object

# Long enough for another shell's `winnow ask` to finish, short enough for a person to wait.
PATIENCE_S = 5.0


class CollectionLock:
    """An exclusive lock on a collection's folder. The operating system frees it when the process dies.

    `file` is the lock's name in the folder; `doing` is the holder's activity as a refusal words it.
    """

    def __init__(self, folder: Path, *, file: str = "lock", doing: str = "is in use by") -> None:
        self._folder = folder
        self._doing = doing
        self._note = folder / ("holder.json" if file == "lock" else f"{file}-holder.json")
        # not reentrant across instances: a second opener in this process is refused like any other
        self._lock = FileLock(folder / file, thread_local=False)

    def acquire(self, patience_s: float = PATIENCE_S) -> None:
        """Wait up to `patience_s` seconds.

        Raises StoreLockedError, which names the holder, and StoreUnavailableError where nothing can be
        written there.
        """
        try:
            self._lock.acquire(timeout=patience_s)
        except Timeout:
            raise self._refusal(patience_s) from None
        except OSError as error:
            raise StoreUnavailableError(
                f"the collection {self._folder.name!r} cannot be opened: {self._folder}: {error.strerror}",
                way_out="This user must be able to write there, and the disk must have room.",
            ) from error
        note = {
            "pid": os.getpid(),
            "command": this_command(),
            "since": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        with suppress(OSError):  # the lock holds without its note; a full disk shows soon enough
            self._note.write_text(json.dumps(note), encoding="utf-8")

    def release(self) -> None:
        if self._lock.is_locked:
            with suppress(OSError):
                self._note.unlink(missing_ok=True)
            self._lock.release()

    @contextmanager
    def held(self, patience_s: float = PATIENCE_S) -> Iterator[Self]:
        """Hold the lock within the block."""
        self.acquire(patience_s)
        try:
            yield self
        finally:
            self.release()

    @contextmanager
    def kept(self, patience_s: float = PATIENCE_S) -> Iterator[Self]:
        """Acquire the lock and keep it after the block, unless an error ends it."""
        self.acquire(patience_s)
        try:
            yield self
        except BaseException:
            self.release()
            raise

    def _holder(self) -> str:
        try:
            note = read_object(self._note)
            return f"process {note['pid']} ({note['command']}, since {note['since']})"
        except (OSError, ValueError, KeyError, TypeError):
            return "another process"

    def _refusal(self, waited_s: float) -> StoreLockedError:
        return StoreLockedError(
            f"the collection {self._folder.name!r} {self._doing} {self._holder()}; waited {waited_s:g} s",
            way_out="Wait for it or end it. Several processes at once need a Qdrant server "
            "(docker compose up, then set WINNOW_STORE__URL).",
        )


def this_command() -> str:
    """Return the command that started this process, for people."""
    return " ".join([Path(sys.argv[0]).name, *sys.argv[1:3]])[:80] if sys.argv and sys.argv[0] else "python"
