"""What a PDF says beside its pages' text: bookmarks, form fields, notes."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice, pairwise
from typing import Any

import pypdfium2.raw as pdfium

from ingest.loaders.text import one_line
from storage.records import Heading, PageStart

_MOST_BOOKMARKS = 10_000
# What a section's number looks like before a title that is bookmarked without it.
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


def headings(document: Any, text: str, pages: tuple[PageStart, ...]) -> tuple[Heading, ...]:
    """The bookmarks, where their titles stand on their pages; a title that is not there holds from the
    page's start. Bookmarks that lead to no page with text are left out."""
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


def beside_the_text(document: Any, page: Any) -> Iterator[str]:
    """`name: value` for each field of a form that is filled in, and the words of each note."""
    for index in range(pdfium.FPDFPage_GetAnnotCount(page)):
        annotation = pdfium.FPDFPage_GetAnnot(page, index)
        if not annotation:
            continue
        try:
            if words := one_line(_words(document.formenv, annotation)):
                yield words
        finally:
            pdfium.FPDFPage_CloseAnnot(annotation)


def _words(form: Any, annotation: Any) -> str:
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
    """What PDFium writes into a buffer: UTF-16, sizes in bytes, a NUL at the end."""
    size = get(None, 0)
    buffer = ctypes.create_string_buffer(size)
    get(ctypes.cast(buffer, ctypes.POINTER(pdfium.FPDF_WCHAR)), size)
    return buffer.raw[: max(0, size - 2)].decode("utf-16-le", "replace")
