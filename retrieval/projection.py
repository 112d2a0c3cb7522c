"""Token vectors in fewer dimensions: the directions in which a model's token states differ most.

The directions are principal components (Hotelling 1933) of the states' covariance about the origin, the
strongest first: so any number of them, from the first on, is the best projection to that many dimensions.
They were learned beforehand by `benchmarks/token_projection.py`, and lie in the package.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files

import numpy as np

from storage.errors import SettingsError
from storage.vectors import Floats, normalised

# The models whose directions are packaged, by the identity that a collection's fingerprint has.
_PACKAGED: Mapping[str, str] = {"sentence-transformers/all-MiniLM-L6-v2": "all-MiniLM-L6-v2.safetensors"}


class TokenProjection:
    """Projects rows of token vectors; `directions` has shape (to, from), its rows orthonormal."""

    def __init__(self, directions: Floats) -> None:
        self._across = np.ascontiguousarray(directions.T)

    @property
    def dim(self) -> int:
        """The width of a projected vector."""
        return int(self._across.shape[1])

    def __call__(self, tokens: Floats) -> Floats:
        """L2-normalised rows, shape (n, dim), of rows of shape (n, from)."""
        return normalised(tokens @ self._across)


def load_projection(model: str, dim: int) -> TokenProjection:
    """The packaged projection of a model's token vectors to `dim` dimensions.

    Raises SettingsError where there is none for the model, or none so wide.
    """
    from safetensors.numpy import load

    name = _PACKAGED.get(model)
    if name is None:
        raise SettingsError(
            f"encoder.token_dim = {dim}, but no projection is known for {model}",
            way_out=f"Leave encoder.token_dim out, or use {' or '.join(_PACKAGED)}.",
        )
    stored = load(files("retrieval").joinpath("projections", name).read_bytes())
    directions = stored["directions"].astype(np.float32)
    if dim > len(directions):
        raise SettingsError(
            f"encoder.token_dim = {dim}, but the projection of {model} has {len(directions)} dimensions",
            way_out="Leave encoder.token_dim out for the whole vectors, or set it lower.",
        )
    return TokenProjection(directions[:dim])
