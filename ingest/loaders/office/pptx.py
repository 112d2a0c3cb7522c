"""PPTX through python-pptx: a slide is a page, its title a heading; then boxes, tables, charts and notes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pptx
from pptx.util import Length

from ingest.loaders.base import Loaded, Source
from ingest.loaders.office import openxml
from ingest.loaders.office.docx_numbering import written
from ingest.loaders.office.equations import linear
from ingest.loaders.tables import Grid, table_lines
from ingest.loaders.text import TextBuilder, one_line, superscript
from storage.errors import DocumentRefusedError
from storage.reasons import Reason

_DRAWING = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
_MATH = "{http://schemas.openxmlformats.org/officeDocument/2006/math}"
_CHART = "{http://schemas.openxmlformats.org/drawingml/2006/chart}chart"
# The tenth of an inch, in English Metric Units.
_BESIDE = 91440
_RELATION = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"


def load(source: Source) -> Loaded:
    """Raises DocumentRefusedError: damaged, encrypted, unsupported, too-large, no-text."""
    package = openxml.checked(source, "presentation")
    try:
        presentation = pptx.Presentation(package.archive)
    except Exception as error:  # lxml, zipfile, KeyError...: python-pptx translates none of them
        raise openxml.damaged("python-pptx", error) from error
    slides = list(presentation.slides)
    if len(slides) > source.limits.pages:
        raise DocumentRefusedError(
            "ingest.too-large",
            Reason("ingest.too-many-slides", slides=len(slides), limit=source.limits.pages),
        )
    builder, pictures, hidden = TextBuilder(), 0, 0
    for number, slide in enumerate(slides, 1):
        if slide._element.get("show") in ("0", "false"):
            hidden += 1
            continue
        builder.page(number)
        pictures += _add_slide(builder, slide)
    if not builder.text.strip():
        raise openxml.without_text(pictures)
    title, metadata = openxml.document_properties(presentation)
    first = next((heading.title for heading in builder.headings), "")
    left_out = (Reason("ingest.hidden-slides", n=hidden),) if hidden else ()
    return Loaded(
        text=builder.text,
        title=first if title in ("", "PowerPoint Presentation") else title,
        structured=True,
        headings=builder.headings,
        pages=builder.pages,
        metadata=metadata,
        warnings=(*openxml.little_text(builder.text, pictures), *left_out),
    )


def _add_slide(builder: TextBuilder, slide: Any) -> int:
    """Add a slide's text; return the number of its pictures."""
    title = slide.shapes.title
    if title is not None:
        builder.heading(" ".join(map(_text, title.text_frame.paragraphs)), 1)
    pictures = 0
    for shape in _shapes(slide):
        if title is not None and shape.shape_id == title.shape_id:
            continue
        pictures += shape._element.tag.endswith("}pic")
        if getattr(shape, "has_table", False):
            _add_table(builder, shape.table)
        elif shape.has_text_frame:
            _add_text(builder, shape.text_frame)
        else:
            _add_graphic(builder, slide, shape)
    if slide.has_notes_slide and slide.notes_slide.notes_text_frame is not None:
        _add_text(builder, slide.notes_slide.notes_text_frame)
    for relation in slide.part.rels.values():
        if not relation.is_external and relation.reltype.endswith("/comments"):
            for comment in openxml.parsed(relation.target_part.blob).iter("{*}cm"):
                builder.block(
                    f"[{one_line(' '.join(t.text or '' for t in comment.iter('{*}text', '{*}t')))}]"
                )
    return pictures


def _shapes(slide: Any) -> Iterator[Any]:
    """Shapes from top to bottom and left to right, including those in groups; what begins at nearly one
    height is beside each other."""
    stack, flat = list(slide.shapes), []
    while stack:
        shape = stack.pop()
        stack.extend(shape.shapes) if hasattr(shape, "shapes") else flat.append(shape)
    row: list[Any] = []
    for shape in sorted(flat, key=lambda shape: (_at(shape.top), shape.shape_id)):
        if row and _at(shape.top) - _at(row[0].top) > _BESIDE:
            yield from sorted(row, key=lambda shape: _at(shape.left))
            row = []
        row.append(shape)
    yield from sorted(row, key=lambda shape: _at(shape.left))


