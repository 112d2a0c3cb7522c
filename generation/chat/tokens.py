"""Counts the tokens of a text with a model's own tokenizer, or estimates them from above."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from storage.errors import SettingsError

if TYPE_CHECKING:
    from tokenizers import Tokenizer


class EstimatedTokens:
    """An estimate that errs high: three ASCII characters a token, two other bytes a token.

    English prose has about 4.5 characters a token, Chinese 0.6 to 1.3 tokens a character (1.5 are assumed).
    tiktoken is not used: it downloads its vocabularies on first use.
    """

    exact = False

    def count(self, text: str) -> int:
        size = len(text.encode("utf-8", "surrogatepass"))
        ascii_size = sum(character < "\x80" for character in text)
        return -(-ascii_size // 3) + -(-(size - ascii_size) // 2)


class TokenizerTokens:
    """Counts with the model's `tokenizer.json` in Hugging Face's format."""

    exact = True

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer

    @classmethod
    def load(cls, path: Path) -> TokenizerTokens:
        """Load a tokenizer. Raises SettingsError if the file is not one."""
        from tokenizers import Tokenizer

        try:
            tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises bare Exceptions
            raise SettingsError(
                f"{path} is not a tokenizer: {error}", way_out="Give the path of the model's tokenizer.json."
            ) from error
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return cls(tokenizer)

    def count(self, text: str) -> int:
        return len(self._tokenizer.encode(text, add_special_tokens=False).ids)


TokenCounter = EstimatedTokens | TokenizerTokens
