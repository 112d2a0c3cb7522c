"""Faults of a Qdrant server, and the errors that winnow raises for them."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Iterator

import grpc
import numpy as np
import pytest

from storage.errors import (
    BadInputError,
    NotFoundError,
    StoreCorruptError,
    StoreError,
    StoreUnavailableError,
    WinnowError,
)
from storage.qdrant.server.points import BATCH_BYTES
from storage.qdrant.server.stores import ServerCollection, ServerStores
from storage.qdrant.tuning import Tuning
from storage.vectors import Point
from tests.support.passages import DIM, FINGERPRINT, legs, points
from tests.support.qdrant_grpc import GrpcWire, serving_grpc
from tests.support.qdrant_wire import Fault, Wire, serving

pytestmark = pytest.mark.heavy


@pytest.fixture
def wire() -> Iterator[Wire]:
    with serving() as wire:
        yield wire


@pytest.fixture
def stores(wire: Wire) -> Iterator[ServerStores]:
    stores = ServerStores.connect(wire.url, prefer_grpc=False, timeout_s=20)
    yield stores
    stores.close()


@pytest.fixture
def collection(stores: ServerStores) -> ServerCollection:
    collection = stores.create("papers", FINGERPRINT)
    collection.upsert(points())
    return collection


@pytest.fixture
def grpc_wire() -> Iterator[GrpcWire]:
    with serving_grpc() as wire:
        yield wire


@pytest.fixture
def grpc_stores(grpc_wire: GrpcWire) -> Iterator[ServerStores]:
    stores = ServerStores.connect(grpc_wire.url, grpc_port=grpc_wire.port, timeout_s=20)
    yield stores
    stores.close()


def _nobody_listens() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


# every call that reaches a server, so that no way to it is left untranslated
STORES_CALLS: dict[str, Callable[[ServerStores], object]] = {
    "version": lambda stores: stores.version(),
    "names": lambda stores: stores.names(),
    "open": lambda stores: stores.open("papers"),
    "create": lambda stores: stores.create("more", FINGERPRINT),
    "drop": lambda stores: stores.drop("papers"),
}
COLLECTION_CALLS: dict[str, Callable[[ServerCollection], object]] = {
    "search": lambda collection: collection.search(legs(), 5),
    "upsert": lambda collection: collection.upsert(points(2)),
    "delete_document": lambda collection: collection.delete_document("doc-1"),
    "max_sim": lambda collection: collection.max_sim(np.eye(DIM, dtype=np.float32), [_an_id()]),
    "token_vectors": lambda collection: collection.token_vectors([_an_id()]),
    "count": lambda collection: collection.count(),
    "chunks": lambda collection: list(collection.chunks()),
    "passages": lambda collection: collection.passages([_an_id()]),
    "points": lambda collection: collection.points([_an_id()]),
}


def _an_id() -> str:
    return points(1)[0].chunk.id


@pytest.mark.parametrize("call", STORES_CALLS.values(), ids=STORES_CALLS.keys())
def test_a_server_that_is_down_is_named(call: Callable[[ServerStores], object]) -> None:
    """The error for a closed port gives the URL, the reason and the way out, but no password."""
    port = _nobody_listens()
    stores = ServerStores.connect(f"http://user:secret@127.0.0.1:{port}", prefer_grpc=False)
    with pytest.raises(StoreUnavailableError, match=f"{port} cannot be reached: .*refused") as caught:
        call(stores)
    assert "store.url" in caught.value.way_out
    assert "secret" not in str(caught.value)
    stores.close()


@pytest.mark.parametrize("call", COLLECTION_CALLS.values(), ids=COLLECTION_CALLS.keys())
def test_a_server_that_breaks_is_named(
    wire: Wire, collection: ServerCollection, call: Callable[[ServerCollection], object]
) -> None:
    """A 500 in any call becomes an error of winnow's that quotes the server."""
    wire.fail(Fault(500))
    with pytest.raises(StoreUnavailableError, match=r"127\.0\.0\.1.*'papers'.*told to fail \(500\)"):
        call(collection)


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_busy_server_is_asked_again(wire: Wire, collection: ServerCollection, status: int) -> None:
    """A request that a busy server or its proxy rejects is retried until it succeeds."""
    before = len(wire.seen)
    wire.fail(Fault(status), Fault(status))
    assert collection.count() == 40
    assert len(wire.seen) - before == 3


