"""Sentences out of the lines of PDF pages: broken lines joined, hyphens by evidence, running heads apart."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

from ingest.loaders.pdf.layout import Block, Line
from ingest.loaders.pdf.pieces import HYPHEN, unspaced
from ingest.loaders.pdf.pieces import width as width_of
from ingest.loaders.text import clean

_SENTENCE_END = re.compile(r"[.!?:;。！？：；…][\"'”’)）」』]*$")
# A list item or a numbered heading begins a line of its own.
_BEGINS = re.compile(
    r"^(?:[-*•●▪◦·–]|\(?\d{1,3}[.)、]|\(?[a-z][.)]\s|第[一二三四五六七八九十百千零〇\d]+[章节条編编款])"
)
_HYPHENATED = re.compile(rf"(?<![\w'’-])([\w'’-]*\w)(?:{HYPHEN}|-(?=\n))\n?([\w][\w'’-]*)")
_REST_OF_WORD = re.compile(r"([^\W\d_]\S*+)\s*+")
_WORD = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*")
# First parts of English compounds, which keep their hyphen where nothing else is known.
_COMPOUNDING = frozenset(
    re.findall(
        r"\w+",
        """
        all anti best better built co cost cross custom data dual end ex far fast first five four free
        full fully general half hand hard heavy high higher highly home human ill in intra key knowledge
        large late lazy left light like long longer low lower machine micro mid mixed multi mutual near
        new newly next non number off old on one open out over part post pre pro quasi query rate read
        real right rule second self semi server set short side single six small so soft state sub super
        task ten third three time top twenty two ultra under up user vice well wide word work write x
        year zero
        """,
    )
)
# LaTeX's quotes and accents as PDFs without a Unicode table give them: a mark by itself beside a space.
_OPENING = re.compile("(?:(?<=[\\s(])(?<![\\s(][ \xa0])|^)[ \xa0]*+[\u0300`\u02cb] ?(?=\\w)", re.MULTILINE)
_PAGE_NUMBER = re.compile(
    r"[-–—|·\s]*+(?:(?:page|seite|página|p\.|第)\s*+)?\d{1,4}(?:\s*+(?:/|of|von|de|页?\s*+[，,/]?\s*+共)\s*+\d{1,4})?\s*+页?[-–—|·\s]*+",
    re.IGNORECASE,
)
_STANDING_NUMBER = re.compile(
    r"^\d{1,4}(?=\s)|(?<=\s)\d{1,4}(?:\s?(?:/|of|von|de)\s?\d{1,4})?$|(?<=[Pp]age )\d{1,4}"
    r"|第\s*+\d{1,4}\s*+页"
)
_DIGITS = re.compile(r"\d+")
# A rule that is drawn with signs: Markdown would make a heading of the line above it.
_RULE = re.compile(r"[-=_*~—–\s]{5,}")
# Running heads are among this many lines, within this share of the page's height.
_EDGE_LINES, _MARGIN = 2, 0.13
# A document with more lines of letters of one width than this share is written so, prose included.
_TYPEWRITER = 0.97
# Text that is wrapped has lines of this many letters; shorter ones are items of a list.
_NARROWEST = 20


def without_running_heads(
    pages: Sequence[list[Block]], extents: Sequence[tuple[float, float]]
) -> list[list[Block]]:
    """Pages without their numbers; what is at the same edge of several pages stays on the first.

    `extents` are the foot and the top of each page. A line that differs from page to page in nothing but a
    page's number is the same line.
    """
    counts = Counter(
        place
        for blocks, extent in zip(pages, extents, strict=True)
        for place in {_place(line) for line in _edges(blocks, extent)}
    )
    least = max(2, min(3, len(pages) // 2 + 1))
    running = {place for place, count in counts.items() if count >= least}
    seen: set[tuple[str, int]] = set()
    kept_pages = []
    for blocks, extent in zip(pages, extents, strict=True):
        edges = {id(line) for line in _edges(blocks, extent)}
        kept = []
        for block in blocks:
            lines = [
                line
                for line in block.lines
                if id(line) not in edges or _stays(line, running, seen, len(pages))
            ]
            if lines:
                kept.append(replace(block, lines=_apart(lines, running)))
        kept_pages.append(kept)
    return kept_pages


def _edges(blocks: Sequence[Block], extent: tuple[float, float]) -> list[Line]:
    """The highest and lowest lines of a page, in its margins, that are no table's."""
    prose = (line for block in blocks if not block.table for line in block.lines)
    lines = sorted(prose, key=lambda line: -line.middle)
    number = sum(len(block.lines) for block in blocks)
    most = _EDGE_LINES if number >= 3 * _EDGE_LINES else 1
    if number <= _EDGE_LINES:
        lines = [
            line for line in lines if _PAGE_NUMBER.fullmatch(line.text)
        ]  # nothing else is sure to be one
    table = [line.middle for block in blocks if block.table for line in block.lines]
    high, low = max(table, default=float("-inf")), min(table, default=float("inf"))
    top = next((lines[:n] for n in range(most, 0, -1) if n >= len(lines) or not lines[n].tight), [])
    foot = next((lines[-n:] for n in range(most, 0, -1) if not lines[-n:][0].tight), []) if lines else []
    margin = _MARGIN * (extent[1] - extent[0])
    above = [line for line in top if line.middle > max(high, extent[1] - margin)]
    below = [line for line in foot if line.middle < min(low, extent[0] + margin) and line not in above]
    return above + below


