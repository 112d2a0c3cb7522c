"""Tells whether two ways lead to the same Qdrant server or cluster.

Each node has an id of its own, which it keeps for life; what a node says of a collection's shards names the
nodes that hold it. Two ways to one cluster name at least one node in common.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Self

import grpc
from qdrant_client import QdrantClient
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from storage.errors import StoreError
from storage.qdrant.server.errors import AT, is_timeout, is_transient

# A node of a cluster, or the other side of a server, may learn of a new collection a moment later.
_PAUSES_S = (0.2, 0.5, 1.0, 0.0)


@dataclass(frozen=True, slots=True)
class Seen:
    """The view through one address: its collections, the nodes that hold one of them, and the cluster's.

    `nodes` is empty where there is no collection, or the key may not ask.
    """

    address: str
    names: frozenset[str]
    anchor: str
    nodes: frozenset[int]

    @classmethod
    def by(cls, client: QdrantClient) -> Self:
        names = _names(client)
        anchor = min(names, default="")
        nodes = _nodes(client, anchor) if anchor else frozenset[int]()
        return cls("", names, anchor, nodes and nodes | _peers(client))

    def fits(self, client: QdrantClient) -> bool:
        """Return whether another way leads to the same."""
        names = _names(client)
        # that one may be gone by now: any other names nodes, too
        anchor = self.anchor if self.anchor in names else min(names, default="")
        if anchor and self.nodes and (nodes := _nodes(client, anchor)):
            return not nodes.isdisjoint(self.nodes)
        # generations come and go
        return _without_generations(names) == _without_generations(self.names)


def require_same(client: QdrantClient, other: QdrantClient | Seen, what: str) -> Seen:
    """Return what the other way shows; raise StoreError where the two lead to different servers.

    Two empty servers count as one.
    """
    for pause in _PAUSES_S:
        seen = other if isinstance(other, Seen) else Seen.by(other)
        if seen.fits(client):
            return seen
        time.sleep(pause)
    raise StoreError(
        f"{what} belong to different Qdrant servers: nothing was read or written",
        way_out="Correct store.url; store.grpc_port is the gRPC port of that same server (or set "
        "store.prefer_grpc = false).",
    )


def _names(client: QdrantClient) -> frozenset[str]:
    return frozenset(found.name for found in client.get_collections().collections)


def _without_generations(names: frozenset[str]) -> frozenset[str]:
    return frozenset(name.partition(AT)[0] for name in names)


def _nodes(client: QdrantClient, collection: str) -> frozenset[int]:
    try:
        info = client.collection_cluster_info(collection)
    except (UnexpectedResponse, grpc.RpcError) as error:
        if is_transient(error):
            raise
        return frozenset()  # gone meanwhile, or not for this key
    return frozenset({info.peer_id, *(shard.peer_id for shard in info.remote_shards)})


def _peers(client: QdrantClient) -> frozenset[int]:
    try:
        status = client.cluster_status()
    except (UnexpectedResponse, ResponseHandlingException) as error:
        if is_transient(error) or is_timeout(error):
            raise
        return frozenset()  # not for this key
    return frozenset(map(int, getattr(status, "peers", None) or ()))
