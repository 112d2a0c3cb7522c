"""Files and folders that only this user may read: questions, answers and documents are nobody else's.

The small ones hold JSON, which anything may have damaged.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


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


def read_json(path: Path) -> Any:
    """Return the JSON in a file. Raises OSError, and ValueError where there is none that can be read."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def read_object(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file. Raises like `read_json`, also for any other JSON."""
    values = read_json(path)
    if not isinstance(values, dict):
        raise ValueError("it is no object")
    return values


def is_open_to_others(path: Path) -> bool:
    """Return whether other users may read a file or enter a folder; False where the system does not tell."""
    return os.name == "posix" and path.exists() and bool(path.stat().st_mode & 0o077)
