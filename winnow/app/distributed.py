"""`--engine ray`: ingestion on a Ray cluster; its workers make their parts out of settings sent to them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from storage.errors import SettingsError
from winnow.app.sections import LlmSettings, RerankSettings
from winnow.app.settings import Settings

if TYPE_CHECKING:
    from ingest.engines.ray import RayEngine, RayParts
    from storage.manifest.manifest import Manifest


def check(settings: Settings) -> None:
    """Whether Ray can be used at all, before anything is made for it.

    Raises SettingsError where the collection is embedded, MissingDependencyError without Ray.
    """
    if settings.store.url is None:
        raise SettingsError(
            "the engine `ray` needs a Qdrant server: an embedded collection lets in one process only",
            way_out="Set store.url (WINNOW_STORE__URL), or ingest with --engine local.",
        )
    from ingest.engines.ray import installed

    installed()


def engine(
    settings: Settings,
    name: str,
    manifest: Manifest,
    parts: Callable[[Settings, str], RayParts],
    *,
    tokens: bool,
    workers: int,
) -> RayEngine:
    """The engine that ingests into the collection `name`; `tokens` says whether it has token vectors.

    `parts` makes the encoders and the store of one worker; it runs there.
    """
    from ingest.engines.ray import RayEngine

    make = partial(parts, for_workers(settings), name)
    return RayEngine(manifest, make, tokens=tokens, workers=workers, gpus=settings.ingest.gpus)


def for_workers(settings: Settings) -> Settings:
    """No key travels but that of the store."""
    return settings.model_copy(update={"llm": LlmSettings(), "rerank": RerankSettings()})
