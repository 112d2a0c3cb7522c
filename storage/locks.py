"""One process at a time in an embedded collection, with a lock that says who holds it.

Qdrant Edge with its write-ahead log allows one opener, but its own error ("WouldBlock") names nobody.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from storage.errors import StoreLockedError

# Long enough for another shell's `winnow ask` to finish, short enough for a person to wait.
PATIENCE_S = 5.0


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a collection."""

    pid: int
    command: str
    since: str


class CollectionLock:
    """An exclusive lock on a collection's folder. The operating system frees it when the process dies.

    `file` is the lock's name in the folder; `doing` says in its refusal what the holder does.
    """

    def __init__(self, folder: Path, *, file: str = "lock", doing: str = "is in use by") -> None:
        self._folder = folder
        self._doing = doing
        self._note = folder / ("holder.json" if file == "lock" else f"{file}-holder.json")
        # not reentrant across instances: a second opener in this process is refused like any other
        self._lock = FileLock(folder / file, thread_local=False)

    def acquire(self, patience_s: float = PATIENCE_S) -> None:
        """Wait up to `patience_s` seconds. Raises StoreLockedError that names the holder."""
        try:
            self._lock.acquire(timeout=patience_s)
        except Timeout:
            raise self._refusal(patience_s) from None
        note = {
            "pid": os.getpid(),
            "command": this_command(),
            "since": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        with suppress(OSError):  # the lock holds without its note; a full disk shows soon enough
            self._note.write_text(json.dumps(note), encoding="utf-8")

    def release(self) -> None:
        if self._lock.is_locked:
            self._note.unlink(missing_ok=True)
            self._lock.release()

    def holder(self) -> Holder | None:
        """Who holds the lock, where that can be read."""
        try:
            note = json.loads(self._note.read_text(encoding="utf-8"))
            return Holder(int(note["pid"]), str(note["command"]), str(note["since"]))
        except (OSError, ValueError, KeyError):
            return None

    def _refusal(self, waited_s: float) -> StoreLockedError:
        holder = self.holder()
        who = (
            f"process {holder.pid} ({holder.command}, since {holder.since})" if holder else "another process"
        )
        return StoreLockedError(
            f"the collection {self._folder.name!r} {self._doing} {who}; waited {waited_s:g} s",
            way_out="Wait for it or end it. Several processes at once need a Qdrant server "
            "(docker compose up, then set WINNOW_STORE__URL).",
        )


def this_command() -> str:
    """What this process was started as, for people."""
    return " ".join([Path(sys.argv[0]).name, *sys.argv[1:3]])[:80] if sys.argv and sys.argv[0] else "python"
