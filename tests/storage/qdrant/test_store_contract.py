"""One contract over every store: Qdrant Edge, qdrant-client's local mode, and a server where one is given.

A real server takes part when `tests.support.real_qdrant` is told of one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest

from storage.errors import BadInputError, NotFoundError, StoreError
from storage.qdrant.contract import TOKENS, CollectionStore, CollectionStores, Fingerprint
from storage.qdrant.edge.stores import EdgeCollection, EdgeStores
from storage.qdrant.filters import parse_filter
from storage.qdrant.server.stores import ServerCollection, ServerStores
from storage.records import Chunk
from storage.vectors import Leg, Point, max_sim, normalised
from tests.support import real_qdrant
from tests.support.passages import DIM, FINGERPRINT, graded_points, graded_query, legs, points
from tests.support.qdrant_grpc import serving_grpc
from tests.support.qdrant_wire import serving

# the client's local mode warns that it ignores indexes and search parameters
pytestmark = [
    pytest.mark.heavy,
    pytest.mark.filterwarnings("ignore:Local mode performs exact:UserWarning"),
    pytest.mark.filterwarnings("ignore:Payload indexes have no effect:UserWarning"),
]

# The tolerated differences of scores. Legs are exact float32 scans on each; token vectors are stored in
# 4 bits a dimension by the engines and in float32 by the client's local mode.
LEG_TOLERANCE = 1e-4
TOKEN_TOLERANCE = 0.05


@contextmanager
def _stores(kind: str, folder: Path) -> Iterator[CollectionStores]:
    if kind == "edge":
        yield EdgeStores(folder / "edge")
    elif kind == "memory":
        yield ServerStores.in_memory()
    elif kind == "rest":
        with serving() as wire, closing(ServerStores.connect(wire.url, prefer_grpc=False)) as stores:
            yield stores
    elif kind == "sharded":
        with serving() as wire, closing(ServerStores.connect(wire.url, prefer_grpc=False)) as stores:
            wire.shards = 3
            yield stores
    elif kind == "grpc":
        with (
            serving_grpc() as grpc_wire,
            closing(ServerStores.connect(grpc_wire.url, grpc_port=grpc_wire.port)) as stores,
        ):
            yield stores
    else:
        with real_qdrant.connected() as stores:
            yield stores


# `rest` and `grpc`: the local mode behind the real protocol, so that what is sent and read back travels
KINDS = ["edge", "memory", "rest", "grpc", "sharded", *real_qdrant.KINDS]


@pytest.fixture(params=KINDS)
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[CollectionStores]:
    with _stores(request.param, tmp_path) as stores:
        yield stores


@pytest.fixture
def name(stores: CollectionStores) -> Iterator[str]:
    name = f"合同-{uuid4().hex[:8]}"
    yield name
    if name in stores.names():
        stores.drop(name)


@pytest.fixture
def collection(stores: CollectionStores, name: str) -> Iterator[CollectionStore]:
    with closing(stores.create(name, FINGERPRINT)) as collection:
        yield collection


def test_a_passage_comes_back_as_it_was_stored(collection: CollectionStore) -> None:
    """Every field of a passage is read back: text of any script, None, numbers, flags, metadata."""
    stored = points()
    collection.upsert(stored)
    expected = {point.chunk.id: point.chunk for point in stored}
    for hits in collection.search(legs(), limit=40):
        assert hits
        assert all(hit.chunk == expected[hit.chunk.id] for hit in hits)


def test_the_legs_of_a_query_are_answered_in_their_order(collection: CollectionStore) -> None:
    """Each leg has its own hits, best first, at most `limit`, and no illegible passage in the dense one."""
    collection.upsert(points())
    dense, lexical = collection.search(legs(), limit=10)
    reversed_lexical, reversed_dense = collection.search(legs()[::-1], limit=10)
    assert [hit.chunk.id for hit in dense] == [hit.chunk.id for hit in reversed_dense]
    assert [hit.chunk.id for hit in lexical] == [hit.chunk.id for hit in reversed_lexical]
    assert len(dense) == 10
    assert [hit.score for hit in dense] == sorted((hit.score for hit in dense), reverse=True)
    assert all(hit.chunk.legible for hit in dense)


def test_no_leg_and_an_empty_collection_find_nothing(collection: CollectionStore) -> None:
    """A search without legs, or of an empty collection, finds nothing and is no error."""
    assert collection.search([], limit=5) == []
    assert collection.search(legs(), limit=5) == [[], []]
    assert collection.count() == 0
    assert (
        collection.max_sim(np.eye(DIM, dtype=np.float32)[:2], ["7b1f1f5e-0000-5000-8000-000000000000"]) == {}
    )


@pytest.mark.parametrize("limit", [1, 4, 7, 8, 20])
def test_passages_of_one_score_come_by_id(collection: CollectionStore, limit: int) -> None:
    """Equal scores are put in order by id, so that every store gives them alike, wherever the list is cut."""
    stored = points()
    twin = next(point for point in stored if point.dense is not None)
    twins = [replace(point, lexical=twin.lexical, dense=twin.dense) for point in stored[:8]]
    collection.upsert([*twins, *stored[8:]])
    assert twin.dense is not None
    asked = [Leg("dense", twin.dense), Leg("lexical", twin.lexical)]
    first = sorted(point.chunk.id for point in twins)
    for hits in collection.search(asked, limit=limit):
        assert [hit.chunk.id for hit in hits][: min(limit, 8)] == first[:limit]
        assert len(hits) <= limit


def test_an_upsert_replaces_the_passage_with_the_same_id(collection: CollectionStore) -> None:
    """Upserting an id again replaces the passage."""
    collection.upsert(points())
    collection.upsert(points()[:5])
    assert collection.count() == 40


def test_a_document_is_deleted_but_for_what_is_kept(collection: CollectionStore) -> None:
    """delete_document removes only the document's passages, except those in `keep`."""
    stored = points()
    collection.upsert(stored)
    own = [point.chunk.id for point in stored if point.chunk.document_id == "doc-1"]
    collection.delete_document("doc-1", keep=own[:3])
    assert collection.count() == 40 - len(own) + 3
    collection.delete_document("doc-1")
    assert collection.count() == 40 - len(own)
    collection.delete_document("no such document")
    assert collection.count() == 40 - len(own)


