"""The lexical leg: BM25 term weights for Qdrant's sparse vectors, English and Chinese without settings."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from storage.vectors import SparseVector

if TYPE_CHECKING:
    from qdrant_edge import Bm25

# Qdrant multiplies by the inverse document frequency; k and b are BM25's usual ones
# (Robertson & Zaragoza 2009). docs/evaluation.md has the figures of this and of alternatives.
AVERAGE_LENGTH = 120.0

ID = f"bm25/words-codes-cjk1+2/nfkc-t2s-ascii/avg{AVERAGE_LENGTH:g}"
# Of collections in which no code is joined: everything else is the same, so they are searched like any other.
UNJOINED = f"bm25/words-cjk1+2/nfkc-t2s-ascii/avg{AVERAGE_LENGTH:g}"

# The CJK characters of Unicode's first plane: all that is in everyday use.
_HAN = "".join(map(chr, (*range(0x3400, 0x4DC0), *range(0x4E00, 0xA000))))

# Scripts that put no spaces between words, or, like Korean, add particles to them.
_UNSPACED = re.compile(
    "[々〇\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff"  # kana
    "\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3\U00020000-\U000323af]+"  # Chinese characters, Hangul
)

# A pasted log may hold hundreds.
MOST_CODES = 8

# A code is looked up by its spelling: it has digits, signs or capitals inside.
_CODE = re.compile(r"[\d_.@\\]|[a-z][A-Z]|[A-Z]{2}")
_QUANTITY = re.compile(r"\d\d?|\d+(?:st|nd|rd|th|s)")  # 20, 20th, 1990s

# The tokenizer tears a code apart at these signs: XR-2000, v2.3.1, ERR_CONN_RESET, retrieval/fusion.py.
_SIGN = re.compile(r"[-‐._/\\:@+]")
_WORD = re.compile(rf"(?<![^\W_])[^\W_]+(?:{_SIGN.pattern}[^\W_]+)*")
_TORN = re.compile(rf"(?<![^\W_])[^\W_]+(?:{_SIGN.pattern}[^\W_]+)+")
_POINT = re.compile(rf"(?<=\d){_SIGN.pattern}(?=\d)")

# Words that ask in Chinese, in simplified characters; of English BM25 itself leaves out what and how.
_ASKING = re.compile(
    "[是有]?(?:什么时候|什么意思|为什么|什么|怎么[样办]|怎么|怎样|如何|为何|何时|何处|多[少大长久远]|哪[些个里儿种位年]"
    "|几[个种位次]|谁|请问|有没有|是不是|能不能|是否|能否)[是有]?|[吗呢]"
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

    English is stemmed and loses its stop words, a question its Chinese ones as well. A code that the
    tokenizer tears apart is also a term as a whole, and so is each pair of its parts. Case, accents, full and
    half width, traditional and simplified characters make no difference.
    """

    bm25: Bm25
    folding: Folding
    id: str = ID

    @classmethod
    def load(cls) -> LexicalEncoder:
        from qdrant_edge import Bm25, Bm25Config, TokenizerType

        config = Bm25Config(tokenizer=TokenizerType.Word, ascii_folding=True, avg_len=AVERAGE_LENGTH)
        return cls(Bm25(config), Folding.load())

    def for_collection(self, id_: str) -> LexicalEncoder:
        """The encoder that made the terms of a collection with this id; itself where none of them did."""
        return replace(self, id=id_) if id_ in (ID, UNJOINED) else self

    def encode_passage(self, text: str) -> SparseVector:
        """Term ids and their saturated, length-normalised frequencies."""
        return _sparse(self.bm25.embed_document(self._spaced(self.folding(text))))

    def encode_query(self, text: str) -> SparseVector:
        """Term ids, each of weight 1; empty where the question has no searchable term.

        The terms of Chinese words that ask are left out, unless there are no others.
        """
        folded = self.folding(text)
        found = self.bm25.embed_query(self._spaced(folded)).indices
        asking = set(self.bm25.embed_query(self._spaced(" ".join(_ASKING.findall(folded)))).indices)
        terms = tuple(term for term in found if term not in asking) or tuple(found)
        return SparseVector(terms, (1.0,) * len(terms))

    def codes(self, question: str) -> tuple[int, ...]:
        """The terms of a question's codes, names and numbers, each whole; eight at most, often none.

        Names are capitalised, but for the first word; among Chinese characters every word of another script.
        """
        text, unspaced = _UNSPACED.subn(" ", self.folding(question))
        found = [
            _joined(word)
            for place, word in enumerate(_WORD.findall(text))
            if (unspaced or (place and word[0].isupper()) or _CODE.search(word))
            and not _QUANTITY.fullmatch(word)
        ]
        return tuple(self.bm25.embed_query(" ".join(found)).indices[:MOST_CODES])

    def terms(self, text: str) -> frozenset[int]:
        """The distinct terms of a text: stemmed words, pairs of Chinese characters, single ones if alone."""
        return frozenset(self.bm25.embed_query(_UNSPACED.sub(_pairs, self.folding(text))).indices)

    def _spaced(self, folded: str) -> str:
        spaced = _UNSPACED.sub(_characters_and_pairs, folded)
        return spaced if self.id == UNJOINED else _TORN.sub(_with_joined, spaced)


def _pairs(run: re.Match[str]) -> str:
    found = run[0]
    return f" {' '.join(map(str.__add__, found, found[1:])) or found} "


def _characters_and_pairs(run: re.Match[str]) -> str:
    found = run[0]
    return f" {' '.join((*found, *map(str.__add__, found, found[1:])))} "


def _with_joined(torn: re.Match[str]) -> str:
    """A code, its pairs of neighbouring parts (fusion.py finds retrieval/fusion.py), and it as a whole."""
    code = torn[0]
    if not _CODE.search(code):  # well-known
        return code
    pairs = ("-".join(pair) for pair in pairwise(_SIGN.split(code)))
    return " ".join((code, *dict.fromkeys(map(_joined, (*pairs, code)))))


def _joined(code: str) -> str:
    """A code as one word: XR2000 of XR-2000. Numbers stay apart, or 1.23 would be 12.3."""
    return _SIGN.sub("", _POINT.sub("ː", code))


def _sparse(vector: Any) -> SparseVector:
    return SparseVector(tuple(vector.indices), tuple(vector.values))
