"""PPTX through python-pptx: a slide is a page, its title a heading; then text boxes, tables and notes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pptx
from pptx.util import Length

from ingest.loaders import office
from ingest.loaders.base import Loaded, Source
from ingest.loaders.text import TextBuilder, markdown_table, one_line
from storage.errors import DocumentRefusedError
from storage.reasons import Reason


def load(source: Source) -> Loaded:
    """Raises DocumentRefusedError: damaged, encrypted, unsupported, too-large, no-text."""
    archive = office.checked(source, "ppt/presentation.xml")
    try:
        presentation = pptx.Presentation(archive)
    except Exception as error:  # lxml, zipfile, KeyError...: python-pptx translates none of them
        raise office.damaged("python-pptx", error) from error
    slides = list(presentation.slides)
    if len(slides) > source.limits.pages:
        raise DocumentRefusedError(
            "ingest.too-large",
            Reason("ingest.too-many-slides", slides=len(slides), limit=source.limits.pages),
        )
    builder, pictures = TextBuilder(), 0
    for number, slide in enumerate(slides, 1):
        builder.page(number)
        pictures += _add_slide(builder, slide)
    if not builder.text.strip():
        raise office.without_text(pictures)
    title, metadata = office.properties(presentation.core_properties)
    first = next((heading.title for heading in builder.headings), "")
    return Loaded(
        text=builder.text,
        title=first if title in ("", "PowerPoint Presentation") else title,
        structured=True,
        headings=builder.headings,
        pages=builder.pages,
        metadata=metadata,
        warnings=office.little_text(builder.text, pictures),
    )


def _add_slide(builder: TextBuilder, slide: Any) -> int:
    """Add a slide's text; return the number of its pictures."""
    title = slide.shapes.title
    if title is not None:
        builder.heading(title.text_frame.text, 1)
    pictures = 0
    for shape in _shapes(slide):
        if title is not None and shape.shape_id == title.shape_id:
            continue
        pictures += hasattr(shape, "image")
        if getattr(shape, "has_table", False):
            _add_table(builder, shape.table)
        elif shape.has_text_frame:
            _add_text(builder, shape.text_frame)
    if slide.has_notes_slide and slide.notes_slide.notes_text_frame is not None:
        _add_text(builder, slide.notes_slide.notes_text_frame)
    return pictures


def _shapes(slide: Any) -> Iterator[Any]:
    """Shapes from top to bottom and left to right, including those in groups."""
    stack, flat = list(slide.shapes), []
    while stack:
        shape = stack.pop()
        stack.extend(shape.shapes) if hasattr(shape, "shapes") else flat.append(shape)
    yield from sorted(flat, key=lambda shape: (_at(shape.top), _at(shape.left), shape.shape_id))


def _at(position: Length | None) -> int:
    return int(position or 0)


def _add_text(builder: TextBuilder, frame: Any) -> None:
    gap = "\n\n"
    for paragraph in frame.paragraphs:
        if text := one_line(paragraph.text):
            builder.block("  " * (paragraph.level or 0) + text, gap=gap)
            gap = "\n"


def _add_table(builder: TextBuilder, table: Any) -> None:
    rows = [[one_line(cell.text_frame.text).replace("|", "\\|") for cell in row.cells] for row in table.rows]
    rows = [row for row in rows if any(row)]
    if rows:
        builder.block(markdown_table(rows))
