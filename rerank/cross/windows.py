"""Long texts in windows: parts that a model reads at once, each after the text's own context."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

# Neighbouring windows share a quarter, so that an answer at a seam is whole in one of them.
_SHARED = 4
# A window's text may come out a few tokens longer when it is tokenized by itself.
_SLACK = 4
# Where a sentence ends, with the space after it.
_END = re.compile(r"[.!?][\"'”’)\]]*\s+|[。！？][”’」』）]*\s*|\n+")


@dataclass(frozen=True, slots=True)
class Window:
    """A part of a text: `passage` is the text's number, `start` and `end` are characters in it."""

    passage: int
    start: int
    end: int


def cut(number: int, text: str, context: int, tokens: Encoding, room: int, size: int | None) -> list[Window]:
    """Windows of a text that, with its first `context` characters before each, have at most `room` tokens.

    `tokens` are the text's, without special ones. A text that fits is one window. With `size`, so is only one
    of that many tokens; longer ones become windows of whole sentences of no more, half of each in the next.
    """
    spans = tokens.offsets
    if len(spans) <= min(room, size or room):
        return [Window(number, 0, len(text))]
    first = next((n for n, span in enumerate(spans) if span[0] >= context), 0)
    own = spans[first:]
    most = max(1, min(room - first, size or room) - _SLACK)
    ranges = _tokens(len(own), most) if size is None else _sentences(text, own, most)
    return [Window(number, own[start][0], own[end - 1][1]) for start, end in ranges]


def read(window: Window, text: str, context: int) -> str:
    """Return what a model reads for a window: the text's context, and the part."""
    if window.start <= context:
        return text[: window.end]
    return text[:context] + text[window.start : window.end]


def _tokens(total: int, most: int) -> Iterator[tuple[int, int]]:
    """Ranges of at most `most` tokens. The last one ends with the text, and adds to the one before."""
    shared = most // _SHARED
    for start in range(0, total, max(1, most - shared)):
        if start == 0 or start + shared < total:
            yield start, min(start + most, total)


def _sentences(text: str, spans: Sequence[tuple[int, int]], most: int) -> Iterator[tuple[int, int]]:
    """Ranges of as many whole sentences as have at most `most` tokens; a longer one is torn.

    The next range begins with the first sentence after the middle of the one before.
    """
    starts = [span[0] for span in spans]
    begins = [0, *(bisect_right(starts, match.end() - 1) for match in _END.finditer(text, spans[0][0]))]
    begins = sorted({*begins, len(spans)})
    start = 0
    while True:
        ends = [place for place in begins if start < place <= start + most]
        end = ends[-1] if ends else start + most
        yield start, end
        if end == len(spans):
            return
        middle = (start + end) // 2
        start = next((place for place in begins if middle < place <= end), end)


def shortened_to(tokenizer: Tokenizer, text: str, most: int) -> tuple[str, bool]:
    """The first `most` tokens of a text, and True if it had more."""
    spans = tokenizer.encode(text, add_special_tokens=False).offsets
    return (text[: spans[most - 1][1]], True) if len(spans) > most else (text, False)
