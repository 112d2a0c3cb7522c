"""Copies between stores: complete, resumable and verified."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path

import pytest

from storage.errors import FingerprintMismatchError, StoreError, StoreUnavailableError
from storage.qdrant.contract import Fingerprint
from storage.qdrant.copying import Copied, checksums, copy_passages
from storage.qdrant.edge.stores import EdgeCollection, EdgeStores
from storage.qdrant.server.stores import ServerStores
from storage.records import Chunk
from storage.vectors import Point
from tests.support import real_qdrant
from tests.support.passages import FINGERPRINT, graded_points, graded_query, legs, points
from tests.support.qdrant_grpc import serving_grpc
from tests.support.qdrant_wire import Fault, Wire, serving

pytestmark = pytest.mark.heavy

COUNT = 150


@pytest.fixture
def source(tmp_path: Path) -> Iterator[EdgeCollection]:
    with closing(EdgeStores(tmp_path / "here").create("papers", FINGERPRINT)) as collection:
        collection.upsert(points(COUNT))
        yield collection


@pytest.fixture
def wire() -> Iterator[Wire]:
    with serving() as wire:
        yield wire


@pytest.fixture
def stores(wire: Wire) -> Iterator[ServerStores]:
    with closing(ServerStores.connect(wire.url, prefer_grpc=False)) as stores:
        yield stores


@pytest.fixture(params=["rest", *real_qdrant.KINDS])
def either(request: pytest.FixtureRequest) -> Iterator[ServerStores]:
    """The tests' own server, and a real one where there is one."""
    if request.param == "server":
        with real_qdrant.connected("papers") as stores:
            yield stores
    else:
        yield request.getfixturevalue("stores")


def test_a_copy_answers_like_the_original(source: EdgeCollection, either: ServerStores) -> None:
    """Embedded to server: the same passages, and the same hits in the same order."""
    target = either.create("papers", FINGERPRINT)
    assert copy_passages(source, target) == Copied(sent=COUNT, present=0)
    assert checksums(target) == checksums(source)
    for mine, theirs in zip(source.search(legs(), 30), target.search(legs(), 30), strict=True):
        assert [hit.chunk for hit in mine] == [hit.chunk for hit in theirs]


def test_there_and_back_again(source: EdgeCollection, tmp_path: Path) -> None:
    """A copy over gRPC and back keeps payloads whole and MaxSim ranks unchanged."""
    source.upsert(graded_points())
    with ExitStack() as stack:
        wire = stack.enter_context(serving_grpc())
        away = ServerStores.connect(wire.url, grpc_port=wire.port)
        stack.callback(away.close)
        home = EdgeStores(tmp_path / "back").create("papers", FINGERPRINT)
        stack.callback(home.close)
        middle = away.create("papers", FINGERPRINT)
        copy_passages(source, middle)
        copy_passages(middle, home)
        assert checksums(home) == checksums(source)
        ids = [point.chunk.id for point in graded_points()]
        before, after = (one.max_sim(graded_query(), ids) for one in (source, home))
        assert sorted(ids, key=before.__getitem__) == sorted(ids, key=after.__getitem__)


def test_a_second_copy_sends_nothing(source: EdgeCollection, stores: ServerStores) -> None:
    """A second copy sends nothing: passages already in the target are skipped."""
    target = stores.create("papers", FINGERPRINT)
    copy_passages(source, target)
    assert copy_passages(source, target) == Copied(sent=0, present=COUNT)


def test_a_broken_copy_is_taken_up(source: EdgeCollection, stores: ServerStores, wire: Wire) -> None:
    """After a failure the next copy sends only the rest."""
    target = stores.create("papers", FINGERPRINT)
    heard: list[tuple[int, int]] = []

    def after_the_first_batch(done: int, total: int) -> None:
        heard.append((done, total))
        wire.fail(Fault(500, path="/points"))

    with pytest.raises(StoreUnavailableError):
        copy_passages(source, target, progress=after_the_first_batch)
    [(done, total)] = heard
    assert 0 < done < total == COUNT
    assert copy_passages(source, target) == Copied(sent=COUNT - done, present=done)


def test_a_changed_passage_is_sent_again(source: EdgeCollection, stores: ServerStores) -> None:
    """A passage whose payload differs in the target is replaced."""
    target = stores.create("papers", FINGERPRINT)
    copy_passages(source, target)
    first = points(1)[0]
    target.upsert([replace(first, chunk=replace(first.chunk, title="Another title"))])
    assert copy_passages(source, target) == Copied(sent=1, present=COUNT - 1)
    assert checksums(target) == checksums(source)


def test_collections_built_differently_do_not_mix(source: EdgeCollection, stores: ServerStores) -> None:
    """A target built with another encoder is an error that names the difference; nothing is written."""
    target = stores.create("papers", replace(FINGERPRINT, encoder="other/encoder"))
    with pytest.raises(FingerprintMismatchError, match="encoder: 'test/encoder@1', not 'other/encoder'"):
        copy_passages(source, target)
    assert target.count() == 0


def test_passages_of_others_are_not_buried(source: EdgeCollection, stores: ServerStores) -> None:
    """A target that already holds other passages is refused and left as it is."""
    target = stores.create("papers", FINGERPRINT)
    target.upsert(points(COUNT + 3)[COUNT:])
    with pytest.raises(StoreError, match="3 passages that this one does not"):
        copy_passages(source, target)
    assert target.count() == 3


class Forgetful:
    """A target that acknowledges every passage and keeps only some."""

    def __init__(self) -> None:
        self.kept: list[Chunk] = []

    @property
    def fingerprint(self) -> Fingerprint:
        return FINGERPRINT

    def chunks(self) -> Iterator[Chunk]:
        return iter(self.kept)

    def upsert(self, points: Sequence[Point]) -> None:
        self.kept += [replace(points[0].chunk, text="garbled"), *(point.chunk for point in points[2:])]

    def flush(self) -> None:
        pass


def test_a_copy_that_differs_is_an_error(source: EdgeCollection) -> None:
    """A copy is read back, and the error counts the passages that are missing or changed."""
    with pytest.raises(StoreError, match="3 passages missing, 3 changed, 0 too many"):
        copy_passages(source, Forgetful())  # type: ignore[arg-type]  # it does what a copy needs


def test_an_empty_collection_is_copied(tmp_path: Path, stores: ServerStores) -> None:
    """An empty collection is copied without an error."""
    with closing(EdgeStores(tmp_path).create("empty", FINGERPRINT)) as empty:
        assert copy_passages(empty, stores.create("empty", FINGERPRINT)).total == 0
