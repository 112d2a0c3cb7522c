"""Lines of the files that a measurement is made of. Whatever is wrong is named with file and line."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast
from zlib import error as ZlibError  # noqa: N812 - an exception, named as one

from storage.errors import BadInputError


class LineError(BadInputError):
    """A line of an input file cannot be used; `path` and `line` (from 1) say where."""

    def __init__(self, path: Path, line: int, problem: str, *, way_out: str = "") -> None:
        super().__init__(f"{path}:{line}: {problem}", way_out=way_out)
        self.path = path
        self.line = line


def lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a text file, `.gz` or not, with their numbers from 1; blank ones are left out.

    Only "\\n" ends a line: values may contain U+2028 and the like. Raises BadInputError.
    """
    number = 0
    try:
        with _opened(path) as file:
            for number, raw in enumerate(file, start=1):
                text = _decoded(path, number, raw)
                if text.strip():
                    yield number, text
    except (OSError, EOFError, ZlibError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise BadInputError(f"{path} cannot be read after line {number}: {reason}") from error


def records(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects of a JSONL file with their line numbers."""
    for number, line in lines(path):
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise LineError(path, number, f"not JSON: {error}") from error
        if not isinstance(value, dict):
            raise LineError(path, number, f"a JSON object was expected, not {type(value).__name__}")
        yield number, value


def text_field(path: Path, line: int, record: dict[str, Any], *names: str) -> str:
    """The first of the named fields that is there. Raises LineError where it is missing or no text."""
    for name in names:
        if name in record:
            value = record[name]
            if isinstance(value, bool) or not isinstance(value, str | int):
                raise LineError(path, line, f"{name!r} must be text, not {type(value).__name__}")
            return without_surrogates(str(value))
    raise LineError(
        path, line, f"{names[0]!r} is missing", way_out=f"Fields found: {', '.join(record) or 'none'}."
    )


def without_surrogates(text: str) -> str:
    """JSON can spell half a character, which no encoding can write: it becomes U+FFFD."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def existing(folder: Path, *names: str) -> Path | None:
    """The first of the files, plain or with `.gz` behind its name, that a folder has."""
    for name in names:
        for path in (folder / name, folder / f"{name}.gz"):
            if path.is_file():
                return path
    return None


def _opened(path: Path) -> BinaryIO:
    return cast("BinaryIO", gzip.open(path, "rb")) if path.suffix == ".gz" else path.open("rb")


def _decoded(path: Path, number: int, raw: bytes) -> str:
    try:
        text = raw.decode("utf-8").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError as error:
        raise LineError(path, number, f"not UTF-8: {error.reason} at byte {error.start}") from error
    return text.removeprefix("\ufeff") if number == 1 else text
