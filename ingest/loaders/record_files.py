"""Files with one document a line: BEIR's corpus.jsonl, a table of answers. Read line by line, at any size."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import IO, cast

from ingest.chunking.chunker import Chunker
from ingest.engines.tasks import Done, Parsed, Reply, Setup, Task
from ingest.languages import language_of
from ingest.loaders import format_of
from ingest.loaders.base import Columns
from ingest.loaders.decoding import encoding_of
from ingest.loaders.json_values import Json, first_problems, parse_line
from ingest.loaders.metadata import plain, typed
from ingest.loaders.registry import damaged_gzip, mime_of
from ingest.loaders.table import delimiter_of, separator_of, unreadable_table
from ingest.loaders.text import clean, one_line
from storage.errors import DocumentRefusedError
from storage.qdrant.contract import document_id
from storage.reasons import Reason
from storage.records import Document, Meta

_SAMPLE, _LOOKED_THROUGH = 200_000, 4_000_000
_DAMAGED = (gzip.BadGzipFile, EOFError, zlib.error)

Fields = Mapping[str, Json]
Numbered = tuple[int, Fields | None, Reason | None]  # line, its fields or its problem


def records(task: Task, setup: Setup, chunker: Chunker) -> Iterator[Reply]:
    """One document per record, then Done with a warning for each line that gave none.

    Raises DocumentRefusedError where no line gives a document.
    """
    columns = cast(Columns, setup.columns)
    problems: list[Reason] = []
    seen: set[str] = set()
    kind = format_of(task.source)
    table = kind is not None and kind.name != "jsonl"
    with Path(task.path).open("rb") as file, _unpacked(file, task.path) as raw:
        stream = _Lines(raw, setup.limits.record_bytes)
        for number, fields, problem in _numbered(stream, task.source, columns):
            record = None if fields is None else _Record.read(fields, columns, number, table=table)
            if problem is None and not (record and record.text):
                problem = Reason("ingest.line-without-text", column=columns.text)
            if record and record.key in seen:
                problem = Reason("ingest.repeated-id", id=record.key)
            if problem or record is None:
                problems.append(Reason("ingest.bad-line", line=number, problem=problem))
                continue
            seen.add(record.key)
            yield _parsed(record, task, chunker)
    with Path(task.path).open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if seen:
        yield Done(digest, (*stream.warnings, *first_problems(problems)))
    elif problems:
        raise DocumentRefusedError("ingest.no-text", Reason("ingest.no-good-record", first=problems[0]))
    else:
        raise DocumentRefusedError("ingest.empty", Reason("ingest.no-record"))


@dataclass(frozen=True, slots=True)
class _Record:
    """The fields of a line that make up a document; `key` is its id, or the line's number."""

    key: str
    title: str
    text: str
    metadata: dict[str, Meta]

    @classmethod
    def read(cls, fields: Fields, columns: Columns, number: int, *, table: bool) -> _Record:
        """A line's record; in a `table` every value is text, and is given the type that it is written as."""
        key = _words(fields.get(columns.id)) if columns.id else ""
        metadata: dict[str, Meta] = {"line": number, "record": key or str(number)}
        for name in columns.metadata:
            if name in fields:
                value = fields[name]
                metadata[name] = typed(value) if isinstance(value, str) and table else _value(value)
        title = _words(fields.get(columns.title)) if columns.title else ""
        text = fields.get(columns.text)
        body = text if isinstance(text, str) else _words(text)
        return cls(key or str(number), one_line(title), clean(body).strip(), metadata)


def _words(value: Json) -> str:
    if isinstance(value, str):
        return clean(value)
    return "" if value is None else json.dumps(value, ensure_ascii=False)


def _value(value: Json) -> Meta:
    """A value for filters: an object within is text."""
    if isinstance(value, list) and not any(isinstance(item, list | dict) for item in value):
        return plain(value)
    return _words(value) if isinstance(value, list | dict) else plain(value)


