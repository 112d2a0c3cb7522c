"""A collection as far as somebody may see it, over real stores."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from storage.qdrant.contract import CollectionStore
from storage.qdrant.edge.stores import EdgeStores
from storage.qdrant.filters import parse_filter
from storage.qdrant.server.stores import ServerStores
from storage.records import Meta
from storage.vectors import Point
from tests.support.passages import FINGERPRINT, legs, points
from tests.support.qdrant_wire import serving
from winnow.app.visibility import VisiblePassages

pytestmark = [
    pytest.mark.filterwarnings("ignore:Local mode performs exact:UserWarning"),
    pytest.mark.filterwarnings("ignore:Payload indexes have no effect:UserWarning"),
]

FILTERS = [
    'year = "2016"',
    'year != "2016"',
    'year in ("2016", "2018")',
    'not (year in ("2016", "2018") or lang = "zh")',
    'score not in ("1.5", "2")',
    'nowhere = 1 or lang = "zh"',
    "nowhere is null and not (draft = true)",
]


@pytest.mark.parametrize("where", FILTERS)
def test_every_way_to_a_passage_is_held_to_one_rule(tmp_path: Path, where: str) -> None:
    """Search, count, list, passages by id and neighbours show the same part of a collection."""
    with closing(EdgeStores(tmp_path).create("part", FINGERPRINT)) as store:
        store.upsert(points())
        everything = [point.chunk for point in points()]
        seen = VisiblePassages(store, parse_filter(where))
        shown = {chunk.id for chunk in seen.first(100)}
        assert 0 < len(shown) < len(everything)
        assert {chunk.id for chunk in seen.passages([one.id for one in everything])} == shown
        assert {chunk.id for chunk in seen.neighbours(everything, 1)} == shown
        assert {hit.chunk.id for hit in seen.search(legs(), 100)[0]} <= shown
        assert seen.count() == len(shown)


def _with(point: Point, **metadata: Meta) -> Point:
    return replace(point, chunk=replace(point.chunk, metadata=metadata))


def _seen(store: CollectionStore, where: str) -> set[Meta]:
    seen = VisiblePassages(store, parse_filter(where))
    found = {hit.chunk.id for hit in seen.search(legs(), 100)[1]}
    assert {chunk.id for chunk in seen.passages([point.chunk.id for point in points()])} >= found
    assert seen.count() == len(seen.first(100))
    return {chunk.metadata["name"] for chunk in seen.first(100)}


def test_a_field_that_another_process_brings_is_held_to_at_once() -> None:
    """On a server a filter on a field that nobody had yet hides what others ingest with it later."""
    open_one, shut = points(2)
    with (
        serving() as wire,
        closing(ServerStores.connect(wire.url, prefer_grpc=False)) as mine,
        closing(ServerStores.connect(wire.url, prefer_grpc=False)) as theirs,
        closing(mine.create("part", FINGERPRINT)) as store,
    ):
        store.upsert([_with(open_one, name="open")])
        assert _seen(store, "not (secret = true)") == {"open"}
        with closing(theirs.open("part")) as other:
            other.upsert([_with(shut, name="shut", secret=True)])
        assert _seen(store, "not (secret = true)") == {"open"}
        assert _seen(store, "secret is null") == {"open"}