def test_patience_has_an_end(wire: Wire, collection: ServerCollection) -> None:
    """A server that stays busy is an error after four tries."""
    before = len(wire.seen)
    wire.fail(*[Fault(503)] * 10)
    with pytest.raises(StoreUnavailableError, match="503"):
        collection.count()
    assert len(wire.seen) - before == 4


def test_a_server_may_say_when_to_come_back(wire: Wire, collection: ServerCollection) -> None:
    """A rate limit with Retry-After is waited for and retried."""
    wire.fail(Fault(429, headers={"Retry-After": "0"}), Fault(429, headers={"Retry-After": "1"}))
    assert collection.count() == 40


@pytest.mark.parametrize("when", ["0.1", "Wed, 21 Oct 2026 07:28:00 GMT"])
def test_a_proxy_may_say_so_in_other_words(wire: Wire, collection: ServerCollection, when: str) -> None:
    """A Retry-After that the client cannot read is a busy server all the same, with a way out."""
    wire.fail(Fault(429, headers={"Retry-After": when}))
    assert collection.count() == 40
    wire.fail(*[Fault(429, headers={"Retry-After": when})] * 4)
    with pytest.raises(StoreUnavailableError) as caught:
        collection.count()
    assert caught.value.way_out


@pytest.mark.parametrize("status", [400, 401, 403, 404, 500])
def test_what_is_no_passing_trouble_is_not_tried_again(
    wire: Wire, collection: ServerCollection, status: int
) -> None:
    """A refused request is not sent again."""
    before = len(wire.seen)
    wire.fail(Fault(status))
    with pytest.raises(WinnowError):
        collection.count()
    assert len(wire.seen) - before == 1


def test_a_slow_server_is_not_waited_for_twice(wire: Wire) -> None:
    """A timeout names the limit and the setting, and the request is not repeated."""
    stores = ServerStores.connect(wire.url, prefer_grpc=False, timeout_s=1)
    collection = stores.create("papers", FINGERPRINT)
    before = len(wire.seen)
    wire.fail(Fault(delay_s=30))
    with pytest.raises(StoreUnavailableError, match="did not answer within 1 s") as caught:
        collection.count()
    assert "store.timeout_s" in caught.value.way_out
    assert len(wire.seen) - before == 1
    stores.close()


@pytest.mark.parametrize("given", [None, "wrong"])
def test_a_wrong_key_is_refused_in_words(wire: Wire, given: str | None) -> None:
    """A missing or wrong key gives an error that names the setting."""
    wire.api_key = "right"
    stores = ServerStores.connect(wire.url, api_key=given, prefer_grpc=False)
    with pytest.raises(StoreUnavailableError, match="refused the API key") as caught:
        stores.names()
    assert "WINNOW_STORE__API_KEY" in caught.value.way_out
    stores.close()


def test_the_right_key_opens(wire: Wire) -> None:
    """The key is sent with each request."""
    wire.api_key = "right"
    stores = ServerStores.connect(wire.url, api_key="right", prefer_grpc=False)
    assert stores.names() == []
    stores.close()


def test_a_key_in_the_clear_is_mentioned(caplog: pytest.LogCaptureFixture) -> None:
    """A key sent to another machine without TLS logs a warning."""
    with caplog.at_level(logging.WARNING):
        ServerStores.connect("http://localhost:6333", api_key="key").close()
        ServerStores.connect("https://qdrant.example", api_key="key").close()
    assert not caplog.records
    ServerStores.connect("http://qdrant.example:6333", api_key="key").close()
    assert "unencrypted" in caplog.text
    assert "key'" not in caplog.text


