"""CSV and TSV: one line a row, `column: value; ...`, so that each row is readable by itself."""

from __future__ import annotations

import csv
import io
import itertools
import re
from collections.abc import Iterable, Iterator, Sequence

from ingest.loaders.base import Loaded, Source
from ingest.loaders.decoding import decode
from ingest.loaders.tables import rows_of, table_lines
from ingest.loaders.text import TextBuilder, clean, one_line
from ingest.loaders.text_column import text_column_hint
from storage.errors import DocumentRefusedError
from storage.reasons import Reason

_DELIMITERS = ",;\t|"
_SAMPLE_LINES = 20
# Excel's own line, which names the delimiter and is no row.
_SEPARATOR = re.compile(r'"?sep=(.)"?\r?\n', re.IGNORECASE)


def load(source: Source) -> Loaded:
    """CSV; the delimiter is the one of `,`, `;`, tab and `|` that splits the first lines most evenly."""
    return _load(source, None)


def load_tabs(source: Source) -> Loaded:
    return _load(source, "\t")


def _load(source: Source, delimiter: str | None) -> Loaded:
    decoded = decode(source.data)
    text = clean(decoded.text)
    skipped, delimiter = separator_of(text) if delimiter is None else (0, delimiter)
    rows = list(_rows(source, text[skipped:], delimiter or delimiter_of(text[skipped:])))
    builder = TextBuilder()
    for number, line in table_lines(rows_of(rows)):
        builder.row(number + bool(skipped), line)
    return Loaded(
        text=builder.text,
        rows=builder.rows,
        metadata=decoded.metadata,
        warnings=(*decoded.warnings, *_warnings(rows)),
    )


def separator_of(text: str) -> tuple[int, str | None]:
    """The length of a first line `sep=;` and the delimiter that it names."""
    named = _SEPARATOR.match(text)
    return (named.end(), named[1]) if named else (0, None)


def delimiter_of(text: str) -> str:
    """The delimiter that gives most first lines the same number of cells, more than one."""
    sample = list(itertools.islice((line for line in io.StringIO(text) if line.strip()), _SAMPLE_LINES))

    def evenness(delimiter: str) -> tuple[int, int]:
        widths = [len(row) for row in csv.reader(sample, delimiter=delimiter)]
        common = max(set(widths), key=widths.count, default=1)
        return (widths.count(common) if common > 1 else 0, common)

    return max(_DELIMITERS, key=evenness)


def _rows(source: Source, text: str, delimiter: str) -> Iterable[list[str]]:
    csv.field_size_limit(max(source.limits.record_bytes, len(source.data)))
    try:
        yield from csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    except csv.Error as error:
        raise unreadable_table(error) from error


def unreadable_table(error: csv.Error) -> DocumentRefusedError:
    """The refusal of a table that is not valid CSV."""
    return DocumentRefusedError("ingest.damaged", Reason("ingest.bad-table", error=str(error)))


def _warnings(rows: Sequence[Sequence[str]]) -> Iterator[Reason]:
    widths = [len(row) for row in rows if row]
    if odd := sum(width != widths[0] for width in widths):
        yield Reason("ingest.ragged-rows", n=odd, of=len(widths))
    if rows and len(set(rows[0])) < len(rows[0]):
        yield Reason("ingest.columns-of-one-name")
    if rows:
        names = [one_line(name) for name in rows[0]]
        yield from text_column_hint(dict(zip(names, row, strict=False)) for row in rows[1:] if row)