def _place(line: Line) -> tuple[str, int]:
    number = _DIGITS if _PAGE_NUMBER.fullmatch(line.text) else _STANDING_NUMBER
    return number.sub("#", line.text), round(line.middle / 6)


def _stays(line: Line, running: set[tuple[str, int]], seen: set[tuple[str, int]], pages: int) -> bool:
    place = _place(line)
    if pages > 1 and _PAGE_NUMBER.fullmatch(line.text) and (place in running or line.text.strip().isdigit()):
        return False
    if place not in running:
        return True
    first = place not in seen
    seen.add(place)
    return first


def _apart(lines: list[Line], running: set[tuple[str, int]]) -> list[Line]:
    """Lines in which a running head is a paragraph of its own."""
    apart: list[Line] = []
    after_head = False
    for line in lines:
        head = _place(line) in running
        apart.append(replace(line, tight=False) if head or after_head else line)
        after_head = head
    return apart


class Vocabulary:
    """The words of a document, which tell whether a hyphen at a line's end belongs to the word."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._known = Counter(word.lower() for line in lines for word in _WORD.findall(line))

    def joined(self, text: str) -> str:
        """Text in which words that a line's end parts are whole."""
        whole = _HYPHENATED.sub(self._one, _HYPHENATED.sub(self._one, text))
        return whole.replace(HYPHEN, "-")

    def across(self, before: str, after: str) -> tuple[str, str]:
        """Two blocks, or pages, that follow each other; a word that they part is whole in the former."""
        rest = _REST_OF_WORD.match(after)
        if rest is None or not after[0].islower() or not re.search(r"\w-$", before):
            return before, after
        return self.joined(f"{before}\n{rest[1]}"), after[rest.end() :]

    def _one(self, parted: re.Match[str]) -> str:
        before, after = parted[1], parted[2]
        return f"{before}-{after}" if self._keeps(before, after) else f"{before}{after}"

    def _keeps(self, before: str, after: str) -> bool:
        """Tell a hyphen that is part of the word: before a digit or a capital, in a compound of several, or
        where the document has the word so elsewhere."""
        if not after[0].islower() or not before[-1].isalpha() or "-" in before:
            return True
        head, tail = before.lower(), _WORD.match(after.lower())
        end = tail[0] if tail else after.lower()
        whole, hyphenated = self._known[head + end.split("-")[0]], self._known[f"{head}-{end}"]
        if whole or hyphenated:
            return hyphenated > whole
        return head in _COMPOUNDING


def has_code(pages: Iterable[Iterable[Block]]) -> bool:
    """True for a document in which lines of letters of one width are code: not all of it is set so."""
    fixed = Counter(line.fixed for blocks in pages for block in blocks for line in block.lines)
    return fixed[True] < _TYPEWRITER * fixed.total()


def paragraphs(block: Block, words: Vocabulary, *, code: bool = False) -> str:
    """The text of a block: each row of a table a line, lines of prose joined to paragraphs.

    A rule that is drawn with signs parts paragraphs. With `code`, lines of letters of one width stay lines
    and keep their indents.
    """
    if block.table:
        return words.joined("\n".join(_marks(line.text) for line in block.lines))
    left = min(line.left for line in block.lines)
    width = max(line.right for line in block.lines) - left
    margin = min((line.left for line in block.lines if line.fixed), default=0.0)
    text, full, ruled, in_code = "", False, False, False
    for line in block.lines:
        before, in_code = in_code, code and line.fixed
        words_of_line = f"{_indent(line, margin)}{line.text}" if in_code else _marks(line.text)
        if _RULE.fullmatch(words_of_line):
            ruled = True
            continue
        tight, ruled = line.tight and not ruled, False
        joins = tight and (full or words_of_line[:1].islower()) and not _BEGINS.match(words_of_line)
        joins = joins and not (before or in_code)
        if not text:
            text = words_of_line
        elif joins and (text.endswith(HYPHEN) or re.fullmatch(r"\w-", text[-2:])):
            text += "\n" + words_of_line
        elif joins:
            text += words_of_line if unspaced(text, words_of_line) else f" {words_of_line}"
        else:
            text += ("\n" if tight else "\n\n") + words_of_line
        ends = _SENTENCE_END.search(words_of_line)
        wide = line.right - left >= 0.75 * width and width_of(words_of_line) >= _NARROWEST
        full = text.endswith(HYPHEN) or (wide and not ends)
    return words.joined(text)


def _indent(line: Line, margin: float) -> str:
    """The spaces before a line of code."""
    return " " * round((line.left - margin) * len(line.text) / max(1.0, line.right - line.left))


def continues(before: str, after: str, *, same_page: bool = False) -> str | None:
    """Return what joins a page's or column's text to the next where a sentence goes on; None where it ended.

    On the same page a Chinese line without a full stop may be a title.
    """
    last, first = before.rstrip()[-1:], after.lstrip()[:1]
    if not last or not first or _SENTENCE_END.search(before.rstrip()):
        return None
    if unspaced(last, first) and (not same_page or "。" in before) and len(before.rsplit("\n", 1)[-1]) > 20:
        return ""
    return " " if first.islower() and len(before.rsplit("\n", 1)[-1]) > 40 else None


def _marks(text: str) -> str:
    kept = text.replace(HYPHEN, "\x1f")  # `clean` would take it out
    kept = "\x1f".join(clean(part) for part in kept.split("\x1f")).replace("\x1f", HYPHEN)
    return _OPENING.sub("‘", kept) if "\u0300" in kept or "`" in kept or "\u02cb" in kept else kept
