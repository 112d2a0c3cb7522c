"""DOCX through python-docx: text in order, headings by style, lists with their numbers, tables by row.

Whatever a reader of the document sees is read: notes, comments, equations, text boxes, charts, and what
is at the head and foot of pages. Deleted and hidden text is not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import docx
from docx.oxml.ns import qn

from ingest.loaders.base import Loaded, Source
from ingest.loaders.office import openxml
from ingest.loaders.office.docx_inline import COMPATIBILITY, Inline
from ingest.loaders.office.docx_numbering import Numbering
from ingest.loaders.tables import Grid, table_lines
from ingest.loaders.text import TextBuilder, one_line
from storage.reasons import Reason

_HEADING = re.compile(
    r"^(?:heading|标题|標題|überschrift|titre|título|titolo|kop|заголовок|見出し|제목)\s*([1-9])$",
    re.IGNORECASE,
)
_LIST = re.compile(r"^list|列表|^目录", re.IGNORECASE)
_LIST_LEVEL = re.compile(r"list \w+ ([2-5])$", re.IGNORECASE)
_WHOLE_NUMBER = re.compile(r"\w[.-]\w")
_DEEPEST = 8
# Wrappers whose content belongs to what they are in: content controls, insertions, custom XML.
_WRAPPERS = frozenset(
    map(qn, ("w:sdt", "w:sdtContent", "w:ins", "w:moveTo", "w:customXml", "w:smartTag", "w:dir", "w:bdo"))
)
# Parts of another document, which Word takes in when it opens the file.
_FOREIGN = frozenset(map(qn, ("w:altChunk", "w:subDoc")))


def load(source: Source) -> Loaded:
    """Raises DocumentRefusedError: damaged, encrypted, unsupported, too-large, no-text."""
    package = openxml.checked(source, "document")
    try:
        document = docx.Document(package.archive)
    except Exception as error:  # lxml, zipfile, KeyError...: python-docx translates none of them
        raise openxml.damaged("python-docx", error) from error
    reading = _Body(document)
    reading.body(document.element.body)
    reading.margins()
    builder = reading.builder
    pictures = sum(1 for _ in document.element.body.iter(qn("w:drawing"), qn("w:pict")))
    if not builder.text.strip():
        raise openxml.without_text(pictures)
    title, metadata = openxml.document_properties(document)
    first = next((heading.title for heading in builder.headings), "")
    hidden = [Reason("ingest.hidden-text", n=reading.inline.hidden)] if reading.inline.hidden else []
    left_out = [Reason("ingest.embedded-documents", n=reading.left_out)] if reading.left_out else []
    return Loaded(
        text=builder.text,
        title=first or title,
        structured=True,
        headings=builder.headings,
        metadata=metadata,
        warnings=(*openxml.little_text(builder.text, pictures), *hidden, *left_out),
    )


class _Body:
    """Writes a document's blocks in order, and after a paragraph what hangs on it."""

    def __init__(self, document: Any) -> None:
        self.builder = TextBuilder()
        self.left_out = 0
        self._document = document
        self._styles = {style.style_id: style for style in document.styles}
        self.inline = Inline(document.part, self._styles)
        self._numbering = Numbering(document.part)

    def body(self, container: Any) -> None:
        """Read the paragraphs and tables of a body, a text box or a table that is only layout."""
        before: list[Any] = []  # paragraphs whose end was deleted: the next goes on with them
        for block in _content(container):
            if block.tag == qn("w:p"):
                before.append(block)
                if block.find(f"{qn('w:pPr')}/{qn('w:rPr')}/{qn('w:del')}") is None:
                    self._paragraph(*before)
                    before = []
            elif block.tag == qn("w:tbl"):
                self._table(block)
            elif block.tag in _FOREIGN:
                self.left_out += 1
        if before:
            self._paragraph(*before)

    def margins(self) -> None:
        """Read what is at the head and the foot of pages, each text once."""
        seen: set[str] = set()
        for section in self._document.sections:
            for margin in (
                *(section.header, section.first_page_header, section.even_page_header),
                *(section.footer, section.first_page_footer, section.even_page_footer),
            ):
                if margin.is_linked_to_previous:
                    continue
                inline = Inline(margin.part, self._styles)
                for paragraph in margin._element.iter(qn("w:p")):
                    text = one_line(inline.text(paragraph))
                    if any(map(str.isalpha, text)) and text not in seen:
                        seen.add(text)
                        self.builder.block(text)

    def _paragraph(self, *paragraphs: Any) -> None:
        """Write a paragraph, or several whose ends were deleted, in the style of the last."""
        text = one_line("".join(map(self.inline.text, paragraphs)))
        paragraph = paragraphs[-1]
        style, level = self._style(paragraph)
        label = self._numbering.label(paragraph, style)
        if level and text:
            self.builder.heading(f"{label} {text}" if label and label != "-" else text, level)
        elif label or (style is not None and _LIST.match(style.name or "")):
            # `1.2.1` says by itself where it is
            indent = "" if _WHOLE_NUMBER.search(label) else "  " * _depth(paragraph, style)
            self.builder.block(f"{indent}{label or '-'} {text}" if text else "", gap="\n")
        else:
            self.builder.block(text)
        self._attached()

    def _attached(self) -> None:
        """Write the text boxes, charts, notes and comments of the paragraph that was read."""
        while self.inline.attached:
            for part in self.inline.take():
                if isinstance(part, str):
                    self.builder.block(part)
                else:
                    self.body(part)

    def _style(self, paragraph: Any) -> tuple[Any, int]:
        """A paragraph's style, and its level as a heading: its own, its style's, or its style's base's."""
        properties = paragraph.find(qn("w:pPr"))
        named = None if properties is None else properties.find(qn("w:pStyle"))
        style = self._styles.get("" if named is None else named.get(qn("w:val")))
        if level := _outline_level(properties):
            return style, level
        base, seen = style, set[str]()
        while base is not None and base.style_id not in seen:
            seen.add(base.style_id)
            name = base.name or ""
            if heading := _HEADING.match(name):
                return style, int(heading[1])
            if name == "Title":
                return style, 1
            if level := _outline_level(base.element.find(qn("w:pPr"))):
                return style, level
            base = self._styles.get(getattr(base.element.basedOn_val, "strip", lambda: "")())
        return style, 0

    def _table(self, table: Any) -> None:
        rows = [row for row in _content(table) if row.tag == qn("w:tr") and not _is_deleted(row)]
        cells = [[cell for cell in _content(row) if cell.tag == qn("w:tc")] for row in rows]
        if not cells or len(cells) == 1 or max(map(len, cells)) == 1:  # layout only
            for cell in (cell for row in cells for cell in row):
                if not _continues(cell):
                    self.body(cell)
            return
        grid, head, in_head = Grid(), 0, True
        for number, (row, own) in enumerate(zip(rows, cells, strict=True)):
            in_head = in_head and row.find(f"{qn('w:trPr')}/{qn('w:tblHeader')}") is not None
            head += in_head
            self._row(grid, number, row, own)
        self.builder.table(table_lines(grid.rows(), head=head if 0 < head < len(rows) else None))
        self._attached()

    def _row(self, grid: Grid, number: int, row: Any, cells: list[Any]) -> None:
        column = _number(row.find(f"{qn('w:trPr')}/{qn('w:gridBefore')}"), 0)
        for cell in cells:
            properties = cell.find(qn("w:tcPr"))
            width = _number(None if properties is None else properties.find(qn("w:gridSpan")), 1)
            above = grid.above(number, column) if _continues(cell) else ""
            grid.add(number, column, above or self._cell(cell), width=width)
            column += width

    def _cell(self, cell: Any) -> str:
        return " ".join(filter(None, map(self._words, _paragraphs(cell))))

    def _words(self, paragraph: Any) -> str:
        """A paragraph of a cell in one line, with its number."""
        text = one_line(self.inline.text(paragraph))
        label = self._numbering.label(paragraph, self._style(paragraph)[0])
        return f"{label} {text}" if text and label not in ("", "-") else text


