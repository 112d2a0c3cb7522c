"""PDF through PDFium, the engine of Chrome: text page by page, broken lines joined; bookmarks as headings."""

from __future__ import annotations

import re
from typing import Any

import pypdfium2

from ingest.loaders import pdf_parts
from ingest.loaders.base import Loaded, Source, refuse
from ingest.loaders.text import TextBuilder, clean, one_line
from storage.records import Scalar

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
_FEW_CHARACTERS = 200
_DATE = re.compile(r"D:(\d{4})(\d{2})(\d{2})")
_UNREADABLE = re.compile("[\ufffd\ue000-\uf8ff\U000f0000-\U0010fffd]")


def load(source: Source) -> Loaded:
    """Pages in order, in the order of the page's text objects; behind each its filled-in fields and notes.

    Raises DocumentRefusedError: encrypted, damaged, too-large (pages), no-text (a scan).
    """
    if b"%PDF-" not in source.data[:1024]:
        raise refuse(source, "its suffix says PDF, but it has no PDF header", reason="damaged")
    document = _open(source)
    try:
        document.init_forms()
        return _read(source, document)
    except pypdfium2.PdfiumError as error:
        raise refuse(source, f"PDFium cannot read it: {error}", reason="damaged") from error
    finally:
        document.close()


def _open(source: Source) -> Any:
    try:
        return pypdfium2.PdfDocument(source.data)
    except pypdfium2.PdfiumError as error:
        if "password" in str(error).lower():
            raise refuse(
                source, "it is encrypted", reason="encrypted", way_out="save it without a password"
            ) from error
        raise refuse(source, f"PDFium cannot open it: {error}", reason="damaged") from error


def _read(source: Source, document: Any) -> Loaded:
    if len(document) > source.limits.pages:
        raise refuse(
            source, f"{len(document):,} pages; the limit is {source.limits.pages:,}", reason="too-large"
        )
    builder, silent, broken = TextBuilder(), [], []
    for number in range(1, len(document) + 1):
        builder.page(number)
        try:
            text, beside = _page(document, number - 1)
        except pypdfium2.PdfiumError:
            broken.append(number)
            continue
        if not text.strip():
            silent.append(number)
        builder.block(text)
        for words in beside:
            builder.block(words)
    text = builder.text
    if not text.strip():
        raise refuse(
            source,
            f"none of its {len(document)} pages has a text layer, a filled-in field or a note "
            "(it may be a scan)",
            reason="no-text",
            way_out="run OCR over it first (OCRmyPDF, for example)",
        )
    warnings = (*_gaps(silent, broken, len(document)), *_doubts(text))
    return Loaded(
        text=text,
        title=_title(document),
        headings=pdf_parts.headings(document, text, builder.pages),
        pages=builder.pages,
        metadata=_metadata(document),
        warnings=warnings,
    )


def _page(document: Any, index: int) -> tuple[str, list[str]]:
    """A page's text, and what stands beside it."""
    page = document[index]
    try:
        text_page = page.get_textpage()
        try:
            return unwrapped(text_page.get_text_range()), list(pdf_parts.beside_the_text(document, page))
        finally:
            text_page.close()
    finally:
        page.close()


def unwrapped(text: str) -> str:
    """Lines that a page's width broke, joined into paragraphs; hyphenated words whole again."""
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


def _gaps(silent: list[int], broken: list[int], pages: int) -> list[str]:
    found = []
    if silent:
        found.append(f"{len(silent)} of {pages} pages have no text layer: {_few(silent)}")
    if broken:
        found.append(f"{len(broken)} of {pages} pages could not be read: {_few(broken)}")
    return found


def _few(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers[:10])) + (", ..." if len(numbers) > 10 else "")


def _doubts(text: str) -> list[str]:
    found = []
    unreadable = len(_UNREADABLE.findall(text))
    if unreadable * 50 > len(text):
        found.append(
            f"{unreadable} of {len(text)} characters have no meaning (a font without a Unicode table): "
            "the text layer may be useless"
        )
    if len(text.strip()) < _FEW_CHARACTERS:
        found.append(f"little text: only {len(text.strip())} characters of text")
    return found


def _title(document: Any) -> str:
    return one_line(document.get_metadata_value("Title"))


def _metadata(document: Any) -> dict[str, Scalar]:
    metadata: dict[str, Scalar] = {"pages": len(document)}
    if author := one_line(document.get_metadata_value("Author")):
        metadata["author"] = author
    dates = (document.get_metadata_value(name) for name in ("ModDate", "CreationDate"))
    if date := next(filter(None, map(_DATE.match, dates)), None):
        metadata["date"] = "-".join(date.groups())
    return metadata
