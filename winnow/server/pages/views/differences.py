"""Compare two texts by words, and by single characters in Chinese, Japanese and Korean."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import Match, SequenceMatcher

from winnow.server.pages.views.markdown import Run

_CJK = r"\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff"
# A character of a script without spaces, a word, a run of spaces, or any other sign.
_TOKEN = re.compile(rf"[{_CJK}]|[^\W{_CJK}]+|\s+|.")
# With more tokens the comparison, quadratic at worst, would keep a reader waiting.
_MOST_TOKENS = 4_000
# A shorter run between two differences (a lone "the") tells nothing and makes both hard to read.
_LEAST_WORDS = 3


@dataclass(frozen=True, slots=True)
class TextDifference:
    """Two texts in runs, marked where they differ. `compared` is False for texts that are too long for it."""

    old: tuple[Run, ...]
    new: tuple[Run, ...]
    same: bool
    compared: bool = True


def difference(old: str, new: str) -> TextDifference:
    """Mark what only one of two texts has (Ratcliff & Obershelp's matching, by `difflib`)."""
    plain = (Run(old, marked=False),), (Run(new, marked=False),)
    if old == new:
        return TextDifference(*plain, same=True)
    before, after = _TOKEN.findall(old), _TOKEN.findall(new)
    if max(len(before), len(after)) > _MOST_TOKENS:
        return TextDifference(*plain, same=False, compared=False)
    matcher = SequenceMatcher(None, before, after, autojunk=False)
    blocks = [block for block in matcher.get_matching_blocks() if _is_shared(block, before, after)]
    return TextDifference(
        tuple(_runs(before, [(block.a, block.size) for block in blocks])),
        tuple(_runs(after, [(block.b, block.size) for block in blocks])),
        same=False,
    )


def _is_shared(block: Match, before: Sequence[str], after: Sequence[str]) -> bool:
    """Tell whether a matching run is long enough to show as shared, or begins or ends both texts."""
    begins = block.a == block.b == 0
    ends = block.a + block.size == len(before) and block.b + block.size == len(after)
    words = sum(token.isalnum() for token in before[block.a : block.a + block.size])
    return begins or ends or words >= _LEAST_WORDS


def _runs(tokens: Sequence[str], shared: Sequence[tuple[int, int]]) -> Iterator[Run]:
    """Join the tokens into runs: the `shared` blocks (start, length), and what lies between them."""
    at = 0
    for start, size in shared:
        if start > at:
            yield Run("".join(tokens[at:start]), marked=True)
        if size:
            yield Run("".join(tokens[start : start + size]), marked=False)
        at = start + size
