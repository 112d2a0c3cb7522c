"""The lines of a passage: which begin an item, a row or a record, and which say nothing."""

from __future__ import annotations

import re
from collections.abc import Container, Iterator
from typing import Literal

Span = tuple[int, int]
Segment = Literal["text", "item", "row", "record", "heading", "junk"]

_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})(.*)")
_PREFIX = re.compile(r"[ \t]*(?:>[ \t]?)*[ \t]*")
_BULLET = re.compile(r"(?:[-*+]|(\d{1,9}[.)]))[ \t]+")
_BOX = re.compile(r"\[[ xX]\][ \t]+")
# what begins an item in plain text and Chinese, where CommonMark knows no list
_ITEM = re.compile(
    r"\s*(?:[•·◦▪●○■□➢✓]\s*|\d{1,3}、|[（(](?:\d{1,3}|[一二三四五六七八九十百]{1,4}|[a-zA-Z])[)）]"
    r"|[一二三四五六七八九十]{1,3}、|[①-⑳]|第[一二三四五六七八九十百零〇\d]{1,6}[条條]\s)"
)
_SIGN = re.compile(r"\s*[•·◦▪●○■□➢✓]\s*")
# a row of a CSV file, as it is ingested: `column: value; column: value`
_RECORD = re.compile(r"[^:：;\n|]{1,60}: [^;\n]*; [^:：;\n]{1,60}: ")
# `Address: localhost:2019`, `:param name: what it is`, `: definition`
_LABELLED = re.compile(
    r"\s*(?:(?:[-*+]\s+)?[^\s:：。|]{1,24}(?: [^\s:：。|]{1,16}){0,3}[:：](?=\s+\S|[^\x00-\x7f])"
    r"|:[^:\n]{1,60}:\s|:\s+\S)"
)
_RULE = re.compile(r"[\s|:+-]+\Z")

_LINK = re.compile(
    r"!?\[(?:[^\[\]\n]|!?\[[^\]\n]*\](?:\([^)\n]*\))?)*\](?:\([^)\s]*(?:\s[^)\n]*)?\)|\[[^\]\n]*\])"
)
# `PR [#123](…)`, `(#123)`, `[a1b2c3d](…/commit/a1b2…)`
_CHANGE = re.compile(
    r"\[#?\w+\]\(https?://[^\s)]+/(?:pulls?|issues?|commit|merge_requests)/\w+/?\)"
    r"|\b(?:PR|MR) \[?#\d+\b|\(#\d+\)"
)
_WORD = re.compile(r"[\u3400-\u9fff\uf900-\ufaff]|[^\W_]+")
_DIRECTIVE = re.compile(
    r"\s*(?:\{[%*{<#].*[%*}>#]\}\s*\Z|--8<--|\.\. [\w-]+::|:{3,}|/{3}(?:\s|\Z)|!{3}\s|\?{3}\+?\s|<!--|-->"
    r"|@\w+\{|\[\[?_?TOC_?\]?\]"
    r"|\[[^\]\n]+\]:\s|</?[A-Za-z][^>]*>\s*\Z|={3,}|-{3,}|\*{3,})",
    re.IGNORECASE,
)
_NAVIGATION = re.compile(
    r"\s*(?:(?:Next|Previous|Prev|Up|Top)(?:\s+topic)?:\s.*(?:Previous|Prev|Up|Next|Contents|Index)\b"
    r"|(?:Back to|Return to|Go to|Jump to) (?:top|the top|contents|index|table of contents)\b"
    r"|(?:Edit|Improve|View) (?:this|on) (?:page|GitHub)\b|Was this (?:page|article|helpful)\b"
    r"|Table of contents\s*\Z|On this page\b|Skip to (?:main )?content\b|Page \d+(?: of \d+)?\s*\Z"
    r"|(?:上一[页頁篇章节]|下一[页頁篇章节]|返回(?:目录|首页|顶部)|回到(?:目录|顶部|首页)|目\s*录\s*\Z|编辑此?本?页)"
    r"|第\s*\d+\s*页(?:\s*[,，/]?\s*共\s*\d+\s*页)?\s*\Z)",
    re.IGNORECASE,
)
_TRAIL = re.compile(r"\s*[^\n»›|/。.]{1,30}(?:\s[»›|]\s[^\n»›|。.]{1,30}){2,}\Z")
_CLOSED = re.compile(r"`[^`\n]+`|!?\[[^\]\n]*\]\([^)\n]*\)|https?://[^\s)>，。；]+")


def starts(text: str) -> list[int]:
    """The offset of each line's first character."""
    return [0, *(found.end() for found in re.finditer("\n", text))]


def split(text: str, span: Span) -> Iterator[Span]:
    """The lines of a span, without their ends."""
    start, end = span
    while start < end:
        stop = text.find("\n", start, end)
        stop = end if stop < 0 else stop
        yield start, stop
        start = stop + 1


