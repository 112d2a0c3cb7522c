"""PDF through PDFium, the engine of Chrome: text page by page, with form fields, notes and bookmarks."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice, pairwise
from typing import Any

import pypdfium2
import pypdfium2.raw as pdfium

from ingest.loaders.base import Loaded, Source
from ingest.loaders.office.openxml import damaged, little_text
from ingest.loaders.pdf.cells import Carried
from ingest.loaders.pdf.layout import Block, as_written, blocks
from ingest.loaders.pdf.pieces import HYPHEN, Piece, is_vertical, pieces
from ingest.loaders.pdf.sentences import Vocabulary, continues, has_code, paragraphs, without_running_heads
from ingest.loaders.pdf.streams import check_streams
from ingest.loaders.text import TextBuilder, one_line
from storage.errors import DocumentRefusedError
from storage.reasons import Reason
from storage.records import Heading, Meta, PageStart

_DATE = re.compile(r"D:(\d{4})(\d{2})(\d{2})")
_UNREADABLE = re.compile("[\ufffd\ue000-\uf8ff\U000f0000-\U0010fffd]")
# What programs write where nobody gave a title or an author.
_NO_TITLES = ("untitled", "(anonymous)", "untitled document", "title", "unknown", "无标题")
_NO_AUTHORS = ("anonymous", "(anonymous)", "unknown", "author")
# A page with less text than `_FEW` characters is a scan where pictures cover this share of it; with OCR,
# smaller pictures are looked at, too.
_FEW, _SCAN, _LEAST_PICTURE = 100, 0.3, 0.02
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
    """Pages in order, each in reading order; after each its filled-in fields and notes.

    Raises DocumentRefusedError: encrypted, damaged, too-large (pages), no-text (a scan).
    """
    if b"%PDF-" not in source.data[:1024]:
        raise DocumentRefusedError("ingest.damaged", Reason("ingest.no-pdf-header"))
    check_streams(source)
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
    pages, broken, pictures = _pages(document, ocr=source.ocr)
    laid_out = without_running_heads([page.blocks for page in pages], [page.extent for page in pages])
    vocabulary = Vocabulary(line.text for found in laid_out for block in found for line in block.lines)
    code = has_code(laid_out)
    kept = [
        [(text, block.table) for block in found if (text := paragraphs(block, vocabulary, code=code))]
        for found in laid_out
    ]
    written = [[text for text, _ in found] for found in kept]
    places = [(texts, index) for texts in written for index in range(len(texts))]
    for (texts, index), (following, first) in pairwise(places):
        texts[index], following[first] = vocabulary.across(texts[index], following[first])
    builder, before = TextBuilder(), ""
    for page, texts, found in zip(pages, written, kept, strict=True):
        builder.page(page.number)
        turned = [one_line(piece.text.replace(HYPHEN, "")) for piece in page.turned]
        alone = [*(table for _, table in found), *(True for _ in turned)]
        for index, (text, table) in enumerate(zip([*texts, *turned], alone, strict=True)):
            if text:
                gap = None if table else continues(before, text, same_page=index > 0)
                builder.block(text, gap="\n\n" if gap is None else gap)
                before = "" if table else text
        for more in page.more:
            builder.block(more)
            before = ""
    text = builder.text
    if not text.strip():
        raise DocumentRefusedError("ingest.no-text", Reason("ingest.scan", pages=len(document)))
    scores = [score for page in pages for score in page.scores]
    title = one_line(document.get_metadata_value("Title"))
    return Loaded(
        text=text,
        title="" if title.lower() in _NO_TITLES else title,
        headings=_headings(document, text, builder.pages),
        pages=builder.pages,
        metadata=_metadata(document),
        warnings=(*_warnings(text, pictures, broken, len(document)), *_by_ocr(scores)),
    )


@dataclass(frozen=True, slots=True)
class _Page:
    """A page's text in blocks, its turned text, and the words of its form fields and notes; `extent` is its
    foot and top."""

    number: int
    blocks: list[Block]
    turned: list[Piece]
    more: list[str]
    extent: tuple[float, float]
    scores: tuple[float, ...] = ()  # of lines that were read from a picture


def _pages(document: Any, *, ocr: bool) -> tuple[list[_Page], list[int], list[int]]:
    """The pages that can be read, the numbers of those that cannot, and of those that are pictures."""
    pages, broken, pictures, carried = [], [], [], Carried()
    for number in range(1, len(document) + 1):
        try:
            page = document[number - 1]
        except pypdfium2.PdfiumError:
            broken.append(number)
            continue
        try:
            read = _page(document, page, number, carried)
            characters = sum(len(line.text) for block in read.blocks for line in block.lines)
            share = _picture_share(page) if characters < _FEW else 0.0
            if ocr and share > _LEAST_PICTURE:
                read = _recognised(read, page)
            elif share >= _SCAN:
                pictures.append(number)
            pages.append(read)
        except pypdfium2.PdfiumError:
            broken.append(number)
        finally:
            page.close()
    return pages, broken, pictures


def _page(document: Any, page: Any, number: int, carried: Carried) -> _Page:
    text_page = page.get_textpage()
    try:
        upright, turned = pieces(text_page, page.get_rotation())
        if is_vertical(upright, turned):
            text = text_page.get_text_range().replace("\x02", HYPHEN).replace(HYPHEN, f"{HYPHEN}\n")
            found, turned = [as_written(text)], []
        else:
            found = list(blocks(upright, carried))
    finally:
        text_page.close()
    height = page.get_size()[1]
    extent = (-height, 0.0) if page.get_rotation() in (90, 180) else (0.0, height)  # as `pieces` turns it
    return _Page(number, found, turned, list(_fields_and_notes(document, page)), extent)


def _recognised(read: _Page, page: Any) -> _Page:
    """The page with what its picture says in place of its few characters, which are in the picture, too."""
    from ingest.loaders.pdf.ocr import recognised

    found, scores = recognised(page)
    return replace(read, blocks=list(blocks(found, Carried())) or read.blocks, scores=tuple(scores))


def _picture_share(page: Any) -> float:
    """The share of a page that pictures cover; more than 1 where they lie over each other."""
    width, height = page.get_size()
    area = 0.0
    for picture in page.get_objects(filter=(pdfium.FPDF_PAGEOBJ_IMAGE,)):
        left, bottom, right, top = picture.get_bounds()
        area += max(0.0, min(right, width) - max(left, 0)) * max(0.0, min(top, height) - max(bottom, 0))
    return float(area / max(1.0, width * height))


def _warnings(text: str, pictures: list[int], broken: list[int], pages: int) -> Iterator[Reason]:
    if pictures:
        yield Reason("ingest.pages-without-text", n=len(pictures), of=pages, pages=_first_ten(pictures))
    if broken:
        yield Reason("ingest.pages-unreadable", n=len(broken), of=pages, pages=_first_ten(broken))
    unreadable = len(_UNREADABLE.findall(text))
    if unreadable * 50 > len(text):
        yield Reason("ingest.meaningless-characters", n=unreadable, of=len(text))
    yield from little_text(text, pictures=0)


def _by_ocr(scores: list[float]) -> tuple[Reason, ...]:
    if not scores:
        return ()
    from ingest.loaders.pdf.ocr import UNSURE

    unsure = sum(score < UNSURE for score in scores)
    sure = round(100 * sum(scores) / len(scores))
    return (Reason("ingest.read-by-ocr", n=len(scores), unsure=unsure, sure=sure),)


def _first_ten(numbers: list[int]) -> list[int | str]:
    return [*numbers[:10], *(["..."] if len(numbers) > 10 else [])]


def _metadata(document: Any) -> dict[str, Meta]:
    metadata: dict[str, Meta] = {"pages": len(document)}
    author = one_line(document.get_metadata_value("Author"))
    if author and author.lower() not in _NO_AUTHORS:
        metadata["author"] = author
    keywords = re.split("[,;，；、]", document.get_metadata_value("Keywords"))
    if tags := tuple(tag for word in keywords if (tag := one_line(word))):
        metadata["tags"] = tags
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
