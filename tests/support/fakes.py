"""Small real implementations for tests to pass in: state, no mocks."""

from __future__ import annotations

from collections.abc import Sequence

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
