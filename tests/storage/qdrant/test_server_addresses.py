"""The addresses of a server: never another one, and another node of the same cluster when one is gone."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest

from storage.errors import StoreError, StoreUnavailableError
from storage.qdrant.server.link import Node
from storage.qdrant.server.stores import ServerStores
from tests.support.passages import FINGERPRINT, points
from tests.support.qdrant_grpc import GrpcWire, serving_grpc
from tests.support.qdrant_wire import Fault, Wire, serving

pytestmark = pytest.mark.heavy


@pytest.fixture
def two_servers() -> Iterator[tuple[GrpcWire, GrpcWire]]:
    """Two servers that have nothing to do with each other."""
    with serving_grpc() as mine, serving_grpc() as theirs:
        yield mine, theirs


@pytest.fixture
def cluster() -> Iterator[list[Wire]]:
    """Three nodes that hold the same."""
    with ExitStack() as stack:
        nodes = [stack.enter_context(serving()) for _ in range(3)]
        for node in nodes[1:]:
            node.client, node.peer_id = nodes[0].client, nodes[0].peer_id
        yield nodes


def _nobody_listens() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def _urls(*nodes: Wire) -> str:
    return ", ".join(node.url for node in nodes)


@pytest.mark.parametrize(
    ("url", "port", "grpc"),
    [
        ("http://localhost", None, 6334),
        ("http://localhost:6333", None, 6334),
        ("http://localhost:6333", 7334, 7334),
        ("http://localhost:7333", 7334, 7334),
        ("http://localhost:7333", None, None),
        ("https://qdrant.example", None, None),
        ("https://qdrant.example:6333", None, 6334),
    ],
)
def test_grpc_is_spoken_only_where_its_port_is_known(url: str, port: int | None, grpc: int | None) -> None:
    """Behind a port that is not Qdrant's own, nothing says where gRPC is: REST is used."""
    node = Node.at(url, api_key=None, prefer_grpc=True, grpc_port=port, timeout_s=1)
    with closing(node):
        assert (node.rest is not None) == (grpc is not None)
        options = node.client.init_options
        assert (options["grpc_port"] if options["prefer_grpc"] else None) == grpc


def test_two_sides_of_different_servers_are_refused(two_servers: tuple[GrpcWire, GrpcWire]) -> None:
    """REST of one server and gRPC of another, both with a collection of this name: nothing is touched."""
    mine, theirs = two_servers
    for wire in two_servers:
        with closing(ServerStores.connect(wire.url, grpc_port=wire.port)) as stores:
            stores.create("papers", FINGERPRINT).upsert(points(3))
    del theirs.seen[:]
    with closing(ServerStores.connect(mine.url, grpc_port=theirs.port)) as stores:
        for act in (lambda: stores.open("papers"), lambda: stores.drop("papers"), stores.names):
            with pytest.raises(StoreError, match="belong to different Qdrant servers") as caught:
                act()
    assert "store.grpc_port" in caught.value.way_out
    assert theirs.seen == []


def test_what_was_made_on_an_empty_stranger_is_taken_back(two_servers: tuple[GrpcWire, GrpcWire]) -> None:
    """Two empty servers look alike; the first collection tells them apart, and does not stay."""
    mine, theirs = two_servers
    with (
        closing(ServerStores.connect(mine.url, grpc_port=theirs.port)) as stores,
        pytest.raises(StoreError, match="different Qdrant servers"),
    ):
        stores.create("papers", FINGERPRINT)
    assert not theirs.rest.client.collection_exists("papers")


def test_a_closed_rest_side_is_named(two_servers: tuple[GrpcWire, GrpcWire]) -> None:
    """A wrong port in the URL is an error even where the gRPC port answers."""
    _, theirs = two_servers
    url = f"http://127.0.0.1:{_nobody_listens()}"
    with (
        closing(ServerStores.connect(url, grpc_port=theirs.port, timeout_s=3)) as stores,
        pytest.raises(StoreUnavailableError, match="cannot be reached"),
    ):
        stores.names()
    assert theirs.seen == []


@pytest.mark.parametrize("first", [0, 1])
def test_a_node_that_is_down_is_passed_over(cluster: list[Wire], first: int) -> None:
    """With several addresses the next node is asked at once, from the start or in the middle."""
    gone = f"http://127.0.0.1:{_nobody_listens()}"
    urls = [gone, _urls(*cluster)] if first == 0 else [_urls(*cluster[:2]), gone]
    with closing(ServerStores.connect(", ".join(urls), prefer_grpc=False)) as stores:
        collection = stores.create("papers", FINGERPRINT)
        collection.upsert(points(3))
        cluster[0].fail(*[Fault(503)] * 20)
        assert collection.count() == 3
        assert stores.names() == ["papers"]
    assert cluster[1].seen


def test_a_node_that_does_not_answer_is_passed_over(cluster: list[Wire]) -> None:
    """A node that stands still has its share of the time; then another one answers."""
    with closing(ServerStores.connect(_urls(*cluster), prefer_grpc=False, timeout_s=3)) as stores:
        collection = stores.create("papers", FINGERPRINT)
        cluster[0].fail(Fault(delay_s=30, path="/count"))
        assert collection.count() == 0


