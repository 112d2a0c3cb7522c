"""DOCX through python-docx: body text in order, headings by style, lists and tables as Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import docx
from docx.oxml.ns import qn
from docx.table import Table
from docx.text.paragraph import Paragraph

from ingest.loaders import office
from ingest.loaders.base import Loaded, Source
from ingest.loaders.text import TextBuilder, markdown_table, one_line

_HEADING = re.compile(r"^(?:heading|标题|標題)\s*([1-9])$", re.IGNORECASE)
_LIST = re.compile(r"^list|列表|^目录", re.IGNORECASE)
_FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
_BLOCKS = (qn("w:p"), qn("w:tbl"))
# Wrappers whose content belongs to the body: content controls, insertions, custom XML.
_WRAPPERS = (qn("w:sdt"), qn("w:sdtContent"), qn("w:ins"), qn("w:customXml"), qn("w:smartTag"))


def load(source: Source) -> Loaded:
    """Raises DocumentRefusedError: damaged, encrypted, unsupported, too-large, no-text."""
    archive = office.checked(source, "word/document.xml")
    try:
        document = docx.Document(archive)
    except Exception as error:  # lxml, zipfile, KeyError...: python-docx translates none of them
        raise office.damaged("python-docx", error) from error
    builder = TextBuilder()
    for block in _blocks(document):
        if isinstance(block, Paragraph):
            _add_paragraph(builder, block)
        else:
            _add_table(builder, block)
    pictures = len(document.element.body.findall(f".//{qn('w:drawing')}"))
    if not builder.text.strip():
        raise office.without_text(pictures)
    title, metadata = office.properties(document.core_properties)
    first = next((heading.title for heading in builder.headings), "")
    return Loaded(
        text=builder.text,
        title=first or title,
        structured=True,
        headings=builder.headings,
        metadata=metadata,
        warnings=office.little_text(builder.text, pictures),
    )


def _blocks(document: Any) -> Iterator[Paragraph | Table]:
    """Paragraphs and tables of the body in order, including those in content controls."""
    stack = list(reversed(document.element.body))
    while stack:
        element = stack.pop()
        if element.tag == _BLOCKS[0]:
            yield Paragraph(element, document)
        elif element.tag == _BLOCKS[1]:
            yield Table(element, document)
        elif element.tag in _WRAPPERS:
            stack.extend(reversed(element))


def _text(paragraph: Paragraph) -> str:
    """The text of all runs, including those in links, insertions and text boxes, without deleted text."""
    pieces = paragraph._p.iter(qn("w:t"), qn("w:tab"), qn("w:br"), qn("w:cr"))
    return "".join(
        (piece.text or "") if piece.tag == qn("w:t") else " " for piece in pieces if not _is_fallback(piece)
    )


def _is_fallback(element: Any) -> bool:
    """True within the second copy of a text box, which is there for old programs."""
    return any(ancestor.tag == _FALLBACK for ancestor in element.iterancestors())


def _add_paragraph(builder: TextBuilder, paragraph: Paragraph) -> None:
    text = one_line(_text(paragraph))
    style = (paragraph.style.name if paragraph.style else "") or ""
    if heading := _HEADING.match(style):
        builder.heading(text, int(heading[1]))
    elif style == "Title":
        builder.heading(text, 1)
    elif _LIST.match(style) or _numbered(paragraph):
        builder.block(f"- {text}" if text else "", gap="\n")
    else:
        builder.block(text)


def _numbered(paragraph: Paragraph) -> bool:
    properties = paragraph._p.pPr
    return properties is not None and properties.numPr is not None


def _add_table(builder: TextBuilder, table: Table) -> None:
    rows = []
    for row in table._tbl.tr_lst:
        cells = [" ".join(_cell_texts(cell)).replace("|", "\\|") for cell in row.tc_lst]
        if any(cells):
            rows.append(cells)
    if not rows:
        return
    if max(map(len, rows)) == 1:
        for (cell,) in rows:
            builder.block(cell.replace("\\|", "|"))
    else:
        builder.block(markdown_table(rows))


def _cell_texts(cell: Any) -> Iterator[str]:
    for paragraph in cell.iter(qn("w:p")):
        text = one_line("".join(element.text or "" for element in paragraph.iter(qn("w:t"))))
        if text:
            yield text
