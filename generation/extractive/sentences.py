"""Finds the sentences of a text, and the pieces of one that is too long to be quoted.

Their ends are found by sentencex (Wikimedia, MIT), a compiled rule-based segmenter: 3 µs a paragraph, English
abbreviations ("e.g.", "U.S.", "Fig. 3"), Chinese ends with closing quotes, spans in characters. pysbd was
tried too: a hundred times slower, no release since 2021, and it cuts 。” before the quotation mark.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from generation.extractive import lines
from generation.extractive.lines import Span
from generation.language import HAN

# Longer "sentences" (lists without full stops, statutes) are cut, at the strongest mark there is.
LONGEST = 600
_CUTS = (re.compile(r"\n+"), re.compile(r"[；;]|…+"), re.compile(r"[，,、]"), re.compile(r"\s+"))
# A full stop before Latin letters ends a sentence, too; the number of an item does not.
_STOP = re.compile(r"(?<=[。！？])(?=[A-Za-z0-9`*])")
_NUMBER = re.compile(r"(?<=[:：；;。，,])\s*\d{1,2}\.\s*\Z")


def sentence_spans(text: str, part: Span) -> Iterator[Span]:
    """The sentences of a part of a text; very long ones in pieces."""
    from sentencex import get_sentence_boundaries

    start, end = part
    raw = text[start:end]
    # the same length; the segmenter panics on "U\u3000.𝕏" and other wide white space
    plain = re.sub(r"\n[ \t]*(?:> ?)+", lambda found: "\n" + " " * (len(found[0]) - 1), raw)
    plain = re.sub(r"\s", " ", plain) if HAN.search(raw) is None else re.sub(r"[^\S\n]", " ", plain)
    found = get_sentence_boundaries("zh" if HAN.search(raw) else "en", lines.closed(plain))
    ends = [start + one["end_index"] for one in found]
    ends += [at for match in _STOP.finditer(lines.closed(raw)) if (at := start + match.start()) not in ends]
    begin = start
    for at in sorted(ends):
        if number := _NUMBER.search(text, begin, at):
            at = number.start()
        yield from pieces(text, *_with_emphasis(text, begin, at))
        begin = at


def _with_emphasis(text: str, start: int, end: int) -> Span:
    """The span of a sentence with the `**` that closes it, and without one whose other half is outside."""
    while end > start and text[end - 1].isspace():
        end -= 1
    if text.startswith("**", start) and text.count("**", start, end) % 2:
        closes = text.startswith("**", end)
        opens = text.rfind("**", 0, start)
        if closes:
            end += 2
        elif opens >= 0:  # it closes the sentence before, or runs on into the next
            start += 2
    elif text.endswith("**", start, end) and text.count("**", start, end) % 2:
        end -= 2
    return start, end


def pieces(text: str, start: int, end: int) -> Iterator[Span]:
    """The span without white space around it, in parts of at most LONGEST characters."""
    while end > start and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    while end - start > LONGEST:
        cut = _last_cut(text, start, start + LONGEST)
        yield from pieces(text, start, cut)
        start = cut
        while start < end and text[start].isspace():
            start += 1
    if end > start:
        yield start, end


def _last_cut(text: str, start: int, limit: int) -> int:
    """The end of a piece before `limit`: after the last of the strongest marks not far before it."""
    for pattern in _CUTS:
        ends = [match.end() for match in pattern.finditer(text, start, limit)]
        if ends and ends[-1] - start > LONGEST // 4:
            return ends[-1]
    return limit
