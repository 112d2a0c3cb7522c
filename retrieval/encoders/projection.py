"""Token vectors in fewer dimensions: a projection trained for MaxSim (Khattab & Zaharia 2020).

`benchmarks/token_projection.py` trained it with a frozen encoder, so that dense and token vectors still come
from one pass. Data and results: `projections/README.md`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from importlib.resources import files

import numpy as np

from storage.errors import ModelError, SettingsError
from storage.vectors import Floats, normalised

# The file's SHA-256, by the model's identity (as a collection's fingerprint has it) and the width.
_PACKAGED: Mapping[tuple[str, int], tuple[str, str]] = {
    ("sentence-transformers/all-MiniLM-L6-v2", 128): (
        "all-MiniLM-L6-v2-128.safetensors",
        "0a3e7a101aefb6a35a885030ab87cbe6ca430e85d477946da29bbeedd8bd09a7",
    ),
}


class TokenProjection:
    """Projects rows of token vectors; `weights` has shape (to, from)."""

    def __init__(self, weights: Floats) -> None:
        self._across = np.ascontiguousarray(weights.T)

    @property
    def dim(self) -> int:
        """The width of a projected vector."""
        return int(self._across.shape[1])

    def __call__(self, tokens: Floats) -> Floats:
        """L2-normalised rows, shape (n, dim), of rows of shape (n, from)."""
        return normalised(tokens @ self._across)


def chosen_projection(model: str, own: int | None, wanted: int | None) -> TokenProjection | None:
    """The projection of a model's token vectors from `own` to `wanted` dimensions; None if none is needed.

    If `wanted` is None, the model's packaged projection is taken if there is one. Raises SettingsError if
    none of that width is known, ModelError if its file is not the published one.
    """
    if wanted is None:
        wanted = next((width for name, width in _PACKAGED if name == model), own)
    return None if wanted == own or wanted is None else _packaged(model, wanted, own)


def _packaged(model: str, dim: int, own: int | None) -> TokenProjection:
    from safetensors.numpy import load

    if (model, dim) not in _PACKAGED:
        known = [f"{own}, its own", *(f"{width} for {name}" for name, width in _PACKAGED)]
        raise SettingsError(
            f"encoder.token_dim = {dim}, but no projection of {model} to {dim} dimensions is known",
            way_out=f"Leave encoder.token_dim out, or use {' or '.join(known if own else known[1:])}.",
        )
    name, published = _PACKAGED[model, dim]
    content = files("retrieval.encoders").joinpath("projections", name).read_bytes()
    if hashlib.sha256(content).hexdigest() != published:
        raise ModelError(f"the projection {name} is damaged", way_out="Reinstall winnow.")
    return TokenProjection(load(content)["projection"].astype(np.float32))
