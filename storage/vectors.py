"""Vectors as encoders make them and stores keep them, and the encoders that the stages share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from storage.records import Chunk, Usage

Floats = npt.NDArray[np.float32]

_NOTHING_PAID = Usage()


@dataclass(frozen=True, slots=True)
class SparseVector:
    """Term ids and their weights, of equal length."""

    indices: tuple[int, ...]
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Encoding:
    """One text, encoded.

    `dense` has shape (dim,), `tokens` (n_tokens, token_dim), both L2-normalised float32; `tokens` is None
    where the encoder gives none. `truncated`: the text was longer than the encoder reads. `usage` is what an
    endpoint was paid; that of a whole request is with its first text.
    """

    dense: Floats
    tokens: Floats | None
    truncated: bool = False
    usage: Usage = _NOTHING_PAID


@dataclass(frozen=True, slots=True)
class Point:
    """A passage as it is stored. `dense` and `tokens` are None where the encoder cannot read the passage."""

    chunk: Chunk
    lexical: SparseVector
    dense: Floats | None = None
    tokens: Floats | None = None


@dataclass(frozen=True, slots=True)
class Hit:
    """A passage that a leg of a query found, with that leg's score (higher is better)."""

    chunk: Chunk
    score: float


@dataclass(frozen=True, slots=True)
class Leg:
    """One leg of a query: the named vector to search and what to search it with.

    `exact` scans instead of using the graph, whatever the store's settings say.
    """

    name: str
    query: Floats | SparseVector
    exact: bool = False


def max_sim(query: Floats, passage: Floats) -> float:
    """Sum the best passage token over the query's tokens: late interaction (ColBERT, Khattab & Zaharia 2020).

    Both are L2-normalised, shapes (n, dim) and (m, dim); the result lies in [-n, n].
    """
    # einsum, not @: so small a product is done before BLAS has woken its threads
    return float(np.einsum("qd,pd->qp", query, passage).max(axis=1).sum())


def normalised(vectors: Floats) -> Floats:
    """Return rows of unit length; a zero row stays zero."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.where(lengths == 0, 1, lengths), dtype=np.float32)


def payload_bytes(points: Sequence[Point]) -> int:
    """Return a rough size of points on the wire or in the write-ahead log, in bytes."""
    return sum(
        (0 if point.tokens is None else point.tokens.nbytes)
        + (0 if point.dense is None else point.dense.nbytes)
        + 8 * len(point.lexical.indices)
        + 4 * len(point.chunk.text)
        for point in points
    )


class TokenCounter(Protocol):
    """Counts the tokens of texts. `special` is the number of tokens that the model adds to a text."""

    @property
    def special(self) -> int: ...

    def counting(self, text: str) -> Callable[[str], int]:
        """A function that counts the tokens of parts of this text, without special tokens."""
        ...


class TokenEncoder(Protocol):
    """An encoder that also gives one vector per token, for late interaction."""

    def reads(self, text: str) -> bool:
        """True if the tokenizer can represent enough of the text for its vectors to mean something."""
        ...

    def encode_query(self, text: str) -> Encoding:
        """A question; `Encoding.tokens` has shape (n, token_dim)."""
        ...

    def encode_passages(self, texts: Sequence[str], *, tokens: bool) -> list[Encoding]:
        """One encoding per text, in the same order; with token vectors if `tokens` asks for them."""
        ...


class TextEncoder(TokenEncoder, Protocol):
    """A dense encoder with its tokenizer. It reads `max_tokens` of a text, special tokens included."""

    @property
    def max_tokens(self) -> int: ...

    @property
    def counter(self) -> TokenCounter:
        """The counter of its tokens, which can be pickled."""
        ...

    def token_spans(self, text: str) -> list[tuple[int, int]]:
        """The character span of each token vector of a passage's text; (0, 0) for special tokens."""
        ...


class TermEncoder(Protocol):
    """A lexical encoder (BM25)."""

    def encode_passage(self, text: str) -> SparseVector:
        """Term ids and their weights in a passage."""
        ...

    def terms(self, text: str) -> frozenset[int]:
        """The distinct terms of a text: stemmed words, Chinese words."""
        ...