def starts_in_code(text: str) -> bool:
    """True if a passage begins inside a fence: it has an odd number of fences, and the first one is bare."""
    fences = [mark for line in text.split("\n") if (mark := _FENCE.match(line))]
    return len(fences) % 2 == 1 and not fences[0][2].strip() and text.lstrip()[:3] not in ("```", "~~~")


def inside_fence(text: str, span: Span) -> Span:
    """The lines between two fences; the second may be missing."""
    own = list(split(text, span))
    first = own[0][1] + 1 if _FENCE.match(text[slice(*own[0])]) else span[0]
    last = own[-1][0] if len(own) > 1 and _FENCE.match(text[slice(*own[-1])]) else span[1]
    return min(first, span[1]), max(first, last)


def marker(block: str, *, item: bool, keep: bool) -> int:
    """The length of the marks of quotations and lists before a block; with `keep` a number stays."""
    at = 0
    while True:
        at += len(_PREFIX.match(block, at)[0])  # type: ignore[index]  # it matches nothing, too
        bullet = _BULLET.match(block, at) if item else None
        if bullet is None or (keep and bullet[1] and not _BULLET.match(block, bullet.end())):
            break
        at = bullet.end()
    box = _BOX.match(block, at) if item else None
    return box.end() if box else at


def segments(text: str, span: Span, titles: Container[str]) -> Iterator[tuple[Segment, Span]]:
    """The parts of a paragraph: lines that belong together, and what they are."""
    start: int | None = None
    kind: Segment = "text"
    end = span[0]
    own = list(split(text, span))
    labels = sum(bool(_LABELLED.match(text, *line)) for line in own)
    labelled = len(own) > 1 and labels >= max(2, 0.75 * len(own))
    for line in own:
        content = text[slice(*line)]
        found = _kind(content, titles, labelled=labelled)
        if start is not None and (found != "text" or kind in ("record", "row", "junk")):
            yield kind, (start, end)
            start = None
        if start is None:
            start, kind = line[0] + (len(sign[0]) if (sign := _SIGN.match(content)) else 0), found
        end = line[1]
        if kind in ("heading", "junk", "row"):
            yield kind, (start, end)
            start = None
    if start is not None:
        yield kind, (start, end)


def _kind(line: str, titles: Container[str], *, labelled: bool) -> Segment:
    content = line.strip().lstrip("> ")
    if not content or _DIRECTIVE.match(content):
        return "junk"
    if content in titles:
        return "heading"
    if content.startswith("|"):
        return "junk" if _RULE.match(content) else "row"
    if is_junk(content):
        return "junk"
    if _RECORD.match(content):
        return "record"
    return "item" if _ITEM.match(content) or (labelled and _LABELLED.match(content)) else "text"


def is_junk(text: str) -> bool:
    """True for navigation, directives, and what is nothing but links."""
    if _DIRECTIVE.match(text) or _NAVIGATION.match(text) or _TRAIL.match(text):
        return True
    rest, links = _LINK.subn(" ", text)
    return links > 0 and len(_WORD.findall(rest)) < 2


def is_run_together(text: str) -> bool:
    """True for the cells of a table that a PDF gave as one line: numbers between spaces, no end in sight."""
    numbers = re.findall(r"(?<=\s)[\d.,]+%?(?=\s)", text)
    ends = re.findall(r"[。！？；;!?]|\.(?:\s|\Z)", text)
    return len(numbers) >= 6 and len(ends) <= 1 and len(text) > 100


def is_change_entry(text: str) -> bool:
    """True for an entry of a change log: it cites the change that it names, and explains nothing."""
    return _CHANGE.search(text) is not None


def is_link_list(text: str) -> bool:
    """True if most lines of a list are nothing but links."""
    own = [line.strip().lstrip("-*+0123456789.) ") for line in text.split("\n") if line.strip()]
    return sum(map(is_junk, own)) * 2 > len(own)


def paragraphs(text: str, span: Span, most: int | None = None) -> Iterator[Span]:
    """Lines between blank ones; several paragraphs, or part of one, where `most` characters allow."""
    start = end = None
    for line in split(text, span):
        blank = not text[slice(*line)].strip()
        full = most is not None and start is not None and line[1] - start > most
        if start is not None and end is not None and (full or (blank and most is None)):
            yield start, end
            start = None
        if not blank:
            start, end = line[0] if start is None else start, line[1]
    if start is not None and end is not None:
        yield start, end


def reads_like_prose(block: str) -> bool:
    """True for an indented block of sentences: formats without marks indent these, too."""
    words = re.findall(r"[A-Za-z]{2,}|[\u3400-\u9fff]", block)
    signs = re.findall(r"[{}=<>$\\|_/#@;&~^+]|\(\)|::|->|--", block)
    sentences = re.findall(r"[a-z)\"'”’][.!?](?:\s|\Z)|[。！？]", block)
    return bool(sentences) and len(words) >= 6 * max(1, len(signs)) and len(words) >= 8


def closed(text: str) -> str:
    """The text, with stops inside code, links and addresses replaced: no sentence ends there."""
    return _CLOSED.sub(lambda found: re.sub(r"[.!?。！？…]", "x", found[0]), text)
