"""A Qdrant server for tests: REST on 127.0.0.1 over the client's own local mode, with faults on request.

It implements the part of the protocol that winnow uses, so that data really travels as JSON.
"""

from __future__ import annotations

import json
import random
import re
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel
from qdrant_client import QdrantClient, models

_KEY = re.compile(r'"key": ?"((?:[^"\\\\]|\\\\.)*)"')
_EXACT, _LIMIT = re.compile(r'"exact": ?true'), re.compile(r'"limit": ?(\d+)')
_NO_KEY = b"Must provide an API key or an Authorization bearer token"


@dataclass
class Fault:
    """A reply instead of the real one; `delay_s` alone only delays it. An empty `body` is Qdrant's form."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    delay_s: float = 0
    path: str = ""


class Wire:
    """The server's state: its data, the faults to produce next, and the requests it received."""

    def __init__(self) -> None:
        self.client = QdrantClient(":memory:")
        self.lock = threading.Lock()
        self.released = threading.Event()
        self.faults: list[Fault] = []
        self.api_key = ""
        self.seen: list[str] = []
        self.sizes: list[int] = []
        self.bodies: dict[str, Any] = {}
        # by request ("POST /collections/aliases"), what happens once before it is answered
        self.before: dict[str, Callable[[], object]] = {}
        self.port = 0
        self.version = "1.20.0"
        # of a collection; most passages are in the first, and each weighs terms by its own frequencies
        self.shards = 1
        # those of winnow, as from a key that may not see them
        self.hides_aliases = False
        self.most_bytes = 32 * 1024 * 1024
        # payload indexes by collection, which the local mode does not have, and the limits of strict mode
        self.indexes: dict[str, dict[str, str]] = {}
        self.strict: dict[str, Any] = {}
        # what a node calls itself in a cluster; given again to be the same cluster
        self.peer_id = random.getrandbits(52)
        self.peers: list[int] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def fail(self, *faults: Fault) -> None:
        self.faults.extend(faults)

    def describe(self, name: str) -> models.CollectionInfo:
        """Describe a collection, with what the local mode does not have."""
        info = self.client.get_collection(name)
        kinds = self.indexes.get(name, {})
        info.payload_schema = {
            path: models.PayloadIndexInfo(data_type=models.PayloadSchemaType(kind), points=0)
            for path, kind in kinds.items()
        }
        info.config.params.shard_number = self.shards
        if self.strict:
            info.config.strict_mode_config = models.StrictModeConfigOutput(enabled=True, **self.strict)
        return info

    def refusal(self, name: str, body: str) -> str:
        """Return what a real server says against the filters of a request; empty where nothing."""
        if "substring" in body and self.version < "1.20":
            return "Format error in JSON body: data did not match any variant of untagged enum Condition"
        if not self.strict.get("search_allow_exact", True) and _EXACT.search(body):
            return "Exact search disabled!"
        most = self.strict.get("max_query_limit")
        if most is not None and (asked := max(map(int, _LIMIT.findall(body)), default=0)) > most:
            return f'Limit exceeded {asked} > {most} for "limit"'
        if self.strict.get("unindexed_filtering_retrieve", True):
            return ""
        used = {path.replace('\\"', "").replace('"', "") for path in _KEY.findall(body)}
        if without := sorted(used - {path.replace('"', "") for path in self.indexes.get(name, {})}):
            return f'Index required but not found for "{without[0]}" of one of the following types: [keyword]'
        return ""

    def next_fault(self, path: str) -> Fault | None:
        for fault in self.faults:
            if fault.path in path:
                self.faults.remove(fault)
                return fault
        return None


@contextmanager
def serving() -> Iterator[Wire]:
    """Run a server; at the end, stop it and release delayed replies."""
    wire = Wire()
    handler = type("Handler", (_Handler,), {"wire": wire})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        wire.port = server.server_port
        thread = threading.Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        try:
            yield wire
        finally:
            wire.released.set()
            server.shutdown()
            thread.join()
            wire.client.close()