def _content(container: Any) -> Iterator[Any]:
    """The blocks, rows or cells of an element in order, including those in content controls."""
    stack = list(reversed(container))
    while stack:
        element = stack.pop()
        if element.tag in _WRAPPERS:
            if element.find(f"{qn('w:sdtPr')}/{qn('w:showingPlcHdr')}") is None:
                stack.extend(reversed(element))
            elif any(child.tag == qn("w:tc") for child in element.iterfind(f"{qn('w:sdtContent')}/*")):
                stack.extend(reversed(element))  # the cell stays, so that others keep their columns
        elif (
            element.tag == f"{COMPATIBILITY}AlternateContent"
        ):  # the same twice: for new programs and for old ones
            stack.extend(reversed(next(iter(element), ())))
        else:
            yield element


def _paragraphs(cell: Any) -> Iterator[Any]:
    """The paragraphs of a cell and of tables within it."""
    for block in _content(cell):
        if block.tag == qn("w:p"):
            yield block
        elif block.tag in (qn("w:tbl"), qn("w:tr"), qn("w:tc")):
            yield from _paragraphs(block)


def _is_deleted(row: Any) -> bool:
    return row.find(f"{qn('w:trPr')}/{qn('w:del')}") is not None


def _continues(cell: Any) -> bool:
    """True for a cell that a taller one above it covers."""
    merge = cell.find(f"{qn('w:tcPr')}/{qn('w:vMerge')}")
    return merge is not None and merge.get(qn("w:val"), "continue") == "continue"


def _depth(paragraph: Any, style: Any) -> int:
    """The lists that an item's list is within: by its numbering, or by its style, `List Bullet 2`."""
    level = paragraph.find(f"{qn('w:pPr')}/{qn('w:numPr')}/{qn('w:ilvl')}")
    named = _LIST_LEVEL.match("" if style is None else style.name or "")
    return min(_number(level, 0) or (int(named[1]) - 1 if named else 0), _DEEPEST)


def _outline_level(properties: Any) -> int:
    level = None if properties is None else properties.find(qn("w:outlineLvl"))
    value = 9 if level is None else int(level.get(qn("w:val"), "9"))
    return value + 1 if value < 9 else 0


def _number(element: Any, default: int) -> int:
    return default if element is None else int(element.get(qn("w:val"), str(default)))
