"""The gRPC side of `qdrant_wire`: the same local mode behind the protocol's own messages, beside its REST."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import contextmanager
from typing import Any

import grpc as rpc
from qdrant_client import QdrantClient, grpc
from qdrant_client.conversions.conversion import GrpcToRest, RestToGrpc

from tests.support.qdrant_wire import Wire, serving


class GrpcWire:
    """The server's gRPC side: the codes to abort with next, and the requests it received.

    `rest` is its other side, which holds the data.
    """

    def __init__(self, rest: Wire) -> None:
        self.rest = rest
        self.aborts: list[tuple[rpc.StatusCode, str]] = []
        self.seen: list[str] = []
        self.port = 0

    @property
    def url(self) -> str:
        return self.rest.url

    def abort(self, *codes: rpc.StatusCode, details: str = "told to fail") -> None:
        self.aborts.extend((code, details) for code in codes)


@contextmanager
def serving_grpc() -> Iterator[GrpcWire]:
    """A running server on 127.0.0.1: gRPC, and REST over the same data."""
    with serving() as rest, _serving_grpc(rest) as wire:
        yield wire


@contextmanager
def _serving_grpc(rest: Wire) -> Iterator[GrpcWire]:
    wire = GrpcWire(rest)
    server = rpc.server(futures.ThreadPoolExecutor(max_workers=1))
    grpc.add_PointsServicer_to_server(_servicer(grpc.PointsServicer, _POINTS, wire), server)
    grpc.add_CollectionsServicer_to_server(_servicer(grpc.CollectionsServicer, _COLLECTIONS, wire), server)
    grpc.add_QdrantServicer_to_server(_servicer(grpc.QdrantServicer, _ROOT, wire), server)
    wire.port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield wire
    finally:
        server.stop(grace=None).wait()


def _servicer(base: type, calls: dict[str, Callable[[QdrantClient, Any], Any]], wire: GrpcWire) -> Any:
    return type("Servicer", (base,), {name: _method(name, call, wire) for name, call in calls.items()})()


def _method(name: str, call: Callable[[QdrantClient, Any], Any], wire: GrpcWire) -> Any:
    def answer(_self: Any, request: Any, context: rpc.ServicerContext) -> Any:
        if name not in _COMPARING:
            wire.seen.append(name)
            if wire.aborts:
                context.abort(*wire.aborts.pop(0))
        with wire.rest.lock, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # local mode's remarks on indexes and search parameters
            try:
                if name == "CollectionClusterInfo":
                    return grpc.CollectionClusterInfoResponse(peer_id=wire.rest.peer_id)
                if name in _FILTERED and (says := _refusal(wire, request)):
                    context.abort(rpc.StatusCode.INVALID_ARGUMENT, says)
                if name == "Get" and isinstance(request, grpc.GetCollectionInfoRequest):
                    described = wire.rest.describe(request.collection_name)
                    return grpc.GetCollectionInfoResponse(
                        result=RestToGrpc.convert_collection_info(described)
                    )
                if name == "CreateFieldIndex":
                    kind = _KINDS[grpc.FieldType.Name(request.field_type)]
                    wire.rest.indexes.setdefault(request.collection_name, {})[request.field_name] = kind
                if name == "Delete" and isinstance(request, grpc.DeleteCollection):
                    wire.rest.indexes.pop(request.collection_name, None)
                if name == "HealthCheck":
                    return grpc.HealthCheckReply(title="qdrant", version=wire.rest.version)
                return call(wire.rest.client, request)
            except ValueError as error:
                context.abort(_code(str(error)), str(error))

    return answer


# What the two sides of a server are compared by, once: no test's business.
_COMPARING = ("List", "CollectionClusterInfo", "HealthCheck")


# What may hold a filter.
_FILTERED = ("Query", "QueryBatch", "Scroll", "Delete", "Facet")


def _code(message: str) -> rpc.StatusCode:
    if "already exists" in message:
        return rpc.StatusCode.ALREADY_EXISTS
    return rpc.StatusCode.NOT_FOUND if "not found" in message else rpc.StatusCode.INTERNAL


def _create(client: QdrantClient, request: Any) -> Any:
    client.create_collection(
        request.collection_name,
        vectors_config=GrpcToRest.convert_vectors_config(request.vectors_config),
        sparse_vectors_config=GrpcToRest.convert_sparse_vector_config(request.sparse_vectors_config),
        metadata=GrpcToRest.convert_payload(request.metadata),
    )
    return grpc.CollectionOperationResponse(result=True)


def _answered_above(client: QdrantClient, request: Any) -> Any:
    raise AssertionError("what needs more than the local mode knows is answered before")


def _refusal(wire: GrpcWire, request: Any) -> str:
    if "substring" in str(request) and wire.rest.version < "1.20":
        return "Malformed Match condition"
    return wire.rest.refusal(getattr(request, "collection_name", ""), _keys(request))


def _keys(request: Any) -> str:
    """The keys of a request's filters, as REST writes them."""
    found = _KEY.findall(str(request))
    return " ".join('"key":"' + key.replace('\\"', '"').replace('"', '\\"') + '"' for key in found)


