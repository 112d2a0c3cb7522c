"""XLSX, read cell by cell from its parts: a sheet becomes a heading, a row a line readable by itself.

Only cells that exist cost anything, wherever on the sheet they are, and each is written as Excel shows it.
"""

from __future__ import annotations

import datetime
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from lxml import etree

from ingest.loaders.base import Loaded, Source
from ingest.loaders.headers import Row
from ingest.loaders.office import openxml
from ingest.loaders.office.number_formats import elapsed, formatted, is_date
from ingest.loaders.tables import table_lines
from ingest.loaders.text import TextBuilder, one_line, superscript
from storage.reasons import Reason
from storage.records import Meta

_REFERENCE = re.compile(r"([A-Z]{1,3})(\d{1,7})")
_ESCAPE = re.compile("_x([0-9A-Fa-f]{4})_")
_EPOCH = datetime.datetime(1899, 12, 30)
_MAC_EPOCH = datetime.datetime(1904, 1, 1)
_RELATION = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"
# A span over more cells than this is a background, not a value.
_WIDEST_SPAN, _HIGHEST_SPAN = 200, 5000


@dataclass(slots=True)
class Workbook:
    """The parts of a workbook that its cells refer to, and what is worth a warning."""

    archive: zipfile.ZipFile
    strings: list[str] = field(default_factory=list)
    formats: list[str] = field(default_factory=list)
    bold: list[bool] = field(default_factory=list)
    epoch: datetime.datetime = _EPOCH
    uncached: int = 0


def load(source: Source) -> Loaded:
    """Visible sheets in order; `rows` gives the row of the sheet for each line.

    Raises DocumentRefusedError: damaged, encrypted, unsupported, too-large.
    """
    package = openxml.checked(source, "workbook")
    try:
        with zipfile.ZipFile(package.archive) as archive:
            return _read(archive, package.main)
    except (etree.XMLSyntaxError, zipfile.BadZipFile, KeyError, ValueError, IndexError) as error:
        raise openxml.damaged("lxml", error) from error


def _read(archive: zipfile.ZipFile, main: str) -> Loaded:
    root = etree.fromstring(archive.read(main), openxml.PARSER)
    relations = openxml.relations(archive, main)
    by_kind = dict(relations.values())
    book = Workbook(
        archive,
        list(_strings(archive, by_kind.get("sharedStrings"))),
        *_styles(archive, by_kind.get("styles")),
    )
    if any(item.get("date1904") in ("1", "true") for item in root.iterfind("{*}workbookPr")):
        book.epoch = _MAC_EPOCH
    builder, hidden = TextBuilder(), 0
    sheets = root.findall("{*}sheets/{*}sheet")
    for number, sheet in enumerate(sheets, 1):
        kind, target = relations.get(sheet.get(_RELATION) or "", ("", ""))
        if sheet.get("state", "visible") != "visible":
            hidden += 1
        elif kind in ("worksheet", "chartsheet"):
            _add_sheet(builder, book, target, one_line(sheet.get("name") or ""), number)
    title, metadata = openxml.core_properties(archive)
    warnings = []
    if hidden:
        warnings.append(Reason("ingest.hidden-sheets", n=hidden))
    if book.uncached:
        warnings.append(Reason("ingest.formulas-without-value", n=book.uncached))
    facts: dict[str, Meta] = {**metadata, "sheets": len(sheets)}
    return Loaded(
        text=builder.text,
        title=title,
        headings=builder.headings,
        pages=builder.pages,
        rows=builder.rows,
        metadata=facts,
        warnings=tuple(warnings),
    )


def _add_sheet(builder: TextBuilder, book: Workbook, part: str, name: str, number: int) -> None:
    rows = _rows(book, part)
    notes = list(_notes(book.archive, part))
    if not rows and not notes:
        return
    builder.page(number)
    builder.heading(name, 1)
    builder.table(table_lines(rows))
    for note in notes:
        builder.block(note)


def _rows(book: Workbook, part: str) -> list[Row]:
    """The filled cells of a sheet, row by row, with the text of merged cells in each of them."""
    rows: dict[int, dict[int, str]] = {}
    not_bold: set[int] = set()
    merged: list[tuple[int, int, int, int]] = []
    row = column = 0
    with book.archive.open(part) as stream:
        wanted = ("{*}row", "{*}c", "{*}mergeCell")
        for event, element in etree.iterparse(stream, ("start", "end"), tag=wanted, **openxml.SAFELY):
            kind = element.tag.rpartition("}")[2]
            if event == "start":
                if kind == "row":
                    row, column = int(element.get("r") or row + 1), 0
                continue
            if kind == "c":
                column = _column(element.get("r")) or column + 1
                if text := _text(book, element):
                    rows.setdefault(row, {})[column] = text
                    style = int(element.get("s") or 0)
                    if style >= len(book.bold) or not book.bold[style]:
                        not_bold.add(row)
            elif kind == "mergeCell":
                merged.append(_span(element.get("ref") or ""))
            else:
                element.clear()
                while element.getprevious() is not None:
                    del element.getparent()[0]
    _spread(rows, merged)
    return [Row(at, rows[at], at not in not_bold) for at in sorted(rows)]


