"""Markdown as blocks and runs that a template shows: nothing becomes HTML here, so nothing can act on a page.

Tables, lists, code, headings and quotes are blocks; of links and pictures the words are kept. Offsets are
those of the text, so that quoted spans can be marked and citations linked wherever they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise
from typing import Literal

Span = tuple[int, int]
Kind = Literal["plain", "text", "heading", "list", "code", "quote", "table"]
RunStyle = Literal["", "strong", "code"]

# Anybody may have written the text, so each pattern reads a line once: what matched is not given back (`++`)
# where something has to follow it.
_LINE = re.compile(r"[^\n]*(?:\n|\Z)")
_FENCE = re.compile(r" {0,3}(?P<sign>`{3,}|~{3,}+)[^`\n]*\n?\Z")
_HEADING = re.compile(r" {0,3}#{1,6}[ \t]+")
_ITEM = re.compile(r"[ \t]*(?P<sign>[-*+]|\d{1,9}[.)])[ \t]+(?P<words>\S.*)\n?\Z")
_QUOTE = re.compile(r" {0,3}>[ \t]?(?P<words>.*)\n?\Z")
_RULE = re.compile(r"[ \t]*+\|?[ \t]*+:?-++:?[ \t]*+(?:\|[ \t]*+:?-++:?[ \t]*+)*+\|?[ \t]*+\n?\Z")
_CELL = re.compile(r"(?:\\.|[^|\\\n])+")
_INLINE = re.compile(
    r"`(?P<code>[^`\n]+)`|\*\*(?=\S)(?P<strong>[^*\n]+)(?<=\S)\*\*"
    r"|!?\[(?P<words>[^\[\]\n]+)\]\([^()\s]*(?:\([^()\s]*\)[^()\s]*)*(?:\s+\"[^\"\n]*\")?\)"
)


@dataclass(frozen=True, slots=True)
class Run:
    """A run of text; one with `markers` cites these sources, `marked` text is quoted."""

    text: str
    style: RunStyle = ""
    marked: bool = False
    markers: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class ShownBlock:
    """A block: `runs`, or the `rows` of a table, each of cells; the rows of a list have one cell.

    `start` is the number of an ordered list's first item.
    """

    kind: Kind
    runs: tuple[Run, ...] = ()
    rows: tuple[tuple[tuple[Run, ...], ...], ...] = ()
    start: int | None = None


@dataclass(frozen=True, slots=True)
class Notes:
    """Marks in a text: quoted spans, and places that cite sources."""

    spans: Sequence[Span] = ()
    places: Sequence[tuple[int, int, tuple[int, ...]]] = ()


@dataclass(frozen=True, slots=True)
class _Piece:
    """A block's part of the text: cells of one row, each a list of spans."""

    kind: Kind
    cells: tuple[tuple[Span, ...], ...]
    number: int | None = None


def blocks(text: str, notes: Notes = Notes()) -> list[ShownBlock]:
    """Return the blocks of a Markdown text."""
    found = []
    for (kind, *_), pieces in groupby(_joined(_pieces(text)), key=_group):
        some = list(pieces)
        if kind in ("list", "table"):
            rows = tuple(tuple(_runs(text, cell, notes) for cell in piece.cells) for piece in some)
            found.append(ShownBlock(kind, rows=rows, start=some[0].number))
        else:
            found += [
                ShownBlock(kind, _runs(text, piece.cells[0], notes, plain=kind == "code")) for piece in some
            ]
    return found


def plain(text: str, notes: Notes = Notes()) -> list[ShownBlock]:
    """Return a text that is no Markdown as one block, letter by letter."""
    return [ShownBlock("plain", _runs(text, ((0, len(text)),), notes, plain=True))]


def _group(piece: _Piece) -> tuple[Kind, int, bool]:
    """Return what neighbouring pieces of one list or table share."""
    width = len(piece.cells) if piece.kind == "table" else 0
    return piece.kind, width, piece.number is not None


