"""Places to cut a text at, as the splitter sees it: stretches, whole graphemes, runs without a break."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence

from ingest.chunking.outline import Span

_SEMICOLON = str.maketrans("；", "。")
# Characters that only belong to the one before (marks, joined emoji), more in a row than any writing has.
_ENDLESS = re.compile(r"[^\w\s\x21-\x7e\u3000-\u303f\uff00-\uffef]{64,}")
LONGEST_GRAPHEME = 32
# Of a run of one character, as much as the longest token could hold: the rest has no other tokens.
_RUN = re.compile(r"((.)\2{63})\2+")
_LETTERED = re.compile(rf"(.{{{LONGEST_GRAPHEME}}}).")
_STRETCH, _STRETCH_OF_LINE = 32_000, 4_000
# So much without a place to cut at: the splitter would try them all, again and again.
UNBROKEN = re.compile(r"(?<![^\s。！？])[^\s。！？]{2000,}")


def without_runs(text: str) -> str:
    """The text, of a long one without what a run of one character has too much of to be counted in time."""
    return text if len(text) < _STRETCH else _RUN.sub(r"\1", text)


def breakable(text: str) -> str:
    """A copy of the same offsets in which the splitter may cut where it should: semicolons are full stops,
    and a run of marks without end, which would be one grapheme, has letters in between."""
    copy = text.translate(_SEMICOLON)
    return _ENDLESS.sub(lambda run: _LETTERED.sub(r"\1x", run[0]), copy)


def stretches(text: str, start: int, last: int) -> Iterator[Span]:
    """A part of a text in shorter ones, since the splitter's time grows faster than its text: they end at the
    last heading, blank line or line before their limit, or, in a line that does not end, at a space soon."""
    while last - start > _STRETCH:
        cut = _last_break(text, start, _STRETCH, ("\n\n#", "\n\n", "\n"))
        cut = cut or _last_break(text, start, _STRETCH_OF_LINE, ("。", " ")) or start + _STRETCH_OF_LINE
        yield start, cut
        start = cut
    if start < last:
        yield start, last


def _last_break(text: str, start: int, length: int, marks: Sequence[str]) -> int:
    """The end of the last of these marks, the earliest in order, in the second half of a part; 0 if none."""
    least, end = start + length // 2, start + length
    breaks = (text.rfind(mark, least, end) + len(mark) - mark.endswith("#") for mark in marks)
    return next((at for at in breaks if at > least), 0)


def with_base(text: str, span: Span) -> Span:
    """A span extended to its first base character: trimmed white space may have carried marks."""
    start = span[0]
    least = max(0, start - LONGEST_GRAPHEME)
    while start > least and _is_mark(text[start]):
        start -= 1
    return (span[0] if _is_mark(text[start]) else start), span[1]


def _is_mark(character: str) -> bool:
    return unicodedata.category(character) in ("Mn", "Me", "Mc")
