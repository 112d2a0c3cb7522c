"""What differs between two texts: by words, and by single characters in Chinese, Japanese and Korean."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import Match, SequenceMatcher

_CJK = r"\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff"
# A character of a script without spaces, a word, a run of spaces, or any other sign.
_TOKEN = re.compile(rf"[{_CJK}]|[^\W{_CJK}]+|\s+|.")
# Beyond so many tokens the comparison, which is quadratic at worst, would hold a reader up.
_MOST = 4_000
# A run of fewer words between two differences (a lone "the") says nothing, and makes both hard to read.
_LEAST = 3


@dataclass(frozen=True, slots=True)
class Piece:
    """A run of text that the other side has too, or has not."""

    text: str
    differs: bool


@dataclass(frozen=True, slots=True)
class Difference:
    """Two texts in pieces. `same`: nothing differs; `marked` False: too long to be compared, nothing is."""

    old: tuple[Piece, ...]
    new: tuple[Piece, ...]
    same: bool
    marked: bool = True


def difference(old: str, new: str) -> Difference:
    """The two texts, what only one of them has marked (Ratcliff & Obershelp's matching, by `difflib`)."""
    if old == new:
        return Difference((Piece(old, False),), (Piece(new, False),), same=True)
    before, after = _TOKEN.findall(old), _TOKEN.findall(new)
    if max(len(before), len(after)) > _MOST:
        return Difference((Piece(old, False),), (Piece(new, False),), same=False, marked=False)
    matcher = SequenceMatcher(None, before, after, autojunk=False)
    blocks = [block for block in matcher.get_matching_blocks() if _telling(block, before, after)]
    return Difference(
        tuple(_pieces(before, [(block.a, block.size) for block in blocks])),
        tuple(_pieces(after, [(block.b, block.size) for block in blocks])),
        same=False,
    )


def _telling(block: Match, before: Sequence[str], after: Sequence[str]) -> bool:
    """Whether a run that both have is long enough to be shown as such, or begins or ends both."""
    begins = block.a == block.b == 0
    ends = block.a + block.size == len(before) and block.b + block.size == len(after)
    words = sum(token.isalnum() for token in before[block.a : block.a + block.size])
    return begins or ends or words >= _LEAST


def _pieces(tokens: Sequence[str], shared: Sequence[tuple[int, int]]) -> Iterator[Piece]:
    """The tokens as runs: those of the `shared` blocks (start, length) and those between them."""
    at = 0
    for start, size in shared:
        if start > at:
            yield Piece("".join(tokens[at:start]), True)
        if size:
            yield Piece("".join(tokens[start : start + size]), False)
        at = start + size
