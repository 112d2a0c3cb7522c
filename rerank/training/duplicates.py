"""Duplicate texts: equal after folding, or nearly equal."""

from __future__ import annotations

import math
import unicodedata
from array import array
from zlib import crc32

_WIDTH = 3


class Duplicates:
    """Remembers texts and finds near copies: character trigrams, Jaccard similarity of at least `alike`.

    No near copy is missed: of two sets whose similarity reaches the threshold, the prefixes under any fixed
    order share a trigram (Chaudhuri, Ganti & Kaushik 2006), so that only a few texts have to be compared.
    """

    def __init__(self, *, alike: float = 0.8) -> None:
        self._alike = alike
        self._texts: list[array[int]] = []
        self._by_prefix: dict[int, list[int]] = {}

    def seen(self, text: str) -> bool:
        """True where the text or a near copy was seen before; otherwise it is remembered."""
        grams = _trigrams(text)
        prefix = sorted(grams)[: len(grams) - math.ceil(self._alike * len(grams)) + 1]
        near = {place for gram in prefix for place in self._by_prefix.get(gram, ())}
        if any(self._similar(grams, self._texts[place]) for place in near):
            return True
        for gram in prefix:
            self._by_prefix.setdefault(gram, []).append(len(self._texts))
        self._texts.append(array("I", grams))
        return False

    def _similar(self, one: frozenset[int], other: array[int]) -> bool:
        common = len(one.intersection(other))
        return common >= self._alike * (len(one) + len(other) - common)


def folded(text: str) -> str:
    """The letters and digits alone, of one width and case, for comparisons that ignore typography."""
    return "".join(c for c in unicodedata.normalize("NFKC", text).casefold() if c.isalnum())


def _trigrams(text: str) -> frozenset[int]:
    """Trigrams as 32-bit hashes, which save memory."""
    letters = folded(text)
    grams = (letters[i : i + _WIDTH] for i in range(max(1, len(letters) - _WIDTH + 1)))
    return frozenset(crc32(gram.encode("utf-8", "surrogatepass")) for gram in grams)
