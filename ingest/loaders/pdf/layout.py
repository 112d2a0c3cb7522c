"""Puts the pieces of a PDF page into reading order: columns one after the other, a table's rows by line.

A page says where each character is, not what belongs together. Pieces become rows (one height), rows
blocks: a column of prose beside another is read to its end first; rows whose pieces stand under each other
are a table.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from ingest.loaders.pdf.cells import GUTTER, Carried, Spans, merged, table_at, table_rows
from ingest.loaders.pdf.pieces import Piece, joined, width

# In line heights: a step that ends a paragraph.
_STEP = 1.75
_FEWEST_ROWS = 3
# Characters of a line on average, from which on a column holds prose and not cells.
_PROSE = 22
_MOST_CANDIDATES = 12
_DEEPEST = 8
# A table with no more lines than these above it may go on from the page before.
_FEW_ABOVE = 2


@dataclass(frozen=True, slots=True)
class Line:
    """A row of a page as one line of text; `tight`: it goes on in the paragraph of the line before, `fixed`:
    its letters are all of one width."""

    text: str
    left: float
    right: float
    middle: float
    height: float
    tight: bool = False
    fixed: bool = False


@dataclass(frozen=True, slots=True)
class Block:
    """Lines that belong together: of prose, or the rows of a table."""

    lines: list[Line]
    table: bool = False


def as_written(text: str) -> Block:
    """The lines of a page in the order of its content, where most of it is not written from left to right."""
    lines = [" ".join(line.split()) for line in text.splitlines()]
    return Block([Line(line, 0, width(line), -i, 1.0, tight=True) for i, line in enumerate(lines) if line])


def blocks(found: Sequence[Piece], carried: Carried) -> Iterator[Block]:
    """The blocks of a page in reading order; `carried` goes from page to page."""
    above = 0
    for rows, columns in _read(_rows(found), 0):
        if not columns:
            above += len(rows)
            if above > _FEW_ABOVE:
                carried.drop()
            yield _prose(rows)
            continue
        if above > _FEW_ABOVE or not carried.fits(columns):
            carried.drop()
        lines = []
        for text, row in table_rows(rows, columns, carried.names):
            lines.append(Line(text, row[0].left, row[-1].right, row[0].middle, row[0].height))
        carried.columns, above = columns, _FEW_ABOVE + 1
        yield Block(lines, table=True)


def _rows(found: Sequence[Piece]) -> list[list[Piece]]:
    """Pieces of one height, from the top of the page down, each row from left to right."""
    rows: list[list[Piece]] = []
    for piece in sorted(found, key=lambda piece: -piece.middle):
        if rows and _beside(rows[-1], piece):
            rows[-1].append(piece)
        else:
            rows.append([piece])
    for row in rows:
        row.sort(key=lambda piece: piece.left)
    return rows


def _beside(row: list[Piece], piece: Piece) -> bool:
    base = max(row, key=lambda other: other.height)
    overlap = min(piece.top, base.top) - max(piece.bottom, base.bottom)
    return overlap > 0.55 * min(piece.top - piece.bottom, base.top - base.bottom)


def _read(rows: list[list[Piece]], depth: int) -> Iterator[tuple[list[list[Piece]], Spans]]:
    """Rows that belong together, in reading order, with the columns of those that are a table."""
    columns = _columns(rows) if depth < _DEEPEST else None
    if columns is None:
        yield from _plain(rows)
        return
    first, last, gutter = columns
    yield from _read(rows[:first], depth + 1)
    region = [piece for row in rows[first:last] for piece in row]
    for side in (
        [piece for piece in region if piece.left < gutter],
        [piece for piece in region if piece.left >= gutter],
    ):
        yield from _read(_rows(side), depth + 1)
    yield from _read(rows[last:], depth + 1)


def _columns(rows: list[list[Piece]]) -> tuple[int, int, float] | None:
    """Rows from the first up to the last that two columns of prose share, and where the right one begins."""
    lefts = sorted(piece.left for row in rows for piece in row)
    best: tuple[int, int, int, float] | None = None
    for gutter in _aligned(lefts):
        first = 0
        for index in range(len(rows) + 1):
            if index < len(rows) and not _crosses(rows[index], gutter):
                continue
            if index - first >= _FEWEST_ROWS and (best is None or index - first > best[0]):
                trimmed = _two_sided(rows, first, index, gutter)
                if trimmed is not None:
                    best = (trimmed[1] - trimmed[0], *trimmed, gutter)
            first = index + 1
    return best[1:] if best else None


def _aligned(lefts: list[float]) -> list[float]:
    """Places where at least three pieces begin, the most frequent first."""
    groups: list[list[float]] = []
    for left in lefts:
        if groups and left - groups[-1][-1] < 2.0:
            groups[-1].append(left)
        else:
            groups.append([left])
    groups = [group for group in groups[1:] if len(group) >= _FEWEST_ROWS]
    groups.sort(key=len, reverse=True)
    return [group[0] - 0.5 for group in groups[:_MOST_CANDIDATES]]


def _crosses(row: list[Piece], gutter: float) -> bool:
    return any(piece.left < gutter and piece.right > gutter - GUTTER * piece.height for piece in row)


def _two_sided(rows: list[list[Piece]], first: int, last: int, gutter: float) -> tuple[int, int] | None:
    """The part of a run of rows with text on both sides, if both sides are prose."""
    left = [i for i in range(first, last) if any(piece.left < gutter for piece in rows[i])]
    right = [i for i in range(first, last) if any(piece.left >= gutter for piece in rows[i])]
    if len(left) < _FEWEST_ROWS or len(right) < _FEWEST_ROWS:
        return None
    first, last = max(first, min(left[0], right[0])), max(left[-1], right[-1]) + 1
    for low, high in merged(
        [(piece.left, piece.right) for row in rows[first:last] for piece in row], rows[first][0].height
    ):
        cells = [own for row in rows[first:last] if (own := [p for p in row if low <= p.left <= high])]
        if len(cells) >= _FEWEST_ROWS and not _is_prose(cells):
            return None
    return first, last


def _is_prose(cells: list[list[Piece]]) -> bool:
    """True for a column of long lines in one piece each."""
    one = sum(len(row) == 1 for row in cells)
    length = sum(width("".join(piece.text for piece in row)) for row in cells) / len(cells)
    return one >= 0.6 * len(cells) and length >= _PROSE and _wraps(cells)


def _wraps(cells: list[list[Piece]]) -> bool:
    """True if lines are mostly as long as the column is wide, as wrapped text is."""
    left = min(row[0].left for row in cells)
    rights = sorted(row[-1].right for row in cells)
    width = rights[int(0.9 * (len(rights) - 1))] - left
    return sum(right - left > 0.7 * width for right in rights) >= 0.5 * len(rights)


def _plain(rows: list[list[Piece]]) -> Iterator[tuple[list[list[Piece]], Spans]]:
    """Rows from top to bottom: tables apart, all others as lines of prose."""
    prose: list[list[Piece]] = []
    index = 0
    while index < len(rows):
        length, columns = table_at(rows[index:])
        if length:
            if prose:
                yield prose, []
            yield rows[index : index + length], columns
            prose, index = [], index + length
        else:
            prose.append(rows[index])
            index += 1
    if prose:
        yield prose, []


def _prose(rows: list[list[Piece]]) -> Block:
    lines: list[Line] = []
    before: Line | None = None
    for row in rows:
        height = max(piece.height for piece in row)
        middle = median(piece.middle for piece in row)
        tight = (
            before is not None
            and before.middle - middle < _STEP * max(height, before.height)
            and 0.85 < height / before.height < 1.18
        )
        fixed = all(piece.fixed for piece in row)
        before = Line(joined(row), row[0].left, row[-1].right, middle, height, tight, fixed)
        lines.append(before)
    return Block(lines)
