"""Finds the header of a table, and tells tables from forms, whose labels stand beside their values."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ingest.loaders.cell_kinds import is_heading, is_label, kind

# A header is within this many rows of its table; titles and notes may precede it.
_HEAD_WITHIN = 10
LONGEST_NAME = 120
_SENTENCE = re.compile(r"[.!?]\s+\S+.*[.!?]$|[。！？].")
# Written in place of a value that is not there.
_MISSING = frozenset(
    re.findall(
        r"\S+", "n/a na n.a. none nil null unknown missing tbd tba k.a. 未知 无 無 暂无 待定 不详 未定 缺"
    )
)
# In one row of three there may be more cells than names.
_RAGGED = 3
# A value in one cell with a name.
_DECIMAL = re.compile(r"\d[.,]\d")


@dataclass(frozen=True, slots=True)
class Row:
    """The filled cells of a row by column; `number` counts from 1, as in a spreadsheet, `bold` is for all."""

    number: int
    cells: Mapping[int, str]
    bold: bool = False


def structured(
    block: list[Row], known: Mapping[int, str], head: int | None
) -> tuple[list[Row], dict[int, str] | None, list[Row]]:
    """Return what is above the header, the names (None without a header), and the rows below."""
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
    covered = bool(known) and all(column in known for r in block for column in r.cells)
    first = _head_at(block, enough, covered=covered)
    if first is None:
        return [], None, block
    row, below = block[first], block[first + 1 :]
    if first and _is_even(block[first - 1], row) and (upper := _over(block[first - 1], row, below)):
        return block[: first - 1], _names([upper, row]), below
    if len(below) > 1 and (upper := _over(row, below[0], below[1:])) is not None:
        return block[:first], _names([upper, below[0]]), below[1:]
    return block[:first], _names([row]), below


def _head_at(block: Sequence[Row], enough: float, *, covered: bool) -> int | None:
    """The index of the header: the first row of `enough` cells that is one, or a later one that surely is,
    where the first is none, or names too few columns.

    Where all columns are `covered` by names that hold already, only a sure one counts.
    """
    wide = [index for index, row in enumerate(block[:_HEAD_WITHIN]) if len(row.cells) >= enough]
    if not wide:
        return None
    first, below = block[wide[0]], block[wide[0] + 1 :]
    strong, weak = _is_header(first, below)
    is_one = strong or (weak and not covered)
    if is_one and (not _has_nameless(first, below) or _over(first, below[0], below[1:])):
        return wide[0]
    for index in wide[1:]:
        if _is_header(block[index], block[index + 1 :])[0] and _is_new(block, index):
            return index
    return wide[0] if is_one else None


def _has_nameless(row: Row, below: Sequence[Row]) -> bool:
    """True if rows below reach further to the right than the names do; a few among full ones may."""
    further = sum(max(r.cells) > max(row.cells) for r in below)
    full = sum(len(r.cells) == len(row.cells) for r in below)
    return further > 0 and (further * _RAGGED > len(below) or full * 2 < len(below))


def _is_new(block: Sequence[Row], index: int) -> bool:
    """True for a header under which cells are of another kind than above it: no row like others."""
    above, below = block[:index], block[index + 1 :]
    if _has_nameless(block[index], below) or any(map(_DECIMAL.search, block[index].cells.values())):
        return False
    for column in block[index].cells:
        kinds = {kind(text) for r in below[:200] if (text := r.cells.get(column))} - {"text"}
        if any(kind(text) in kinds for r in above if (text := r.cells.get(column)) and len(r.cells) > 1):
            return False
    return True


def tables_in(block: list[Row]) -> Iterator[list[Row]]:
    """The tables of a block: a second header, perhaps under a title, begins one where no blank row does."""
    start = 0
    for index in range(2, len(block) - 1):
        titled = index > start + 2 and len(block[index - 1].cells) == 1
        above, row, below = block[index - 1 - titled], block[index], block[index + 1]
        if index - titled > start + 1 and _is_second_header(above, row, below, titled=titled):
            yield block[start : index - titled]
            start = index - titled
    yield block[start:]


def _is_second_header(above: Row, row: Row, below: Row, *, titled: bool) -> bool:
    """True for names in bold, or between rows of numbers: in one column under a title, otherwise in two. A
    value that is missing is no name."""
    cells = row.cells
    if len(cells) < 2 or len(above.cells) < 2 or any(not _is_name(text) for text in cells.values()):
        return False
    if row.bold and not below.bold:
        return True
    ends = {column for column in cells if kind(above.cells.get(column, "x")) != "text"}
    begins = {column for column in cells if kind(below.cells.get(column, "x")) != "text"}
    fresh = {column for column in begins if column in ends or column not in above.cells}
    turned = fresh | ends
    if not fresh or len({cells[column].casefold() for column in turned}) < len(turned):
        return False
    return len(turned) > 1 or titled


def _is_name(text: str) -> bool:
    missing = text.casefold() in _MISSING or not any(map(str.isalpha, text))
    return not missing and kind(text) == "text" and len(text) <= LONGEST_NAME and not _SENTENCE.search(text)


def _names(rows: Sequence[Row]) -> dict[int, str]:
    """The names of the columns; one above several goes before theirs."""
    names: dict[int, str] = {}
    for row in rows:
        for column, cell in row.cells.items():
            text = cell.rstrip(":： ") or cell
            before = names.get(column, "")
            names[column] = text if not before or before == text else f"{before} {text}"
    return names


def _is_header(row: Row, below: Sequence[Row]) -> tuple[bool, bool]:
    """Tell a header: surely one, by the cells below it; perhaps one, if nothing speaks against it."""
    if not below:
        return False, False
    strong = colons = _all_end_in_colons(row) and not any(map(_all_end_in_colons, below))
    strong = strong or _counts_years(row) or (row.bold and not below[0].bold)
    for column, text in row.cells.items():
        kinds = [kind(cell) for r in below[:200] if (cell := r.cells.get(column))]
        typed = [one for one in kinds if one != "text"]
        own = kind(text)
        if own in ("year", "date", "measure"):  # a name only where something else is below
            if not _counts_years(row) and (not typed or typed.count(own) * 2 >= len(typed)):
                return False, False
            strong = True
        elif (
            own != "text"
            or len(text) > LONGEST_NAME
            or _SENTENCE.search(text)
            or (text[-1] in ":：" and not colons)
        ):
            return False, False
        elif kinds and len(typed) * 2 > len(kinds):
            strong = True
    if (
        len(row.cells) == 2
        and not strong
        and any(character.isdigit() for character in row.cells[max(row.cells)])
    ):
        return False, False  # `Model | X200`: a pair as those below it
    # an index in front needs no name, any other column does
    nameless = {column for r in below for column in r.cells if column < max(row.cells)} - set(row.cells)
    named = not _has_nameless(row, below) and all(column < min(row.cells) for column in nameless)
    return strong, len(set(row.cells.values())) > 1 and named


def _all_end_in_colons(row: Row) -> bool:
    return len(row.cells) > 1 and all(text[-1] in ":：" for text in row.cells.values())


def _counts_years(row: Row) -> bool:
    """True for a row with years that follow each other."""
    years = [int(text) for text in row.cells.values() if kind(text) == "year"]
    steps = {after - before for before, after in itertools.pairwise(years)}
    return len(years) > 1 and steps in ({1}, {-1})


def _over(first: Row, second: Row, below: Sequence[Row]) -> Row | None:
    """The upper row of a header of two, each name in all columns that it is above; None for a header of
    one. The lower row has different names under a span."""
    if any(kind(text) in ("number", "data") for text in second.cells.values()):
        return None
    upper = [first.cells[column] for column in sorted(first.cells)]
    spanned = {column for column in first.cells if upper.count(first.cells[column]) > 1}
    surely = _is_header(second, below)[0]
    if not spanned:  # a span that only begins: what follows it has no name
        between = set(range(min(first.cells), max(first.cells))) & set(second.cells) - set(first.cells)
        return _spread(first, second) if between and surely else None
    names = [second.cells.get(column, "") for column in spanned]
    others = (column for column in second.cells if column not in spanned)
    apart = "" not in names and len(set(names)) > 1
    same = all(first.cells.get(column, second.cells[column]) == second.cells[column] for column in others)
    return first if below and (surely or (apart and same)) else None


def _is_even(upper: Row, row: Row) -> bool:
    """True for names that each begin above as many others, up to the last, to the right of the first."""
    starts = [*sorted(upper.cells), max(row.cells) + 1]
    steps = {after - before for before, after in itertools.pairwise(starts)}
    return starts[0] > min(row.cells) and len(upper.cells) > 1 and len(steps) == 1


def _spread(first: Row, second: Row) -> Row:
    """Names in the columns to their right that have none of their own, but one below."""
    cells, name = dict(first.cells), ""
    for column in range(min(first.cells), max(second.cells) + 1):
        if column in first.cells:
            name = first.cells[column] if column in second.cells else ""
        elif name and column in second.cells:
            cells[column] = name
        else:
            name = ""
    return Row(first.number, cells)


def _is_labelled(row: Sequence[str]) -> bool:
    """True for a label and a value, or several such pairs beside each other."""
    pairs = len(row) == 2 or (len(row) % 2 == 0 and is_label(row[2]))
    return pairs and is_label(row[0]) and not is_label(row[1])


def is_form(block: Sequence[Row]) -> bool:
    """True for rows of labels beside their values: usual labels in front, or values of several kinds."""
    rows = [list(dict.fromkeys(row.cells[column] for column in sorted(row.cells))) for row in block]
    rows = [row for row in rows if len(row) > 1]
    if len(rows) < 2 or is_heading(rows[0][1]):
        return False
    labels = {row[0] for row in rows if _is_labelled(row)}
    if rows[0][0] in labels and len(labels) >= max(2, 0.5 * len(rows)):
        return True
    if any(len(row) != 2 or kind(row[0]) != "text" or len(row[0]) > LONGEST_NAME for row in rows):
        return False
    kinds = {kind(row[1]) for row in rows[1:]}
    numbers = bool(kinds & {"number", "year", "measure"})
    return kind(rows[0][1]) == "text" and "text" in kinds and numbers + len(kinds & {"date", "data"}) > 1
