"""Files and folders that only this user may read: questions, answers and documents are nobody else's."""

from __future__ import annotations

import os
from pathlib import Path


def make_private_folder(folder: Path) -> None:
    """Make a folder for this user alone; one that exists stays as it is. Raises OSError."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)


def private(path: str, flags: int) -> int:
    """Open a file, for this user alone where it is new: the `opener` of `open`."""
    return os.open(path, flags, 0o600)


def make_private_file(path: Path) -> None:
    """Make an empty file for this user alone, where there is none. Raises OSError."""
    os.close(private(str(path), os.O_CREAT | os.O_RDWR))


def is_open_to_others(path: Path) -> bool:
    """Return whether other users may read a file or enter a folder; False where the system does not tell."""
    return os.name == "posix" and path.exists() and bool(path.stat().st_mode & 0o077)
