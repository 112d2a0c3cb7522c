"""Ingestion on a Ray cluster (`--engine ray`), whose workers make their parts from settings sent to them."""

from __future__ import annotations

from storage.errors import SettingsError
from winnow.app.setting_defaults import LlmSettings, RerankSettings
from winnow.app.settings import Settings


def check(settings: Settings) -> None:
    """Check that Ray can be used, before anything is made for it.

    Raises SettingsError for an embedded collection, MissingDependencyError without Ray.
    """
    if settings.store.url is None:
        raise SettingsError(
            "the engine `ray` needs a Qdrant server: an embedded collection lets in one process only",
            way_out="Set store.url (WINNOW_STORE__URL), or ingest with --engine local.",
        )
    from ingest.engines.ray import installed

    installed()


def for_workers(settings: Settings) -> Settings:
    """Return the settings without any key but the store's."""
    return settings.model_copy(update={"llm": LlmSettings(), "rerank": RerankSettings()})
