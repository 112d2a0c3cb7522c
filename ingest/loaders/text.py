"""Normalises text from files and assembles it with its headings and pages.

The text of a `TextBuilder` is Unicode NFC without control characters, and every recorded offset points into
exactly that text.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from ingest.loaders.base import Loaded
from storage.records import Heading, PageStart

_LINE_ENDS = re.compile("\r\n|[\r\x0b\x0c\x85\u2028\u2029]")
# Controls; soft hyphen; bidirectional marks, embeddings, overrides and isolates (they reorder what people
# see); characters of no width that part words for a search and may carry what nobody sees; byte order marks
# and noncharacters. Lone surrogates become U+FFFD below.
_DROPPED = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200e\u200f"
    "\u202a-\u202e\u2060-\u2064\u2066-\u206f\u3164\ufeff\uffa0\ufff0-\ufff8\ufff9-\ufffb\ufffe\uffff"
    "\U000e0000\U000e0001\U0001d173-\U0001d17a\U000e0080-\U000e00ff\U000e01f0-\U000e0fff]"
)
# These mean something where their script or an emoji uses them, and nowhere else.
_JOINERS = re.compile(
    "(?<![\u0590-\u08ff\u0900-\u109f\u1780-\u1aff\ufe0f\u2190-\u2bff\u3030\u303d\U0001f000-\U0001faff"
    "\U000e0020-\U000e007f])[\u200c\u200d]"
)
_TAGS = re.compile("(?<![\U0001f3f4\U000e0020-\U000e007f])[\U000e0020-\U000e007f]+")
_SELECTORS = re.compile(
    "(?<=[\ufe00-\ufe0f\U000e0100-\U000e01ef])[\ufe00-\ufe0f\U000e0100-\U000e01ef]+"
    "|(?<=[^\\W\\d_])[\ufe03-\ufe0f]|(?<=[^\\W\\d_\u2e80-\u9fff\U00020000-\U0003ffff])[\ufe00-\ufe02]"
    "|(?<![\u2e80-\u9fff\uf900-\ufaff\U00020000-\U0003ffff])[\U000e0100-\U000e01ef]+"
)
_INVISIBLE = re.compile("[\u200c\u200d\ufe00-\ufe0f\U000e0000-\U000e0fff]")
_SURROGATES = re.compile("[\ud800-\udfff]")
# A picture inside the text: for a reader it is the picture, for a search it is noise.
_BASE64 = "[A-Za-z0-9+/_%-]"
_DATA_URI = re.compile(
    rf"data:[\w.+-]+/[\w.+-]+(?:;[\w=.-]+)*(?:"
    rf";base64,{_BASE64}*(?:\s+{_BASE64}{{60,}})*(?:\s+{_BASE64}*=+|=*)|,[^\s\"'()<>]{{100,}})"
)
_SHORT_URI = 100
# Data without such a name: one run of its letters, or many lines of one length.
_RAW = re.compile(
    r"(?<![\w+/])[A-Za-z0-9+/]{1000,}+={0,2}"
    r"|^(?:[A-Za-z0-9+/]{60,76}\n){15,}+(?:[A-Za-z0-9+/]{1,75}={1,2}(?![^\n]))?",
    re.MULTILINE,
)


def clean(text: str) -> str:
    """Text in NFC with `\\n` line ends, without control, bidirectional, invisible and noncharacters."""
    text = _LINE_ENDS.sub("\n", text)
    text = _SURROGATES.sub("\ufffd", _DROPPED.sub("", text))
    if _INVISIBLE.search(text):
        text = _SELECTORS.sub("", _TAGS.sub("", _JOINERS.sub("", text)))
    return unicodedata.normalize("NFC", text)


def without_data(text: str) -> tuple[str, int]:
    """Text without the data of pictures and files inside it (`data:image/png;base64,...`, or base64 alone),
    and how many there were."""
    count = 0

    def emptied(match: re.Match[str]) -> str:
        nonlocal count
        if len(match[0]) <= _SHORT_URI:
            return match[0]
        count += 1
        return ""

    def raw(match: re.Match[str]) -> str:
        return emptied(match) if _is_packed(match[0][:1000]) else match[0]

    text = _DATA_URI.sub(emptied, text) if "data:" in text else text
    return _RAW.sub(raw, text), count


def _is_packed(text: str) -> bool:
    """True for letters and digits of all kinds, as no writing and no sequence of bases has them."""
    shares = (sum(map(test, text)) / len(text) for test in (str.isupper, str.islower, str.isdigit))
    return all(share > 0.05 for share in shares)


def one_line(text: str) -> str:
    """Cleaned text in one line: every run of white space becomes one space."""
    return " ".join(clean(text).split())


_RAISED = str.maketrans("0123456789+-−=()n", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻⁼⁽⁾ⁿ")


def superscript(text: str) -> str:
    """Raised digits as characters of their own: the power in 10⁶ is not a digit of a number."""
    return text.translate(_RAISED) if any(map(str.isdigit, text)) else text


class TextBuilder:
    """Joins blocks with blank lines, and records the offsets of headings and pages."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._length = 0
        self._page: int | None = None
        self._headings: list[Heading] = []
        self._pages: list[PageStart] = []
        self._rows: list[PageStart] = []
        self._row = 0

    def block(self, text: str, *, gap: str = "\n\n") -> int:
        """Add cleaned text, `gap` before it, and return its offset; blank text adds nothing."""
        return self._add(clean(text).strip("\n").rstrip(), gap)

    def table(self, lines: Iterable[tuple[int, str]]) -> None:
        """Add a table's rows, each as one line after its number, which counts from 1.

        A blank line comes before the first and where rows are missing in between.
        """
        first = True
        for number, line in lines:
            before = self._length
            apart = first or number != self._row + 1
            first = False
            offset = self.block(line, gap="\n\n" if apart else "\n")
            if self._length > before:
                if apart or not self._rows:
                    self._rows.append(PageStart(offset, number))
                self._row = number

    def heading(self, title: str, level: int) -> None:
        """Add a Markdown heading; `level` counts from 1 and is cut at 6."""
        title, level = one_line(title), min(max(level, 1), 6)
        if title:
            offset = self._add(f"{'#' * level} {title}", "\n\n")
            self._headings.append(Heading(offset, level, title))

    def embed(self, loaded: Loaded) -> None:
        """Add a text that was loaded by itself, with its headings; it is clean already."""
        offset = self._add(loaded.text, "\n\n")
        self._headings += (Heading(offset + one.offset, one.level, one.title) for one in loaded.headings)

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

    @property
    def rows(self) -> tuple[PageStart, ...]:
        return tuple(self._rows)