class _Handler(BaseHTTPRequestHandler):
    wire: Wire
    protocol_version = "HTTP/1.1"

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = unquote(urlsplit(self.path).path)
        self.wire.seen.append(f"{self.command} {path}")
        self.wire.sizes.append(len(body))
        self.wire.bodies[self.wire.seen[-1]] = json.loads(body or b"null")
        if happens := self.wire.before.pop(self.wire.seen[-1], None):
            happens()
        fault = self.wire.next_fault(path)
        if fault is not None and fault.delay_s:
            self.wire.released.wait(fault.delay_s)
        elif fault is not None:
            self._send(fault.status, fault.body or _error(f"told to fail ({fault.status})"), fault.headers)
            return
        if self.wire.api_key and (key := self.headers.get("api-key")) != self.wire.api_key:
            self._send(401, b"Invalid API key or JWT" if key else _NO_KEY)
            return
        if len(body) > self.wire.most_bytes:
            limit = f"(limit: {self.wire.most_bytes} bytes)"
            self._send(400, _error(f"JSON payload ({len(body)} bytes) is larger than allowed {limit}."))
            return
        with self.wire.lock, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # local mode's remarks on indexes and search parameters
            status, answer = _served(self.wire, self.command, path.strip("/").split("/"), body)
        self._send(status, answer)

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        try:
            self.send_response(status)
            for key, value in (headers or {}).items():
                self.send_header(key, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        except ConnectionError:
            self.close_connection = True  # the caller did not wait

    do_GET = do_PUT = do_POST = do_PATCH = do_DELETE = _answer  # noqa: N815 - the base class's names

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        pass


def _served(wire: Wire, method: str, path: list[str], body: bytes) -> tuple[int, bytes]:
    client = wire.client
    if path == [""]:
        return 200, json.dumps({"title": "qdrant", "version": wire.version}).encode()
    if path == ["collections"]:
        found = [one for one in client.get_collections().collections if _SHARD not in one.name]
        return 200, _result(models.CollectionsResponse(collections=found))
    if path == ["cluster"]:
        return 200, _result(_cluster(wire) if wire.peers else {"status": "disabled"})
    if path == ["aliases"]:
        aliases = client.get_aliases().aliases
        shown = [one for one in aliases if not (wire.hides_aliases and one.alias_name.endswith("@current"))]
        return 200, _result(models.CollectionsAliasesResponse(aliases=shown))
    if path == ["collections", "aliases"]:
        changes = models.ChangeAliasesOperation.model_validate_json(body)
        return 200, _result(client.update_collection_aliases(changes.actions))
    name, route = path[1], "/".join([method, *path[2:]])
    if route != "PUT" and not client.collection_exists(name):
        return 404, _error(f"Not found: Collection `{name}` doesn't exist!")
    if route == "PUT" and client.collection_exists(name):
        return 409, _error(f"Wrong input: Collection `{name}` already exists!")
    if route == "GET/cluster":
        shards: dict[str, list[object]] = {"local_shards": [], "remote_shards": [], "shard_transfers": []}
        return 200, _result({"peer_id": wire.peer_id, "shard_count": 1, **shards})
    if says := wire.refusal(name, body.decode()):
        return 400, _error(f"Bad request: {says}")
    if route == "GET":
        return 200, _result(wire.describe(name))
    if route == "PUT/index":
        asked = json.loads(body)
        wire.indexes.setdefault(name, {})[asked["field_name"]] = asked["field_schema"]
    elif route == "DELETE":
        wire.indexes.pop(name, None)
    asked = json.loads(body or b"null")
    if wire.shards > 1 and route in _SHARDED:
        return 200, _result(_in_shards(wire, route, name, asked))
    return 200, _result(_ROUTES[route](client, name, asked))


def _cluster(wire: Wire) -> dict[str, object]:
    raft = {"term": 1, "commit": 1, "pending_operations": 0, "is_voter": True}
    return {
        "status": "enabled",
        "peer_id": wire.peer_id,
        "peers": {str(peer): {"uri": "http://127.0.0.1:1/"} for peer in wire.peers},
        "raft_info": raft,
        "consensus_thread_status": {"consensus_thread_status": "stopped"},
        "message_send_failures": {},
    }


_SHARD = "#"
_SHARDED = ("PUT", "DELETE", "PUT/points", "POST/points/delete", "POST/points/query/batch")


def _in_shards(wire: Wire, route: str, name: str, asked: Any) -> Any:
    """Do it in a collection for each shard, too; a search is one of each, put together by score."""
    shards = [f"{name}{_SHARD}{number}" for number in range(wire.shards)]
    if route == "POST/points/query/batch":
        answers = [_query_batch(wire.client, shard, asked) for shard in shards]
        limits = [search["limit"] for search in asked["searches"]]
        return [_together(limit, found) for limit, *found in zip(limits, *answers, strict=True)]
    for number, shard in enumerate(shards):
        part = asked
        if route == "PUT/points":
            own = [one for one in asked["points"] if _shard_of(one["id"], wire.shards) == number]
            part = {**asked, "points": own}
        if route != "PUT/points" or part["points"]:
            _ROUTES[route](wire.client, shard, part)
    return _ROUTES[route](wire.client, name, asked)


def _shard_of(id_: str, shards: int) -> int:
    place = int(id_.replace("-", ""), 16) % (2 * shards)
    return place if place < shards else 0


def _together(limit: int, answers: Sequence[models.QueryResponse]) -> models.QueryResponse:
    points = sorted((point for answer in answers for point in answer.points), key=lambda point: -point.score)
    return answers[0].model_copy(update={"points": points[:limit]})


def _create(client: QdrantClient, name: str, body: Any) -> Any:
    asked = models.CreateCollection.model_validate(body)
    return client.create_collection(
        name,
        vectors_config=asked.vectors,
        sparse_vectors_config=asked.sparse_vectors,
        metadata=asked.metadata,
    )


def _delete(client: QdrantClient, name: str, body: Any) -> Any:
    return client.delete(name, models.FilterSelector.model_validate(body))


def _query(client: QdrantClient, name: str, body: Any) -> Any:
    asked = models.QueryRequest.model_validate(body)
    return client.query_batch_points(name, [asked])[0]


def _query_batch(client: QdrantClient, name: str, body: Any) -> Any:
    return client.query_batch_points(name, models.QueryRequestBatch.model_validate(body).searches)


def _retrieve(client: QdrantClient, name: str, body: Any) -> Any:
    return client.retrieve(name, body["ids"], body.get("with_payload"), body.get("with_vector"))


def _scroll(client: QdrantClient, name: str, body: Any) -> Any:
    asked = models.ScrollRequest.model_validate(body)
    points, following = client.scroll(
        name,
        asked.filter,
        asked.limit or 10,
        offset=asked.offset,
        with_payload=asked.with_payload is not False,
        with_vectors=asked.with_vector or False,
    )
    return models.ScrollResult(points=points, next_page_offset=following)


def _facet(client: QdrantClient, name: str, body: Any) -> Any:
    asked = models.FacetRequest.model_validate(body)
    return client.facet(name, asked.key, asked.filter, asked.limit or 10)


_ROUTES: dict[str, Callable[[QdrantClient, str, Any], Any]] = {
    "PUT": _create,
    "PATCH": lambda client, name, body: client.update_collection(name, metadata=body["metadata"]),
    "DELETE": lambda client, name, _: client.delete_collection(name),
    "PUT/index": lambda client, name, body: models.UpdateResult(
        operation_id=0, status=models.UpdateStatus.COMPLETED
    ),
    "PUT/points": lambda client, name, body: client.upsert(
        name, models.PointsList.model_validate(body).points
    ),
    "POST/points/delete": _delete,
    "POST/points/query": _query,
    "POST/points/query/batch": _query_batch,
    "POST/points": _retrieve,
    "POST/points/scroll": _scroll,
    "POST/facet": _facet,
    "POST/points/count": lambda client, name, body: client.count(name),
}


def _result(result: Any) -> bytes:
    return json.dumps({"result": _plain(result), "status": "ok", "time": 0.0}, ensure_ascii=False).encode()


def _plain(result: Any) -> Any:
    if isinstance(result, BaseModel):
        return result.model_dump(mode="json")
    return [_plain(item) for item in result] if isinstance(result, list) else result


def _error(message: str) -> bytes:
    return json.dumps({"status": {"error": message}, "time": 0.0}).encode()
