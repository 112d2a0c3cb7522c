"""Texts that say the same: equal after folding, or nearly so."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable
from zlib import crc32

_WIDTH = 3


class Duplicates:
    """Remembers texts and knows near copies: character trigrams, Jaccard similarity of at least `alike`.

    Exact, without hashing's guesses: of two sets whose similarity reaches the threshold, the prefixes under
    any fixed order of the trigrams share one (Chaudhuri, Ganti & Kaushik 2006), so that only texts with a
    common trigram in their prefixes are compared.
    """

    def __init__(self, *, alike: float = 0.8) -> None:
        self._alike = alike
        self._sets: list[frozenset[str]] = []
        self._by_prefix: dict[str, list[int]] = {}

    def seen(self, text: str) -> bool:
        """Whether the text, or nearly the same, was given before; if not, it is remembered."""
        grams = _trigrams(text)
        prefix = self._prefix(grams)
        near = {place for gram in prefix for place in self._by_prefix.get(gram, ())}
        if any(self._similar(grams, self._sets[place]) for place in near):
            return True
        for gram in prefix:
            self._by_prefix.setdefault(gram, []).append(len(self._sets))
        self._sets.append(grams)
        return False

    def _prefix(self, grams: frozenset[str]) -> Iterable[str]:
        ordered = sorted(grams, key=lambda gram: (crc32(gram.encode("utf-8", "surrogatepass")), gram))
        return ordered[: len(grams) - math.ceil(self._alike * len(grams)) + 1]

    def _similar(self, one: frozenset[str], other: frozenset[str]) -> bool:
        return len(one & other) >= self._alike * len(one | other)


def folded(text: str) -> str:
    """Letters and digits alone, of one width and case: what is left when typography does not matter."""
    return "".join(c for c in unicodedata.normalize("NFKC", text).casefold() if c.isalnum())


def _trigrams(text: str) -> frozenset[str]:
    letters = folded(text)
    return frozenset(letters[i : i + _WIDTH] for i in range(max(1, len(letters) - _WIDTH + 1)))
