"""Small real stand-ins that tests hand in: state, no mocks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from storage.vectors import Encoding


class FixedModel:
    """A forward model that gives these vectors, whatever it is asked; `dim` is what it says of itself."""

    token_dim = None
    max_tokens = 16

    def __init__(self, dim: int, *vectors: Sequence[float]) -> None:
        self.dim = dim
        self.vectors = vectors

    def encode(self, texts: Sequence[str], *, tokens: bool, prompt: str = "") -> list[Encoding]:
        return [Encoding(np.array(vector, dtype=np.float32), None) for vector in self.vectors]

    def close(self) -> None:
        """Nothing is held open."""
