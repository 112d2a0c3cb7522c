"""Servers of an older version, in strict mode, or with limits: the tests' own answers as real ones do."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace

import grpc
import numpy as np
import pytest
from qdrant_client import models

from storage.errors import BadInputError, StoreError, StoreRefusedError, StoreUnavailableError
from storage.qdrant.conditions import All
from storage.qdrant.filters import parse_filter
from storage.qdrant.matching import matches
from storage.qdrant.payload_indexes import OWN_ON_A_SERVER
from storage.qdrant.server.document_frequency import COUNTED, DocumentFrequencies
from storage.qdrant.server.stores import ServerStores
from storage.qdrant.tuning import Tuning
from storage.vectors import Leg, SparseVector
from tests.support.passages import DIM, FINGERPRINT, legs, points
from tests.support.qdrant_grpc import GrpcWire, serving_grpc
from tests.support.qdrant_wire import Fault, Wire, serving

pytestmark = pytest.mark.heavy

STRICT = {
    "unindexed_filtering_retrieve": False,
    "unindexed_filtering_update": False,
    "max_payload_index_count": 100,
}


@pytest.fixture
def server() -> Iterator[GrpcWire]:
    with serving_grpc() as wire:
        yield wire


@pytest.fixture(params=["rest", "grpc"])
def stores(request: pytest.FixtureRequest, server: GrpcWire) -> Iterator[ServerStores]:
    grpc = request.param == "grpc"
    with closing(ServerStores.connect(server.url, prefer_grpc=grpc, grpc_port=server.port)) as stores:
        yield stores


def _found(stores: ServerStores, where: str) -> set[str]:
    with closing(stores.open("papers")) as collection:
        hits = collection.search(legs(), limit=100, where=parse_filter(where))[1]
        return {hit.chunk.id for hit in hits}


def _expected(where: str) -> set[str]:
    asked = set(legs()[1].query.indices)  # type: ignore[union-attr]  # the lexical one
    return {
        point.chunk.id
        for point in points()
        if not asked.isdisjoint(point.lexical.indices) and matches(parse_filter(where), point.chunk)
    }


CONTAINS = [
    'source contains "notes/1"',
    'source not contains "1.md"',
    'headings contains "Part 1" and year > 2016',
    'lang contains "z"',
    'mixed contains "2024"',
    'source contains "nowhere"',
]


@pytest.mark.parametrize("where", CONTAINS)
def test_an_older_server_finds_a_piece_of_text_by_the_values(
    server: GrpcWire, stores: ServerStores, where: str
) -> None:
    """Below 1.20 `contains` lists the values of an indexed field and finds the same passages."""
    server.rest.version = "1.19.0"
    stores.create("papers", FINGERPRINT).upsert(points())
    assert _found(stores, where) == _expected(where)


@pytest.mark.parametrize("where", ['text contains "passage"', 'year contains "20"'])
def test_what_an_older_server_cannot_find_is_refused(
    server: GrpcWire, stores: ServerStores, where: str
) -> None:
    """A field without a list of values needs the newer server, and the error says so."""
    server.rest.version = "1.19.0"
    stores.create("papers", FINGERPRINT).upsert(points())
    with pytest.raises(BadInputError, match=r"needs Qdrant 1\.20; the server has 1\.19\.0") as caught:
        _found(stores, where)
    assert "Upgrade the server" in caught.value.way_out


OF_OURS = [
    'title = "Document 1"',
    "ordinal < 7",
    "legible = false",
    "start >= 500 and end < 1000",
    'headings = "Part 1"',
    "title is null",
    'lang = "zh" and year >= 2018',
    'document_id = "doc-2"',
]


@pytest.mark.parametrize("where", OF_OURS)
def test_a_strict_server_answers_filters_on_our_own_fields(
    server: GrpcWire, stores: ServerStores, where: str
) -> None:
    """Every field of ours but the text has an index, so that strict mode allows filters on it."""
    server.rest.strict = STRICT
    stores.create("papers", FINGERPRINT).upsert(points())
    assert _found(stores, where) == _expected(where)


def test_a_strict_server_expands_and_deletes(server: GrpcWire, stores: ServerStores) -> None:
    """Neighbours and deletion filter on fields that are indexed."""
    server.rest.strict = STRICT
    stored = points()
    collection = stores.create("papers", FINGERPRINT)
    collection.upsert(stored)
    around = collection.neighbours([stored[8].chunk], reach=4)
    assert {chunk.ordinal for chunk in around} == {4, 8, 12}
    collection.delete_document("doc-1")
    assert collection.count() == 30


def test_a_strict_server_is_not_asked_for_what_nothing_has(server: GrpcWire, stores: ServerStores) -> None:
    """A collection without metadata has no index to ask: the answer is known."""
    server.rest.strict = STRICT
    bare = [replace(point, chunk=replace(point.chunk, metadata={})) for point in points()]
    stores.create("papers", FINGERPRINT).upsert(bare)
    assert _found(stores, 'lang = "zh"') == set()
    assert _found(stores, "lang is null") == _found(stores, "ordinal >= 0")


def test_the_indexes_of_a_strict_server_are_not_exceeded(server: GrpcWire, stores: ServerStores) -> None:
    """Metadata past the server's limit gets no index, and a filter on it is refused in those words."""
    server.rest.strict = {**STRICT, "max_payload_index_count": len(OWN_ON_A_SERVER) + 2}
    stores.create("papers", FINGERPRINT).upsert(points())
    assert len(server.rest.indexes["papers"]) == len(OWN_ON_A_SERVER) + 2
    assert _found(stores, 'lang = "zh"') == _expected('lang = "zh"')
    with pytest.raises(BadInputError, match="refuses filters on what has no index, as published has"):
        _found(stores, 'published > "2024-01-01"')


