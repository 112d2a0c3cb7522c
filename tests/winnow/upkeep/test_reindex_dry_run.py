"""A dry run of a re-index, or into no collection, estimates and changes nothing."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from storage.errors import SettingsError
from storage.qdrant.edge.stores import EdgeStores
from tests.support.reindexing import Place, pipeline

pytestmark = pytest.mark.heavy


def test_a_dry_run_of_a_reindex_estimates_and_changes_nothing(place: Place) -> None:
    """A dry run of a re-index estimates and changes nothing, even with another encoder."""
    with pipeline(place.data, place.other) as rag:
        report = rag.ingest(reindex=True, dry_run=True)
        assert report.dry_run
        assert report.estimate is not None
        assert report.estimate.passages > 6
        assert rag.wiring.stores.generation("default") == ""
        assert rag.wiring.stores.leftovers() == {}


def test_a_dry_run_into_no_collection_makes_none(place: Place) -> None:
    """A dry run creates no collection, and keeps a lost one's manifest and one made meanwhile."""
    shutil.rmtree(place.data / "collections" / "default")
    made: list[str] = []

    def make(_: object) -> None:
        if not made:
            made.append("default")
            stores = EdgeStores(place.data / "collections")
            stores.create("default", rag.wiring.collections.fingerprint()).close()

    with pipeline(place.data, place.one) as rag:
        report = rag.ingest(place.docs, dry_run=True, progress=make)
        assert report.estimate is not None
        assert report.totals["ingested"] == 6
        assert made == rag.wiring.stores.names()
        assert len(list(rag.wiring.manifest().rows())) == 6


def test_a_dry_run_says_that_ray_needs_a_server(tmp_path: Path, place: Place) -> None:
    """A dry run with Ray and no server says that Ray needs one."""
    with pipeline(tmp_path / "none", place.one) as rag, pytest.raises(SettingsError, match="Qdrant server"):
        rag.ingest(place.docs, dry_run=True, engine="ray")
