"""HTTP clients for models and rerank APIs: replies of a bounded size, no proxy on the loopback."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from ipaddress import ip_address
from ssl import SSLContext
from typing import Any

import anyio
import httpx2

from storage.chat import MAX_REPLY_BYTES
from storage.errors import MissingDependencyError
from storage.retry_after import retry_after

_PIECE = 1 << 16
_ENCODINGS = "gzip, deflate"
_NOT_FOUND = (404, 405)
_SHORT = 1000  # bytes of an error
_MOST_REDIRECTIONS = 5
_VERSION = re.compile(r"v\d+\w*")


class ReplyTooLargeError(Exception):
    """A reply that is larger than it may be, or packed in a way that was not asked for."""


class BoundedClient(httpx2.AsyncClient):
    """An AsyncClient that reads replies of at most `max_reply_bytes`, unpacked.

    A wait that the server asks for and that the caller's deadline does not allow is not waited (`openai`
    obeys the header `x-should-retry`). With `versioned`, an address without a version that does not know a
    path is asked again with `/v1` before it; what answered is remembered. Larger replies raise `too_large`.
    Redirections are followed to the same host only.
    """

    def __init__(
        self,
        base_url: str,
        *,
        max_reply_bytes: int = MAX_REPLY_BYTES,
        versioned: bool = False,
        too_large: Callable[[str], Exception] = ReplyTooLargeError,
        **options: Any,
    ) -> None:
        local = is_loopback(base_url)
        options.setdefault("verify", _certificates())
        with socks_needs_its_package():
            super().__init__(trust_env=not local, follow_redirects=False, **options)
        self._max = max_reply_bytes
        self._too_large = too_large
        self._root = httpx2.URL(base_url).path.rstrip("/")
        self._may_lack_version = versioned and not any(
            _VERSION.fullmatch(part) for part in self._root.split("/")
        )
        self._prefix = ""

    async def send(self, request: httpx2.Request, *, stream: bool = False, **options: Any) -> httpx2.Response:
        response = await self._bounded(self._placed(request, self._prefix), stream=stream, **options)
        if self._prefix or not self._may_lack_version or await _knows_path(response):
            return response
        other = await self._bounded(self._placed(request, "/v1"), stream=stream, **options)
        if await _knows_path(other):
            self._prefix = "/v1"
            return other
        return other if _is_json(other) and not _is_json(response) else response

    async def _bounded(self, request: httpx2.Request, *, stream: bool, **options: Any) -> httpx2.Response:
        response = await self._once(request, stream=stream, **options)
        for _ in range(_MOST_REDIRECTIONS):
            following = response.next_request
            if following is None or following.url.host != request.url.host:
                break
            await response.aclose()
            response = await self._once(following, stream=stream, **options)
        return response

    async def _once(self, request: httpx2.Request, *, stream: bool, **options: Any) -> httpx2.Response:
        request.headers["accept-encoding"] = _ENCODINGS
        response = await super().send(request, stream=True, **{**options, "follow_redirects": False})
        try:
            response.stream = _Bounded(
                response.stream, _packed(response), self._max, self._too_large, " (llm.max_reply_bytes)"
            )
            wait = retry_after(response.headers.get("retry-after"))
            remaining = anyio.current_effective_deadline() - anyio.current_time()
            if wait is not None and wait > remaining:
                response.headers["x-should-retry"] = "false"
            if not stream:
                await response.aread()
        except BaseException:
            with anyio.CancelScope(shield=True):
                await response.aclose()
            raise
        return response

    def _placed(self, request: httpx2.Request, prefix: str) -> httpx2.Request:
        """The request with the prefix before its path within the API."""
        if not prefix:
            return request
        path = request.url.path.removeprefix(self._root)
        url = request.url.copy_with(path=f"{self._root}{prefix}{path}")
        return httpx2.Request(
            request.method,
            url,
            headers=request.headers,
            content=request.content,
            extensions=request.extensions,
        )


class BoundedSyncClient(httpx2.Client):
    """A Client that reads replies as BoundedClient does; an address is taken as it is."""

    def __init__(
        self,
        base_url: str,
        *,
        max_reply_bytes: int = MAX_REPLY_BYTES,
        too_large: Callable[[str], Exception] = ReplyTooLargeError,
        **options: Any,
    ) -> None:
        options.setdefault("verify", _certificates())
        with socks_needs_its_package():
            super().__init__(trust_env=not is_loopback(base_url), follow_redirects=False, **options)
        self._max = max_reply_bytes
        self._too_large = too_large

    def send(self, request: httpx2.Request, *, stream: bool = False, **options: Any) -> httpx2.Response:
        response = self._once(request, stream=stream, **options)
        for _ in range(_MOST_REDIRECTIONS):
            following = response.next_request
            if following is None or following.url.host != request.url.host:
                break
            response.close()
            response = self._once(following, stream=stream, **options)
        return response

    def _once(self, request: httpx2.Request, *, stream: bool, **options: Any) -> httpx2.Response:
        request.headers["accept-encoding"] = _ENCODINGS
        response = super().send(request, stream=True, **{**options, "follow_redirects": False})
        try:
            response.stream = _Bounded(response.stream, _packed(response), self._max, self._too_large)
            if not stream:
                response.read()
        except BaseException:
            response.close()
            raise
        return response


def _packed(response: httpx2.Response) -> str:
    """Return a reply's packing, which the client is not to undo a second time."""
    return str(response.headers.pop("content-encoding", "")).lower().strip()


