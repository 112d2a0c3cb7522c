"""JSON and JSON lines: every value with the path that leads to it, one record a line."""

from __future__ import annotations

import json
from collections.abc import Iterator

from ingest.loaders.base import Loaded, Source, refuse
from ingest.loaders.decoding import decode
from ingest.loaders.plain import encoding_of
from ingest.loaders.text import clean, one_line
from storage.records import PageStart

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]

# Warnings name lines; more than this many only count.
_NAMED_LINES = 20


def load(source: Source) -> Loaded:
    """A list of records is one line a record; anything else is one line a value: `path: value`."""
    decoded = decode(source.data)
    try:
        value: Json = json.loads(decoded.text)
    except ValueError as error:
        raise refuse(source, f"it is not valid JSON: {error}", reason="damaged") from error
    metadata = encoding_of(decoded)
    if isinstance(value, list):
        lines = [record_line(record, source) for record in value]
        return Loaded(text="\n".join(lines), rows=(PageStart(0, 1),), metadata=metadata)
    title = value.get("title", value.get("name", "")) if isinstance(value, dict) else ""
    text = "\n".join(f"{path}: {scalar}" if path else scalar for path, scalar in _leaves(value, source))
    return Loaded(text=text, title=one_line(title) if isinstance(title, str) else "", metadata=metadata)


def load_lines(source: Source) -> Loaded:
    """One line a record; lines that are no JSON are left out and named by a warning."""
    decoded = decode(source.data)
    lines, bad = [], []
    for number, line in enumerate(decoded.text.split("\n"), 1):
        record, problem = parse_line(line)
        if problem:
            bad.append(f"line {number}: {problem}")
        # A line that gives nothing stays as a blank one, so that lines and rows keep counting alike.
        lines.append("" if record is None else record_line(record, source))
    if bad and not any(lines):
        raise refuse(source, f"no line is valid JSON ({bad[0]})", reason="damaged")
    return Loaded(
        text="\n".join(lines).rstrip("\n"),
        rows=(PageStart(0, 1),),
        metadata=encoding_of(decoded),
        warnings=(*decoded.warnings, *named(bad)),
    )


def parse_line(line: str) -> tuple[Json, str]:
    """A line's value and what is wrong with it, one of the two; blank lines give neither."""
    if not line.strip():
        return None, ""
    try:
        value: Json = json.loads(line)
    except ValueError as error:
        return None, f"not valid JSON ({error})"
    except RecursionError:
        return None, "nested too deeply"
    return value, ("" if value is not None else "null")


def named(problems: list[str]) -> list[str]:
    """The first problems by name, the others by count."""
    more = len(problems) - _NAMED_LINES
    return problems[:_NAMED_LINES] + ([f"and {more} more lines"] if more > 0 else [])


def record_line(record: Json, source: Source) -> str:
    """A record in one line, `path: value; ...`."""
    return "; ".join(f"{path}: {scalar}" if path else scalar for path, scalar in _leaves(record, source))


def _leaves(value: Json, source: Source) -> Iterator[tuple[str, str]]:
    """Every scalar with its path, in order; a stack instead of recursion."""
    stack: list[tuple[str, Json, int]] = [("", value, 0)]
    while stack:
        path, item, depth = stack.pop()
        if depth > source.limits.nesting:
            raise refuse(source, f"it is nested more than {source.limits.nesting} deep", reason="too-deep")
        if isinstance(item, dict):
            children = [
                (f"{path}.{name}" if path else name, child, depth + 1) for name, child in item.items()
            ]
            stack.extend(reversed(children))
        elif isinstance(item, list):
            stack.extend((path, child, depth + 1) for child in reversed(item))
        elif (text := _scalar(item)) is not None:
            yield clean(path), text


def _scalar(value: Json) -> str | None:
    if isinstance(value, str):
        return one_line(value) or None
    return None if value is None else json.dumps(value)
