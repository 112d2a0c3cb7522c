"""Long texts in windows that a model reads at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

# Neighbouring windows share a quarter, so that an answer at a seam is whole in one of them.
_SHARED = 4
# A window's text may come out a few tokens longer when it is tokenized by itself.
_SLACK = 4


@dataclass(frozen=True, slots=True)
class Window:
    """A part of a text: `passage` is the text's number, `start` and `end` are characters in it."""

    passage: int
    start: int
    end: int


def cut(
    texts: Sequence[str], tokens: Sequence[Encoding], room: int, most: int
) -> tuple[list[Window], set[int]]:
    """Windows of at most `room` tokens, at most `most` per text, and the numbers of texts that have more.

    `tokens` are those of each text, without special ones. A text that fits is one window.
    """
    windows: list[Window] = []
    shortened: set[int] = set()
    for number, encoded in enumerate(tokens):
        spans = encoded.offsets
        if len(spans) <= room:
            windows.append(Window(number, 0, len(texts[number])))
            continue
        size = max(1, room - _SLACK)
        starts = list(range(0, len(spans), max(1, size - size // _SHARED)))
        # the last window ends with the text, and adds to the one before
        starts = [start for start in starts if start == 0 or start + size // _SHARED < len(spans)]
        if len(starts) > most:
            shortened.add(number)
        for start in starts[:most]:
            last = spans[min(start + size, len(spans)) - 1]
            windows.append(Window(number, spans[start][0], last[1]))
    return windows, shortened


def shortened_to(tokenizer: Tokenizer, text: str, most: int) -> tuple[str, bool]:
    """The first `most` tokens of a text, and True if it had more."""
    spans = tokenizer.encode(text, add_special_tokens=False).offsets
    return (text[: spans[most - 1][1]], True) if len(spans) > most else (text, False)
