"""Normalises text from files and assembles it with its headings and pages.

The text of a `TextBuilder` is Unicode NFC without control characters, and every recorded offset points into
exactly that text.
"""

from __future__ import annotations

import re
import unicodedata

from storage.records import Heading, PageStart

_LINE_ENDS = re.compile("\r\n|[\r\x0b\x0c\x85\u2028\u2029]")
# Controls; soft hyphen; bidirectional embeddings, overrides and isolates (they reorder what people see);
# byte order marks and noncharacters; lone surrogates become U+FFFD below.
_DROPPED = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\u00ad\u202a-\u202e\u2066-\u2069\ufeff\ufff9-\ufffb\ufffe\uffff]"
)
_SURROGATES = re.compile("[\ud800-\udfff]")


def clean(text: str) -> str:
    """Text in NFC with `\\n` line ends, without control, bidirectional and noncharacters."""
    text = _LINE_ENDS.sub("\n", text)
    text = _SURROGATES.sub("\ufffd", _DROPPED.sub("", text))
    return unicodedata.normalize("NFC", text)


def one_line(text: str) -> str:
    """Cleaned text in one line: every run of white space becomes one space."""
    return " ".join(clean(text).split())


def markdown_table(rows: list[list[str]]) -> str:
    """Rows of cells as a Markdown table; the first row is its head."""
    width = max(len(row) for row in rows)
    lines = ["| " + " | ".join(row + [""] * (width - len(row))) + " |" for row in rows]
    return "\n".join([lines[0], "|" + " --- |" * width, *lines[1:]])


class TextBuilder:
    """Joins blocks with blank lines, and records the offsets of headings and pages."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._length = 0
        self._page: int | None = None
        self._headings: list[Heading] = []
        self._pages: list[PageStart] = []

    def block(self, text: str, *, gap: str = "\n\n") -> int:
        """Add cleaned text, `gap` before it, and return its offset; blank text adds nothing."""
        return self._add(clean(text).strip("\n").rstrip(), gap)

    def heading(self, title: str, level: int) -> None:
        """Add a Markdown heading; `level` counts from 1 and is cut at 6."""
        title, level = one_line(title), min(max(level, 1), 6)
        if title:
            offset = self._add(f"{'#' * level} {title}", "\n\n")
            self._headings.append(Heading(offset, level, title))

    def page(self, number: int) -> None:
        """The next block starts page `number`, which counts from 1."""
        self._page = number

    def _add(self, text: str, gap: str) -> int:
        if not text.strip():
            return self._length
        if self._parts:
            self._parts.append(gap)
            self._length += len(gap)
        offset = self._length
        if self._page is not None:
            self._pages.append(PageStart(offset, self._page))
            self._page = None
        self._parts.append(text)
        self._length += len(text)
        return offset

    @property
    def text(self) -> str:
        return "".join(self._parts)

    @property
    def headings(self) -> tuple[Heading, ...]:
        return tuple(self._headings)

    @property
    def pages(self) -> tuple[PageStart, ...]:
        return tuple(self._pages)
