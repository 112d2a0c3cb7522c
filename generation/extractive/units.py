"""Cuts a passage into the units that can be quoted: sentences, list items, table rows, records, code.

Blocks are those of CommonMark, found by markdown-it; `generation.extractive.sentences` finds sentences.
"""

from __future__ import annotations

import re
from collections.abc import Container
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

from generation.extractive import lines
from generation.extractive.lines import Span
from generation.extractive.sentences import LONGEST, pieces, sentence_spans
from generation.language import HAN

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

Kind = Literal["prose", "list", "row", "record", "code"]

# A list is quoted whole, too, where it is no longer.
_WHOLE_LIST = 600
_CODE_LINES = 20

_QUESTION = re.compile(r"[?？][\s*_\"'”’」』)）]*\Z")
_ASKS = re.compile(r"[?？:：][\s*_\"'”’」』)）]*\Z")
_LEADS = re.compile(r"[:：][\s*_]*\Z")
# bold words that begin a paragraph as its title
_LABEL = re.compile(r"\*\*[^*\n]{1,60}\*\*[.:：。]?\Z")
_WORD = re.compile(rf"{HAN.pattern}|[^\W_]+")
_SAYS = re.compile(r"[\d`.。!！=]|://")
_SHORTEST = 3
# A Chinese lead-in of several clauses and more characters than this is a sentence, too, as those of statutes.
_CLAUSE = re.compile(r"[，,；;]\s*\S")
_ONLY_LEADS = re.compile(r"(?:如下|以下)[^，,。]{0,8}[:：][\s*_]*\Z")
_LONG_LEAD = 20
# `Title { #anchor }` of MkDocs and Pandoc
_ANCHOR = re.compile(r"\s*\{[^{}]*\}\s*\Z")
# "7.1 Memory", and nothing else
_SECTION = re.compile(r"\d+(?:\.\d+)+[.、]?\s[^.。:：,，;；!！`=]{1,40}\Z")


@dataclass(frozen=True, slots=True)
class Unit:
    """A part of a passage that can be quoted; `span` counts characters in the passage.

    `lead` is what it is read with: column names of a row (a reader needs these, too), the "as follows:" of an
    item or of code, a question before its answer. `before` is the sentence before it in its paragraph.
    `heading` is in force there, of those within the passage. `of_change`: it is of an entry of a change log.
    """

    span: Span
    kind: Kind = "prose"
    lead: Span | None = None
    before: Span | None = None
    heading: str = ""
    of_change: bool = False


@dataclass(slots=True)
class _Cutting:
    """The units found so far, and what the next one may need to be understood."""

    text: str
    titles: Container[str]
    units: list[Unit] = field(default_factory=list)
    heading: str = ""
    lead: Span | None = None
    of_change: bool = False

    def add(self, span: Span, kind: Kind, lead: Span | None, before: Span | None = None) -> None:
        self.units.append(Unit(span, kind, lead, before, self.heading, self.of_change))


def units(text: str, titles: Container[str] = ()) -> list[Unit]:
    """The units of a passage in their order, without headings, navigation, directives and bare labels.

    Lines that equal one of `titles` are headings of formats that do not mark them.
    """
    reading = _Cutting(text, titles)
    opening = "```\n" if lines.starts_in_code(text) else ""
    starts = lines.starts(text)
    tokens = _parser().parse(opening + text.replace("\r", " "))
    shift = 1 if opening else 0

    def place(token: Token) -> tuple[int, int]:
        first, end = token.map or (shift, shift)
        return max(0, first - shift), end - shift

    for at, token in enumerate(tokens):
        if token.map is None:
            continue
        reading.of_change = False
        first, end = place(token)
        span = starts[first], starts[end] if end < len(starts) else len(text)
        if token.type == "heading_open" and token.markup in "=-" and end - first > 2:
            _paragraph(reading, (span[0], starts[end - 1]), numbered=None)  # lines over a rule, no heading
        elif token.type == "heading_open":
            reading.heading, reading.lead = _ANCHOR.sub("", tokens[at + 1].content), None
        elif token.type in ("fence", "code_block"):
            _code(reading, token, span)
        elif token.type == "table_open":
            _table(reading, span)
        elif token.type == "paragraph_open":
            _paragraph(reading, span, numbered=_numbered(tokens, at))
        elif token.type in ("bullet_list_open", "ordered_list_open") and token.level == 0:
            _whole_list(reading, span)
    return sorted(reading.units, key=lambda unit: (unit.span[0], -unit.span[1]))


@lru_cache(maxsize=1)
def _parser() -> MarkdownIt:
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark").enable("table").disable(["reference", "html_inline"])


def _numbered(tokens: list[Token], at: int) -> bool | None:
    """True for the first paragraph of a numbered item, False of another item, None otherwise."""
    if at == 0 or tokens[at - 1].type != "list_item_open":
        return None
    return bool(tokens[at - 1].info)


