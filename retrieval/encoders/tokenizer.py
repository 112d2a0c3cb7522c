"""The tokenizer that an encoder needs, as a Protocol, and an adapter for the library `tokenizers`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from storage.legibility import Tokens, unknown_token
from storage.vectors import TokenCounter

if TYPE_CHECKING:
    from pathlib import Path

    from tokenizers import Tokenizer


class TextTokenizer(TokenCounter, Protocol):
    """Tokenizes texts; `unknown` is the id of what it cannot represent, None if there is no such text."""

    @property
    def unknown(self) -> int | None: ...

    def encode(self, text: str, add_special_tokens: bool = True) -> Tokens:
        """The tokens of a text, not truncated."""
        ...

    def encode_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """The token ids of each text, with special tokens, not truncated."""
        ...


class WholeTokenizer:
    """A tokenizer of the library `tokenizers`. Safe to call from several threads; can be pickled."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self.unknown = unknown_token(tokenizer)

    @classmethod
    def load(cls, folder: Path) -> WholeTokenizer:
        """The fast tokenizer of a model's folder, without the truncation and padding saved in it."""
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return cls(tokenizer)

    @property
    def special(self) -> int:
        """See `storage.vectors.TokenCounter`."""
        return self.tokenizer.num_special_tokens_to_add(False)

    def encode(self, text: str, add_special_tokens: bool = True) -> Tokens:
        """See `TextTokenizer`."""
        return self.tokenizer.encode(text, add_special_tokens=add_special_tokens)

    def encode_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """See `TextTokenizer`."""
        return [found.ids for found in self.tokenizer.encode_batch_fast(list(texts))]

    def counting(self, text: str) -> Callable[[str], int]:  # noqa: ARG002 - it counts the parts of any text
        """See `storage.vectors.TokenCounter`."""
        return lambda part: len(self.tokenizer.encode_batch_fast([part], add_special_tokens=False)[0].ids)
