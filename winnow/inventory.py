"""Which models there are: those that the settings name, and those of the multilingual profile."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from storage.errors import ModelError
from winnow.settings import Settings

# What `WINNOW_PROFILE=multilingual` needs, with its size on the hub.
_MULTILINGUAL = (
    ("BAAI/bge-m3", "encoder of the profile multilingual, 2.3 GB"),
    ("BAAI/bge-reranker-v2-m3", "reranker of the profile multilingual, 2.3 GB"),
)


@dataclass(frozen=True, slots=True)
class Model:
    """A model, what uses it, and where it is: `here` says whether it can be used without a network."""

    name: str
    used_as: str
    here: bool
    place: str


def models(settings: Settings) -> list[Model]:
    """Every model once; looking fetches nothing."""
    return [_found(name, used_as) for name, used_as in dict(_named(settings)).items()]


def _named(settings: Settings) -> Iterator[tuple[str, str]]:
    yield from _MULTILINGUAL
    yield settings.rerank.cross_encoder, "cross-encoder (rerank spec `cross-encoder`)"
    yield settings.encoder.model, "encoder"


def _found(name: str, used_as: str) -> Model:
    from retrieval.models import locate

    try:
        located = locate(name)
    except ModelError as error:
        return Model(name, used_as, here=False, place=error.way_out or str(error))
    return Model(name, used_as, here=True, place=f"{located.origin}: {located.folder}")
