"""What ingestion asks of the encoders that are handed in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from storage.vectors import Encoding, SparseVector


class PassageEncoder(Protocol):
    """A dense encoder. `max_tokens` is what it reads of one text, special tokens included."""

    @property
    def max_tokens(self) -> int: ...

    def tokenizer_json(self) -> str:
        """The tokenizer as Hugging Face `tokenizers` JSON, with truncation and padding off."""
        ...

    def reads(self, text: str) -> bool:
        """Whether the tokenizer can represent enough of the text for its vector to mean something."""
        ...

    def encode_passages(self, texts: Sequence[str], *, tokens: bool) -> list[Encoding]:
        """One encoding a text, in the same order; with token vectors where `tokens` asks for them."""
        ...


class LexicalEncoder(Protocol):
    def encode_passage(self, text: str) -> SparseVector:
        """Term ids and weights (BM25's document side)."""
        ...
