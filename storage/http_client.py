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
        if not (self._may_lack_version and response.status_code in _NOT_FOUND and not self._prefix):
            return response
        if stream:
            await response.aread()
        other = await self._bounded(self._placed(request, "/v1"), stream=stream, **options)
        if other.status_code not in _NOT_FOUND:
            self._prefix = "/v1"
            return other
        if stream:
            await other.aread()
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
            packed = response.headers.pop("content-encoding", "").lower().strip()
            if packed not in ("", "identity", "gzip", "x-gzip", "deflate"):
                raise self._too_large(f"the reply is packed as {packed[:20]!r}, which was not asked for")
            response.stream = _Bounded(response.stream, packed, self._max, self._too_large)
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


class _Bounded(httpx2.AsyncByteStream):
    """The bytes of a reply, unpacked, as long as they are not too many.

    They are unpacked here because a decoder of its own choosing may make a gigabyte of one small piece.
    """

    def __init__(self, source: Any, packed: str, most: int, too_large: Callable[[str], Exception]) -> None:
        self._source = source
        self._packed = packed
        self._left = most
        self._refused = too_large(f"the reply is larger than {most:,} bytes (llm.max_reply_bytes)")

    async def __aiter__(self) -> AsyncIterator[bytes]:
        pieces = self._unpacked() if self._packed not in ("", "identity") else aiter(self._source)
        async for piece in pieces:
            self._left -= len(piece)
            if self._left < 0:
                raise self._refused
            yield piece

    async def _unpacked(self) -> AsyncIterator[bytes]:
        # 32 more: gzip or zlib, as the header says; some servers send deflate without a header
        unpacking, raw = zlib.decompressobj(32 + zlib.MAX_WBITS), self._packed == "deflate"
        async for piece in self._source:
            rest = piece
            while rest:
                try:
                    yield unpacking.decompress(rest, _PIECE)
                except zlib.error as error:
                    if not raw:
                        raise httpx2.DecodingError(str(error)) from error
                    unpacking, raw = zlib.decompressobj(-zlib.MAX_WBITS), False
                    continue
                raw, rest = False, unpacking.unconsumed_tail
        yield unpacking.flush()

    async def aclose(self) -> None:
        await self._source.aclose()


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


def _is_json(response: httpx2.Response) -> bool:
    try:
        return isinstance(json.loads(response.content), Mapping)
    except (ValueError, RecursionError):
        return False
