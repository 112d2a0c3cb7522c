"""Converts records to rows of the database and back; no database."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import fields
from datetime import UTC, datetime
from operator import attrgetter
from types import MappingProxyType
from typing import Any

from storage.reasons import Reason, coded
from storage.records import Answer, Chunk, Citation, Exchange, FollowUp, Outcome, Usage, whole, with_tuples

# A row on its way into or out of the database: column name → value.
Row = dict[str, Any]


def iso(moment: datetime) -> str:
    """Return a time in UTC as text of fixed width, so that text order is time order."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def clean(row: Row) -> Row:
    """Return a row whose texts every database takes."""
    return {name: whole(value) if isinstance(value, str) else value for name, value in row.items()}


def to_json(value: object) -> str:
    """Return JSON that people can read in the database: Chinese as it is written."""
    plain = dict(value) if isinstance(value, Mapping) else value
    return json.dumps(plain, ensure_ascii=False, default=str)


class RecordColumns:
    """The fields of a record as columns of a table, in both directions.

    A field is a column of its own name or that of `renamed`, as it is or converted by `_CONVERTED`; those of
    `_WIDE` are several columns. `without` names the fields that are kept elsewhere.
    """

    def __init__(
        self, record: type, *, without: Collection[str] = (), renamed: Mapping[str, str] | None = None
    ) -> None:
        renamed = {"start": "start_char", "end": "end_char", **(renamed or {})}
        names = [field.name for field in fields(record) if field.name not in without]
        self._fields = plain = [name for name in names if name not in _WIDE]
        self.names = [renamed.get(name, name) for name in plain]
        self._of_record, self._of_row = attrgetter(*plain), attrgetter(*self.names)
        self._converted = [
            (name, renamed.get(name, name), *_CONVERTED[name]) for name in plain if name in _CONVERTED
        ]
        self._wide = [(name, *_WIDE[name]) for name in names if name in _WIDE]

    def row(self, record: object) -> Row:
        """Return a record as a row that every database takes."""
        row = dict(zip(self.names, self._of_record(record), strict=True))
        for _, column, write, _ in self._converted:
            row[column] = write(row[column])
        for name, write_all, _ in self._wide:
            row |= write_all(getattr(record, name))
        return clean(row)

    def fields(self, row: Any) -> dict[str, Any]:
        """Return a row of the database as fields of a record."""
        values = dict(zip(self._fields, self._of_row(row), strict=True))
        for name, _, _, read in self._converted:
            values[name] = read(values[name])
        for name, _, read_all in self._wide:
            values[name] = read_all(row)
        return values


def _from_json(make: Callable[[Any], Any]) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    return to_json, lambda value: make(json.loads(value))


def _reason_columns(reason: str) -> Row:
    data = coded(reason)
    return {"reason": reason, "reason_data": None if data is None else to_json(data)}


def _read_reason(row: Any) -> str:
    if not row.reason:
        return ""
    return Reason.from_json(json.loads(row.reason_data or "null"), row.reason)


def _warnings_columns(warnings: Iterable[str]) -> Row:
    return {"warnings": to_json(warnings), "warnings_data": to_json(list(map(coded, warnings)))}


def _read_warnings(row: Any) -> tuple[Reason, ...]:
    sentences = json.loads(row.warnings)
    data = json.loads(row.warnings_data) if row.warnings_data else [None] * len(sentences)
    return tuple(Reason.from_json(one, text) for one, text in zip(data, sentences, strict=True))


def _usage_columns(usage: Usage) -> Row:
    return USAGE.row(usage)


def _read_usage(row: Any) -> Usage:
    return Usage(**USAGE.fields(row))


# Fields that one column holds in another form: how it is written and read.
_CONVERTED = {
    "created_at": (iso, datetime.fromisoformat),
    "headings": _from_json(tuple),
    "messages": _from_json(lambda messages: tuple(map(tuple, messages))),
    "metadata": _from_json(lambda values: MappingProxyType(with_tuples(values))),
    **dict.fromkeys(("timings_ms", "fingerprints"), _from_json(MappingProxyType)),
}
# Fields that several columns hold. The sentence of a reason and its data are apart: people read the one, and
# rows of older versions lack the other.
_WIDE: Mapping[str, tuple[Callable[[Any], Row], Callable[[Any], Any]]] = {
    "reason": (_reason_columns, _read_reason),
    "warnings": (_warnings_columns, _read_warnings),
    "usage": (_usage_columns, _read_usage),
}

USAGE: RecordColumns = RecordColumns(Usage)
ANSWER = RecordColumns(
    Answer, without=("citations", "candidates", "stages", "prompt", "follow_up", "neighbours")
)
FOLLOW_UP = RecordColumns(FollowUp, without=("answer_id",))
STAGE = RecordColumns(Outcome, without=("exchanges",))
EXCHANGE = RecordColumns(Exchange)
PASSAGE = RecordColumns(Chunk, renamed={"id": "chunk_id"})
CITATION = RecordColumns(Citation)


def with_address(passage: Row) -> Row:
    """Return a passage's row with its address, the SHA-256 of everything in it."""
    # without an empty line about it, so that a passage has the address that older versions gave it
    content = [passage[name] for name in PASSAGE.names if name != "about" or passage[name]]
    return {**passage, "hash": hashlib.sha256(json.dumps(content).encode()).hexdigest()}
