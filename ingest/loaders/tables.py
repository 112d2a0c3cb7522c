"""Gives the cells of a table the names of their columns: a row becomes one line, `column: value; ...`.

What is a header is seen by structure (a table's own marks) or by the kinds of its cells: names stand over
numbers and dates, and are none themselves.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ingest.loaders.cell_kinds import kind
from ingest.loaders.headers import LONGEST_NAME, Row, is_form, structured, tables_in
from ingest.loaders.text import one_line

# As HTML bounds them; a larger span says nothing that a reader could see.
_WIDEST, _HIGHEST = 1000, 5000
# A table is filled with this many copies of cells that span others; further spans are cells like any other.
_MOST_COPIES = 100_000


@dataclass(slots=True)
class Grid:
    """Collects cells that may span rows and columns; a span's text is in every cell of it."""

    _rows: dict[int, dict[int, str]] = field(default_factory=dict)
    _spans: dict[int, set[int]] = field(default_factory=dict)
    _height: int = 0
    _copies: int = 0
    _filled_to: dict[int, int] = field(default_factory=dict)

    def add(self, row: int, column: int, text: str, *, height: int = 1, width: int = 1) -> None:
        """Put a cell's text at a place, both counted from 0."""
        height, width = max(1, min(height, _HIGHEST)), max(1, min(width, _WIDEST))
        if self._copies + height * width > _MOST_COPIES:
            height = width = 1
        self._copies += height * width - 1
        for at in range(row, row + height):
            cells = self._rows.setdefault(at, {})
            for beside in range(column, column + width):
                cells.setdefault(beside, text)
                if beside > column:
                    self._spans.setdefault(at, set()).add(beside)
        self._height = max(self._height, row + 1)

    def free(self, row: int, column: int) -> int:
        """The first column from `column` on where a row has no cell yet."""
        cells, known = self._rows.get(row, {}), self._filled_to.get(row, 0)
        free = max(column, known)
        while free in cells:
            free += 1
        if column <= known:
            self._filled_to[row] = free
        return free

    def above(self, row: int, column: int) -> str:
        """The text of the cell over a place."""
        return self._rows.get(row - 1, {}).get(column, "")

    def rows(self) -> list[Row]:
        """The rows that cells begin in; a span that fills its row alone is there once."""
        return [Row(at + 1, self._filled(at)) for at in sorted(self._rows) if at < self._height]

    def _filled(self, at: int) -> dict[int, str]:
        cells, spanned = self._rows[at], self._spans.get(at, ())
        alone = sum(bool(text) for column, text in cells.items() if column not in spanned) == 1
        return {column: text for column, text in cells.items() if text and not (alone and column in spanned)}


def rows_of(cells: Sequence[Sequence[str]]) -> list[Row]:
    """Rows of plain cells, numbered from 1."""
    return [
        Row(number, {column: text for column, cell in enumerate(row) if (text := one_line(cell))})
        for number, row in enumerate(cells, 1)
    ]


def table_lines(
    rows: Sequence[Row],
    *,
    head: int | None = None,
    names: dict[int, str] | None = None,
    forms: bool = True,
) -> Iterator[tuple[int, str]]:
    """A line for each row under the names of its columns, with the row's number.

    `head` is the number of rows that are known to be a header; without it a header is looked for, in every
    part between blank rows or second headers. What precedes a header stays a line of its own, and so does
    each row where there is none. `names` are those of a table that these rows go on from; they become those
    of the last header. With `forms` labels may stand beside their values instead of above them.
    """
    names = {} if names is None else names
    for block in itertools.chain.from_iterable(map(tables_in, _blocks(rows))):
        if head is None and len(names) > 1 and max(len(row.cells) for row in block) == 1:
            for row in block:  # a note below the table
                yield row.number, _plain(row)
            continue
        if head is None and forms and not names and is_form(block):
            for row in block:
                yield row.number, _fields(row)
            continue
        above, found, body = structured(block, names, head)
        if found is not None and all(row.cells == found for row in body):
            above, found, body = [], None, block  # nothing but rows that are alike
        for row in above:
            yield row.number, _plain(row)
        if found is not None or any(column not in names for row in body for column in row.cells):
            names.clear()
            names.update(found or {})
        if found is not None:  # names of nothing would be lost
            used = {column for row in body for column in row.cells}
            if unused := [name for column, name in found.items() if column not in used]:
                yield block[len(above)].number, "; ".join(dict.fromkeys(unused))
        pairs = not names and _is_pairs(body)
        for row in body:
            if row.cells == names:  # a header that is repeated on each page
                continue
            yield row.number, _pair(row) if pairs else readable(names, row.cells)
        head = None


