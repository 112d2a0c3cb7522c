"""CSV and TSV: one line a row, `column: value; ...`, so that each row is readable by itself."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Iterable, Iterator, Sequence

from ingest.loaders.base import Loaded, Source
from ingest.loaders.decoding import decode
from ingest.loaders.text import clean, one_line
from storage.errors import DocumentRefusedError
from storage.reasons import Reason
from storage.records import PageStart

_DELIMITERS = ",;\t|"
_SAMPLE_LINES = 20


def load(source: Source) -> Loaded:
    """CSV; the delimiter is the one of `,`, `;`, tab and `|` that splits the first lines most evenly."""
    return _load(source, None)


def load_tabs(source: Source) -> Loaded:
    return _load(source, "\t")


def _load(source: Source, delimiter: str | None) -> Loaded:
    decoded = decode(source.data)
    text = clean(decoded.text)
    rows = list(_rows(source, text, delimiter or delimiter_of(text)))
    return Loaded(
        text="\n".join(lines(rows)),
        rows=(PageStart(0, 2 if len(rows) > 1 else 1),),
        metadata=decoded.metadata,
        warnings=(*decoded.warnings, *_warnings(rows)),
    )


def delimiter_of(text: str) -> str:
    """The delimiter that gives most first lines the same number of cells, more than one."""
    sample = list(itertools.islice((line for line in io.StringIO(text) if line.strip()), _SAMPLE_LINES))

    def evenness(delimiter: str) -> tuple[int, int]:
        widths = [len(row) for row in csv.reader(sample, delimiter=delimiter)]
        common = max(set(widths), key=widths.count, default=1)
        return (widths.count(common) if common > 1 else 0, common)

    return max(_DELIMITERS, key=evenness)


def _rows(source: Source, text: str, delimiter: str) -> Iterable[list[str]]:
    csv.field_size_limit(source.limits.record_bytes)
    try:
        yield from csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    except csv.Error as error:
        raise unreadable_table(error) from error


def lines(rows: Sequence[Sequence[str]]) -> list[str]:
    """One line a row under the names of the first row; a single row or column stays as it is.

    Blank rows give blank lines, so that lines and rows stay in step.
    """
    if len(rows) < 2:
        return ["; ".join(one_line(cell) for cell in row if cell.strip()) for row in rows]
    names = [one_line(name) for name in rows[0]]
    if len(names) == 1:
        return [one_line(" ".join(row)) for row in rows[1:]]
    return [readable(names, row) for row in rows[1:]]


def readable(names: Sequence[str], row: Sequence[str]) -> str:
    """`column: value; ...` without empty cells; a cell beyond the last name has no name."""
    parts = []
    for name, cell in itertools.zip_longest(names, row, fillvalue=""):
        value = one_line(cell)
        if value:
            parts.append(f"{name}: {value}" if name else value)
    return "; ".join(parts)


def unreadable_table(error: csv.Error) -> DocumentRefusedError:
    """The refusal of a table that is not valid CSV."""
    return DocumentRefusedError("ingest.damaged", Reason("ingest.bad-table", error=str(error)))


def _warnings(rows: Sequence[Sequence[str]]) -> Iterator[Reason]:
    widths = [len(row) for row in rows if row]
    if odd := sum(width != widths[0] for width in widths):
        yield Reason("ingest.ragged-rows", n=odd, of=len(widths))
    if rows and len(set(rows[0])) < len(rows[0]):
        yield Reason("ingest.columns-of-one-name")
