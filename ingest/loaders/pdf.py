"""PDF through PDFium, the engine of Chrome: text page by page, with form fields, notes and bookmarks."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice, pairwise
from typing import Any

import pypdfium2
import pypdfium2.raw as pdfium

from ingest.loaders.base import Loaded, Source
from ingest.loaders.office import damaged, little_text
from ingest.loaders.text import TextBuilder, clean, one_line
from storage.errors import DocumentRefusedError
from storage.reasons import Reason
from storage.records import Heading, PageStart, Scalar

_SENTENCE_END = re.compile(r"[.!?:;。！？：；…][\"'”’)）」』]*$")
# PDFium marks a hyphen at the end of a line with U+FFFE or U+0002.
_HYPHEN = re.compile("(?:\ufffe|\x02)[\r\n]*")
_SOFT_HYPHEN = re.compile(r"(?<=[a-z])-\n(?=[a-z])")
_WIDE = "\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef\u3000-\u303f"
_BETWEEN_WIDE = re.compile(f"(?<=[{_WIDE}]) (?=[{_WIDE}])")
# A list item or a numbered heading begins a line of its own.
_BEGINS = re.compile(
    r"^(?:[-*•●▪◦·–]|\(?\d{1,3}[.)、]|\(?[a-z][.)]\s|第[一二三四五六七八九十百千零〇\d]+[章节条編编款])"
)
_DATE = re.compile(r"D:(\d{4})(\d{2})(\d{2})")
_UNREADABLE = re.compile("[\ufffd\ue000-\uf8ff\U000f0000-\U0010fffd]")
_MOST_BOOKMARKS = 10_000
# A section's number before a title that is bookmarked without it.
_NUMBER = r"(?:[\dA-Z]{1,3}(?:\.\d{1,3})*\.?\s+)?"
_NOT_NOTES = (pdfium.FPDF_ANNOT_LINK, pdfium.FPDF_ANNOT_POPUP, pdfium.FPDF_ANNOT_WIDGET)
_FILLED_IN = (
    pdfium.FPDF_FORMFIELD_TEXTFIELD,
    pdfium.FPDF_FORMFIELD_COMBOBOX,
    pdfium.FPDF_FORMFIELD_LISTBOX,
    pdfium.FPDF_FORMFIELD_CHECKBOX,
    pdfium.FPDF_FORMFIELD_RADIOBUTTON,
)
_UNCHECKED = ("", "Off")


def load(source: Source) -> Loaded:
    """Pages in order, in the order of the page's text objects; after each its filled-in fields and notes.

    Raises DocumentRefusedError: encrypted, damaged, too-large (pages), no-text (a scan).
    """
    if b"%PDF-" not in source.data[:1024]:
        raise DocumentRefusedError("ingest.damaged", Reason("ingest.no-pdf-header"))
    document = _open(source)
    try:
        document.init_forms()
        return _read(source, document)
    except pypdfium2.PdfiumError as error:
        raise damaged("PDFium", error) from error
    finally:
        document.close()


def _open(source: Source) -> Any:
    try:
        return pypdfium2.PdfDocument(source.data)
    except pypdfium2.PdfiumError as error:
        if "password" in str(error).lower():
            raise DocumentRefusedError("ingest.encrypted", Reason("ingest.password")) from error
        raise damaged("PDFium", error) from error


def _read(source: Source, document: Any) -> Loaded:
    if len(document) > source.limits.pages:
        reason = Reason("ingest.too-many-pages", pages=len(document), limit=source.limits.pages)
        raise DocumentRefusedError("ingest.too-large", reason)
    builder, silent, broken = TextBuilder(), [], []
    for number in range(1, len(document) + 1):
        builder.page(number)
        try:
            text, more = _page(document, number - 1)
        except pypdfium2.PdfiumError:
            broken.append(number)
            continue
        if not text.strip():
            silent.append(number)
        builder.block(text)
        for words in more:
            builder.block(words)
    text = builder.text
    if not text.strip():
        raise DocumentRefusedError("ingest.no-text", Reason("ingest.scan", pages=len(document)))
    return Loaded(
        text=text,
        title=one_line(document.get_metadata_value("Title")),
        headings=_headings(document, text, builder.pages),
        pages=builder.pages,
        metadata=_metadata(document),
        warnings=tuple(_warnings(text, silent, broken, len(document))),
    )


def _page(document: Any, index: int) -> tuple[str, list[str]]:
    """A page's text, and the words of its form fields and notes."""
    page = document[index]
    try:
        text_page = page.get_textpage()
        try:
            return unwrapped(text_page.get_text_range()), list(_fields_and_notes(document, page))
        finally:
            text_page.close()
    finally:
        page.close()


