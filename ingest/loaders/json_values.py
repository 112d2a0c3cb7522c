"""JSON and JSON lines: every value with its path, one record a line."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator
from typing import cast

from ingest.loaders.base import Loaded, Source
from ingest.loaders.decoding import decode, inline_pictures
from ingest.loaders.tables import rows_of, table_lines
from ingest.loaders.text import clean, one_line, without_data
from ingest.loaders.text_column import MOST_ROWS, text_column_hint
from storage.errors import DocumentRefusedError
from storage.reasons import Reason
from storage.records import PageStart

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]


class Written(float):
    """A number as its file writes it: 1.10 is not 1.1 to whoever looks for it."""

    def __init__(self, text: str) -> None:
        self.text = text


_DECODER = json.JSONDecoder(parse_float=Written)
# With more fields, an object within another is no record.
_MOST_FIELDS = 30
# What the names of the columns are called that stand beside the rows of a table.
_NAMES = ("columns", "header", "headers", "fields")
# A string, which stays as it is; a comment; a comma before a closing bracket.
_SPARE = re.compile(
    r'("(?:[^"\\]|\\.)*+(?:"|\Z))|//[^\n]*|/\*.*?\*/|,(?=\s*+(?:(?://[^\n]*|/\*.*?\*/)\s*+)*+[}\]])',
    re.DOTALL,
)
# The most lines that warnings name; further ones are only counted.
_NAMED_LINES = 20


def load(source: Source) -> Loaded:
    """A list of records, at the top or as a field, is one line a record; anything else is one line a value:
    `path: value`."""
    decoded = decode(source.data)
    value = _parsed(decoded.text)
    records = isinstance(value, list) and not _is_table(value)
    lines = (
        [record_line(record, source) for record in value]
        if isinstance(value, list) and records
        else _lines(value, source)
    )
    text, pictures = without_data("\n".join(lines))
    title = value.get("title", value.get("name", "")) if isinstance(value, dict) else ""
    return Loaded(
        text=text if records else text.lstrip("\n"),
        title=one_line(title) if isinstance(title, str) else "",
        rows=(PageStart(0, 1),) if records else (),
        metadata=decoded.metadata,
        warnings=(*decoded.warnings, *inline_pictures(pictures)),
    )


def _parsed(text: str) -> Json:
    """The value of a JSON text; several below each other are a list, and comments and commas too many are
    overlooked. Raises DocumentRefusedError (damaged)."""
    try:
        return cast(Json, _DECODER.decode(text))
    except ValueError as error:
        problem = error
    for candidate in (text, _SPARE.sub(_without_comment, text)):
        values, at = list[Json](), len(candidate) - len(candidate.lstrip())
        try:
            while at < len(candidate):
                value, at = _DECODER.raw_decode(candidate, at)
                values.append(value)
                while at < len(candidate) and candidate[at] in " \t\n\r,":
                    at += 1
        except ValueError:
            continue
        return values[0] if len(values) == 1 else values
    raise DocumentRefusedError("ingest.damaged", Reason("ingest.bad-json", error=str(problem))) from problem


def _without_comment(found: re.Match[str]) -> str:
    return found[1] or ""


def load_lines(source: Source) -> Loaded:
    """One line a record; lines that are not JSON are left out and named by a warning."""
    decoded = decode(source.data)
    lines, bad, records = list[str](), list[Reason](), list[dict[str, Json]]()
    for number, line in enumerate(decoded.text.split("\n"), 1):
        record, problem = parse_line(line)
        if problem:
            bad.append(Reason("ingest.bad-line", line=number, problem=problem))
        # a line without a value becomes a blank one, so that lines and rows stay in step
        lines.append("" if record is None else record_line(record, source))
        if isinstance(record, dict) and len(records) < MOST_ROWS:
            records.append(record)
    if 2 * len(bad) > len(bad) + sum(map(bool, lines)) and (whole := _as_one(source)):
        return whole  # one value over several lines, or several
    if bad and not any(lines):
        raise DocumentRefusedError("ingest.damaged", Reason("ingest.no-good-line", first=bad[0]))
    text, pictures = without_data("\n".join(lines).rstrip("\n"))
    return Loaded(
        text=text,
        rows=(PageStart(0, 1),),
        metadata=decoded.metadata,
        warnings=(
            *(*decoded.warnings, *first_problems(bad)),
            *(*text_column_hint(records), *inline_pictures(pictures)),
        ),
    )


def _as_one(source: Source) -> Loaded | None:
    try:
        return load(source)
    except DocumentRefusedError:
        return None


def parse_line(line: str) -> tuple[Json, Reason | None]:
    """A line's value or its problem; neither for a blank line."""
    if not line.strip():
        return None, None
    try:
        value: Json = _DECODER.decode(line)
    except ValueError as error:
        return None, Reason("ingest.line-not-json", error=str(error))
    except RecursionError:
        return None, Reason("ingest.line-nested")
    return value, (Reason("ingest.line-null") if value is None else None)