@pytest.mark.parametrize(
    "fault",
    [Fault(500), Fault(401), Fault(200, body=b"<html>Welcome</html>")],
    ids=["500", "401", "no Qdrant"],
)
def test_a_node_that_answers_wrongly_is_passed_over(cluster: list[Wire], fault: Fault) -> None:
    """A node that is broken, refuses the key or is no Qdrant is left, and asked again in its turn."""
    with closing(ServerStores.connect(_urls(*cluster[:2]), prefer_grpc=False)) as stores:
        collection = stores.create("papers", FINGERPRINT)
        cluster[0].fail(fault)
        collection.upsert(points(3))
        cluster[1].fail(fault)
        assert collection.count() == 3
        for node in cluster[:2]:
            node.fail(fault)
        with pytest.raises(StoreError):
            collection.count()
        assert collection.count() == 3


def test_a_create_that_fails_leaves_the_node(cluster: list[Wire]) -> None:
    """A repeated request goes to another node where the first one failed."""
    with closing(ServerStores.connect(_urls(*cluster[:2]), prefer_grpc=False)) as stores:
        stores.create("papers", FINGERPRINT)
        cluster[0].fail(*[Fault(500, path="/collections/more")] * 20)
        with pytest.raises(StoreUnavailableError, match="500"):
            stores.create("more", FINGERPRINT)
        assert stores.create("more", FINGERPRINT).count() == 0


def test_a_create_is_not_sent_to_a_second_node(cluster: list[Wire]) -> None:
    """What must not be done twice is asked of one node only."""
    with closing(ServerStores.connect(_urls(*cluster), prefer_grpc=False)) as stores:
        stores.create("papers", FINGERPRINT)
        cluster[0].fail(Fault(503, path="/collections/more"))
        with pytest.raises(StoreUnavailableError, match="503"):
            stores.create("more", FINGERPRINT)
    assert [seen for node in cluster[1:] for seen in node.seen if seen.startswith("PUT")] == []


def test_an_address_of_another_cluster_is_never_used(cluster: list[Wire]) -> None:
    """A stranger among the addresses is refused when its turn comes, whatever it holds."""
    with serving() as stranger:
        stranger.client.create_collection("papers", vectors_config={})
        with closing(ServerStores.connect(_urls(cluster[0], stranger), prefer_grpc=False)) as stores:
            collection = stores.create("papers", FINGERPRINT)
            cluster[0].fail(*[Fault(503, path="/points")] * 20)
            with pytest.raises(StoreError, match="belong to different Qdrant servers"):
                collection.upsert(points(3))
            cluster[0].faults.clear()
            collection.upsert(points(3))
        assert not [seen for seen in stranger.seen if seen.startswith(("PUT", "POST"))]


def test_what_an_address_was_known_by_may_be_gone(cluster: list[Wire]) -> None:
    """Nodes are told by their ids, whatever became of the collections that were there at first."""
    for number, node in enumerate(cluster):
        node.peer_id, node.peers = number + 1, [1, 2, 3]
    with closing(ServerStores.connect(_urls(*cluster[:2]), prefer_grpc=False)) as stores:
        stores.create("papers", FINGERPRINT)
        stores.names()
        stores.drop("papers")
        stores.create("zeta", FINGERPRINT)
        cluster[0].fail(*[Fault(503)] * 20)
        assert stores.names() == ["zeta"]


def test_a_stranger_with_another_generation_is_one(cluster: list[Wire]) -> None:
    """A copy of a server has collections of the same names, and is another server all the same."""
    with serving() as stranger:
        stranger.client.create_collection("papers@other", vectors_config={})
        with closing(ServerStores.connect(_urls(cluster[0], stranger), prefer_grpc=False)) as stores:
            stores.create("papers", FINGERPRINT)
            stores.names()
            with stores.rebuild("papers", FINGERPRINT) as rebuild:
                rebuild.finish(None).close()
            stores.sweep("papers")
            cluster[0].fail(*[Fault(503)] * 20)
            with pytest.raises(StoreError, match="belong to different Qdrant servers"):
                stores.names()


def test_what_is_taken_back_is_never_a_strangers(cluster: list[Wire]) -> None:
    """A creation that fails half-way is undone where it was made, not where the next request went."""
    with serving() as stranger:
        stranger.client.create_collection("papers", vectors_config={})
        with closing(ServerStores.connect(_urls(cluster[0], stranger), prefer_grpc=False)) as stores:
            stores.create("other", FINGERPRINT)
            cluster[0].fail(*[Fault(503, path="/collections/papers/index")] * 20)
            with pytest.raises(StoreError, match="belong to different Qdrant servers"):
                stores.create("papers", FINGERPRINT)
        assert stranger.client.collection_exists("papers")
        assert not [seen for seen in stranger.seen if seen.startswith("DELETE")]
    assert not cluster[0].client.collection_exists("papers")


def test_when_all_are_down_all_are_named() -> None:
    """The error names every address that was tried."""
    ports = [_nobody_listens(), _nobody_listens()]
    urls = ",".join(f"http://127.0.0.1:{port}" for port in ports)
    with (
        closing(ServerStores.connect(urls, timeout_s=5)) as stores,
        pytest.raises(StoreUnavailableError, match="cannot be reached") as caught,
    ):
        stores.names()
    assert all(str(port) in str(caught.value) for port in ports)
