"""Small real implementations for tests to pass in: state, no mocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from storage.vectors import Encoding


class FixedModel:
    """A forward model that returns these vectors for any input; `dim` is the width it reports."""

    token_dim = None
    max_tokens = 16

    def __init__(self, dim: int, *vectors: Sequence[float]) -> None:
        self.dim = dim
        self.vectors = vectors

    def encode(self, texts: Sequence[str], *, tokens: bool, prompt: str = "") -> list[Encoding]:
        return [Encoding(np.array(vector, dtype=np.float32), None) for vector in self.vectors]

    def close(self) -> None:
        """Nothing is held open."""


class MemoryCache:
    """A ScoreCache in a dict that counts the scores put into it."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str, str], float] = {}

    def get_many(self, fingerprint: str, question: str, passage_hashes: Sequence[str]) -> dict[str, float]:
        return {
            h: self.kept[fingerprint, question, h]
            for h in passage_hashes
            if (fingerprint, question, h) in self.kept
        }

    def put_many(self, fingerprint: str, question: str, scores: Mapping[str, float]) -> None:
        self.kept |= {(fingerprint, question, h): score for h, score in scores.items()}
