"""`--engine ray`: ingestion on a Ray cluster; its workers make their parts out of settings sent to them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from storage.errors import SettingsError
from winnow.sections import LlmSettings, RerankSettings
from winnow.settings import Settings

if TYPE_CHECKING:
    from ingest.ray_engine import Parts, RayEngine
    from storage.manifest import Manifest


def check(settings: Settings) -> None:
    """Whether Ray can be used at all, before anything is made for it.

    Raises SettingsError where the collection is embedded, MissingDependencyError without Ray.
    """
    if settings.store.url is None:
        raise SettingsError(
            "the engine `ray` needs a Qdrant server: an embedded collection lets in one process only",
            way_out="Set store.url (WINNOW_STORE__URL), or ingest with --engine local.",
        )
    from ingest.ray_engine import installed

    installed()


def engine(settings: Settings, name: str, manifest: Manifest, *, tokens: bool, workers: int) -> RayEngine:
    """The engine that ingests into the collection `name`; `tokens` says whether it has token vectors."""
    from ingest.ray_engine import RayEngine

    make = partial(worker_parts, for_workers(settings), name)
    return RayEngine(manifest, make, tokens=tokens, workers=workers, gpus=settings.ingest.gpus)


def worker_parts(settings: Settings, name: str) -> Parts:
    """Encoders and store of one worker; runs there."""
    from ingest.ray_engine import Parts
    from winnow.wiring import Wiring

    wiring = Wiring(settings)
    return Parts(wiring.encoder, wiring.lexical, wiring.collection(name))


def for_workers(settings: Settings) -> Settings:
    """No key travels but that of the store."""
    return settings.model_copy(update={"llm": LlmSettings(), "rerank": RerankSettings()})