def readable(names: Mapping[int, str], cells: Mapping[int, str]) -> str:
    """`column: value; ...` without empty cells; a cell of a column without a name is its value alone."""
    text = ""
    for column in sorted(cells):
        if value := cells[column]:
            name = names.get(column, "")
            gap = "" if not text else " " if not name and text[-1] in ":：" else "; "
            text += gap + (f"{name}: {value}" if name else value)
    return text


def _blocks(rows: Sequence[Row]) -> Iterator[list[Row]]:
    """Runs of rows without a blank one between them; tables side by side come one after the other."""
    block: list[Row] = []
    step = _step([row.number for row in rows if row.cells])
    for row in rows:
        if not row.cells and step > 1:
            continue
        if block and (not row.cells or row.number > block[-1].number + step):
            yield from _beside(block)
            block = []
        if row.cells:
            block.append(row)
    if block:
        yield from _beside(block)


def _step(numbers: list[int]) -> int:
    """2 where every other row is blank, as in files whose line ends were doubled; otherwise 1."""
    doubled = len(numbers) > 2 and all(after - before == 2 for before, after in itertools.pairwise(numbers))
    return 2 if doubled else 1


def _beside(block: list[Row]) -> Iterator[list[Row]]:
    """The tables of a block that a blank column parts, if they are not the same height: a mere gap is."""
    columns = sorted({column for row in block for column in row.cells})
    parts = [[columns[0]]]
    for column in columns[1:]:
        if column > parts[-1][-1] + 1:
            parts.append([])
        parts[-1].append(column)
    if len(parts) == 1 or min(map(len, parts)) < 2:
        yield block
        return
    table_of = {column: number for number, part in enumerate(parts) for column in part}
    tables: list[list[Row]] = [[] for _ in parts]
    for row in block:
        cells: dict[int, dict[int, str]] = {}
        for column, text in row.cells.items():
            cells.setdefault(table_of[column], {})[column] = text
        for number, own in cells.items():
            tables[number].append(Row(row.number, own, row.bold))
    extents = {(table[0].number, table[-1].number) for table in tables}
    yield from tables if len(extents) > 1 else [block]


def _fields(row: Row) -> str:
    """`label: value; label: value` of a form's row."""
    cells = list(dict.fromkeys(row.cells[column] for column in sorted(row.cells)))
    if len(cells) % 2:
        return _plain(row)
    pairs = zip(cells[::2], cells[1::2], strict=True)
    return "; ".join(f"{label.rstrip(':： ')}: {value}" for label, value in pairs)


def _is_pairs(body: Sequence[Row]) -> bool:
    """True for a table of two columns whose first names the second."""
    if not all(0 < len(row.cells) <= 2 for row in body) or len({c for r in body for c in r.cells}) != 2:
        return False
    return all(kind(text) == "text" and len(text) <= LONGEST_NAME for text in map(_first, body))


def _pair(row: Row) -> str:
    return ": ".join(row.cells[column].rstrip(":：") for column in sorted(row.cells))


def _plain(row: Row) -> str:
    cells = list(dict.fromkeys(row.cells[column] for column in sorted(row.cells)))
    return ": ".join(part.rstrip(":：") for part in cells) if len(cells) == 2 else "; ".join(cells)


def _first(row: Row) -> str:
    return row.cells[min(row.cells)]
