"""Tells which texts a tokenizer can represent: a model does not read the others."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from tokenizers import Tokenizer

# Below this share of readable characters a text is illegible. English text measured 0.91 and more (the lowest
# of 10,000 passages), Chinese text in BERT's English vocabulary 0.46 (median) to 0.89 (99th percentile).
LEGIBLE = 0.9
# The same where a tokenizer has the commonest Chinese characters, so that what it lacks is rare ones, those
# of names above all: the words around them still mean something. Of 29 questions of CMRC 2018 dev with such a
# name (0.82 to 0.89), 25 are answered right where they count as legible, 11 where they do not.
LEGIBLE_BUT_RARE = 0.7
_COMMON = "的一是不了人在有我他这中大来上国"


class Tokens(Protocol):
    """Token ids of a text and their spans of characters; special tokens have the span (0, 0)."""

    @property
    def ids(self) -> list[int]: ...

    @property
    def offsets(self) -> list[tuple[int, int]]: ...

    @property
    def special_tokens_mask(self) -> list[int]: ...


def legibility(tokenizer: Tokenizer, text: str) -> float:
    """The share (0 to 1) of a text's visible characters that a tokenizer can represent; 0 of none."""
    return share_read(text, tokenizer.encode(text, add_special_tokens=False), unknown_token(tokenizer))


def share_read(text: str, tokens: Tokens, unknown: int | None) -> float:
    """`legibility` of a text whose tokens, without special ones, are there already: microseconds."""
    ids = tokens.ids
    if unknown is None or unknown not in ids:
        return 1.0 if text and not text.isspace() else 0.0
    spans = zip(ids, tokens.offsets, strict=True)
    lost = sum(end - start for token, (start, end) in spans if token == unknown)
    return 1 - lost / sum(map(len, text.split()))


def least_legible(legibility_of: Callable[[str], float]) -> float:
    """The share of readable characters from which on a text is legible, given a tokenizer's `legibility`."""
    return LEGIBLE_BUT_RARE if legibility_of(_COMMON) == 1 else LEGIBLE


def unknown_token(tokenizer: Tokenizer) -> int | None:
    """The id of the token for what is not in the vocabulary; None where everything can be represented."""
    tokens = map(tokenizer.token_to_id, ("[UNK]", "<unk>"))
    return next((token for token in tokens if token is not None), None)