def _pieces(text: str) -> Iterator[_Piece | None]:
    """Yield the lines as pieces of blocks; None for what ends a paragraph."""
    lines = [match for match in _LINE.finditer(text) if match.end() > match.start()]
    at, within = 0, ""  # the block that a line of mere text goes on with
    while at < len(lines):
        line, start = lines[at][0], lines[at].start()
        item = _ITEM.match(line)
        number = int(item["sign"][:-1]) if item and item["sign"][0].isdigit() else None
        # as in CommonMark: a wrapped line that begins with another number is none of a list
        if within in ("text", "quote") and number not in (None, 1):
            item = None
        before, within = within, ""
        if fence := _FENCE.match(line):
            closing = _closing(lines, at + 1, fence["sign"])
            inner = (lines[at].end(), lines[closing].start() if closing < len(lines) else len(text))
            yield _Piece("code", ((inner,),))
            at = closing
        elif heading := _HEADING.match(line):
            yield _Piece("heading", ((_heading(line, start, heading.end()),),))
        elif (
            at + 1 < len(lines) and "|" in line and _RULE.match(lines[at + 1][0]) and "|" in lines[at + 1][0]
        ):
            head = _row(line, start)
            yield head
            at += 1
            while at + 1 < len(lines) and "|" in lines[at + 1][0]:
                at += 1
                yield _fitted(_row(lines[at][0], lines[at].start()), len(head.cells))
        elif item:
            within = "list"
            yield _Piece("list", ((_span(start, item),),), number)
        elif quote := _QUOTE.match(line):
            within = "quote"
            yield _Piece("quote", ((_span(start, quote),),))
        elif not line.strip():
            yield None
        else:
            within = before or "text"
            yield _Piece("text", (((start, lines[at].end()),),))
        at += 1


def _closing(lines: Sequence[re.Match[str]], at: int, sign: str) -> int:
    """Return the place of the line that closes a fence; one after the last where none does."""
    for place in range(at, len(lines)):
        line = lines[place][0].strip()
        if len(line) >= len(sign) and not line.strip(sign[0]):
            return place
    return len(lines)


def _span(start: int, match: re.Match[str]) -> Span:
    low, high = match.span("words")
    return start + low, start + high


def _heading(line: str, start: int, at: int) -> Span:
    """Return where the words of a heading are, without the signs that may close it."""
    words = line[at:].rstrip(" \t\n").rstrip("#").rstrip(" \t")
    return start + at, start + at + len(words)


def _row(line: str, start: int) -> _Piece:
    bare = line.strip()
    start += line.index(bare) if bare else 0
    if bare.startswith("|"):
        bare, start = bare[1:], start + 1
    cells: list[tuple[Span, ...]] = []
    at = 0
    for match in _CELL.finditer(bare):
        cells += [((start + at, start + at),)] * (match.start() > at + bool(cells))
        low, high = match.span()
        cells.append(((start + low, start + high),))
        at = high
    return _Piece("table", tuple(cells) or (((start, start),),))


def _fitted(row: _Piece, width: int) -> _Piece:
    """Return a row of as many cells as the head has."""
    end = row.cells[-1][-1][1]
    return _Piece("table", (*row.cells, *[((end, end),)] * (width - len(row.cells)))[:width])


def _joined(pieces: Iterator[_Piece | None]) -> Iterator[_Piece]:
    """Join the lines of a paragraph, of a quote, and those that go on with an item."""
    open_: list[_Piece] = []
    for piece in pieces:
        joining = ("text", "quote") if open_ and open_[0].kind == "quote" else ("text",)
        if open_ and piece is not None and piece.kind in joining:
            open_.append(piece)
            continue
        if open_:
            yield _one(open_)
        open_ = [piece] if piece is not None and piece.kind in ("text", "list", "quote") else []
        if piece is not None and not open_:
            yield piece
    if open_:
        yield _one(open_)


def _one(pieces: Sequence[_Piece]) -> _Piece:
    spans = tuple(span for piece in pieces for span in piece.cells[0])
    return replace(pieces[0], cells=(spans,))


def _runs(text: str, spans: Sequence[Span], notes: Notes, *, plain: bool = False) -> tuple[Run, ...]:
    found: list[Run] = []
    for number, (start, end) in enumerate(spans):
        if number and not plain and found and not found[-1].text.endswith((" ", "\n")):
            found.append(Run(" "))
        if plain:
            found += _cut(text, start, end, "", notes)
            continue
        at = start
        for match in _INLINE.finditer(text, start, end):
            found += _cut(text, at, match.start(), "", notes)
            name = match.lastgroup or "words"
            style: RunStyle = "code" if name == "code" else "strong" if name == "strong" else ""
            found += _cut(text, *match.span(name), style, notes)
            at = match.end()
        found += _cut(text, at, end, "", notes)
    return tuple(found)


def _cut(text: str, start: int, end: int, style: RunStyle, notes: Notes) -> list[Run]:
    """Cut a stretch of the text where a quoted span or a citation begins or ends."""
    bounds = [*notes.spans, *((low, high) for low, high, _ in notes.places)]
    edges = {edge for bound in bounds for edge in bound}
    cuts = sorted({start, end, *(edge for edge in edges if start < edge < end)})
    found: list[Run] = []
    for low, high in pairwise(cuts):
        cited = next((numbers for first, last, numbers in notes.places if first <= low and high <= last), ())
        marked = any(first <= low and high <= last for first, last in notes.spans)
        if found and not cited and found[-1].marked == marked and not found[-1].markers:
            found[-1] = Run(found[-1].text + text[low:high], style, marked)
        else:
            found.append(Run(text[low:high], style, marked, cited))
    return found