class _Bounded(httpx2.AsyncByteStream, httpx2.SyncByteStream):
    """The bytes of a reply, unpacked, as long as they are not too many.

    They are unpacked here because a decoder of its own choosing may make a gigabyte of one small piece.
    """

    def __init__(
        self,
        source: Any,
        packed: str,
        most: int,
        too_large: Callable[[str], Exception],
        setting: str = "",
    ) -> None:
        if packed not in ("", "identity", "gzip", "x-gzip", "deflate"):
            raise too_large(f"the reply is packed as {packed[:20]!r}, which was not asked for")
        self._source = source
        self._left = most
        self._refused = too_large(f"the reply is larger than {most:,} bytes{setting}")
        # 32 more: gzip or zlib, as the header says; some servers send deflate without a header
        self._unpacking = None if packed in ("", "identity") else zlib.decompressobj(32 + zlib.MAX_WBITS)
        self._may_be_raw = packed == "deflate"

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self._source:
            for unpacked in self._unpacked(piece):
                yield unpacked
        yield self._rest()

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._source:
            yield from self._unpacked(piece)
        yield self._rest()

    def _unpacked(self, piece: bytes) -> Iterator[bytes]:
        if self._unpacking is None:
            yield self._counted(piece)
            return
        while piece:
            try:
                found = self._unpacking.decompress(piece, _PIECE)
            except zlib.error as error:
                if not self._may_be_raw:
                    raise httpx2.DecodingError(str(error)) from error
                self._unpacking, self._may_be_raw = zlib.decompressobj(-zlib.MAX_WBITS), False
                continue
            self._may_be_raw, piece = False, self._unpacking.unconsumed_tail
            yield self._counted(found)

    def _rest(self) -> bytes:
        return self._counted(self._unpacking.flush() if self._unpacking else b"")

    def _counted(self, piece: bytes) -> bytes:
        self._left -= len(piece)
        if self._left < 0:
            raise self._refused
        return piece

    async def aclose(self) -> None:
        await self._source.aclose()

    def close(self) -> None:
        self._source.close()


@contextmanager
def socks_needs_its_package() -> Iterator[None]:
    """Raise MissingDependencyError where the environment names a SOCKS proxy and its package is missing."""
    try:
        yield
    except ImportError as error:
        raise MissingDependencyError(
            "the environment names a SOCKS proxy, for which the package socksio is missing",
            way_out="Run: pip install 'winnow-rag[socks]'. Or unset ALL_PROXY, or set NO_PROXY.",
        ) from error


@cache
def _certificates() -> SSLContext:
    """Read once, with the file of SSL_CERT_FILE: it takes longer than a request."""
    return httpx2.create_ssl_context()


def is_loopback(url: str) -> bool:
    """True for an address on this machine, which no proxy can reach."""
    try:
        host = httpx2.URL(url).host
    except (httpx2.InvalidURL, ValueError):
        return False
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


async def _knows_path(response: httpx2.Response) -> bool:
    """False where a server does not know the path; LM Studio says so with status 200."""
    if response.status_code in _NOT_FOUND:
        await response.aread()
        return False
    length = response.headers.get("content-length", "")
    short = length.isdigit() and int(length) < _SHORT
    return not short or b"Unexpected endpoint" not in await response.aread()


def _is_json(response: httpx2.Response) -> bool:
    try:
        return isinstance(json.loads(response.content), Mapping)
    except (ValueError, RecursionError):
        return False