def _spread(rows: dict[int, dict[int, str]], merged: list[tuple[int, int, int, int]]) -> None:
    """Write the text of merged cells into each, but one that spans its rows alone: that is a title."""
    for left, top, right, bottom in merged:
        text = rows.get(top, {}).get(left)
        if not text or right - left > _WIDEST_SPAN or bottom - top > _HIGHEST_SPAN:
            continue
        for at in range(top, bottom + 1):
            cells = rows.get(at, {})
            if at > top and not cells:
                continue  # nothing else in the row
            alone = set(cells) <= {left}
            for column in range(left, left + 1 if alone else right + 1):
                cells.setdefault(column, text)


def _text(book: Workbook, cell: Any) -> str:
    """A cell as Excel shows it; a formula without a stored value is counted."""
    kind = cell.get("t", "n")
    if kind == "inlineStr":
        return _string(cell)
    value, formula = "", False
    for child in cell:
        if child.tag.endswith("}v"):
            value = child.text or ""
        elif child.tag.endswith("}f"):
            formula = True
    if not value:
        book.uncached += formula and kind != "str"
        return ""
    if kind == "s":
        return book.strings[int(value)]
    if kind == "b":
        return "TRUE" if value == "1" else "FALSE"
    if kind in ("str", "e", "d"):
        return one_line(_unescaped(value))
    style = int(cell.get("s") or 0)
    code = book.formats[style] if style < len(book.formats) else "General"
    return _date(book, float(value), code) if is_date(code) else formatted(value, code)


def _date(book: Workbook, days: float, code: str) -> str:
    if (duration := elapsed(days, code)) is not None:
        return duration
    if not 0 <= days < 2958466:
        return f"{days:g}"
    if 1 <= days < 60 and book.epoch == _EPOCH:
        days += 1  # Excel's calendar has a 29th of February 1900
    moment = book.epoch + datetime.timedelta(seconds=round(days * 86400))
    if days < 1 and book.epoch == _EPOCH:
        return moment.time().isoformat()
    return (moment.date() if days == int(days) else moment).isoformat()


def _column(reference: str | None) -> int:
    """The number of a cell's column, from 1; 0 for no reference."""
    found = _REFERENCE.fullmatch(reference or "")
    number = 0
    for letter in found[1] if found else "":
        number = number * 26 + ord(letter) - 64
    return number


def _span(reference: str) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of `A1:C2`."""
    first, _, last = reference.partition(":")
    ends = [_REFERENCE.fullmatch(end) for end in (first, last or first)]
    if not all(ends):
        return 0, 0, 0, 0
    (left, top), (right, bottom) = ((_column(end[0]), int(end[2])) for end in ends if end)
    return left, top, right, bottom


def _strings(archive: zipfile.ZipFile, part: str | None) -> Iterator[str]:
    if part is None:
        return
    with archive.open(part) as stream:
        for _, item in etree.iterparse(stream, tag="{*}si", **openxml.SAFELY):
            yield _string(item)
            item.clear()
            while item.getprevious() is not None:
                del item.getparent()[0]


def _string(item: Any) -> str:
    """The text of rich text, without the reading aids of East Asian characters."""
    pieces = (_raised(t) for t in item.iter("{*}t") if not t.getparent().tag.endswith("}rPh"))
    return one_line(_unescaped("".join(pieces)))


def _raised(text: Any) -> str:
    """A piece of rich text; raised digits as characters of their own."""
    align = text.getparent().find("{*}rPr/{*}vertAlign")
    raised = align is not None and align.get("val") == "superscript"
    return superscript(text.text or "") if raised else text.text or ""


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(lambda found: chr(int(found[1], 16)), text) if "_x" in text else text


def _styles(archive: zipfile.ZipFile, part: str | None) -> tuple[list[str], list[bool]]:
    """The number format of each cell style, and the styles that are bold."""
    if part is None:
        return [], []
    root = etree.fromstring(archive.read(part), openxml.PARSER)
    own = {item.get("numFmtId"): item.get("formatCode", "") for item in root.iterfind("{*}numFmts/{*}numFmt")}
    marks = [font.find("{*}b") for font in root.iterfind("{*}fonts/{*}font")]
    bold = {
        str(number) for number, b in enumerate(marks) if b is not None and b.get("val") not in ("0", "false")
    }
    styles = root.findall("{*}cellXfs/{*}xf")
    ids = [item.get("numFmtId", "0") for item in styles]
    return [own.get(id_) or id_ for id_ in ids], [item.get("fontId") in bold for item in styles]


def _notes(archive: zipfile.ZipFile, part: str) -> Iterator[str]:
    """The comments on a sheet's cells (`B2: text`), the words of its text boxes and the titles of its charts,
    whose values are cells."""
    for kind, target in openxml.relations(archive, part).values():
        if target not in archive.namelist():
            continue
        if kind == "comments":
            for comment in openxml.parsed(archive.read(target)).iter("{*}comment"):
                if words := _string(comment):
                    yield f"{comment.get('ref')}: {words}"
        elif kind == "drawing":
            for shape in openxml.parsed(archive.read(target)).iter("{*}txBody"):
                if words := one_line(" ".join(t.text or "" for t in shape.iter("{*}t"))):
                    yield words
            yield from _notes(archive, target)
        elif kind == "chart":
            yield from openxml.chart_titles(openxml.parsed(archive.read(target)))
