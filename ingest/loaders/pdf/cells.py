"""Tables of PDF pages: rows whose pieces stand under each other."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from statistics import median

from ingest.loaders.cell_kinds import kind
from ingest.loaders.headers import Row
from ingest.loaders.pdf.pieces import HYPHEN, Piece, joined, unspaced
from ingest.loaders.tables import table_lines

Spans = list[tuple[float, float]]  # left and right of each column

# In line heights: the least white between columns, that between two columns of few rows, the step within a
# cell, and the one that ends a table.
GUTTER, _CLEAR, _WRAP, _FAR = 0.5, 1.5, 1.5, 3.5
_FEWEST_ROWS = 3
# In line heights: how much closer the rest of a cell is than the next row, and what is no line of its own.
_CLEARLY, _BESIDE = 0.2, 0.8
# A line that goes on in the next is this full.
_FULL = 0.65
_SAME_PLACE = 3.0


@dataclass(slots=True)
class Carried:
    """The last table of a page: the next page may go on with it, without its names."""

    names: dict[int, str] = field(default_factory=dict)
    columns: Spans = field(default_factory=list)

    def fits(self, columns: Spans) -> bool:
        """True for a table whose columns begin where these do."""
        return len(columns) == len(self.columns) and all(
            abs(one[0] - other[0]) < _SAME_PLACE for one, other in zip(columns, self.columns, strict=True)
        )

    def drop(self) -> None:
        """Forget the names."""
        self.names.clear()


def table_at(rows: list[list[Piece]]) -> tuple[int, Spans]:
    """Count the first rows that are a table, and its columns; 0 for no table."""
    columns: Spans = []
    length = 0
    for index, row in enumerate(rows):
        if len(row) < 2 and not columns:
            break
        if index and _step(rows[index - 1], row) > _FAR * _height(row):
            break
        found = merged([*columns, *((piece.left, piece.right) for piece in row)], row[0].height)
        if len(found) < max(2, len(columns)):
            break
        columns = found
        beside = index and _step(rows[index - 1], row) < _BESIDE * _height(row)
        if len(row) >= 2 or (length == index and (beside or _is_wrapped(rows[index - 1], row, columns))):
            length = index + 1
    several = sum(len(row) >= 2 for row in rows[:length])
    height = rows[0][0].height if rows else 1.0
    columns = merged([(piece.left, piece.right) for row in rows[:length] for piece in row], height)
    clear = all(b[0] - a[1] > _CLEAR * height for a, b in itertools.pairwise(columns))
    return (length if several >= _FEWEST_ROWS or (several == 2 and clear) else 0), columns


def table_rows(
    rows: list[list[Piece]], columns: Spans, names: dict[int, str]
) -> Iterator[tuple[str, list[Piece]]]:
    """Each row of a table as a line by the names of its columns; a cell's next line is joined to its first.

    `names` hold until there is a header; after it they are those of the last one.
    """
    texts = [{column: joined(found) for column, found in _by_column(row, columns).items()} for row in rows]
    begins = _by_white(rows, texts)
    cells: list[tuple[dict[int, str], list[Piece]]] = []
    for index, (row, own) in enumerate(zip(rows, texts, strict=True)):
        if index and (not begins[index] if begins else _is_wrapped(rows[index - 1], row, columns)):
            for column, text in own.items():
                before = cells[-1][0].get(column, "")
                gap = "" if before.endswith(HYPHEN) or unspaced(before, text) else " "
                cells[-1][0][column] = f"{before}{gap}{text}".strip()
        else:
            cells.append((dict(own), row))
    table = [Row(number, texts) for number, (texts, _) in enumerate(cells, 1)]
    for number, text in table_lines(table, names=names):
        yield text, cells[number - 1][1]


def _is_wrapped(above: list[Piece], row: list[Piece], columns: Spans) -> bool:
    """True for a row that holds the next lines of cells above: close below them, not in the first column, and
    under lines that are full."""
    if _step(above, row) > _WRAP * _height(row):
        return False
    own, before = _by_column(row, columns), _by_column(above, columns)
    if 0 in own or len(own) == len(columns):
        return False
    return all(
        column in before
        and before[column][-1].right - columns[column][0] > _FULL * (columns[column][1] - columns[column][0])
        for column in own
    )


def _by_white(rows: list[list[Piece]], texts: list[dict[int, str]]) -> list[bool]:
    """Mark the lines that begin a row, where the white between rows tells them from the lines of cells.

    Cells may stand in the middle of their row, or at its foot. Every such row has one line with a first cell;
    no marks where the white says nothing, or parts the lines otherwise.
    """
    steps = [_step(above, row) for above, row in itertools.pairwise(rows)]
    for least in sorted({round(step, 1) for step in steps}, reverse=True):
        within = [step for step in steps if step < least - 0.1]
        if not within:
            return []
        begins = [True, *(step >= least - 0.1 for step in steps)]
        if max(within) < least - _CLEARLY * _height(rows[0]) and _are_rows(begins, texts):
            return begins
    return []


def _are_rows(begins: list[bool], texts: list[dict[int, str]]) -> bool:
    """True if all runs of several lines have one first cell, and no line above or below a number."""
    starts = [index for index, begin in enumerate(begins) if begin]
    for start, end in itertools.pairwise([*starts, len(texts)]):
        seen: dict[int, str] = {}
        if end - start > 1 and sum(0 in own for own in texts[start:end]) != 1:
            return False
        for column, text in (item for own in texts[start:end] for item in own.items()):
            if column in seen and {kind(text), kind(seen[column])} != {"text"}:
                return False
            seen[column] = text
    return True


def _by_column(row: list[Piece], columns: Spans) -> dict[int, list[Piece]]:
    own: dict[int, list[Piece]] = {}
    for piece in row:
        column = max(i for i, span in enumerate(columns) if i == 0 or piece.left >= span[0] - 0.5)
        own.setdefault(column, []).append(piece)
    return own


def _step(above: list[Piece], row: list[Piece]) -> float:
    return median(piece.middle for piece in above) - median(piece.middle for piece in row)


def _height(row: list[Piece]) -> float:
    return max(piece.height for piece in row)


def merged(spans: Spans, height: float) -> Spans:
    """Spans that touch as one, so that what remains are columns with white between them."""
    found: Spans = []
    for left, right in sorted(spans):
        if found and left < found[-1][1] + GUTTER * height:
            found[-1] = found[-1][0], max(right, found[-1][1])
        else:
            found.append((left, right))
    return found
