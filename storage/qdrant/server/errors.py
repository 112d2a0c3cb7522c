"""Translates the failures of a Qdrant server into our errors, and tells those that may pass."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import grpc
import httpx
from qdrant_client.common.client_exceptions import QdrantException, ResourceExhaustedResponse
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from storage.errors import (
    BadInputError,
    NotFoundError,
    StoreError,
    StoreRefusedError,
    StoreUnavailableError,
    WinnowError,
)

# Between name and generation; no collection's own name has it: see storage.qdrant.contract.checked_name.
AT = "@"

_TRANSIENT_HTTP = frozenset({429, 502, 503, 504})
_TRANSIENT_GRPC = frozenset(
    {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.ABORTED}
)
_NODES_OWN_GRPC = frozenset(
    {
        *(grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.UNIMPLEMENTED),
        *(grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED),
    }
)
# gRPC's codes as HTTP's, so that each meaning is written once.
_GRPC_AS_HTTP = {
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.OUT_OF_RANGE: 413,
    grpc.StatusCode.INTERNAL: 500,
}
_LONGEST_WAIT_S = 5.0
_LONGEST_SENTENCE = 200


# What a real server says, each in both protocols.
_TOO_LARGE = ("larger than allowed", "length too large", "larger than max", "upsert limit")
_FULL_DISK = ("No space left on device", "exceeds available disk space")
_ANY_REFUSAL = "winnow is written for Qdrant 1.20; winnow doctor shows the server's version."
_REFUSALS = (
    ("hnsw_ef", "Its strict mode limits the beam of a search: lower store.tuning.hnsw_ef."),
    (
        "Index required",
        "Its strict mode refuses filters without an index; winnow ingest makes those of ours.",
    ),
    (
        "Max collections",
        "Raise its storage.max_collections, or delete one; --reindex needs one more.",
    ),
    ("payload index", "Its strict mode limits payload indexes: raise max_payload_index_count there."),
    ("Exact search", "Its strict mode refuses exact searches: store.tuning.exact = false, without --exact."),
)


class OversizedError(StoreError):
    """The server takes no request of this size; a smaller one may pass."""


class UnservedError(StoreUnavailableError):
    """The server answers, but cannot do this: a collection's nodes are down, the disk is full."""


@dataclass(frozen=True, slots=True)
class ServerErrors:
    """Makes our errors out of those of the packages below.

    `where` is the server's address or addresses, without credentials; `timeout_s` how long was waited.
    """

    where: str
    timeout_s: float

    @contextmanager
    def translated(self, collection: str) -> Iterator[None]:
        """Raise errors of the packages below as ours."""
        try:
            yield
        except WinnowError:
            raise
        except Exception as error:
            raise self.explained(error, collection.partition(AT)[0]) from error

    def explained(self, error: Exception, collection: str) -> StoreError | BadInputError:
        """Return our error for one of qdrant-client's, httpx's or grpc's."""
        if isinstance(error, ResponseHandlingException):
            return self.explained(error.source, collection)
        if isinstance(error, UnexpectedResponse):
            return self._from_status(error.status_code or 0, _server_says(error), collection)
        if isinstance(error, QdrantException):  # also one whose Retry-After is a date or a fraction
            return self._from_status(429, str(error), collection)
        if isinstance(error, grpc.RpcError):
            return self._from_grpc(error, collection)
        if isinstance(error, httpx.TimeoutException):
            return self._timed_out()
        if isinstance(error, httpx.HTTPError | httpx.InvalidURL | OSError):
            return self._unreachable(str(error) or type(error).__name__)
        if isinstance(error, ValueError | AssertionError):
            return self._misunderstood(error, collection)
        return StoreError(f"Qdrant at {self.where} failed on {_quoted(collection)}: {error}")

    def _from_grpc(self, error: grpc.RpcError, collection: str) -> StoreError | BadInputError:
        code, details = _grpc_status(error)
        if code is grpc.StatusCode.DEADLINE_EXCEEDED:
            return self._timed_out()
        if code is grpc.StatusCode.UNAVAILABLE:
            return self._unreachable(
                f"gRPC: {details}",
                way_out="Is it running, its gRPC port open (store.grpc_port)? For REST alone set "
                "store.prefer_grpc = false.",
            )
        return self._from_status(_GRPC_AS_HTTP.get(code, 0), f"{code.name}: {details}", collection)

    def _from_status(self, status: int, says: str, collection: str) -> StoreError | BadInputError:
        if status in (401, 403):
            return self._not_allowed(status, says, collection)
        if status == 404 and not collection:
            return StoreError(
                f"{self.where} is no address of a Qdrant server: {says}",
                way_out="Check store.url: its path, and what listens there.",
            )
        if status == 404:
            return NotFoundError(
                f"there is no collection {_quoted(collection)} at {self.where}",
                way_out="winnow collections list shows what is there; winnow ingest PATH makes one.",
            )
        if status == 409 or "already exists" in says:
            return BadInputError(
                f"the collection {_quoted(collection)} exists already at {self.where}",
                way_out="Open it, or choose another name.",
            )
        if status == 413 or any(words in says for words in _TOO_LARGE):
            return OversizedError(
                f"a request for {_quoted(collection)} is too large for Qdrant at {self.where}: {says}",
                way_out="Raise its service.max_request_size_mb, or use gRPC (store.prefer_grpc = true).",
            )
        if status in _TRANSIENT_HTTP or status >= 500:
            no_room = any(words in says for words in _FULL_DISK)
            return UnservedError(
                f"Qdrant at {self.where} could not serve {_quoted(collection)}: {says}",
                way_out="Its disk is full: make room there, then run it again."
                if no_room
                else "Try again; if it stays so, the server's own log says why.",
            )
        return StoreRefusedError(
            f"Qdrant at {self.where} refused a request on {_quoted(collection)}: {says}",
            way_out=next((way for words, way in _REFUSALS if words in says), _ANY_REFUSAL),
        )

    def _not_allowed(self, status: int, says: str, collection: str) -> StoreUnavailableError:
        if status == 401 or "API key" in says or "JWT" in says:
            return StoreUnavailableError(
                f"Qdrant at {self.where} refused the API key and said: {says}",
                way_out="Set store.api_key (WINNOW_STORE__API_KEY).",
            )
        return StoreUnavailableError(
            f"Qdrant at {self.where} does not allow this key that, asked for {_quoted(collection)}: {says}",
            way_out="store.api_key must be allowed to read the collection and its aliases; for an ingest, to "
            "write; for --reindex and deletion, to manage collections.",
        )

    def _misunderstood(self, error: Exception, collection: str) -> StoreError | BadInputError:
        # the client's local mode knows no status codes
        if str(error) == f"Collection {collection} not found":
            return self._from_status(404, str(error), collection)
        if "already exists" in str(error):
            return self._from_status(409, str(error), collection)
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        return StoreError(
            f"{self.where}, asked for {_quoted(collection)}, answered what no Qdrant server says: {reason}",
            way_out="Check store.url: does another program listen there, or a proxy in between?",
        )

    def _timed_out(self) -> StoreUnavailableError:
        return StoreUnavailableError(
            f"Qdrant at {self.where} did not answer within {self.timeout_s:g} s",
            way_out="Is it overloaded? Raise store.timeout_s (WINNOW_STORE__TIMEOUT_S) to wait longer.",
        )

    def _unreachable(self, reason: str, way_out: str = "") -> StoreUnavailableError:
        return StoreUnavailableError(
            f"Qdrant at {self.where} cannot be reached: {reason}",
            way_out=way_out or "Is it running, and store.url right? Without a store.url no server is needed.",
        )