def test_max_sim_scores_the_given_passages_alone(collection: CollectionStore) -> None:
    """Scores are MaxSim within the storage type's tolerance; passages without token vectors are left out."""
    stored = points()
    collection.upsert(stored)
    query = normalised(np.random.default_rng(3).normal(size=(4, DIM)).astype(np.float32))
    asked = [point.chunk.id for point in stored[:16]]
    scores = collection.max_sim(query, asked)
    exact = {p.chunk.id: max_sim(query, p.tokens) for p in stored[:16] if p.tokens is not None}
    assert scores.keys() == exact.keys()
    assert all(abs(scores[id_] - exact[id_]) <= TOKEN_TOLERANCE * len(query) for id_ in exact)


def test_token_vectors_come_back(collection: CollectionStore) -> None:
    """Stored token vectors keep their shape and direction."""
    stored = points(10)
    collection.upsert(stored)
    vectors = collection.token_vectors([point.chunk.id for point in stored])
    assert vectors.keys() == {point.chunk.id for point in stored if point.tokens is not None}
    for point in stored:
        if point.tokens is not None:
            read = vectors[point.chunk.id]
            assert read.shape == point.tokens.shape
            assert np.sum(normalised(read) * point.tokens, axis=1).min() > 1 - TOKEN_TOLERANCE


def test_dense_vectors_come_back(collection: CollectionStore) -> None:
    """Stored dense vectors keep their direction; a passage without one is left out."""
    stored = points(10)
    collection.upsert(stored)
    vectors = collection.dense_vectors([point.chunk.id for point in stored])
    assert vectors.keys() == {point.chunk.id for point in stored if point.dense is not None}
    for point in stored:
        if point.dense is not None:
            assert float(normalised(vectors[point.chunk.id]) @ point.dense) > 1 - TOKEN_TOLERANCE
    assert collection.dense_vectors([]) == {}


def _beside(points: Sequence[Point], reach: int) -> tuple[list[Chunk], set[str]]:
    """Return two passages of two documents, and the ids of all passages within reach of them."""
    chunks = [point.chunk for point in points]
    asked = [chunks[12], chunks[21]]
    beside = {
        other.id
        for one in asked
        for other in chunks
        if other.document_id == one.document_id and abs(other.ordinal - one.ordinal) <= reach
    }
    return asked, beside