def _paragraph(reading: _Cutting, span: Span, *, numbered: bool | None) -> None:
    """Sentences of a paragraph; its lines apart where each is an item, a row or a record."""
    text = reading.text
    lead = reading.lead
    block = text[slice(*span)]
    reading.of_change = numbered is not None and lines.is_change_entry(block)
    start = span[0] + lines.marker(block, item=numbered is not None, keep=False)
    number = span[0] + lines.marker(block, item=True, keep=True) if numbered else None
    was_item = numbered is not None
    for kind, part in lines.segments(text, (start, span[1]), reading.titles):
        if kind == "heading":
            reading.heading, reading.lead, lead = text[slice(*part)].strip(), None, None
        elif kind == "row":
            for piece in pieces(text, *part):
                reading.add(piece, "row", None)
        elif kind == "record":
            for piece in pieces(text, *part):
                reading.add(piece, "record", lead)
        elif kind != "junk":
            is_item = was_item or kind == "item"
            own = number if part[0] == start else None
            asked = lead is not None and _ASKS.search(text, *lead) is not None
            last = _sentences(reading, part, lead if is_item or asked else None, own)
            if last is not None and (not is_item or _LEADS.search(text, *last)):
                lead = reading.lead = last if not was_item or _LEADS.search(text, *last) else lead


def _sentences(reading: _Cutting, part: Span, lead: Span | None, first: int | None = None) -> Span | None:
    """Add the sentences of a part, and return the last one, which may lead to what follows.

    The first one begins at `first`, where its number is.
    """
    text = reading.text
    before: Span | None = None
    for span in sentence_spans(text, part):
        if first is not None and before is None:
            span, first = (first, span[1]), None
        if _QUESTION.search(text, *span) or _says_nothing(text[slice(*span)]):
            lead, before = span, None
            continue
        reading.add(span, "prose", lead, before)
        before = span
    return before or lead


def _says_nothing(sentence: str) -> bool:
    """True for navigation, for a bare label, and for the "as follows:" of something else."""
    return lines.is_junk(sentence) or not _says(sentence)


def _says(sentence: str) -> bool:
    if _LABEL.match(sentence) or _SECTION.match(sentence):
        return False
    words = _WORD.findall(sentence)
    if _LEADS.search(sentence):  # "goods may be returned within seven days, except for:" says something
        long = HAN.search(sentence) is not None and len(words) > _LONG_LEAD
        return long and _CLAUSE.search(sentence) is not None and not _ONLY_LEADS.search(sentence)
    if _SAYS.search(sentence):
        return len(words) >= 1 and len("".join(words)) >= _SHORTEST
    return len(words) > (6 if HAN.search(sentence) else _SHORTEST - 1)


def _table(reading: _Cutting, span: Span) -> None:
    """The rows of a table, each with its column names."""
    own = [line for line in lines.split(reading.text, span) if reading.text[slice(*line)].strip()]
    if len(own) < 2:
        return
    names = (own[0][0], own[1][1])  # the names and the rule below them, which makes it a table
    for line in own[2:]:
        row = next(pieces(reading.text, *line), None)
        if row is not None and _WORD.search(reading.text, *row):
            reading.add(row, "row", names)
    reading.lead = None


def _code(reading: _Cutting, token: Token, span: Span) -> None:
    """A block of code with the sentence that leads to it, or its paragraphs where it is long.

    An indented block that reads like sentences is what formats without marks indent.
    """
    text, lead = reading.text, reading.lead
    if token.type == "code_block" and lines.reads_like_prose(token.content):
        for part in lines.paragraphs(text, span):
            _sentences(reading, part, None)
        return
    start, end = span
    while end > start and text[end - 1].isspace():
        end -= 1
    if not _WORD.search(token.content):
        return
    if token.content.count("\n") <= _CODE_LINES and end - start <= LONGEST:
        fenced = token.type == "fence"
        joined = (
            fenced
            and lead is not None
            and bool(_LEADS.search(text, *lead))
            and start - lead[1] < _SHORTEST * 2
        )
        reading.add((lead[0] if joined and lead else start, end), "code", None if joined else lead)
    else:
        inner = lines.inside_fence(text, (start, end)) if token.type == "fence" else (start, end)
        for part in lines.paragraphs(text, inner, most=LONGEST):
            reading.add(part, "code", lead)
    reading.lead = None


def _whole_list(reading: _Cutting, span: Span) -> None:
    """A short list as one unit, with the "as follows:" before it; without one, if its items say something."""
    text, lead = reading.text, reading.lead
    block = text[slice(*span)]
    if len(block) > _WHOLE_LIST or lines.is_link_list(block) or lines.is_change_entry(block):
        return
    joined = (
        lead is not None
        and _LEADS.search(text, *lead) is not None
        and not text[lead[1] : span[0]].strip(" \n*_")
    )
    items = [text[slice(*line)].strip(" -*+") for line in lines.split(text, span)]
    if not joined and sum(map(_says, items)) * 2 < len(items):
        return
    whole = next(pieces(text, lead[0] if joined and lead else span[0], span[1]), None)
    if whole is not None and "\n" in text[slice(*whole)]:
        reading.add(whole, "list", None if joined else lead)
