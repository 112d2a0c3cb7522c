"""Texts that say the same: equal after folding, or nearly so."""

from __future__ import annotations

import math
import unicodedata
from array import array
from zlib import crc32

_WIDTH = 3


class Duplicates:
    """Remembers texts and knows near copies: character trigrams, Jaccard similarity of at least `alike`.

    No near copy is missed: of two sets whose similarity reaches the threshold, the prefixes under any fixed
    order share a trigram (Chaudhuri, Ganti & Kaushik 2006), so that only few texts need be compared.
    """

    def __init__(self, *, alike: float = 0.8) -> None:
        self._alike = alike
        self._texts: list[array[int]] = []
        self._by_prefix: dict[int, list[int]] = {}

    def seen(self, text: str) -> bool:
        """Whether the text, or nearly the same, was given before; if not, it is remembered."""
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
    """Letters and digits alone, of one width and case: what is left when typography does not matter."""
    return "".join(c for c in unicodedata.normalize("NFKC", text).casefold() if c.isalnum())


def _trigrams(text: str) -> frozenset[int]:
    """As hashes of 32 bits: they are few enough a text, and need little room."""
    letters = folded(text)
    grams = (letters[i : i + _WIDTH] for i in range(max(1, len(letters) - _WIDTH + 1)))
    return frozenset(crc32(gram.encode("utf-8", "surrogatepass")) for gram in grams)