def first_problems(problems: list[Reason]) -> list[Reason]:
    """The problems of the first bad lines, and how many more lines are bad."""
    more = len(problems) - _NAMED_LINES
    return problems[:_NAMED_LINES] + ([Reason("ingest.more-bad-lines", n=more)] if more > 0 else [])


def record_line(record: Json, source: Source) -> str:
    """A record in one line, `path: value; ...`."""
    return "; ".join(_lines(record, source, within_record=True))


def _lines(value: Json, source: Source, *, within_record: bool = False) -> Iterator[str]:
    """A line for every scalar with its path, in order; a stack instead of recursion.

    A list of objects is a blank line, then one line a record under the list's name, but not `within_record`;
    so are objects of the same fields, after their names, and a list of lists, by its columns.
    """
    stack: list[tuple[str, Json, int]] = [("", value, 0)]
    while stack:
        path, item, depth = stack.pop()
        if depth > source.limits.nesting:
            reason = Reason("ingest.nested-deeper", limit=source.limits.nesting)
            raise DocumentRefusedError("ingest.too-deep", reason)
        if not within_record and (rows := list(_records(item, source))):
            yield from ([f"\n{clean(path)}:"] if path else [])
            yield from rows
        elif isinstance(item, dict):
            named = ((f"{path}.{name}" if path else name, child) for name, child in _with_names(item).items())
            stack.extend(reversed([(name, child, depth + 1) for name, child in named]))
        elif isinstance(item, list):
            stack.extend((path, child, depth + 1) for child in reversed(item))
        elif (text := _scalar(item)) is not None:
            yield f"{name}: {text}" if (name := clean(path)) else text


def _records(item: Json, source: Source) -> Iterator[str]:
    """A line for each record of a list of objects, an object of like ones, or a list of lists."""
    if isinstance(item, dict) and len(item) > 1 and _are_alike(item.values()):
        for name, child in item.items():
            yield "; ".join((clean(name), record_line(child, source)))
    elif isinstance(item, list) and item and all(isinstance(child, dict) for child in item):
        yield from (record_line(child, source) for child in item)
    elif _is_table(item):
        cells = [[_scalar(cell) or "" for cell in cast(list[Json], row)] for row in cast(list[Json], item)]
        yield from (line for _, line in table_lines(rows_of(cells), forms=False))


def _are_alike(values: Collection[Json]) -> bool:
    """True for objects of few plain values that have at least half of their fields in common."""
    fields = list[set[str]]()
    for value in values:
        if not isinstance(value, dict) or not 0 < len(value) <= _MOST_FIELDS:
            return False
        if any(isinstance(child, dict | list) for child in value.values()):
            return False
        fields.append(set(value))
    return 2 * len(set.intersection(*fields)) >= len(set.union(*fields))


def _is_table(item: Json) -> bool:
    if not isinstance(item, list) or len(item) < 2:
        return False
    return all(
        isinstance(row, list) and row and not any(isinstance(cell, list | dict) for cell in row)
        for row in item
    )


def _with_names(item: dict[str, Json]) -> dict[str, Json]:
    """An object whose names of columns are the first row of its table, as pandas and many services write."""
    names = next((name for name in item if name.lower() in _NAMES), "")
    heads = item.get(names)
    if not isinstance(heads, list) or not all(isinstance(head, str) for head in heads):
        return item
    for name, child in item.items():
        rows = cast(list[list[Json]], child) if _is_table(child) else []
        if rows and all(len(row) == len(heads) for row in rows):
            return {key: value for key, value in item.items() if key != names} | {name: [heads, *rows]}
    return item


def _scalar(value: Json) -> str | None:
    if isinstance(value, str):
        return one_line(value) or None
    if isinstance(value, Written):
        return value.text
    return None if value is None else json.dumps(value, ensure_ascii=False)
