"""Reads the reply of an embeddings endpoint; every number is checked, as nobody would notice later."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Any

import numpy as np

from storage.vectors import Floats, normalised


def read_vectors(reply: Any, count: int, dim: int | None) -> list[Floats]:
    """The unit vectors of `count` texts, in the texts' order, from a reply's JSON.

    Each item's `index` is that of its text. `dim` is the required width; None accepts any that all share.
    Raises ValueError.
    """
    data = reply.get("data") if isinstance(reply, dict) else None
    if not isinstance(data, list) or not all(isinstance(item, dict) for item in data):
        raise ValueError("the reply has no list of vectors")
    if len(data) != count:
        raise ValueError(f"{len(data)} vectors for {count} texts")
    places = [item.get("index", n) for n, item in enumerate(data)]
    by_place = {str(place): item.get("embedding") for place, item in zip(places, data, strict=True)}
    if set(by_place) != set(map(str, range(count))):
        raise ValueError(f"the vectors of {count} texts are numbered {_some(places)}")
    vectors = [_read_vector(by_place[str(n)]) for n in range(count)]
    expected = len(vectors[0]) if dim is None else dim
    for vector in vectors:
        if len(vector) != expected:
            raise ValueError(
                f"a vector has {len(vector)} dimensions, not {expected} (a server may not know encoder.dim)"
            )
    return vectors


def read_tokens(reply: Any) -> int | None:
    """The number of tokens that the endpoint counted, None if it does not say."""
    usage = reply.get("usage") if isinstance(reply, dict) else None
    tokens = usage.get("prompt_tokens") if isinstance(usage, dict) else None
    return tokens if isinstance(tokens, int) else None


def _read_vector(value: Any) -> Floats:
    vector = _decoded(value)
    if vector is None or not len(vector):
        raise ValueError("a vector is neither a list of numbers nor base64")
    if not np.isfinite(vector).all():
        raise ValueError("a vector holds what is not a number")
    if not vector.any():
        raise ValueError("a vector is all zeros")
    return normalised(vector)


def _decoded(value: Any) -> Floats | None:
    """A vector from base64 of little-endian float32, or from a list; None for anything else."""
    try:
        if isinstance(value, str):
            return np.frombuffer(base64.b64decode(value, validate=True), dtype="<f4").astype(np.float32)
        if isinstance(value, list) and not any(isinstance(number, str | bool) for number in value):
            found = np.array([np.nan if number is None else number for number in value], dtype=np.float64)
            with np.errstate(over="ignore"):  # what is too large becomes infinite, and is refused as such
                return found.astype(np.float32) if found.ndim == 1 else None
    except (ValueError, TypeError, OverflowError, binascii.Error):
        return None
    return None


def _some(places: Sequence[object]) -> str:
    shown = ", ".join(str(place)[:20] for place in places[:5])
    return f"{shown}, …" if len(places) > 5 else shown
