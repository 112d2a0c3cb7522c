"""Scores parts of stored passages for a question by the token vectors that ingestion stored.

Only the question is encoded, so that a passage's parts cost milliseconds. A stage that reads passages which
another one has read finds their tokens here: fetching and cutting them takes most of that time.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from weakref import WeakKeyDictionary

import numpy as np

from storage.qdrant.contract import TokenScorer
from storage.records import Candidate, Chunk
from storage.vectors import Floats, TextEncoder, normalised

# First and last + 1 character of a part.
_Span = tuple[int, int]
_Spans = np.ndarray[tuple[int, int], np.dtype[np.int64]]
# The tokens of a passage's own text: their characters there, and their vectors, of length 1.
_Piece = tuple[_Spans, Floats]

# This many passages of a collection are remembered, some 80 KB each.
_REMEMBERED = 256


class _Memory:
    """The pieces of the passages that were read last, by id and text. Safe for several threads."""

    def __init__(self) -> None:
        self._pieces: OrderedDict[tuple[str, str], _Piece] = OrderedDict()
        self._lock = Lock()

    def get(self, part: Chunk) -> _Piece | None:
        with self._lock:
            piece = self._pieces.get((part.id, part.encoded_text))
            if piece is not None:
                self._pieces.move_to_end((part.id, part.encoded_text))
            return piece

    def keep(self, part: Chunk, piece: _Piece) -> None:
        with self._lock:
            self._pieces[part.id, part.encoded_text] = piece
            if len(self._pieces) > _REMEMBERED:
                self._pieces.popitem(last=False)


# Keyed by store, so that a rebuilt collection starts empty.
_memories: WeakKeyDictionary[TokenScorer, _Memory] = WeakKeyDictionary()


def similarities(
    question: str,
    candidates: Sequence[Candidate],
    places: Sequence[tuple[int, _Span]],
    encoder: TextEncoder,
    vectors: TokenScorer,
) -> list[float | None]:
    """MaxSim of each place (number of the candidate, characters), as the mean over the question's tokens.

    ColBERT's late interaction (Khattab & Zaharia 2020), cut to the tokens of the place, whose vectors have
    seen the whole passage: about 0.2 to 0.9. None for a place without stored vectors.
    """
    query = encoder.encode_query(question).tokens
    if query is None:
        return [None] * len(places)
    memory = _memory_of(vectors)
    pieces = _pieces([part for one in candidates for part in parts_of(one)], encoder, vectors, memory)
    tables = [_similarities(query, candidate, pieces) for candidate in candidates]
    return [None if (table := tables[passage]) is None else table.best(span) for passage, span in places]


def parts_of(candidate: Candidate) -> Sequence[Chunk]:
    """The passages that a candidate's text was joined from, or its only passage."""
    return candidate.parts or (candidate.chunk,)


@dataclass(frozen=True, slots=True)
class _Similarities:
    """Similarities of question tokens × passage tokens, and the characters of each passage token."""

    values: Floats
    starts: np.ndarray[tuple[int], np.dtype[np.int64]]
    ends: np.ndarray[tuple[int], np.dtype[np.int64]]

    def best(self, span: _Span) -> float | None:
        inside = (self.starts < span[1]) & (self.ends > span[0])
        return float(self.values[:, inside].max(axis=1).mean()) if inside.any() else None


def _memory_of(vectors: TokenScorer) -> _Memory:
    try:
        return _memories.setdefault(vectors, _Memory())
    except TypeError:  # a corpus that is measured, and a reader's own store, need not allow it
        return _Memory()


def _pieces(
    parts: Sequence[Chunk], encoder: TextEncoder, vectors: TokenScorer, memory: _Memory
) -> dict[str, _Piece]:
    """The piece of each passage that has vectors, by id."""
    found = {part.id: piece for part in parts if (piece := memory.get(part))}
    unread = [part for part in parts if part.id not in found]
    stored = vectors.token_vectors([part.id for part in unread]) if unread else {}
    for part in unread:
        if part.id in stored and (piece := _piece(part, stored[part.id], encoder)):
            found[part.id] = piece
            memory.keep(part, piece)
    return found


def _similarities(query: Floats, candidate: Candidate, pieces: Mapping[str, _Piece]) -> _Similarities | None:
    """The table over all parts that have vectors; a token that two of them share is in it twice."""
    own = [
        (pieces[part.id][0] + (part.start - candidate.chunk.start), pieces[part.id][1])
        for part in parts_of(candidate)
        if part.id in pieces
    ]
    if not own:
        return None
    spans, tokens = (np.concatenate(arrays) for arrays in zip(*own, strict=True))
    # einsum, since BLAS wakes its threads for a product this small: 24 ms of CPU time a passage against 0.2
    values = np.einsum("qd,pd->qp", normalised(query), tokens)
    return _Similarities(values, spans[:, 0], spans[:, 1])


def _piece(part: Chunk, stored: Floats, encoder: TextEncoder) -> _Piece | None:
    encoded = part.encoded_text
    spans = np.array(encoder.token_spans(encoded), dtype=np.int64).reshape(-1, 2)
    if len(spans) != len(stored):  # vectors of another tokenizer cannot be matched to tokens
        return None
    spans = spans - (len(encoded) - len(part.text))
    # without the context line, which would reach into the part before, and without special tokens
    own = (spans[:, 0] >= 0) & (spans[:, 1] > spans[:, 0])
    # stored vectors may have been rounded to a few bits
    return spans[own], normalised(stored[own])