@pytest.mark.parametrize("url", ["", "localhost:6333", "ftp://localhost", "http://", "qdrant"])
def test_what_is_no_url_is_refused_at_once(url: str) -> None:
    """An invalid URL is an error before anything is sent."""
    with pytest.raises(BadInputError, match="not the URL"):
        ServerStores.connect(url)


@pytest.mark.parametrize("body", [b"<html>welcome to nginx</html>", b'{"hello": 1}', b""])
def test_another_program_on_the_port_is_noticed(wire: Wire, stores: ServerStores, body: bytes) -> None:
    """A successful reply that is not Qdrant's is an error that names the URL."""
    wire.fail(Fault(200, body=body or b" "))
    with pytest.raises(StoreError, match="no Qdrant server says") as caught:
        stores.names()
    assert "store.url" in caught.value.way_out


def test_a_broken_connection_is_tried_again(wire: Wire, collection: ServerCollection) -> None:
    """A connection cut in the middle of a reply is retried."""
    wire.fail(Fault(200, headers={"Content-Length": "100"}, body=b"{"))
    assert collection.count() == 40


def test_a_failed_index_takes_the_collection_back(wire: Wire, stores: ServerStores) -> None:
    """A creation that fails half-way leaves no collection behind."""
    wire.fail(Fault(500, path="/index"))
    with pytest.raises(StoreUnavailableError):
        stores.create("papers", FINGERPRINT)
    assert stores.names() == []
    stores.create("papers", FINGERPRINT)


def test_a_half_made_collection_is_named_and_can_be_dropped(wire: Wire, stores: ServerStores) -> None:
    """A collection that lacks a vector of its fingerprint is not opened, and drop removes it."""
    wire.client.create_collection(
        "half", vectors_config={}, sparse_vectors_config={}, metadata={"winnow": FINGERPRINT.to_dict()}
    )
    with pytest.raises(StoreCorruptError, match=r"half made.*'dense'.*'tokens'.*'lexical'") as caught:
        stores.open("half")
    assert "doctor --repair -c half" in caught.value.way_out
    stores.drop("half")
    assert stores.names() == []


def test_other_peoples_collections_are_left_alone(wire: Wire, stores: ServerStores) -> None:
    """A collection that winnow did not make is not listed, not opened and not dropped."""
    wire.client.create_collection("theirs", vectors_config={})
    assert stores.names() == []
    with pytest.raises(StoreCorruptError, match="not made by winnow"):
        stores.open("theirs")
    with pytest.raises(BadInputError, match="not made by winnow"):
        stores.drop("theirs")
    assert wire.client.collection_exists("theirs")


def test_a_collection_of_another_version_says_so(wire: Wire, stores: ServerStores) -> None:
    """A fingerprint with unknown fields is refused as that of another version."""
    future = {**FINGERPRINT.to_dict(), "shape": "round"}
    wire.client.create_collection("future", vectors_config={}, metadata={"winnow": future})
    with pytest.raises(StoreCorruptError, match="another version of winnow"):
        stores.open("future")


def test_a_collection_that_vanished_is_not_found(wire: Wire, collection: ServerCollection) -> None:
    """A collection deleted by another program raises NotFoundError in the next call."""
    wire.client.delete_collection("papers")
    with pytest.raises(NotFoundError, match="'papers'"):
        collection.search(legs(), 5)


def test_a_passage_too_large_says_what_to_raise(wire: Wire, collection: ServerCollection) -> None:
    """A passage too large for the server gives an error that names the limit to raise."""
    wire.fail(Fault(413, body=b"Payload too large"))
    with pytest.raises(StoreError, match="too large") as caught:
        collection.upsert(points(1))
    assert "max_request_size_mb" in caught.value.way_out