@pytest.mark.parametrize("reach", [3, 4, 8])
def test_the_neighbours_of_passages_come_in_one_read(collection: CollectionStore, reach: int) -> None:
    """Neighbours are the passages of the document within reach by ordinal, the given ones included."""
    collection.upsert(points())
    asked, beside = _beside(points(), reach)
    found = collection.neighbours(asked, reach)
    assert len(found) == len(beside) == 2 * (1 + 2 * (reach // 4))
    assert {chunk.id for chunk in found} == beside
    stored = {point.chunk.id: point.chunk for point in points()}
    assert all(chunk == stored[chunk.id] for chunk in found)
    assert collection.neighbours([], reach) == []


def test_passages_and_neighbours_are_those_that_a_search_would_find(collection: CollectionStore) -> None:
    """Given passages and neighbours are held to a filter by the rule of a search, numbers in quotes too."""
    collection.upsert(points())
    where = parse_filter('year = "2016" or not (lang = "zh" or year in ("2018", 7))')
    legible = [point.chunk for point in points() if point.dense is not None]
    wanted = {hit.chunk.id for hit in collection.search(legs(), 100, where)[0]}
    assert 0 < len(wanted) < len(legible)
    assert {chunk.id for chunk in collection.passages([chunk.id for chunk in legible], where)} == wanted
    assert collection.passages([], where) == []
    near = {chunk.id for chunk in collection.neighbours(legible, 1)} - {
        point.chunk.id for point in points() if point.dense is None
    }
    assert {chunk.id for chunk in collection.neighbours(legible, 1, where)} & near == wanted & near
    assert sum(collection.by_document(where).values()) == len(collection.first(100, where))


def test_what_has_no_order_does_not_flood_its_neighbours(collection: CollectionStore) -> None:
    """Passages that all share one ordinal give no more neighbours than an ordered document would."""
    flat = [Point(replace(p.chunk, ordinal=0), p.lexical, p.dense, p.tokens) for p in points()]
    collection.upsert(flat)
    assert 1 < len(collection.neighbours([flat[0].chunk], 1)) <= 3


def test_an_exact_leg_finds_what_the_other_finds(collection: CollectionStore) -> None:
    """An exact leg finds the same as an ordinary one in a collection without a graph."""
    collection.upsert(points())
    scanned = collection.search([replace(leg, exact=True) for leg in legs()], 10)
    for exact, usual in zip(scanned, collection.search(legs(), 10), strict=True):
        assert [hit.chunk.id for hit in exact] == [hit.chunk.id for hit in usual]


def test_sixteen_threads_ask_at_once(collection: CollectionStore) -> None:
    """Sixteen threads on one open collection each get the same hits as alone."""
    collection.upsert(points())
    alone = [collection.search(legs()[:1], limit) for limit in range(1, 17)]
    with ThreadPoolExecutor(16) as pool:
        together = list(pool.map(lambda limit: collection.search(legs()[:1], limit), [*range(1, 17)] * 4))
    assert together == alone * 4


def test_a_vector_of_another_dimension_is_refused(collection: CollectionStore) -> None:
    """A query that does not fit the collection is an error that names both dimensions."""
    with pytest.raises(BadInputError, match=f"{DIM + 1} dimensions.*{DIM}"):
        collection.search([Leg("dense", np.ones(DIM + 1, dtype=np.float32))], 5)


def test_a_vector_that_holds_no_numbers_is_refused(collection: CollectionStore) -> None:
    """A query vector with NaN is refused: it would rank passages at random."""
    with pytest.raises(BadInputError, match="not a number"):
        collection.search([Leg("dense", np.full(DIM, np.nan, dtype=np.float32))], 5)


def test_a_collection_without_token_vectors_scores_none(stores: CollectionStores, name: str) -> None:
    """MaxSim returns nothing, without an error, for a collection without token vectors."""
    bare = Fingerprint("test/encoder@1", DIM, "sections:256", "bm25", token_dim=None)
    with closing(stores.create(name, bare)) as collection:
        stored = [Point(p.chunk, p.lexical, p.dense) for p in points(6)]
        collection.upsert(stored)
        ids = [point.chunk.id for point in stored]
        assert collection.max_sim(np.eye(DIM, dtype=np.float32)[:2], ids) == {}
        assert collection.token_vectors(ids) == {}


def test_a_collection_is_found_again_with_its_fingerprint(stores: CollectionStores, name: str) -> None:
    """A closed collection opens again with its passages and its fingerprint."""
    with closing(stores.create(name, FINGERPRINT)) as made:
        made.upsert(points())
    assert name in stores.names()
    with closing(stores.open(name)) as opened:
        assert (opened.name, opened.fingerprint, opened.count()) == (name, FINGERPRINT, 40)
        with pytest.raises(BadInputError, match="exists already"):
            stores.create(name, FINGERPRINT)


def test_a_closed_collection_says_so(stores: CollectionStores, name: str) -> None:
    """A call after close is an error of winnow's."""
    collection = stores.create(name, FINGERPRINT)
    collection.close()
    with pytest.raises(StoreError):
        collection.count()


def test_all_passages_can_be_read_back(collection: EdgeCollection | ServerCollection) -> None:
    """chunks() gives every passage once; passages() those asked for, points() with the vectors they have."""
    stored = {point.chunk.id: point for point in points()}
    collection.upsert(list(stored.values()))
    chunks = list(collection.chunks())
    assert len(chunks) == len(stored)
    chunks_of = {id_: point.chunk for id_, point in stored.items()}
    assert {chunk.id: chunk for chunk in chunks} == chunks_of
    asked = [*list(stored)[:5], "7b1f1f5e-0000-5000-8000-000000000000"]
    assert {chunk.id: chunk for chunk in collection.passages(asked)} == {
        id_: chunks_of[id_] for id_ in asked[:5]
    }
    assert collection.passages([]) == []
    read = collection.points([*stored, "7b1f1f5e-0000-5000-8000-000000000000"])
    assert {point.chunk.id for point in read} == stored.keys()
    for point in read:
        original = stored[point.chunk.id]
        pairs = zip(point.lexical.indices, point.lexical.values, strict=True)
        assert dict(pairs) == pytest.approx(
            dict(zip(original.lexical.indices, original.lexical.values, strict=True))
        )
        assert (point.dense is None, point.tokens is None) == (not original.chunk.legible,) * 2
        if point.dense is not None and original.dense is not None:
            assert point.dense == pytest.approx(original.dense, abs=LEG_TOLERANCE)


def test_what_is_not_there_is_not_found(stores: CollectionStores) -> None:
    """An unknown collection cannot be opened or dropped, and an invalid name is refused."""
    for use in (stores.open, stores.drop):
        with pytest.raises(NotFoundError, match="absent"):
            use("absent")
        with pytest.raises(BadInputError, match="not a collection name"):
            use("../etc")


def test_a_dropped_collection_is_gone(stores: CollectionStores, name: str) -> None:
    """After drop the name is free again."""
    stores.create(name, FINGERPRINT).close()
    stores.drop(name)
    assert name not in stores.names()
    stores.create(name, FINGERPRINT).close()


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "edge"])
def test_every_store_ranks_alike(kind: str, tmp_path: Path) -> None:
    """Every store gives the same ids in the same order, and scores within the stated tolerance."""
    name = f"alike-{uuid4().hex[:8]}"
    with (
        _stores("edge", tmp_path) as one,
        _stores(kind, tmp_path) as other,
        closing(one.create(name, FINGERPRINT)) as edge,
        closing(other.create(name, FINGERPRINT)) as server,
    ):
        for collection in (edge, server):
            collection.upsert(points())
        for mine, theirs in zip(edge.search(legs(), 30), server.search(legs(), 30), strict=True):
            assert mine
            assert [hit.chunk.id for hit in mine] == [hit.chunk.id for hit in theirs]
            assert [hit.score for hit in mine] == pytest.approx(
                [hit.score for hit in theirs], rel=LEG_TOLERANCE, abs=LEG_TOLERANCE
            )
        query = graded_query()
        edge.upsert(graded_points())
        server.upsert(graded_points())
        ids = [point.chunk.id for point in graded_points()]
        ours, others = edge.max_sim(query, ids), server.max_sim(query, ids)
        assert sorted(ids, key=ours.__getitem__) == sorted(ids, key=others.__getitem__)
        assert all(abs(ours[id_] - others[id_]) <= TOKEN_TOLERANCE * len(query) for id_ in ids)
        other.drop(name)


def test_the_token_leg_can_be_searched_like_any_other(collection: CollectionStore) -> None:
    """A leg over the token vectors finds the passage whose own tokens are the query."""
    stored = points(12)
    collection.upsert(stored)
    tokens = stored[4].tokens
    assert tokens is not None
    [hits] = collection.search([Leg(TOKENS, tokens)], limit=3)
    assert hits[0].chunk.id == stored[4].chunk.id