_KEY = re.compile(r'key: "((?:[^"\\\\]|\\\\.)*)"')
_KINDS = {
    "FieldTypeKeyword": "keyword",
    "FieldTypeFloat": "float",
    "FieldTypeBool": "bool",
    "FieldTypeDatetime": "datetime",
}


def _facet(client: QdrantClient, request: Any) -> Any:
    chosen = GrpcToRest.convert_filter(request.filter) if request.HasField("filter") else None
    hits = client.facet(request.collection_name, request.key, chosen, request.limit).hits
    return grpc.FacetResponse(
        hits=[
            grpc.FacetHit(value=grpc.FacetValue(string_value=str(hit.value)), count=hit.count) for hit in hits
        ]
    )


def _list(client: QdrantClient, request: Any) -> Any:
    named = [grpc.CollectionDescription(name=one.name) for one in client.get_collections().collections]
    return grpc.ListCollectionsResponse(collections=named)


def _drop(client: QdrantClient, request: Any) -> Any:
    return grpc.CollectionOperationResponse(result=client.delete_collection(request.collection_name))


def _update(client: QdrantClient, request: Any) -> Any:
    changed = client.update_collection(
        request.collection_name, metadata=GrpcToRest.convert_payload(request.metadata)
    )
    return grpc.CollectionOperationResponse(result=changed)


def _aliases(client: QdrantClient, request: Any) -> Any:
    found = [
        grpc.AliasDescription(alias_name=one.alias_name, collection_name=one.collection_name)
        for one in client.get_aliases().aliases
    ]
    return grpc.ListAliasesResponse(aliases=found)


def _point_aliases(client: QdrantClient, request: Any) -> Any:
    changes = [GrpcToRest.convert_alias_operations(change) for change in request.actions]
    return grpc.CollectionOperationResponse(result=client.update_collection_aliases(changes))


def _done() -> Any:
    return grpc.PointsOperationResponse(
        result=grpc.UpdateResult(operation_id=0, status=grpc.UpdateStatus.Completed)
    )


def _upsert(client: QdrantClient, request: Any) -> Any:
    client.upsert(
        request.collection_name, [GrpcToRest.convert_point_struct(point) for point in request.points]
    )
    return _done()


def _delete(client: QdrantClient, request: Any) -> Any:
    client.delete(request.collection_name, GrpcToRest.convert_points_selector(request.points))
    return _done()


def _query(client: QdrantClient, request: Any) -> Any:
    return grpc.QueryResponse(result=_scored(client, request))


def _query_batch(client: QdrantClient, request: Any) -> Any:
    results = [grpc.BatchResult(result=_scored(client, query)) for query in request.query_points]
    return grpc.QueryBatchResponse(result=results)


def _scored(client: QdrantClient, request: Any) -> list[Any]:
    asked = GrpcToRest.convert_query_points(request)
    [answer] = client.query_batch_points(request.collection_name, [asked])
    return [RestToGrpc.convert_scored_point(point) for point in answer.points]


def _get(client: QdrantClient, request: Any) -> Any:
    records = client.retrieve(
        request.collection_name,
        [GrpcToRest.convert_point_id(id_) for id_ in request.ids],
        with_payload=request.with_payload.enable,
        with_vectors=GrpcToRest.convert_with_vectors_selector(request.with_vectors),
    )
    return grpc.GetResponse(result=[_retrieved(record) for record in records])


def _scroll(client: QdrantClient, request: Any) -> Any:
    records, following = client.scroll(
        request.collection_name,
        GrpcToRest.convert_filter(request.filter) if request.HasField("filter") else None,
        limit=request.limit,
        offset=GrpcToRest.convert_point_id(request.offset) if request.HasField("offset") else None,
        with_payload=request.with_payload.enable,
    )
    return grpc.ScrollResponse(
        result=[_retrieved(record) for record in records],
        next_page_offset=None if following is None else RestToGrpc.convert_extended_point_id(following),
    )


def _retrieved(record: Any) -> Any:
    # the conversion cannot represent an absent payload
    return RestToGrpc.convert_retrieved_point(record.model_copy(update={"payload": record.payload or {}}))


def _count(client: QdrantClient, request: Any) -> Any:
    return grpc.CountResponse(result=grpc.CountResult(count=client.count(request.collection_name).count))


_COLLECTIONS: dict[str, Callable[[QdrantClient, Any], Any]] = {
    "Create": _create,
    "Get": _answered_above,
    "List": _list,
    "Delete": _drop,
    "Update": _update,
    "ListAliases": _aliases,
    "UpdateAliases": _point_aliases,
    "CollectionClusterInfo": _answered_above,
}
_ROOT: dict[str, Callable[[QdrantClient, Any], Any]] = {"HealthCheck": _answered_above}
_POINTS: dict[str, Callable[[QdrantClient, Any], Any]] = {
    "Upsert": _upsert,
    "Delete": _delete,
    "Query": _query,
    "QueryBatch": _query_batch,
    "Get": _get,
    "Scroll": _scroll,
    "Count": _count,
    "Facet": _facet,
    "CreateFieldIndex": lambda client, request: _done(),
}
