"""The lexical leg: BM25 term weights for Qdrant's sparse vectors, English and Chinese without settings."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from storage.vectors import SparseVector

if TYPE_CHECKING:
    from qdrant_edge import Bm25

# Qdrant multiplies by the inverse document frequency; k and b are BM25's usual ones
# (Robertson & Zaragoza 2009). docs/evaluation.md has the figures of this and of alternatives.
AVERAGE_LENGTH = 120.0

# The CJK characters of Unicode's first plane: all that is in everyday use.
_HAN = "".join(map(chr, (*range(0x3400, 0x4DC0), *range(0x4E00, 0xA000))))

# Scripts that put no spaces between words, or, like Korean, add particles to them.
_UNSPACED = re.compile(
    "[々〇\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff"  # kana
    "\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3\U00020000-\U000323af]+"  # Chinese characters, Hangul
)


@dataclass(frozen=True, slots=True)
class Folding:
    """Folds ways of writing that mean the same: full and half width, traditional and simplified Chinese.

    Only for searching. Characters are folded one by one: the simplified form of a traditional character may
    depend on its neighbours, but a question seldom has the neighbours that the passage has.
    """

    simplified: Mapping[int, str]

    @classmethod
    def load(cls) -> Folding:
        """Load OpenCC's table of characters."""
        from opencc import OpenCC

        # line by line, so that no two of them make a word
        found = OpenCC("t2s").convert("\n".join(_HAN)).split("\n")
        return cls({ord(old): new for old, new in zip(_HAN, found, strict=True) if old != new})

    def __call__(self, text: str) -> str:
        """Unicode's compatibility form (NFKC: full width becomes half width) in simplified characters."""
        return unicodedata.normalize("NFKC", text).translate(self.simplified)


@dataclass(frozen=True, slots=True)
class LexicalEncoder:
    """Qdrant's BM25 over words and, of Chinese, Japanese and Korean, characters and pairs of neighbours.

    English is stemmed and loses its stop words. Case, accents, full and half width, traditional and
    simplified characters make no difference.
    """

    id = f"bm25/words-cjk1+2/nfkc-t2s-ascii/avg{AVERAGE_LENGTH:g}"

    bm25: Bm25
    folding: Folding

    @classmethod
    def load(cls) -> LexicalEncoder:
        from qdrant_edge import Bm25, Bm25Config, TokenizerType

        config = Bm25Config(tokenizer=TokenizerType.Word, ascii_folding=True, avg_len=AVERAGE_LENGTH)
        return cls(Bm25(config), Folding.load())

    def encode_passage(self, text: str) -> SparseVector:
        """Term ids and their saturated, length-normalised frequencies."""
        return _sparse(self.bm25.embed_document(self._spaced(text)))

    def encode_query(self, text: str) -> SparseVector:
        """Term ids, each of weight 1; empty where the question has no searchable term."""
        return _sparse(self.bm25.embed_query(self._spaced(text)))

    def terms(self, text: str) -> frozenset[int]:
        """The distinct terms of a text: stemmed words, pairs of Chinese characters, single ones if alone."""
        return frozenset(self.bm25.embed_query(_UNSPACED.sub(_pairs, self.folding(text))).indices)

    def _spaced(self, text: str) -> str:
        return _UNSPACED.sub(_characters_and_pairs, self.folding(text))


def _pairs(run: re.Match[str]) -> str:
    found = run[0]
    return f" {' '.join(map(str.__add__, found, found[1:])) or found} "


def _characters_and_pairs(run: re.Match[str]) -> str:
    found = run[0]
    return f" {' '.join((*found, *map(str.__add__, found, found[1:])))} "


def _sparse(vector: Any) -> SparseVector:
    return SparseVector(tuple(vector.indices), tuple(vector.values))