def _at(position: Length | None) -> int:
    return int(position or 0)


def _add_text(builder: TextBuilder, frame: Any) -> None:
    gap = "\n\n"
    counts: dict[int, int] = {}
    for paragraph in frame.paragraphs:
        if text := _text(paragraph):
            level = paragraph.level or 0
            builder.block("  " * level + _number(paragraph, counts, level) + text, gap=gap)
            gap = "\n"


def _number(paragraph: Any, counts: dict[int, int], level: int) -> str:
    """The number that PowerPoint writes before a paragraph; `counts` are the last ones, by level."""
    for deeper in [other for other in counts if other > level]:
        del counts[deeper]
    numbered = paragraph._p.find(f"{_DRAWING}pPr/{_DRAWING}buAutoNum")
    if numbered is None:
        counts.pop(level, None)
        return ""
    counts[level] = counts.get(level, int(numbered.get("startAt", "1")) - 1) + 1
    scheme = numbered.get("type", "")
    kind = {"alpha": "Letter", "roman": "Roman"}.get(scheme[:5])
    case = "lower" if "Lc" in scheme else "upper"
    shown = written(counts[level], f"{case}{kind}" if kind else "decimal")
    left, right = ("(" if "ParenBoth" in scheme else ""), (")" if "Paren" in scheme else "")
    return f"{left}{shown}{right or ('.' if 'Period' in scheme else '')} "


def _text(paragraph: Any) -> str:
    """A paragraph's runs, fields, breaks and equations in one line."""
    return one_line("".join(_pieces(paragraph._p)))


def _pieces(element: Any) -> Iterator[str]:
    for child in element:
        if not isinstance(child.tag, str):
            continue
        if child.tag in (f"{_DRAWING}r", f"{_DRAWING}fld"):
            properties, text = child.find(f"{_DRAWING}rPr"), child.findtext(f"{_DRAWING}t") or ""
            raised = 0 if properties is None else int((properties.get("baseline") or "0").rstrip("%"))
            yield superscript(text) if raised > 0 else text
        elif child.tag == f"{_DRAWING}br":
            yield " "
        elif child.tag.startswith(_MATH):
            yield linear(child)
        elif child.tag.endswith("}AlternateContent"):  # the same twice: for new programs and for old ones
            yield from _pieces(next(iter(child), child))
        elif child.tag.endswith("}m"):
            yield from _pieces(child)


def _add_table(builder: TextBuilder, table: Any) -> None:
    grid = Grid()
    for row, cells in enumerate(table.rows):
        for column, cell in enumerate(cells.cells):
            if not cell.is_spanned:
                words = " ".join(filter(None, map(_text, cell.text_frame.paragraphs)))
                high, wide = (cell.span_height, cell.span_width) if cell.is_merge_origin else (1, 1)
                grid.add(row, column, words, height=high, width=wide)
    builder.table(table_lines(grid.rows()))


def _add_graphic(builder: TextBuilder, slide: Any, shape: Any) -> None:
    """Add what a chart, a diagram or a picture says: values, texts, the alternative text."""
    for element in shape._element.iter():
        if element.tag == _CHART and (part := _part(slide, element.get(_RELATION))) is not None:
            builder.block("\n".join(openxml.chart_lines(openxml.parsed(part.blob))))
        elif isinstance(element.tag, str) and element.tag.endswith("}relIds"):
            if (part := _part(slide, element.get(_RELATION.replace("}id", "}dm")))) is not None:
                builder.block("\n".join(openxml.diagram_lines(part.blob)))
        elif isinstance(element.tag, str) and element.tag.endswith("}cNvPr"):
            builder.block(openxml.described(element))


def _part(slide: Any, relation: str | None) -> Any:
    found = slide.part.rels.get(relation)
    return None if found is None or found.is_external else found.target_part
