"""A tokenizer for a large vocabulary of pieces, of which each call builds only those that its texts hold.

multilingual-e5-small has 250,000 pieces. The library's tokenizer takes half a second and 300 MB to load
them, and a question needs a few hundred. Within a text only pieces that occur in it can take part in the
best segmentation (Unigram: Kudo 2018), so that a tokenizer of those gives the same tokens; tests hold it so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from storage.vectors import Floats

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from tokenizers.normalizers import Normalizer

_BEGIN, _PAD, _END, _UNKNOWN = 0, 1, 2, 3
_SPACE = "▁"
# Unicode's compatibility form folds this character, the model's own normaliser does not.
_WAVE, _PRIVATE = "\uff5e", "\ue000"
_REMEMBERED_WORDS = 50_000


@dataclass(frozen=True, slots=True)
class PieceTokens:
    """Token ids of a text and their spans of characters; special tokens have the span (0, 0)."""

    ids: list[int]
    offsets: list[tuple[int, int]]
    special_tokens_mask: list[int]


class PieceTokenizer:
    """Tokenizes as XLM-RoBERTa's tokenizer does. `folder` is one that `write_pieces` wrote.

    Safe to call from several threads. Pickled, it is its folder alone.
    """

    unknown = _UNKNOWN
    special = 2

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._words: dict[str, tuple[int, ...]] = {}

    def __reduce__(self) -> tuple[type[PieceTokenizer], tuple[Path]]:
        return PieceTokenizer, (self._folder,)

    def encode(self, text: str, add_special_tokens: bool = True) -> PieceTokens:
        """See `retrieval.encoders.tokenizer.TextTokenizer`."""
        tokenizer, ids = self._covering([text])
        found = tokenizer.encode(text, add_special_tokens=add_special_tokens)
        return PieceTokens([ids[token] for token in found.ids], found.offsets, found.special_tokens_mask)

    def encode_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """See `retrieval.encoders.tokenizer.TextTokenizer`."""
        tokenizer, ids = self._covering(texts)
        return [[ids[token] for token in found.ids] for found in tokenizer.encode_batch_fast(list(texts))]

    def counting(self, text: str) -> Callable[[str], int]:
        """See `storage.vectors.TokenCounter`."""
        tokenizer, _ = self._covering([text])
        return lambda part: len(tokenizer.encode_batch_fast([part], add_special_tokens=False)[0].ids)

    @cached_property
    def _pieces(self) -> list[str]:
        return (self._folder / "pieces.txt").read_bytes().decode().split("\0")

    @cached_property
    def _ids(self) -> dict[str, int]:
        return dict(zip(self._pieces, range(len(self._pieces)), strict=True))

    @cached_property
    def _scores(self) -> Floats:
        return np.asarray(np.load(self._folder / "scores.npy"), np.float32)

    @cached_property
    def _longest(self) -> dict[str, int]:
        """The length of the longest piece by its first character."""
        return dict(
            zip(
                (self._folder / "first.txt").read_bytes().decode().split("\0"),
                np.load(self._folder / "longest.npy").tolist(),
                strict=True,
            )
        )

    @cached_property
    def _always(self) -> frozenset[int]:
        """Special tokens, and the piece with the lowest score, from which that of an unknown one follows."""
        return frozenset((_BEGIN, _PAD, _END, _UNKNOWN, int(np.argmin(self._scores))))

    def _covering(self, texts: Sequence[str]) -> tuple[Tokenizer, list[int]]:
        """A tokenizer of the pieces that occur in the texts, and the real id of each of its ids."""
        found = set(self._always)
        words = {word for text in texts for word in _words(text)}
        for word in words:
            found.update(self._of_word(word))
        chosen = sorted(found)
        pieces, scores = self._pieces, self._scores
        vocabulary = [(pieces[i], float(scores[i])) for i in chosen]
        return unigram_tokenizer(vocabulary), chosen

    def _of_word(self, word: str) -> tuple[int, ...]:
        known = self._words.get(word)
        if known is None:
            ids = self._ids
            known = tuple({ids[part] for part in self._parts(word) if part in ids})
            if len(self._words) >= _REMEMBERED_WORDS:
                self._words.clear()
            self._words[word] = known
        return known

    def _parts(self, word: str) -> Iterator[str]:
        """The substrings that are no longer than the longest piece with that first character."""
        longest, length = self._longest, len(word)
        for start in range(length):
            for end in range(start + 1, min(length, start + longest.get(word[start], 0)) + 1):
                yield word[start:end]


def write_pieces(folder: Path, pieces: Sequence[str], scores: Floats) -> None:
    """Write the files of a PieceTokenizer: pieces by id, their log probabilities, and a table."""
    longest: dict[str, int] = {}
    for piece in pieces:
        longest[piece[0]] = max(longest.get(piece[0], 0), len(piece))
    (folder / "pieces.txt").write_bytes("\0".join(pieces).encode())
    (folder / "first.txt").write_bytes("\0".join(longest).encode())
    np.save(folder / "scores.npy", np.asarray(scores, np.float32))
    np.save(folder / "longest.npy", np.array(list(longest.values()), np.uint8))


def _words(text: str) -> Iterator[str]:
    """The runs between spaces, as the model sees them: each begins with its mark of a space."""
    spaced = _normaliser().normalize_str(text).replace(_SPACE, " ")
    return (_SPACE + word for word in spaced.split(" "))


@cache
def _normaliser() -> Normalizer:
    from tokenizers import Regex, normalizers

    return normalizers.Sequence(
        [
            normalizers.Replace(_WAVE, _PRIVATE),
            normalizers.Nmt(),
            normalizers.NFKC(),
            normalizers.Replace(_PRIVATE, _WAVE),
            normalizers.Replace(Regex(" {2,}"), " "),
        ]
    )


def unigram_tokenizer(vocabulary: list[tuple[str, float]]) -> Tokenizer:
    """The library's tokenizer of pieces and scores; the first four are begin, padding, end and unknown."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    tokenizer = Tokenizer(models.Unigram(vocabulary, _UNKNOWN, False))
    tokenizer.normalizer = _normaliser()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", _BEGIN), ("</s>", _END)]
    )
    return tokenizer