@pytest.mark.parametrize("shards", [1, 3])
def test_searches_keep_to_a_strict_servers_limits(server: GrpcWire, shards: int) -> None:
    """Beam and results are what the collection allows; what is asked for whole comes in parts."""
    server.rest.strict = {"search_max_hnsw_ef": 128, "max_query_limit": 7, "search_allow_exact": False}
    server.rest.shards = shards
    stored = points()
    with closing(ServerStores.connect(server.url, prefer_grpc=False)) as stores:
        collection = stores.create("papers", FINGERPRINT)
        collection.upsert(stored)
        assert [len(hits) for hits in collection.search(legs(), limit=50)] == [7, 7]
        sent = server.rest.bodies["POST /collections/papers/points/query/batch"]["searches"][0]
        ids = [point.chunk.id for point in stored if point.tokens is not None]
        assert collection.max_sim(np.eye(DIM, dtype=np.float32), ids).keys() == set(ids)
        assert len(collection.first(20)) == 20
        assert collection.by_document(All(())) == Counter(point.chunk.document_id for point in stored)
    if shards == 1:
        assert (sent["params"]["exact"], sent["params"]["hnsw_ef"], sent["limit"]) == (False, 128, 7)


@pytest.mark.parametrize("always", [False, True])
def test_an_exact_search_that_is_not_allowed_is_refused(server: GrpcWire, *, always: bool) -> None:
    """Another search than the one that was asked for would be no answer: the error says what to change."""
    server.rest.strict = {"search_allow_exact": False}
    tuning = Tuning(exact=always)
    with closing(ServerStores.connect(server.url, prefer_grpc=False, tuning=tuning)) as stores:
        collection = stores.create("papers", FINGERPRINT)
        collection.upsert(points())
        with pytest.raises(StoreRefusedError, match="Exact search disabled") as caught:
            collection.search([replace(leg, exact=not always) for leg in legs()], limit=5)
    assert "store.tuning.exact = false, without --exact" in caught.value.way_out


def test_metadata_of_another_process_is_noticed(stores: ServerStores) -> None:
    """An open collection learns of a field that another process brought."""
    mine = stores.create("papers", FINGERPRINT)
    mine.upsert(points(4))
    one = points(5)[4]
    tagged = replace(one, chunk=replace(one.chunk, metadata={"colour": "red"}))
    stores.open("papers").upsert([tagged])
    hits, _ = mine.search(legs(), limit=5, where=parse_filter('colour = "red"'))
    assert [hit.chunk.id for hit in hits] == [one.chunk.id]


def test_default_settings_send_no_empty_ones(server: GrpcWire) -> None:
    """A cluster waits in vain for a create with an empty graph: without settings none are sent."""
    with closing(ServerStores.connect(server.url, prefer_grpc=False)) as stores:
        stores.create("papers", FINGERPRINT)
    sent = server.rest.bodies["PUT /collections/papers"]
    assert sent["vectors"]["dense"].get("hnsw_config") is None
    assert sent.get("optimizers_config") is None


