"""XLSX through calamine, the Rust reader: a sheet becomes a heading, a row a line readable by itself."""

from __future__ import annotations

import datetime
from collections.abc import Sequence

import python_calamine as calamine

from ingest.loaders import office
from ingest.loaders.base import Loaded, Source
from ingest.loaders.table import readable
from ingest.loaders.text import TextBuilder, one_line
from storage.errors import DocumentRefusedError
from storage.reasons import Reason
from storage.records import PageStart

Cell = int | float | str | bool | datetime.date | datetime.time | datetime.timedelta
# The header is within this many rows; a title and notes may precede it.
_HEAD_WITHIN = 10


def load(source: Source) -> Loaded:
    """Visible sheets in order; `rows` gives the row of the sheet for each line.

    Raises DocumentRefusedError: damaged, encrypted, unsupported, too-large.
    """
    archive = office.checked(source, "xl/workbook.xml")
    try:
        workbook = calamine.load_workbook(archive)
    except calamine.PasswordError as error:
        raise DocumentRefusedError("ingest.encrypted", Reason("ingest.password")) from error
    except (calamine.CalamineError, OSError) as error:
        raise office.damaged("calamine", error) from error
    builder, rows, hidden = TextBuilder(), list[PageStart](), 0
    for number, sheet in enumerate(workbook.sheets_metadata, 1):
        if sheet.visible is not calamine.SheetVisibleEnum.Visible:
            hidden += 1
        elif sheet.typ is calamine.SheetTypeEnum.WorkSheet:
            _add_sheet(builder, rows, workbook.get_sheet_by_name(sheet.name), number)
    warnings = (Reason("ingest.hidden-sheets", n=hidden),) if hidden else ()
    return Loaded(
        text=builder.text,
        headings=builder.headings,
        pages=builder.pages,
        rows=tuple(rows),
        metadata={"sheets": len(workbook.sheets_metadata)},
        warnings=warnings,
    )


def _add_sheet(
    builder: TextBuilder, rows: list[PageStart], sheet: calamine.CalamineSheet, number: int
) -> None:
    cells = [[_words(cell) for cell in row] for row in sheet.to_python()]
    if not any(any(row) for row in cells):
        return
    builder.page(number)
    builder.heading(sheet.name, 1)
    head = _head(cells)
    first = (sheet.start[0] if sheet.start else 0) + 1
    for index, row in enumerate(cells[:head]):
        _add_rows(builder, rows, [" ".join(cell for cell in row if cell)], first + index)
    names = cells[head]
    lines = [readable(names, row) for row in cells[head + 1 :]]
    if any(lines):
        _add_rows(builder, rows, lines, first + head + 1)
    else:
        _add_rows(builder, rows, ["; ".join(cell for cell in names if cell)], first + head)


def _add_rows(builder: TextBuilder, rows: list[PageStart], lines: list[str], number: int) -> None:
    blank = next((index for index, line in enumerate(lines) if line), len(lines))
    text = "\n".join(lines[blank:])
    if text.strip():
        rows.append(PageStart(builder.block(text), number + blank))


def _head(cells: Sequence[Sequence[str]]) -> int:
    """The index of the header: the first of the top rows with the most cells filled."""
    fullness = [sum(bool(cell) for cell in row) for row in cells[:_HEAD_WITHIN]]
    return fullness.index(max(fullness))


def _words(cell: Cell) -> str:
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    if isinstance(cell, datetime.datetime | datetime.date | datetime.time):
        return cell.isoformat()
    return one_line(str(cell))
