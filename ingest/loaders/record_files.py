"""Files in which each line is a document of its own: BEIR's corpus.jsonl, a table of answers.

They are read line by line, so their size does not matter.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import re
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, cast

from ingest.chunking.chunker import Chunker
from ingest.engines.tasks import Done, Parsed, Reply, Setup, Task
from ingest.loaders import format_of
from ingest.loaders.base import Columns
from ingest.loaders.json_values import Json, named, parse_line
from ingest.loaders.table import delimiter_of
from ingest.loaders.text import clean, one_line
from storage.errors import DocumentRefusedError
from storage.qdrant.contract import document_id
from storage.records import Document, Scalar

_NOTE = re.compile(r"^(\d+) records, (\d+) passages$")
Fields = Mapping[str, Json]
Numbered = tuple[int, Fields | None, str]  # line, fields, what is wrong


def note(records: int, passages: int) -> str:
    """What the manifest says of a file of records, whose passages belong to the records."""
    return f"{records} records, {passages} passages"


def passages_in(text: str) -> int:
    """The passages that `note` wrote; 0 for any other text."""
    found = _NOTE.match(text)
    return int(found[2]) if found else 0


def records(task: Task, setup: Setup, chunker: Chunker) -> Iterator[Reply]:
    """A document a record, then Done with a warning for each line that gave none.

    Raises DocumentRefusedError where no line gives a document.
    """
    columns = cast(Columns, setup.columns)
    problems: list[str] = []
    seen: set[str] = set()
    name = Path(task.path).name
    with Path(task.path).open("rb") as file, _unpacked(file, task.path) as raw:
        stream = _Lines(raw, setup.limits.record_bytes, name)
        for number, fields, problem in _numbered(stream, task.source, columns):
            record = None if fields is None else _Record.read(fields, columns, number)
            problem = problem or ("" if record and record.text else f"there is no {columns.text!r}")
            if record and record.key in seen:
                problem = f"the id {record.key!r} was there before"
            if problem or record is None:
                problems.append(f"line {number}: {problem}")
                continue
            seen.add(record.key)
            yield _parsed(record, task, chunker)
        digest = hashlib.file_digest(_rewound(file), "sha256").hexdigest()
    if not seen:
        first = f" ({problems[0]})" if problems else ""
        raise DocumentRefusedError(
            f"{name}: no line gives a document{first}", reason="no-text" if problems else "empty"
        )
    yield Done(digest, tuple(named(problems)))


class _Record:
    """The fields of a line that matter."""

    def __init__(self, key: str, title: str, text: str, metadata: dict[str, Scalar]) -> None:
        self.key = key
        self.title = title
        self.text = text
        self.metadata = metadata

    @classmethod
    def read(cls, fields: Fields, columns: Columns, number: int) -> _Record:
        key = _words(fields.get(columns.id)) if columns.id else ""
        metadata: dict[str, Scalar] = {"line": number, "record": key or str(number)}
        for name in columns.metadata:
            if name in fields:
                metadata[name] = _scalar(fields[name])
        title = _words(fields.get(columns.title)) if columns.title else ""
        text = fields.get(columns.text)
        body = text if isinstance(text, str) else _words(text)
        return cls(key or str(number), one_line(title), clean(body).strip(), metadata)


def _words(value: Json) -> str:
    if isinstance(value, str):
        return clean(value)
    return "" if value is None else json.dumps(value, ensure_ascii=False)


def _scalar(value: Json) -> Scalar:
    return value if isinstance(value, str | int | float | bool) or value is None else _words(value)


def _parsed(record: _Record, task: Task, chunker: Chunker) -> Parsed:
    source = f"{task.source}#{record.key}"
    kind = format_of(task.source)
    mime = kind.mime if kind else "application/jsonl"
    content = json.dumps([record.title, record.text, record.metadata], ensure_ascii=False, sort_keys=True)
    digest = hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()
    document = Document(
        id=document_id(source),
        source=source,
        title=record.title,
        text=record.text,
        mime=mime,
        content_hash=digest,
        metadata={"mime": mime, **record.metadata},
    )
    chunks = tuple(chunker.chunks(document))
    return Parsed(
        id=document.id, source=source, title=record.title, mime=mime, content_hash=digest, chunks=chunks
    )


def _unpacked(file: io.BufferedReader, path: str) -> IO[bytes]:
    return cast(IO[bytes], gzip.open(file)) if path.lower().endswith(".gz") else cast(IO[bytes], file)


def _rewound(file: io.BufferedReader) -> io.BufferedReader:
    file.seek(0)
    return file


class _Lines:
    """Lines of a stream, ended by `\\n` alone (values may hold U+2028), each of bounded length."""

    def __init__(self, stream: IO[bytes], line_bytes: int, name: str) -> None:
        self._stream = stream
        self._line_bytes = line_bytes
        self._name = name

    def __iter__(self) -> Iterator[str]:
        encoding = "utf-8-sig"
        while line := self._read():
            yield line.decode(encoding, "replace")
            encoding = "utf-8"

    def _read(self) -> bytes:
        try:
            line = self._stream.readline(self._line_bytes + 1)
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise DocumentRefusedError(
                f"{self._name}: the gzip data is damaged: {error}", reason="damaged"
            ) from error
        if len(line) > self._line_bytes:
            raise DocumentRefusedError(
                f"{self._name}: a line is longer than {self._line_bytes:,} bytes", reason="too-large"
            )
        return line


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
            problem = "not a JSON object"
        yield number, value if isinstance(value, dict) else None, problem


def _table(stream: _Lines, delimiter: str | None, columns: Columns) -> Iterator[Numbered]:
    lines = iter(stream)
    head = next(lines, "")
    reader = csv.reader(_chain(head, lines), delimiter=delimiter or delimiter_of(head))
    try:
        names = [one_line(name) for name in next(reader, [])]
        if columns.text not in names:
            raise DocumentRefusedError(
                f"there is no column {columns.text!r} (there are: {', '.join(names)})", reason="no-text"
            )
        for row in reader:
            if row:
                yield reader.line_num, dict(zip(names, row, strict=False)), ""
    except csv.Error as error:
        raise DocumentRefusedError(f"the table cannot be read: {error}", reason="damaged") from error


def _chain(head: str, lines: Iterator[str]) -> Iterator[str]:
    if head:
        yield head
    yield from lines
