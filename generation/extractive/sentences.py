"""Finds the sentences of a passage that can be quoted: prose, without headings, tables and code.

Sentence ends are found by sentencex (Wikimedia, MIT), a compiled rule-based segmenter: 3 µs a paragraph,
English abbreviations ("e.g.", "U.S.", "Fig. 3"), Chinese ends with closing quotes, spans in characters. pysbd
was tried too: a hundred times slower, no release since 2021, and it cuts 。” before the quotation mark.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterator

from generation.language import HAN

Span = tuple[int, int]

# Longer "sentences" (lists without full stops, statutes) are cut.
LONGEST = 320
_CUTS = (re.compile(r"\n+"), re.compile(r"[；;]|…+"), re.compile(r"[，,、]"), re.compile(r"\s+"))

_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})(.*)")
_NOT_PROSE = re.compile(
    r"\s*(?:>\s*)*(?:#{1,6}(?:\s|$)|\||(?:[-*_]\s*){3,}$|={3,}\s*$|\[[^\]]+\]:\s|<!--|</?[A-Za-z][^>]*>\s*$)"
)
_UNDERLINE = re.compile(r" {0,3}(?:=+|-{2,})\s*$")
_ITEM = re.compile(
    r"\s*(?:>\s*)*(?:(?:[-*+•·◦▪]|\d{1,3}[.)]|[A-Za-z][.)])\s+|\d{1,3}、|[（(]\d{1,3}[)）]\s*)"
    r"(?:\[[ xX]\]\s+)?"
)
# a row of a CSV file, as it is ingested: `column: value; column: value`
_RECORD = re.compile(r"[^:：;\n]{1,60}: [^;\n]*; [^:：;\n]{1,60}: ")
_QUOTE = re.compile(r"\s*(?:>\s*)+")
_WORD = re.compile(r"[^\W_]")
_SHORTEST = 3


def sentences(text: str, titles: Container[str] = ()) -> list[Span]:
    """The spans of the sentences in `text` that can be quoted, in their order.

    Lines that equal one of `titles` are headings of formats that do not mark them. If a passage has no prose
    at all, the rows of its tables are returned instead.
    """
    prose = [span for block in _blocks(text, titles) for span in _in_block(text, block)]
    return prose or list(_rows(text))


def _blocks(text: str, titles: Container[str]) -> Iterator[Span]:
    """Paragraphs, list items and records, as spans."""
    start: int | None = None
    end = 0
    fence = "`" if _starts_in_code(text) else ""
    for line_start, line in _lines(text):
        if mark := _FENCE.match(line):
            fence = "" if fence else mark[1][0]
        content = line.strip()
        item = _ITEM.match(line)
        is_prose = not (fence or mark or not content or _NOT_PROSE.match(line) or content in titles)
        if start is not None and (not is_prose or item or _RECORD.match(line)):
            if not _UNDERLINE.match(line):
                yield start, end
            start = None
        if is_prose:
            if start is None:
                lead = item or _QUOTE.match(line)
                start = line_start + (lead.end() if lead else 0)
            end = line_start + len(line)
    if start is not None:
        yield start, end


def _starts_in_code(text: str) -> bool:
    """True if a passage begins inside a fence: it has an odd number of fences, and the first one is bare."""
    fences = [mark for _, line in _lines(text) if (mark := _FENCE.match(line))]
    return len(fences) % 2 == 1 and not fences[0][2].strip() and text.lstrip()[:3] not in ("```", "~~~")


def _lines(text: str) -> Iterator[tuple[int, str]]:
    position = 0
    for line in text.split("\n"):
        yield position, line
        position += len(line) + 1


def _in_block(text: str, block: Span) -> Iterator[Span]:
    from sentencex import get_sentence_boundaries

    start, end = block
    part = text[start:end]
    if _RECORD.match(part):  # its columns belong together
        yield from _pieces(text, start, end)
        return
    plain = re.sub(r"[^\S\n]", " ", part)  # the segmenter panics on "U\u3000.𝕏" and other wide white space
    for found in get_sentence_boundaries("zh" if HAN.search(part) else "en", plain):
        for span in _pieces(text, start + found["start_index"], start + found["end_index"]):
            if len(_WORD.findall(text[slice(*span)])) >= _SHORTEST:
                yield span


def _pieces(text: str, start: int, end: int) -> Iterator[Span]:
    """The span without white space around it, in parts of at most LONGEST characters."""
    while end > start and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    while end - start > LONGEST:
        cut = _last_cut(text, start, start + LONGEST)
        yield from _pieces(text, start, cut)
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


_RULE = re.compile(r"[\s|:+-]+$")


def _rows(text: str) -> Iterator[Span]:
    """Table rows, without the ruling under a header."""
    for start, line in _lines(text):
        if line.lstrip().startswith("|") and not _RULE.match(line):
            yield from _pieces(text, start, start + len(line))


_LINK = re.compile(r"!?\[([^\]\n]*)\]\([^)\s]*(?:\s[^)]*)?\)")
_FOOTNOTE = re.compile(r"\s*[\[【［]\^?\d{1,3}(?:\s*[,，–-]\s*\d{1,3})*[\]】］]")
_STRONG = re.compile(r"\*\*|(?<!\w)__(?=\w)|(?<=\w)__(?!\w)")
_BREAK = re.compile(r"\s*\n(?:\s*>)*\s*")
_CJK = re.compile(rf"({HAN.pattern}|[，。！？；：、）」』”])\x00(?={HAN.pattern}|[（「『“])")


def plain(sentence: str) -> str:
    """A quoted sentence in one line, without Markdown and footnote marks that look like citations."""
    text = _STRONG.sub("", _FOOTNOTE.sub("", _LINK.sub(r"\1", sentence)))
    text = _CJK.sub(r"\1", _BREAK.sub("\x00", text)).replace("\x00", " ")
    if text.startswith("|"):
        text = " · ".join(cell.strip() for cell in text.strip("|").split("|") if cell.strip())
    return " ".join(text.split())
