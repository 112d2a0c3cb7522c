"""What an embeddings endpoint replied, checked to the last number: a wrong vector is never noticed later."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Any

import numpy as np

from storage.vectors import Floats, normalised


class UnusableReplyError(Exception):
    """The reply came, but its vectors cannot be those of the texts."""


def read_vectors(reply: Any, count: int, dim: int | None) -> list[Floats]:
    """The unit vectors of `count` texts, in the texts' order, from a reply's JSON.

    Each item says by its `index` which text it belongs to. `dim` is the width that they must have; None takes
    any, as long as all have the same. Raises UnusableReplyError.
    """
    data = reply.get("data") if isinstance(reply, dict) else None
    if not isinstance(data, list) or not all(isinstance(item, dict) for item in data):
        raise UnusableReplyError("the reply has no list of vectors")
    if len(data) != count:
        raise UnusableReplyError(f"{len(data)} vectors for {count} texts")
    places = [item.get("index", n) for n, item in enumerate(data)]
    by_place = {str(place): item.get("embedding") for place, item in zip(places, data, strict=True)}
    if set(by_place) != set(map(str, range(count))):
        raise UnusableReplyError(f"the vectors of {count} texts are numbered {_some(places)}")
    vectors = [_read_vector(by_place[str(n)]) for n in range(count)]
    expected = len(vectors[0]) if dim is None else dim
    for vector in vectors:
        if len(vector) != expected:
            raise UnusableReplyError(f"a vector has {len(vector)} dimensions, not {expected}")
    return vectors


def read_tokens(reply: Any) -> int | None:
    """How many tokens the endpoint counted; None where it does not say."""
    usage = reply.get("usage") if isinstance(reply, dict) else None
    tokens = usage.get("prompt_tokens") if isinstance(usage, dict) else None
    return tokens if isinstance(tokens, int) else None


def _read_vector(value: Any) -> Floats:
    vector = _decoded(value)
    if vector is None or not len(vector):
        raise UnusableReplyError("a vector is neither a list of numbers nor base64")
    if not np.isfinite(vector).all():
        raise UnusableReplyError("a vector holds what is no number")
    if not vector.any():
        raise UnusableReplyError("a vector is nothing but zeros")
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
