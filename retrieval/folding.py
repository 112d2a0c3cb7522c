"""Ways of writing that mean the same: full and half width, traditional and simplified Chinese."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping

# The CJK characters of Unicode's first plane: all that is in everyday use.
_HAN = "".join(map(chr, (*range(0x3400, 0x4DC0), *range(0x4E00, 0xA000))))


class Folding:
    """Folds a text for searching: what a person reads stays as it was written.

    Characters are folded one by one. Which simplified one a traditional character becomes may depend on its
    neighbours, and a search must not: a question seldom has the neighbours that the passage has.
    """

    def __init__(self, simplified: Mapping[int, str]) -> None:
        self._simplified = simplified

    @classmethod
    def load(cls) -> Folding:
        """With OpenCC's table of characters."""
        from opencc import OpenCC

        # line by line, so that no two of them make a word
        found = OpenCC("t2s").convert("\n".join(_HAN)).split("\n")
        return cls({ord(old): new for old, new in zip(_HAN, found, strict=True) if old != new})

    def __call__(self, text: str) -> str:
        """Unicode's compatibility form (NFKC: full width becomes half width) in simplified characters."""
        return unicodedata.normalize("NFKC", text).translate(self._simplified)
