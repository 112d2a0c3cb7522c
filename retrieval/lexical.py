"""The lexical leg: BM25 term weights for Qdrant's sparse vectors, English and Chinese without settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from storage.vectors import SparseVector

if TYPE_CHECKING:
    from qdrant_edge import Bm25

# Qdrant multiplies by the inverse document frequency; k and b are BM25's usual ones
# (Robertson & Zaragoza 2009).
AVERAGE_LENGTH = 120.0


class LexicalEncoder:
    """Qdrant's own BM25 with the multilingual tokenizer.

    It segments Chinese into words (the default tokenizer makes one token of a whole sentence), stems English
    and drops its stop words.
    """

    id = f"qdrant-edge-bm25/multilingual/avg{AVERAGE_LENGTH:g}"

    def __init__(self, bm25: Bm25) -> None:
        self._bm25 = bm25

    @classmethod
    def load(cls) -> LexicalEncoder:
        from qdrant_edge import Bm25, Bm25Config, TokenizerType

        return cls(Bm25(Bm25Config(tokenizer=TokenizerType.Multilingual, avg_len=AVERAGE_LENGTH)))

    def encode_passage(self, text: str) -> SparseVector:
        """Term ids and their saturated, length-normalised frequencies."""
        return _sparse(self._bm25.embed_document(text))

    def encode_query(self, text: str) -> SparseVector:
        """Term ids, each of weight 1; empty where the question has no searchable term."""
        return _sparse(self._bm25.embed_query(text))

    def terms(self, text: str) -> frozenset[int]:
        """The distinct terms of a text: stemmed words, Chinese words."""
        return frozenset(self._bm25.embed_query(text).indices)


def _sparse(vector: Any) -> SparseVector:
    return SparseVector(tuple(vector.indices), tuple(vector.values))
