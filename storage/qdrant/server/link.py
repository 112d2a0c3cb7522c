"""The connection to a Qdrant server or cluster: its addresses, which of them is asked, and for how long."""

from __future__ import annotations

import random
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar
from urllib.parse import SplitResult, urlsplit

from qdrant_client import QdrantClient

from storage.errors import BadInputError, StoreError
from storage.qdrant.server.errors import ServerErrors, is_of_node, is_timeout, is_transient, retry_after
from storage.qdrant.server.identity import Seen, require_same

T = TypeVar("T")

_REST_PORT, _GRPC_PORT = 6333, 6334
_LONGEST_PAUSE_S = 2.0


@dataclass(frozen=True, slots=True)
class Node:
    """One address: the client that asks it and, where that one speaks gRPC, one for its REST side."""

    client: QdrantClient
    address: str = ""
    rest: QdrantClient | None = None

    @classmethod
    def at(
        cls, url: str, *, api_key: str | None, prefer_grpc: bool, grpc_port: int | None, timeout_s: float
    ) -> Node:
        """Make the clients of one address; nothing is sent yet.

        Without a `grpc_port` gRPC is used where the URL's port is Qdrant's own, whose neighbour is known;
        behind any other port the gRPC port could only be guessed. Raises BadInputError where `url` is none.
        """
        parts = _split(url)
        port = parts.port or (443 if parts.scheme == "https" else _REST_PORT)
        grpc = prefer_grpc and (grpc_port is not None or port == _REST_PORT)

        def client(*, prefer_grpc: bool) -> QdrantClient:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # the client's own warning about the key
                return QdrantClient(
                    url=url,
                    port=port,
                    grpc_port=grpc_port or _GRPC_PORT,
                    prefer_grpc=prefer_grpc,
                    api_key=api_key or None,
                    timeout=timeout_s,  # type: ignore[arg-type]  # annotated int; rounded up by the client
                    check_compatibility=False,  # asked by `version`, not by a thread that prints
                )

        address = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
        if not grpc:
            return cls(client(prefer_grpc=False), address)
        return cls(client(prefer_grpc=True), address, client(prefer_grpc=False))

    def close(self) -> None:
        """Close the connections."""
        for client in filter(None, (self.client, self.rest)):
            client.close()


class ServerLink:
    """Asks the nodes of one server or cluster. Threads may share it.

    A request goes to the node that answered last. Where it cannot be reached, is busy or (with several
    addresses) does not answer within its share of the time, the next one is asked, `attempts` rounds in all
    and no longer than `timeout_s`; where it answers, but not as a node should, each of the others is asked
    once. A timeout of the only address is not tried again: the caller has waited.

    Before a node is first used its two sides, and what is known of the nodes used before, are compared
    (`storage.qdrant.server.identity`), so that no request ever goes to a server that was not meant.
    """

    def __init__(self, nodes: Sequence[Node], where: str, timeout_s: float, attempts: int = 4) -> None:
        self.errors = ServerErrors(where, timeout_s)
        self._nodes = nodes
        self._timeout_s = timeout_s
        self._attempts = attempts
        self._place = 0
        self._lock = threading.Lock()
        self._proven: set[int] = set()
        self._first: Seen | None = None
        self._version = ""

    @classmethod
    def to(
        cls,
        urls: str,
        *,
        api_key: str | None,
        prefer_grpc: bool,
        grpc_port: int | None,
        timeout_s: float,
    ) -> ServerLink:
        """Return a link to one address, or to several with commas in between. Raises BadInputError."""
        addresses = [url.strip() for url in urls.split(",")]
        nodes = [
            Node.at(
                url,
                api_key=api_key,
                prefer_grpc=prefer_grpc,
                grpc_port=grpc_port,
                timeout_s=timeout_s / len(addresses),
            )
            for url in addresses
        ]
        return cls(nodes, ", ".join(node.address for node in nodes), timeout_s)

    @property
    def where(self) -> str:
        """The addresses, without credentials."""
        return self.errors.where

    def version(self) -> str:
        """Return the server's version, asked once. Raises StoreUnavailableError."""
        if not self._version:
            self._version = self.call("", lambda client: client.info()).version
        return self._version

    def call(self, collection: str, request: Callable[[QdrantClient], T]) -> T:
        """Return the result of a request that may be sent twice.

        Errors are ours, and name the server and the collection (with or without a generation).
        """
        deadline = time.monotonic() + self._timeout_s
        with self.errors.translated(collection):
            attempt = 0
            while True:
                place = self._place
                try:
                    return request(self._client(place))
                except Exception as error:
                    attempt += 1
                    self._move_on(place, error)
                    if time.monotonic() >= deadline or not self._may_pass(error, attempt):
                        raise
                    pause = self._pause(error, attempt)
                time.sleep(min(pause, max(0.0, deadline - time.monotonic())))

    def once(self, collection: str, request: Callable[[QdrantClient], object]) -> QdrantClient:
        """Send a request that must not be sent twice; errors as `call` raises them.

        Returns the client that it was sent by: what it did can be undone there, and nowhere else.
        """
        with self.errors.translated(collection):
            place = self._place
            try:
                client = self._client(place)
                request(client)
            except Exception as error:
                self._move_on(place, error)
                raise
            return client

    def close(self) -> None:
        """Close the connections."""
        for node in self._nodes:
            node.close()

    def _client(self, place: int) -> QdrantClient:
        """Return the client of a node, compared before its first use."""
        node = self._nodes[place]
        if place not in self._proven and (node.rest is not None or len(self._nodes) > 1):
            with self._lock:
                if place not in self._proven:
                    self._prove(place)
        return node.client

    def _prove(self, place: int) -> None:
        node = self._nodes[place]
        if node.rest is None:
            seen = Seen.by(node.client)
        else:
            seen = require_same(node.client, node.rest, f"the REST and the gRPC side of {node.address}")
        if self._first is not None:
            require_same(node.client, self._first, f"{node.address} and {self._first.address}")
        if seen.names:  # empty servers cannot be told apart: looked at again at the next request
            self._first = self._first or replace(seen, address=node.address)
            self._proven.add(place)

    def _may_pass(self, error: Exception, attempt: int) -> bool:
        nodes = len(self._nodes)
        if is_transient(error) or (nodes > 1 and is_timeout(error)):
            return attempt < self._attempts * nodes
        return is_of_node(error) and attempt < nodes

    def _move_on(self, place: int, error: Exception) -> None:
        """Turn to the next node where an error speaks against this one, be it another server's."""
        if not (
            is_transient(error) or is_timeout(error) or is_of_node(error) or isinstance(error, StoreError)
        ):
            return
        with self._lock:
            if self._place == place:  # another thread may have moved on already
                self._place = (place + 1) % len(self._nodes)

    def _pause(self, error: Exception, attempt: int) -> float:
        """Return how long to wait before the next node is asked."""
        if attempt % len(self._nodes):
            return 0.0
        asked = retry_after(error)
        rounds = attempt // len(self._nodes)
        return (
            min(_LONGEST_PAUSE_S, 0.1 * 2 ** (rounds - 1)) + random.uniform(0, 0.05)
            if asked is None
            else asked
        )


def _split(url: str) -> SplitResult:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise BadInputError(
            f"{url!r} is not the URL of a Qdrant server", way_out="It looks like http://localhost:6333."
        )
    return parts
