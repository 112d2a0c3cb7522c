"""Passages, token vectors and a cross-encoder for tests of the extractive answerer."""

from __future__ import annotations

from collections.abc import Sequence

import anyio
import numpy as np

from generation.extractive.answerer import E5, ExtractiveAnswerer, Scale
from retrieval.encoders.encoder import Encoder
from retrieval.lexical import LexicalEncoder
from storage.records import Candidate, Chunk, Generation
from storage.vectors import Floats

OIL = (
    "The 1973 oil crisis began in October 1973. Arab members of OPEC proclaimed an embargo. "
    "By the end of the embargo in March 1974, the price of oil had risen to nearly $12."
)
BRIDGE = "The Golden Gate Bridge opened in 1937. Its towers are 227 metres tall. It is painted orange."
RERANK = "重排序把最相关的段落放在前面。交叉编码器比双编码器慢，但更准确。向量检索负责召回五十个候选段落。"


def passage(text: str, n: int, *, start: int = 0, title: str = "") -> Candidate:
    place = (start, start + len(text))
    chunk = Chunk(
        id=f"c{n}",
        document_id=f"d{n}",
        source=f"{n}.md",
        title=title or f"Document {n}",
        text=text,
        start=place[0],
        end=place[1],
    )
    return Candidate(chunk)


class Vectors:
    """Token vectors as a store keeps them: rounded to 4 bits, not of unit length."""

    def __init__(self, encoder: Encoder, candidates: Sequence[Candidate]) -> None:
        encodings = encoder.encode_passages([one.chunk.encoded_text for one in candidates], tokens=True)
        self.stored = {
            one.id: _rounded(encoding.tokens)
            for one, encoding in zip(candidates, encodings, strict=True)
            if encoding.tokens is not None and encoder.reads(one.text)
        }

        self.asked: list[str] = []

    def token_vectors(self, chunk_ids: Sequence[str]) -> dict[str, Floats]:
        self.asked += chunk_ids
        return {one: self.stored[one] for one in chunk_ids if one in self.stored}


def _rounded(tokens: Floats) -> Floats:
    step = np.abs(tokens).max(axis=1, keepdims=True) / 7
    return np.asarray(np.round(tokens / step), dtype=np.float32)


def answer(
    encoder: Encoder,
    lexical: LexicalEncoder,
    question: str,
    candidates: Sequence[Candidate],
    *,
    vectors: Vectors | None = None,
    scale: Scale = E5,
) -> Generation:
    answerer = ExtractiveAnswerer(encoder, vectors or Vectors(encoder, candidates), lexical, scale=scale)
    return anyio.run(answerer.generate, question, candidates)


def quotes(generation: Generation) -> list[str]:
    return [citation.quote for citation in generation.citations]


class Literal:
    """A cross-encoder that counts the words that question and text share, and reads what is Latin."""

    def __init__(self, *, busy: bool = False) -> None:
        self.read: list[str] = []
        self.busy = busy

    def reads(self, text: str) -> bool:
        return text.isascii()

    def log_odds(self, question: str, texts: Sequence[str]) -> list[float]:
        self.read += texts
        asked = set(question.lower().strip("?").split())
        return [4.0 * len(asked & set(text.lower().strip(".").split())) - 8.0 for text in texts]


def judged(encoder: Encoder, lexical: LexicalEncoder, question: str, *passages: Candidate) -> Generation:
    vectors = Vectors(encoder, passages)
    answerer = ExtractiveAnswerer(encoder, vectors, lexical, scale=E5, judge=Literal())
    return anyio.run(answerer.generate, question, passages)