@pytest.mark.slow
def test_points_travel_in_batches_by_bytes(wire: Wire, stores: ServerStores) -> None:
    """No request holds more than BATCH_BYTES of vectors, and every point arrives."""
    collection = stores.create("papers", FINGERPRINT)
    rows = BATCH_BYTES // 4 // DIM // 3  # three passages and a bit fill a batch
    tokens = np.full((rows, DIM), 0.25, dtype=np.float32)
    large = [Point(point.chunk, point.lexical, point.dense, tokens) for point in points(7)]
    del wire.seen[:], wire.sizes[:]
    collection.upsert(large)
    assert len([seen for seen in wire.seen if seen.endswith("/points")]) == 4
    assert max(wire.sizes) < 32 * 1024 * 1024
    assert collection.count() == 7


def test_the_layout_follows_the_tuning(wire: Wire) -> None:
    """A collection is created with the layout given in the settings."""
    tuning = Tuning(
        hnsw_m=24, quantization="turbo", token_datatype="float16", shard_number=3, replication_factor=2
    )
    stores = ServerStores.connect(wire.url, prefer_grpc=False, tuning=tuning)
    stores.create("papers", FINGERPRINT)
    params = wire.client.get_collection("papers").config.params
    assert isinstance(params.vectors, dict)
    assert params.vectors["dense"].hnsw_config is not None
    assert params.vectors["dense"].hnsw_config.m == 24
    assert params.vectors["dense"].quantization_config is not None
    assert params.vectors["tokens"].datatype == "float16"
    assert params.vectors["tokens"].hnsw_config is not None
    assert params.vectors["tokens"].hnsw_config.m == 0
    created = wire.bodies["PUT /collections/papers"]
    assert (created["shard_number"], created["replication_factor"]) == (3, 2)
    stores.close()


GRPC_CODES: list[tuple[grpc.StatusCode, type[WinnowError], str]] = [
    (grpc.StatusCode.UNAUTHENTICATED, StoreUnavailableError, "refused the API key"),
    (grpc.StatusCode.PERMISSION_DENIED, StoreUnavailableError, "does not allow this key"),
    (grpc.StatusCode.NOT_FOUND, NotFoundError, "no collection 'papers'"),
    (grpc.StatusCode.DEADLINE_EXCEEDED, StoreUnavailableError, "did not answer within"),
    (grpc.StatusCode.INVALID_ARGUMENT, StoreError, "refused a request"),
    (grpc.StatusCode.INTERNAL, StoreUnavailableError, "could not serve"),
    (grpc.StatusCode.UNIMPLEMENTED, StoreError, "refused a request"),
]


@pytest.mark.parametrize(("code", "error", "words"), GRPC_CODES, ids=[code.name for code, *_ in GRPC_CODES])
def test_every_grpc_code_has_its_error(
    grpc_wire: GrpcWire,
    grpc_stores: ServerStores,
    code: grpc.StatusCode,
    error: type[WinnowError],
    words: str,
) -> None:
    """Every gRPC code maps to its error, without a retry."""
    collection = grpc_stores.create("papers", FINGERPRINT)
    del grpc_wire.seen[:]
    grpc_wire.abort(code)
    with pytest.raises(error, match=words):
        collection.count()
    assert grpc_wire.seen == ["Count"]


@pytest.mark.parametrize(
    "code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.ABORTED]
)
def test_a_busy_grpc_server_is_asked_again(
    grpc_wire: GrpcWire, grpc_stores: ServerStores, code: grpc.StatusCode
) -> None:
    """Transient gRPC errors are retried."""
    collection = grpc_stores.create("papers", FINGERPRINT)
    del grpc_wire.seen[:]
    grpc_wire.abort(code, code)
    assert collection.count() == 0
    assert grpc_wire.seen == ["Count"] * 3


def test_a_closed_grpc_port_points_to_rest(wire: Wire) -> None:
    """The way out for a closed gRPC port is the setting that uses REST alone."""
    stores = ServerStores.connect(wire.url, grpc_port=_nobody_listens())
    with pytest.raises(StoreUnavailableError, match="gRPC") as caught:
        stores.names()
    assert "store.prefer_grpc = false" in caught.value.way_out
    stores.close()