def _parsed(record: _Record, task: Task, chunker: Chunker) -> Parsed:
    source = f"{task.source}#{record.key}"
    mime = mime_of(task.source)
    content = json.dumps([record.title, record.text, record.metadata], ensure_ascii=False, sort_keys=True)
    digest = hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()
    document = Document(
        id=document_id(source),
        source=source,
        title=record.title,
        text=record.text,
        mime=mime,
        content_hash=digest,
        metadata={"mime": mime, **_language(record), **record.metadata},
    )
    return Parsed.of(document, chunker.chunks(document))


def _language(record: _Record) -> dict[str, Meta]:
    language = None if "lang" in record.metadata else language_of(record.text)
    return {"lang": language} if language else {}


def _unpacked(file: io.BufferedReader, path: str) -> IO[bytes]:
    return cast(IO[bytes], gzip.open(file)) if path.lower().endswith(".gz") else cast(IO[bytes], file)


class _Lines:
    """Lines of a stream, split only at `\\n` (values may hold U+2028), each of bounded length.

    The encoding is found as in every other file, from the first lines and those that are not ASCII.
    `broken` counts the characters that it could not read.
    """

    def __init__(self, stream: IO[bytes], line_bytes: int) -> None:
        self.line_bytes = line_bytes
        self.found = encoding_of(_sample(stream))
        stream.seek(0)
        self.broken = 0
        name = {"utf-8": "utf-8-sig", "utf-16-le": "utf-16-le", "utf-16-be": "utf-16-be"}
        self._text = io.TextIOWrapper(
            stream, name.get(self.found.encoding, self.found.encoding), errors="replace", newline="\n"
        )

    def __iter__(self) -> Iterator[str]:
        first = True
        while line := self._read():
            self.broken += line.count("\ufffd")
            yield line.removeprefix("\ufeff") if first else line
            first = False

    @property
    def warnings(self) -> tuple[str, ...]:
        """Return the warnings about the encoding, once all lines were read."""
        return replace(self.found, broken=self.broken).warnings

    def _read(self) -> str:
        try:
            line = self._text.readline(self.line_bytes + 1)
        except _DAMAGED as error:
            raise damaged_gzip(error) from error
        if len(line) > self.line_bytes:
            reason = Reason("ingest.line-too-long", limit=self.line_bytes)
            raise DocumentRefusedError("ingest.too-large", reason)
        return line


def _sample(stream: IO[bytes]) -> bytes:
    """The first lines of a stream, and after them those within its first megabytes that are not ASCII."""
    try:
        data = stream.read(_SAMPLE)
        if not data.isascii():
            return data
        more = stream.read(_LOOKED_THROUGH)
    except _DAMAGED as error:
        raise damaged_gzip(error) from error
    odd = [line for line in more.split(b"\n")[:-1] if not line.isascii()] if not more.isascii() else []
    return data + b"\n".join(odd)[:_SAMPLE]


def _numbered(stream: _Lines, source: str, columns: Columns) -> Iterator[Numbered]:
    kind = format_of(source)
    if kind is not None and kind.name == "jsonl":
        return _json_lines(stream)
    return _table(stream, "\t" if kind is not None and kind.name == "tsv" else None, columns)


def _json_lines(stream: _Lines) -> Iterator[Numbered]:
    for number, line in enumerate(stream, 1):
        if not line.strip():
            continue
        value, problem = parse_line(line)
        if not problem and not isinstance(value, dict):
            problem = Reason("ingest.line-not-object")
        yield number, value if isinstance(value, dict) else None, problem


def _table(stream: _Lines, delimiter: str | None, columns: Columns) -> Iterator[Numbered]:
    lines = iter(stream)
    head = next(lines, "")
    skipped, named = separator_of(head)
    if skipped:
        head, delimiter = next(lines, ""), delimiter or named
    csv.field_size_limit(stream.line_bytes)
    reader = csv.reader(
        chain([head] if head else [], lines), delimiter=delimiter or delimiter_of(head), skipinitialspace=True
    )
    try:
        names = [one_line(name) for name in next(reader, [])]
        if columns.text not in names:
            reason = Reason("ingest.no-column", column=columns.text, columns=names)
            raise DocumentRefusedError("ingest.no-text", reason)
        for row in reader:
            if row:
                yield reader.line_num, dict(zip(names, row, strict=False)), None
    except csv.Error as error:
        raise unreadable_table(error) from error
