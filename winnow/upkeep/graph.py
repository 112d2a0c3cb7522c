"""Builds the graph of the dense vectors at the end of an ingest, where it pays."""

from __future__ import annotations

import logging
from collections.abc import Callable

from ingest.report import Progress
from storage.errors import StoreError
from storage.qdrant.contract import CollectionStore

_log = logging.getLogger(__name__)


def build_where_it_pays(store: CollectionStore, progress: Callable[[Progress], None] | None = None) -> bool:
    """Build the graph of a collection that has outgrown a quick scan; True where one was built.

    It takes minutes (some 255 s for 100,000 passages on two busy cores). A failure is logged: searches then
    scan, and find what was ingested all the same.
    """
    if not store.graph_pays():
        return False
    passages = store.count()
    _log.info("building the graph of %r: %d passages, minutes", store.name, passages)
    if progress is not None:
        progress(
            Progress(
                documents=1,
                documents_total=1,
                bytes_done=1,
                bytes_total=1,
                passages=passages,
                passages_per_second=0.0,
                seconds_left=None,
                path="building the graph, which takes minutes",
            )
        )
    try:
        return store.build_graph()
    except StoreError as error:
        _log.warning("%r has no graph, searches are slower so: %s", store.name, error)
        return False
