"""A tokenizer for a large vocabulary of pieces, of which each call builds only those that its texts hold.

multilingual-e5-small has 250,000 pieces. The library's tokenizer takes half a second and 300 MB to load
them, and a question needs a few hundred. Within a text only pieces that occur in it can take part in the
best segmentation (Unigram: Kudo 2018), so that a tokenizer of those gives the same tokens; tests hold it so.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from retrieval.encoders.piece_files import Group, PieceTable, beginning
from retrieval.encoders.unigram import BEGIN, END, SPACE, UNKNOWN, normaliser, unigram_tokenizer

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_REMEMBERED_WORDS = 50_000
_LONGEST_REMEMBERED = 100
_MANY_WORDS = 20_000
# The model's normaliser makes a space of it.
_ODD_SPACE = "\ufffd"
# What is between two of the most ordinary spaces.
_WORD = re.compile(r"[^ \t\n\r]+")
# Token ids of a word, and their spans of characters after a space before it.
_WordTokens = tuple[tuple[int, ...], tuple[tuple[int, int], ...]]


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

    unknown = UNKNOWN
    special = 2

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._words: dict[str, tuple[str, ...]] = {}
        self._word_tokens: dict[str, _WordTokens | None] = {}
        self._groups: dict[str, Group] = {}
        self._reaches: dict[str, dict[str, int]] = {}

    def __reduce__(self) -> tuple[type[PieceTokenizer], tuple[Path]]:
        return PieceTokenizer, (self._folder,)

    def encode(self, text: str, add_special_tokens: bool = True) -> PieceTokens:
        """See `retrieval.encoders.tokenizer.TextTokenizer`."""
        found = self._joined(text, self._known([text])) or self._whole(text)
        if not add_special_tokens:
            return found
        inside = [0] * len(found.ids)
        return PieceTokens([BEGIN, *found.ids, END], [(0, 0), *found.offsets, (0, 0)], [1, *inside, 1])

    def encode_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """See `retrieval.encoders.tokenizer.TextTokenizer`."""
        known = self._known(texts)
        return [[BEGIN, *(self._joined(text, known) or self._whole(text)).ids, END] for text in texts]

    def _whole(self, text: str) -> PieceTokens:
        """The tokens of a text, without special ones, as the library finds them."""
        tokenizer, ids = self._covering([text])
        found = tokenizer.encode(text, add_special_tokens=False)
        return PieceTokens([ids[token] for token in found.ids], found.offsets, found.special_tokens_mask)

    def _joined(self, text: str, known: Mapping[str, _WordTokens | None]) -> PieceTokens | None:
        """The tokens of a text, out of those of its words; None where they do not tell."""
        ids: list[int] = []
        spans: list[tuple[int, int]] = []
        end = 0
        for match in _WORD.finditer(text):
            tokens = known[match[0]]
            if tokens is None:
                return None
            before, end = match.start() - 1, match.end()
            ids += tokens[0]
            if before >= 0:
                spans += [(before + first, before + last) for first, last in tokens[1]]
            else:  # the mark of a space that is not there has the first character's place
                spans += [(max(0, first - 1), max(1, last - 1)) for first, last in tokens[1]]
        if end < len(text):
            ids.append(self._id(SPACE))
            spans.append((len(text) - 1, len(text)))
        return PieceTokens(ids, spans, [0] * len(ids))

    def _known(self, texts: Iterable[str]) -> dict[str, _WordTokens | None]:
        """The tokens of each word of the texts; None of those whose tokens depend on what is around them.

        No piece reaches over a space, and texts consist of the same words again and again.
        """
        words = {word for text in texts for word in _WORD.findall(text)}
        if len(self._word_tokens) >= _REMEMBERED_WORDS:
            self._word_tokens = {}  # another thread may be looking into the full one
        remembered = self._word_tokens
        found = {word: remembered[word] for word in words if word in remembered}
        if new := [word for word in words if word not in found]:
            found |= self._tokenized(new)
            remembered.update((word, found[word]) for word in new if len(word) <= _LONGEST_REMEMBERED)
        return found

    def _tokenized(self, words: Sequence[str]) -> dict[str, _WordTokens | None]:
        found: dict[str, _WordTokens | None] = dict.fromkeys(words)
        alone = [word for word in words if _stands_alone(word)]
        text = "".join(f" {word}" for word in alone)  # in one text: a batch would wake threads
        tokenizer, ids = self._covering([text])
        encoded = tokenizer.encode(text, add_special_tokens=False)
        tokens = iter(zip(encoded.ids, encoded.offsets, strict=True))
        token = next(tokens, None)
        start = 0
        for word in alone:
            end = start + 1 + len(word)
            own = []
            while token is not None and token[1][0] < end:
                own.append((ids[token[0]], (token[1][0] - start, token[1][1] - start)))
                token = next(tokens, None)
            found[word] = tuple(id_ for id_, _ in own), tuple(span for _, span in own)
            start = end
        return found

    def counting(self, text: str) -> Callable[[str], int]:
        """See `storage.vectors.TokenCounter`."""
        tokenizer, _ = self._covering([text])
        known: dict[str, int] = {}

        def count(part: str) -> int:
            # no piece reaches over a space, and a chunker asks for the same words again and again
            part = part.replace(_ODD_SPACE, " ")
            words = part.split()
            if new := [word for word in words if word not in known]:
                tokens = tokenizer.encode_batch_fast(new, add_special_tokens=False)
                known.update((word, len(found.ids)) for word, found in zip(new, tokens, strict=True))
            total = sum([known[word] for word in words]) + part[-1:].isspace()
            for word in new:
                if len(word) > _LONGEST_REMEMBERED:
                    known.pop(word, None)
            return total

        return count

    def _covering(self, texts: Sequence[str]) -> tuple[Tokenizer, list[int]]:
        """A tokenizer of at least the pieces that occur in the texts, and the real id of each of its ids."""
        words = {word for text in texts for word in _words(text)}
        if len(words) <= _MANY_WORDS:
            found = {piece for word in words for piece in self._of_word(word)}
        else:
            found = self._spelled(set().union(*words))
        # the score of an unknown character follows from the lowest of all
        found.update((*self._table.special, self._table.lowest))
        known = {self._id(piece): piece for piece in found}
        ids = sorted(known)
        return unigram_tokenizer([(known[i], float(self._table.scores[i])) for i in ids]), ids

    def _spelled(self, alphabet: set[str]) -> set[str]:
        """All pieces of these characters: sooner found than those in the words of a text of very many."""
        starts = (key for key in self._table.keys if alphabet.issuperset(key))
        return {piece for key in starts for piece in self._group(key)[0] if alphabet.issuperset(piece)}

    def _of_word(self, word: str) -> tuple[str, ...]:
        known = self._words.get(word)
        if known is None:
            known = tuple(set(self._parts(word)))
            if len(self._words) >= _REMEMBERED_WORDS:
                self._words.clear()
            self._words[word] = known
        return known

    def _parts(self, word: str) -> Iterator[str]:
        """The pieces in a word."""
        length = len(word)
        for start in range(length):
            key = beginning(word, start)
            ids, longest = self._group(key)
            if length > _LONGEST_REMEMBERED:  # of letters in no language nearly all pieces are short
                longest = self._reach(key).get(word[start : start + 3], 2)
            for end in range(start + 1, min(length, start + longest) + 1):
                if (part := word[start:end]) in ids:
                    yield part
            if word[start] == SPACE:
                yield SPACE

    def _id(self, piece: str) -> int:
        return self._group(beginning(piece, 0))[0][piece]

    def _group(self, key: str) -> Group:
        """The ids of the pieces with that beginning, and the length of the longest; read on first use."""
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = self._table.group(key)
        return group

    def _reach(self, key: str) -> dict[str, int]:
        """The length of the longest piece by its first three characters, of those with that beginning."""
        reach = self._reaches.get(key)
        if reach is None:
            pieces = sorted(self._group(key)[0], key=len)
            reach = self._reaches[key] = {piece[:3]: len(piece) for piece in pieces if len(piece) > 2}
        return reach

    @cached_property
    def _table(self) -> PieceTable:
        return PieceTable(self._folder)


def _words(text: str) -> Iterator[str]:
    """The runs between spaces, as the model sees them: each begins with its mark of a space."""
    spaced = normaliser().normalize_str(text).replace(SPACE, " ")
    return (SPACE + word for word in spaced.split(" "))


def _stands_alone(word: str) -> bool:
    """True if what the model sees of a word does not depend on what is around it.

    A space at its end would merge with the next one; a first character that is left out moves the first span.
    """
    seen, first = (normaliser().normalize_str(text) for text in (word, word[0]))
    return first != "" and seen.strip(" ") == seen != "" and SPACE not in seen