def test_a_create_whose_answer_is_lost_is_completed(server: GrpcWire) -> None:
    """What arrived though the answer did not is gone on with, its indexes made."""
    rest = server.rest

    def arrived() -> None:
        rest.before["GET /collections/papers"] = made

    def made() -> None:
        body = rest.bodies["PUT /collections/papers"]
        rest.client.create_collection(
            "papers",
            vectors_config=_vectors(body),
            sparse_vectors_config={"lexical": {}},  # type: ignore[dict-item]  # as it travels
            metadata=body["metadata"],
        )

    rest.before["PUT /collections/papers"] = arrived
    rest.fail(Fault(500, path="/collections/papers"))
    with closing(ServerStores.connect(server.url, prefer_grpc=False)) as stores:
        stores.create("papers", FINGERPRINT).upsert(points(3))
        assert stores.state("papers").lacking == ()


def _vectors(body: dict[str, dict[str, dict[str, int]]]) -> dict[str, object]:
    return {name: models.VectorParams(**value) for name, value in body["vectors"].items()}  # type: ignore[arg-type]


def test_missing_indexes_are_told_and_made(server: GrpcWire, stores: ServerStores) -> None:
    """A collection that lacks indexes of ours gets them at the next ingest, even one that writes nothing."""
    collection = stores.create("papers", FINGERPRINT)
    collection.upsert(points(3))
    del server.rest.indexes["papers"]["document_id"], server.rest.indexes["papers"]["ordinal"]
    assert stores.state("papers").lacking == ("document_id", "ordinal")
    stores.open("papers").flush()
    assert stores.state("papers").lacking == ()


def test_a_batch_that_is_too_large_goes_in_halves(server: GrpcWire) -> None:
    """A server that takes less than a batch gets smaller ones, until all is stored."""
    server.rest.most_bytes = 20_000
    with closing(ServerStores.connect(server.url, prefer_grpc=False)) as stores:
        collection = stores.create("papers", FINGERPRINT)
        collection.upsert(points())
        assert collection.count() == 40


def test_a_passage_that_is_too_large_is_named(server: GrpcWire) -> None:
    """Where one passage alone is too large the error gives its document, its place and the limit to raise."""
    server.rest.most_bytes = 1_500
    with closing(ServerStores.connect(server.url, prefer_grpc=False)) as stores:
        collection = stores.create("papers", FINGERPRINT)
        with pytest.raises(StoreError, match=r"passage \d+ of notes/\d\.md .* larger than allowed") as caught:
            collection.upsert(points())
    assert "max_request_size_mb" in caught.value.way_out


REFUSALS = [
    ('Limit exceeded 200 > 128 for "hnsw_ef"', "store.tuning.hnsw_ef"),
    ('Index required but not found for "text" of one of the following types: [text]', "strict mode"),
    ("Can't create collection with name x. Max collections limit reached: 3", "storage.max_collections"),
    ("something new", "winnow doctor shows the server's version"),
]


@pytest.mark.parametrize(("says", "way_out"), REFUSALS)
def test_a_refusal_is_told_with_its_own_way_out(
    server: GrpcWire, stores: ServerStores, says: str, way_out: str
) -> None:
    """A request that the server does not take is an error of its own, in both protocols."""
    collection = stores.create("papers", FINGERPRINT)
    server.abort(grpc.StatusCode.INVALID_ARGUMENT, details=says)
    server.rest.fail(_bad_request(says))
    with pytest.raises(StoreRefusedError) as caught:
        collection.count()
    assert says in str(caught.value)
    assert way_out in caught.value.way_out


def _bad_request(says: str) -> Fault:
    body = '{"status": {"error": "Bad request: ' + says.replace('"', '\\"') + '"}}'
    return Fault(400, body.encode(), path="/count")


def test_a_full_disk_is_named(server: GrpcWire, stores: ServerStores) -> None:
    """The server's full disk has a way out of its own."""
    collection = stores.create("papers", FINGERPRINT)
    says = "Service internal error: No space left on device"
    server.abort(grpc.StatusCode.INTERNAL, details=says)
    server.rest.fail(Fault(500, f'{{"status": {{"error": "{says}"}}}}'.encode(), path="/count"))
    with pytest.raises(StoreUnavailableError, match="No space left") as caught:
        collection.count()
    assert "disk is full" in caught.value.way_out


def test_a_key_that_may_not_is_told_what_it_needs(server: GrpcWire, stores: ServerStores) -> None:
    """A key without the permission is told apart from a wrong key."""
    collection = stores.create("papers", FINGERPRINT)
    says = "Write access to collection papers is required"
    server.abort(grpc.StatusCode.PERMISSION_DENIED, details=says)
    server.rest.fail(Fault(403, f'{{"status": {{"error": "Forbidden: {says}"}}}}'.encode(), path="/count"))
    with pytest.raises(StoreUnavailableError, match=f"does not allow this key that.*{says}") as caught:
        collection.count()
    assert "for an ingest, to write" in caught.value.way_out


