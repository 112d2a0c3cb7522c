"""CSV and TSV: one line a row, `column: value; ...`, so that each row is readable by itself."""

from __future__ import annotations

import csv
import io
import itertools
import re
from collections.abc import Iterator, Sequence

from ingest.loaders.base import Loaded, Source
from ingest.loaders.decoding import decode, inline_pictures
from ingest.loaders.tables import rows_of, table_lines
from ingest.loaders.text import TextBuilder, clean, one_line, without_data
from ingest.loaders.text_column import text_column_hint
from storage.errors import DocumentRefusedError
from storage.reasons import Reason

_DELIMITERS = ",;\t|"
# Where none of these parts the lines, the comma of Chinese texts may.
_WIDE_COMMA = "，"
_SAMPLE_LINES = 20
# After this many quotes without an end all are characters.
_MOST_UNCLOSED = 10
# A line after the last, which a quote without an end takes in; `clean` leaves none in a text.
_END = "\x1e"
# Excel's own line, which names the delimiter and is no row.
_SEPARATOR = re.compile(r'"?sep=(.)"?\r?\n', re.IGNORECASE)


def load(source: Source) -> Loaded:
    """CSV; the delimiter is the one of `,`, `;`, tab and `|` that splits the first lines most evenly."""
    return _load(source, None)


def load_tabs(source: Source) -> Loaded:
    return _load(source, "\t")


def _load(source: Source, delimiter: str | None) -> Loaded:
    decoded = decode(source.data)
    text, pictures = without_data(clean(decoded.text))
    skipped, delimiter = separator_of(text) if delimiter is None else (0, delimiter)
    rows = list(_rows(source, text[skipped:], delimiter or delimiter_of(text[skipped:])))
    builder = TextBuilder()
    lines = table_lines(rows_of(rows), forms=False)
    builder.table((number + bool(skipped), line) for number, line in lines)
    return Loaded(
        text=builder.text,
        rows=builder.rows,
        metadata=decoded.metadata,
        warnings=(*decoded.warnings, *_warnings(rows), *inline_pictures(pictures)),
    )


def separator_of(text: str) -> tuple[int, str | None]:
    """The length of a first line `sep=;` and the delimiter that it names."""
    named = _SEPARATOR.match(text)
    return (named.end(), named[1]) if named else (0, None)


def delimiter_of(text: str) -> str:
    """The delimiter that gives most first lines the same number of cells, more than one."""
    sample = list(itertools.islice((line for line in io.StringIO(text) if line.strip()), _SAMPLE_LINES))

    def evenness(delimiter: str) -> tuple[int, int]:
        widths = [len(row) for row in csv.reader(sample, delimiter=delimiter, skipinitialspace=True)]
        common = max(set(widths), key=widths.count, default=1)
        return (widths.count(common) if common > 1 else 0, common)

    best = max(_DELIMITERS, key=evenness)
    wide, common = evenness(_WIDE_COMMA)
    return _WIDE_COMMA if evenness(best)[0] == 0 and common > 1 and wide == len(sample) > 1 else best


def _rows(source: Source, text: str, delimiter: str) -> Iterator[list[str]]:
    """The rows of a table. A quote that is never closed is a character like others, or it would take in the
    rest of the file."""
    csv.field_size_limit(max(source.limits.record_bytes, len(source.data)))
    lines = text.split("\n")
    start = 0
    for _ in range(_MOST_UNCLOSED):
        rows, closed = _quoted_rows(lines[start:], delimiter)
        yield from (row for row, _ in rows)
        if closed:
            return
        start += rows[-1][1] if rows else 0
        yield lines[start].split(delimiter)
        start += 1
    yield from (line.split(delimiter) for line in lines[start:])


def _quoted_rows(lines: list[str], delimiter: str) -> tuple[list[tuple[list[str], int]], bool]:
    """Rows with the number of lines up to their ends; False if the last of them, left out, has no end."""
    reader = csv.reader((f"{line}\n" for line in (*lines, _END)), delimiter=delimiter, skipinitialspace=True)
    try:
        rows = [(row, reader.line_num) for row in reader]
    except csv.Error as error:
        raise unreadable_table(error) from error
    return rows[:-1], bool(rows) and rows[-1][0] == [_END]


def unreadable_table(error: csv.Error) -> DocumentRefusedError:
    """The refusal of a table that is not valid CSV."""
    return DocumentRefusedError("ingest.damaged", Reason("ingest.bad-table", error=str(error)))


def _warnings(rows: Sequence[Sequence[str]]) -> Iterator[Reason]:
    widths = [len(row) for row in rows if row]
    if odd := sum(width != widths[0] for width in widths):
        yield Reason("ingest.ragged-rows", n=odd, of=len(widths))
    if rows:
        names = [one_line(name) for name in rows[0]]
        named = list(filter(None, names))
        if len(set(named)) < len(named):
            yield Reason("ingest.columns-of-one-name")
        yield from text_column_hint(dict(zip(names, row, strict=False)) for row in rows[1:] if row)