def is_transient(error: BaseException) -> bool:
    """Return whether the same request may succeed a moment later."""
    if isinstance(error, ResponseHandlingException):
        return isinstance(error.source, httpx.ConnectError | httpx.RemoteProtocolError | httpx.ReadError)
    if isinstance(error, UnexpectedResponse):
        return error.status_code in _TRANSIENT_HTTP
    if isinstance(error, grpc.RpcError):
        return _grpc_status(error)[0] in _TRANSIENT_GRPC
    return isinstance(error, QdrantException)


def is_timeout(error: BaseException) -> bool:
    """Return whether nobody answered in time."""
    if isinstance(error, ResponseHandlingException):
        return isinstance(error.source, httpx.TimeoutException)
    return isinstance(error, grpc.RpcError) and _grpc_status(error)[0] is grpc.StatusCode.DEADLINE_EXCEEDED


def is_of_node(error: BaseException) -> bool:
    """Return whether another node may do better: this one is broken, refuses the key, or is no Qdrant."""
    if isinstance(error, ResponseHandlingException):
        return isinstance(error.source, ValueError)
    if isinstance(error, UnexpectedResponse):
        return error.status_code in (401, 403) or (error.status_code or 0) >= 500
    if isinstance(error, grpc.RpcError):
        return _grpc_status(error)[0] in _NODES_OWN_GRPC
    return isinstance(error, ValueError)


def retry_after(error: BaseException) -> float | None:
    """Return how many seconds a busy server asks us to wait, up to a limit; None where it does not say."""
    if isinstance(error, ResourceExhaustedResponse):
        return min(float(error.retry_after_s), _LONGEST_WAIT_S)
    return None


def _quoted(collection: str) -> str:
    return repr(collection) if collection else "its list of collections"


def _grpc_status(error: grpc.RpcError) -> tuple[grpc.StatusCode, str]:
    # a failed call is an RpcError and a Call in one; only the Call knows the code
    if isinstance(error, grpc.Call):
        return error.code(), error.details() or ""
    return grpc.StatusCode.UNKNOWN, str(error)


def _server_says(error: UnexpectedResponse) -> str:
    """Return the server's own sentence where there is one, else the status."""
    try:
        says = json.loads(error.content)["status"]["error"]
    except ValueError:  # Qdrant refuses a key in plain text
        text = error.content.decode(errors="replace").strip()
        says = text if len(text) <= _LONGEST_SENTENCE and text.isprintable() and text[:1] != "<" else ""
    except (KeyError, TypeError):
        says = ""
    return str(says) if says else f"HTTP {error.status_code} {error.reason_phrase}".strip()
