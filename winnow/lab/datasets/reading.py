"""Lines of the files of a data set. Errors name file and line."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rerank.training.records import numbered_lines
from storage.errors import BadInputError
from storage.records import whole


class LineError(BadInputError):
    """A line (from 1) of an input file that cannot be used."""

    def __init__(self, path: Path, line: int, problem: str, *, way_out: str = "") -> None:
        super().__init__(f"{path}:{line}: {problem}", way_out=way_out)


def records(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects of a JSONL file with their line numbers."""
    for number, line in numbered_lines(path):
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise LineError(path, number, f"not JSON: {error}") from error
        if not isinstance(value, dict):
            raise LineError(path, number, f"a JSON object was expected, not {type(value).__name__}")
        yield number, value


def text_field(path: Path, line: int, record: dict[str, Any], *names: str) -> str:
    """The first of the named fields that is present. Raises LineError where none is, or it is not text."""
    for name in names:
        if name in record:
            value = record[name]
            if isinstance(value, bool) or not isinstance(value, str | int):
                raise LineError(path, line, f"{name!r} must be text, not {type(value).__name__}")
            return whole(str(value))
    raise LineError(
        path, line, f"{names[0]!r} is missing", way_out=f"Fields found: {', '.join(record) or 'none'}."
    )


def existing(folder: Path, *names: str) -> Path | None:
    """The first of the files that a folder has, plain or `.gz`."""
    for name in names:
        for path in (folder / name, folder / f"{name}.gz"):
            if path.is_file():
                return path
    return None


def file_digest(path: Path) -> str:
    """The SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