def test_a_wrong_key_is_quoted(server: GrpcWire) -> None:
    """The server's own sentence, which is not JSON, is in the error."""
    server.rest.api_key = "right"
    with (
        closing(ServerStores.connect(server.url, api_key="wrong", prefer_grpc=False)) as stores,
        pytest.raises(StoreUnavailableError, match=r"refused the API key and said: Invalid API key or JWT"),
    ):
        stores.names()


@pytest.mark.parametrize("name", ["汉" * 67, "汉" * 100])
def test_a_name_that_no_file_can_have_is_refused(stores: ServerStores, name: str) -> None:
    """A name is at most 200 bytes, since a file is called so; it exists nowhere."""
    assert not stores.exists(name)
    with pytest.raises(BadInputError, match="is not a collection name"):
        stores.create(name, FINGERPRINT)


@contextmanager
def _gone_while_listed(wire: Wire, name: str) -> Iterator[None]:
    wire.before[f"GET /collections/{name}"] = lambda: wire.client.delete_collection(name)
    yield


def test_a_collection_that_goes_while_others_are_listed_is_left_out(server: GrpcWire) -> None:
    """A deletion by another process between list and look spoils no list."""
    with closing(ServerStores.connect(server.url, prefer_grpc=False)) as stores:
        for name in ("a", "b", "c"):
            stores.create(name, FINGERPRINT)
        with _gone_while_listed(server.rest, "b"):
            assert stores.names() == ["a", "c"]


def test_a_collection_whose_nodes_are_down_spoils_nothing_else(server: GrpcWire) -> None:
    """One that cannot be read is listed; others are used without a look at it."""
    with closing(ServerStores.connect(server.url, prefer_grpc=False)) as stores:
        stores.create("sick", FINGERPRINT)
        stores.create("well", FINGERPRINT).upsert(points(3))
        server.rest.fail(*[Fault(500, path="/collections/sick")] * 3)
        assert stores.names() == ["sick", "well"]
        assert stores.exists("well")
        assert stores.leftovers() == {}
        assert stores.open("well").count() == 3


def test_scores_do_not_depend_on_the_shards(server: GrpcWire) -> None:
    """A server weighs terms in each shard by itself; what is found is scored by the whole collection."""
    with (
        serving() as whole,
        closing(ServerStores.connect(whole.url, prefer_grpc=False)) as one,
        closing(ServerStores.connect(server.url, prefer_grpc=False)) as three,
    ):
        server.rest.shards = 3
        alone, scattered = one.create("papers", FINGERPRINT), three.create("papers", FINGERPRINT)
        for collection in (alone, scattered):
            collection.upsert(points(200))
        asked = [
            Leg("lexical", SparseVector((term, term + 7, term + 20), (1.0, 0.5, 2.0))) for term in range(20)
        ]
        for mine, theirs in zip(alone.search(asked, 10), scattered.search(asked, 10), strict=True):
            assert [hit.chunk.id for hit in mine] == [hit.chunk.id for hit in theirs]
            assert [hit.score for hit in mine] == pytest.approx([hit.score for hit in theirs], rel=1e-5)


def test_frequent_terms_are_read_off_the_scores_of_the_shards() -> None:
    """Of a term in more passages than are counted, each shard's own weight tells its frequency there."""
    per_shard, holders = 10_000, (1_200, 1_500, 1_900)
    requests: list[models.QueryRequest] = []

    def ask(asked: Sequence[models.QueryRequest]) -> list[list[models.ScoredPoint]]:
        requests.extend(asked)
        return [[_scored(i, per_shard, holders[i % 3]) for i in range(one.limit or 0)] for one in asked]

    found = DocumentFrequencies(3, ask, lambda: 3 * per_shard).scored(
        SparseVector((5,), (1.0,)), [_scored(0, per_shard, holders[0])]
    )
    everywhere = sum(holders)
    expected = math.log((3 * per_shard - everywhere + 0.5) / (everywhere + 0.5) + 1) * 2.0
    assert found[0].score == pytest.approx(expected, rel=1e-4)
    assert [one.limit for one in requests] == [COUNTED, 24]


def _scored(i: int, passages: int, holders: int) -> models.ScoredPoint:
    """A passage that holds the term 5 with the weight 2, as its shard scores it."""
    idf = math.log((passages - holders + 0.5) / (holders + 0.5) + 1)
    own = models.SparseVector(indices=[3, 5], values=[1.0, 2.0])
    return models.ScoredPoint(id=i, version=0, score=2.0 * idf, vector={"lexical": own})
