"""Rerankers that people use, with what is known of them: `models.toml`."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files


@dataclass(frozen=True, slots=True)
class KnownModel:
    """One model. `quality` and `chinese` are nDCG@10 of two benchmarks, which cannot be compared.

    `seconds` are a processor's for 50 pairs, in float32 and in int8. What was not measured is None.
    """

    name: str
    languages: str
    size: str
    licence: str
    quality: float | None = None
    chinese: float | None = None
    seconds: tuple[float, ...] | None = None
    note: str = ""


@cache
def known_models() -> tuple[KnownModel, ...]:
    """All of them, the smaller ones of a kind first."""
    text = files("rerank").joinpath("models.toml").read_text(encoding="utf-8")
    return tuple(KnownModel(**one) for one in tomllib.loads(text)["model"])