def unwrapped(text: str) -> str:
    """Join lines that were broken by the page's width into paragraphs, and hyphenated words."""
    text = clean(_HYPHEN.sub("", text))
    text = _SOFT_HYPHEN.sub("", text)
    lines = [line.strip() for line in text.split("\n")]
    width = max((_width(line) for line in lines), default=0)
    joined: list[str] = []
    full = False  # the line before reached the margin and did not end a sentence
    for line in lines:
        if full and line and not _BEGINS.match(line):
            joined[-1] = _BETWEEN_WIDE.sub("", f"{joined[-1]} {line}") if joined[-1] else line
        else:
            joined.append(line)
        full = bool(line) and _width(line) >= 0.75 * width and not _SENTENCE_END.search(line)
    return "\n".join(joined)


def _width(line: str) -> int:
    return sum(2 if character > "\u2e7f" else 1 for character in line)


def _warnings(text: str, silent: list[int], broken: list[int], pages: int) -> Iterator[Reason]:
    if silent:
        yield Reason("ingest.pages-without-text", n=len(silent), of=pages, pages=_first_ten(silent))
    if broken:
        yield Reason("ingest.pages-unreadable", n=len(broken), of=pages, pages=_first_ten(broken))
    unreadable = len(_UNREADABLE.findall(text))
    if unreadable * 50 > len(text):
        yield Reason("ingest.meaningless-characters", n=unreadable, of=len(text))
    yield from little_text(text, pictures=0)


def _first_ten(numbers: list[int]) -> list[int | str]:
    return [*numbers[:10], *(["..."] if len(numbers) > 10 else [])]


def _metadata(document: Any) -> dict[str, Scalar]:
    metadata: dict[str, Scalar] = {"pages": len(document)}
    if author := one_line(document.get_metadata_value("Author")):
        metadata["author"] = author
    dates = (document.get_metadata_value(name) for name in ("ModDate", "CreationDate"))
    if date := next(filter(None, map(_DATE.match, dates)), None):
        metadata["date"] = "-".join(date.groups())
    return metadata


def _headings(document: Any, text: str, pages: tuple[PageStart, ...]) -> tuple[Heading, ...]:
    """The bookmarks, at the place of their titles on their pages, or at the page's start.

    Bookmarks that lead to no page with text are left out.
    """
    starts = {page.page: page.offset for page in pages}
    ends = {page.page: following.offset for page, following in pairwise(pages)}
    found: list[Heading] = []
    reached: dict[int, int] = {}
    for bookmark in islice(document.get_toc(), _MOST_BOOKMARKS):
        title, page = one_line(bookmark.get_title()), _page_of(bookmark)
        if not title or page not in starts:
            continue
        place = _place(text, title, reached.get(page, starts[page]), ends.get(page, len(text)))
        offset = reached.get(page, starts[page]) if place is None else place
        reached[page] = offset
        found.append(Heading(offset, bookmark.level + 1, title))
    return tuple(sorted(found, key=lambda heading: heading.offset))


def _page_of(bookmark: Any) -> int | None:
    destination = bookmark.get_dest()
    index = None if destination is None else destination.get_index()
    return None if index is None else index + 1


def _place(text: str, title: str, start: int, end: int) -> int | None:
    words = r"\s*".join(map(re.escape, title.split()))
    for pattern in (rf"^{_NUMBER}{words}", words):
        if match := re.compile(pattern, re.MULTILINE).search(text, start, end):
            return match.start()
    return None


def _fields_and_notes(document: Any, page: Any) -> Iterator[str]:
    """`name: value` for each filled-in form field, and the words of each note."""
    for index in range(pdfium.FPDFPage_GetAnnotCount(page)):
        annotation = pdfium.FPDFPage_GetAnnot(page, index)
        if not annotation:
            continue
        try:
            if words := one_line(_annotation_text(document.formenv, annotation)):
                yield words
        finally:
            pdfium.FPDFPage_CloseAnnot(annotation)


def _annotation_text(form: Any, annotation: Any) -> str:
    kind = pdfium.FPDFAnnot_GetSubtype(annotation)
    if kind == pdfium.FPDF_ANNOT_WIDGET:
        return _field(form, annotation) if form else ""
    if kind in _NOT_NOTES:
        return ""
    return _string(partial(pdfium.FPDFAnnot_GetStringValue, annotation, b"Contents"))


def _field(form: Any, annotation: Any) -> str:
    if pdfium.FPDFAnnot_GetFormFieldType(form, annotation) not in _FILLED_IN:
        return ""
    getters = (
        pdfium.FPDFAnnot_GetFormFieldAlternateName,
        pdfium.FPDFAnnot_GetFormFieldName,
        pdfium.FPDFAnnot_GetFormFieldValue,
    )
    label, name, value = (_string(partial(get, form, annotation)) for get in getters)
    return "" if value in _UNCHECKED else f"{label or name}: {value}"


def _string(get: Callable[[Any, int], int]) -> str:
    """A text that PDFium writes into a buffer: UTF-16, sizes in bytes, a NUL at the end."""
    size = get(None, 0)
    buffer = ctypes.create_string_buffer(size)
    get(ctypes.cast(buffer, ctypes.POINTER(pdfium.FPDF_WCHAR)), size)
    return buffer.raw[: max(0, size - 2)].decode("utf-16-le", "replace")
