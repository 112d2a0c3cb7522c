"""Answers in texts: words are compared after NFKC and case folding, and each CJK character is a word.

So `100` does not contain `10`, and Chinese needs no segmentation.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

_WORD = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f]|[^\W_]+")
_CJK_RUN = re.compile(r"([\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f])")
_ARTICLES = frozenset({"a", "an", "the"})
_MARKER = re.compile(r"\[\d+\]")


def words(text: str) -> tuple[str, ...]:
    """The folded words of a text, without punctuation and spaces."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return tuple(_WORD.findall(_CJK_RUN.sub(r" \1 ", folded)))


def contains(text: str, answers: Iterable[str]) -> bool:
    """True where the text contains an answer's words, whole and in order; an answer without words never."""
    padded = f" {' '.join(words(text))} "
    wanted = (" ".join(words(answer)) for answer in answers)
    return any(answer and f" {answer} " in padded for answer in wanted)


def exact_match(text: str, answers: Iterable[str]) -> bool:
    """True where the text is an answer but for articles, punctuation and citation markers (as in SQuAD)."""
    said = _bare(_MARKER.sub(" ", text))
    return any(_bare(answer) == said for answer in answers)


def _bare(text: str) -> tuple[str, ...]:
    return tuple(word for word in words(text) if word not in _ARTICLES)
