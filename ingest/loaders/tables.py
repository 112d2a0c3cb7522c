"""Gives the cells of a table the names of their columns: a row becomes one line, `column: value; ...`.

What is a header is seen by structure (a table's own marks) or by the kinds of its cells: names stand over
numbers and dates, and are none themselves.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ingest.loaders.text import one_line

_NUMBER = re.compile(
    r"[(+\-−]?\s?(?:[$€£¥￥₹]|[A-Z]{3}\s)?\s?\d[\d.,' \xa0\u202f]*(?:[eE][+-]?\d+)?\s?(?:%|‰|[$€£¥￥₹元])?\)?"
)
_YEAR = re.compile(r"(?:19|20)\d\d")
_DATE = re.compile(
    r"\d{4}[-/.年]\d{1,2}[-/.月]\d{1,2}日?(?:[T ]\d.*)?"
    r"|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4}|\d{1,2}:\d\d(?::\d\d)?"
)
# A header is within this many rows of its table; titles and notes may precede it.
_HEAD_WITHIN = 10
_LONGEST_NAME = 120
_SENTENCE = re.compile(r"[.!?]\s+\S+.*[.!?]$|[。！？].")
# As HTML bounds them; a larger span says nothing that a reader could see.
_WIDEST, _HIGHEST = 1000, 5000
# A table is filled with so many copies of cells that span others; further spans are cells like any other.
_MOST_COPIES = 100_000


@dataclass(frozen=True, slots=True)
class Row:
    """The filled cells of a row by column; `number` counts from 1, as in a spreadsheet."""

    number: int
    cells: Mapping[int, str]


@dataclass(slots=True)
class Grid:
    """Collects cells that may span rows and columns; a span's text stands in every cell of it."""

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
        """The rows that cells begin in; a span that fills its row alone stands there once."""
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
    rows: Sequence[Row], *, head: int | None = None, names: dict[int, str] | None = None
) -> Iterator[tuple[int, str]]:
    """A line for each row under the names of its columns, with the row's number.

    `head` is the number of rows that are known to be a header; without it a header is looked for, in every
    part between blank rows. What precedes a header stays a line of its own, and so does each row where
    there is none. `names` are those of a table that these rows go on from; they become those of the last
    header.
    """
    names = {} if names is None else names
    for block in _blocks(rows):
        above, found, body = _structured(block, names, head)
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
    """`column: value; ...` without empty cells; a cell of a column without a name stands alone."""
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
    for row in rows:
        if block and (not row.cells or row.number > block[-1].number + 1):
            yield from _beside(block)
            block = []
        if row.cells:
            block.append(row)
    if block:
        yield from _beside(block)


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
            tables[number].append(Row(row.number, own))
    extents = {(table[0].number, table[-1].number) for table in tables}
    yield from tables if len(extents) > 1 else [block]


def _structured(
    block: list[Row], known: Mapping[int, str], head: int | None
) -> tuple[list[Row], dict[int, str] | None, list[Row]]:
    """What stands above the header, the names (None without a header), and the rows below."""
    if head is not None:
        if head == 0:
            return [], None, block
        return [], _names(block[:head]), block[head:]
    counts = Counter(len(row.cells) for row in block)
    typical = max(counts, key=lambda count: (counts[count], count))
    widest = max(counts)
    if widest < 2:
        return [], None, block
    enough = max(2, (0.6 * typical)) if typical > 1 else 2
    first = next((i for i, row in enumerate(block[:_HEAD_WITHIN]) if len(row.cells) >= enough), None)
    if first is None:
        return [], None, block
    row, below = block[first], block[first + 1 :]
    covered = bool(known) and all(column in known for r in block for column in r.cells)
    strong, weak = _is_header(row, below)
    if not (strong or (weak and not covered)):
        return [], None, block
    second = below[:1]
    if len(below) > 1 and _is_second_header(row, second[0], below[1:]):
        return block[:first], _names([row, *second]), below[1:]
    return block[:first], _names([row]), below


def _names(rows: Sequence[Row]) -> dict[int, str]:
    """The names of the columns; one that stands over several goes before theirs."""
    names: dict[int, str] = {}
    for row in rows:
        for column, text in row.cells.items():
            before = names.get(column, "")
            names[column] = text if not before or before == text else f"{before} {text}"
    return names


def _is_header(row: Row, below: Sequence[Row]) -> tuple[bool, bool]:
    """Whether a row is a header: surely, by the kinds of cells below it; or perhaps, as nothing speaks
    against it."""
    if not below:
        return False, False
    strong = False
    for column, text in row.cells.items():
        kinds = [_kind(cell) for r in below[:200] if (cell := r.cells.get(column))]
        typed = [kind for kind in kinds if kind != "text"]
        kind = _kind(text)
        if kind in ("year", "date"):  # a name only where something else stands below
            if not typed or typed.count(kind) * 2 >= len(typed):
                return False, False
            strong = True
        elif kind != "text" or len(text) > _LONGEST_NAME or _SENTENCE.search(text) or text[-1] in ":：":
            return False, False
        elif kinds and len(typed) * 2 > len(kinds):
            strong = True
    if len(row.cells) == 2 and not strong and any(character.isdigit() for character in _last(row)):
        return False, False  # `Model | X200`: a pair as those below it
    # an index in front needs no name, any other column does
    nameless = {column for r in below for column in r.cells} - set(row.cells)
    return strong, len(set(row.cells.values())) > 1 and all(column < min(row.cells) for column in nameless)


def _is_second_header(first: Row, second: Row, below: Sequence[Row]) -> bool:
    """True for the lower row of a header of two: names under a span, over cells of another kind."""
    spans = len(set(first.cells.values())) < len(first.cells) or len(first.cells) < len(second.cells)
    if not spans or any(_kind(text) != "text" for text in second.cells.values()):
        return False
    return _is_header(second, below)[0]


def _is_pairs(body: Sequence[Row]) -> bool:
    """True for a table of two columns whose first names the second."""
    if not all(0 < len(row.cells) <= 2 for row in body) or len({c for r in body for c in r.cells}) != 2:
        return False
    return all(_kind(text) == "text" and len(text) <= _LONGEST_NAME for text in map(_first, body))


def _pair(row: Row) -> str:
    return ": ".join(row.cells[column] for column in sorted(row.cells))


def _plain(row: Row) -> str:
    cells = list(dict.fromkeys(row.cells[column] for column in sorted(row.cells)))
    return ": ".join(part.rstrip(":：") for part in cells) if len(cells) == 2 else "; ".join(cells)


def _first(row: Row) -> str:
    return row.cells[min(row.cells)]


def _last(row: Row) -> str:
    return row.cells[max(row.cells)]


def _kind(text: str) -> str:
    if _YEAR.fullmatch(text):
        return "year"
    if _DATE.fullmatch(text):
        return "date"
    return "number" if _NUMBER.fullmatch(text) else "text"
