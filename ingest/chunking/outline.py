"""Finds the headings, page and table row of an offset in a document."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence

from storage.records import Document, Heading, Meta, PageStart

Span = tuple[int, int]

# The most characters of a section's number before its title.
_NUMBER = 8
# A Markdown heading, perhaps in a quotation or a list; and the underline of one. Both are matched at one
# place, and no sign of a part belongs to the next: a failure costs each sign once.
_MARKED = re.compile(r"[\s>*+\-.)\d]*#")
_UNDERLINE = re.compile(r"[\s>]*(?:=+|-+)\s*")


class Outline:
    """The heading paths and pages of a document, by offset."""

    def __init__(self, document: Document) -> None:
        self._text = document.text
        self._offsets = [heading.offset for heading in document.headings]
        self._ends = [_end_of(document.text, heading) for heading in document.headings]
        self._pages = document.pages
        self._page_offsets = [page.offset for page in document.pages]
        self._paths = list(_paths(document.headings))

    def path(self, span: Span) -> tuple[str, ...]:
        """The path at the first text of a passage that is not a heading."""
        index = bisect_right(self._offsets, span[0])
        body = max(span[0], self._ends[index - 1]) if index else span[0]
        while index < len(self._offsets) and self._offsets[index] < span[1]:
            if self._text[body : self._offsets[index]].strip():
                break
            body = self._ends[index]
            index += 1
        return self._paths[index - 1] if index else ()

    def paths(self) -> set[tuple[str, ...]]:
        """Every heading path of the document, and the empty one of text before any heading."""
        return {(), *self._paths}

    def with_headings(self, spans: Sequence[Span]) -> list[Span]:
        """Join spans that are only headings to the span that follows."""
        joined: list[Span] = []
        start: int | None = None
        for index, span in enumerate(spans):
            begin = span[0] if start is None else start
            if index + 1 < len(spans) and self._only_headings(span):
                start = begin
                continue
            joined.append((begin, span[1]))
            start = None
        return joined

    def _only_headings(self, span: Span) -> bool:
        """True if a span contains nothing but headings that begin within it."""
        first, last = bisect_left(self._offsets, span[0]), bisect_left(self._offsets, span[1])
        at = span[0]
        for index in range(first, last):
            if self._text[at : self._offsets[index]].strip():
                return False
            at = self._ends[index]
        return first < last and not self._text[at : span[1]].strip()

    def page(self, offset: int) -> int | None:
        index = bisect_right(self._page_offsets, offset)
        return self._pages[index - 1].page if index else None


def _paths(headings: Sequence[Heading]) -> Iterator[tuple[str, ...]]:
    open_ones: list[Heading] = []
    for heading in headings:
        while open_ones and open_ones[-1].level >= heading.level:
            open_ones.pop()
        open_ones.append(heading)
        yield tuple(one.title for one in open_ones)


def _end_of(text: str, heading: Heading) -> int:
    """The end of a heading's lines; its offset if it has none, like a PDF's bookmark."""
    end = _line_end(text, heading.offset)
    line = text[heading.offset : end]
    words = " ".join(line.split())
    if _MARKED.match(line) or (words.endswith(heading.title) and len(words) <= len(heading.title) + _NUMBER):
        return end
    under = _line_end(text, end + 1)
    return under if _UNDERLINE.fullmatch(text, end + 1, under) else heading.offset


def _line_end(text: str, start: int) -> int:
    found = text.find("\n", start)
    return len(text) if found < 0 else found


class RowCounter:
    """Finds the number of the table row in which a passage begins by counting lines."""

    def __init__(self, text: str, rows: Sequence[PageStart]) -> None:
        self._text = text
        self._rows = rows
        self._offsets = [row.offset for row in rows]
        self._run = -1
        self._counted = (0, 0)  # up to this offset, this row

    def with_row(self, metadata: Mapping[str, Meta], start: int) -> Mapping[str, Meta]:
        run = bisect_right(self._offsets, start) - 1
        if run < 0:
            return metadata
        if run != self._run or start < self._counted[0]:
            self._run, self._counted = run, (self._rows[run].offset, self._rows[run].page)
        offset, row = self._counted
        self._counted = (start, row + self._text.count("\n", offset, start))
        return {**metadata, "row": self._counted[1]}
