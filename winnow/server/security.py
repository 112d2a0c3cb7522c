"""What stands before every route: who may ask, from which page, and what a browser is told.

On the loopback nobody needs a token, so the Host header must be one of this machine's own names: a page of
somebody else's whose name was rebound to 127.0.0.1 says its own. Everywhere else a bearer token is needed.
No page but the server's own may call it from a browser (Origin, Sec-Fetch-Site).
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from ipaddress import ip_address

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from storage.errors import WinnowError
from winnow.server.errors import NotAllowedError, Problems, UnauthorisedError
from winnow.server.limits import Rate
from winnow.server.tokens import Token, TokenBook

_LOCAL = ("localhost", "127.0.0.1", "::1")
_HOST = re.compile(r"(?:\[(?P<address>[0-9A-Fa-f:.]+)\]|(?P<name>[^:\[\]]+))(?::[0-9]*)?")
_API = ("/v1", "/v2", "/metrics", "/openapi.json")
_OPEN = ("/healthz", "/readyz")
# What a read-only token may do beside GET: these change nothing but the log of answers.
_ASKING = (
    "/ask",
    "/v1/ask",
    "/v1/search",
    "/v1/chat/completions",
    "/v1/rerank",
    "/v2/rerank",
)
_READING = ("GET", "HEAD", "OPTIONS")
# A page sets a policy of its own; what is none needs nothing.
_HEADERS = {
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "cache-control": "no-store",
}


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True, slots=True)
class Access:
    """How a server may be reached: `tokens` None asks for none; `names` are those it is called by."""

    tokens: TokenBook | None
    names: frozenset[str]

    @classmethod
    def of(cls, host: str, names: Collection[str], tokens: TokenBook) -> Access:
        """Tokens are asked for unless only this machine reaches the server, under its own names.

        A further name means a proxy in front, and so others behind it.
        """
        local = is_loopback(host) and not names
        return cls(None if local else tokens, frozenset({*_LOCAL, host.lower(), *map(str.lower, names)}))


class Guard:
    """The outermost of the application's own layers."""

    def __init__(self, app: ASGIApp, access: Access, rate: Rate, problems: Problems) -> None:
        self._app = app
        self._access = access
        self._rate = rate
        self._problems = problems

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        started = False

        async def sending(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            self._check(scope)
            await self._app(scope, receive, sending)
        except WinnowError as error:
            await self._problems.response(Request(scope), error)(scope, receive, sending)
        except Exception as error:
            if started:  # the reply is cut short, which is all that can be said
                raise
            body = self._problems.unforeseen(error, f"{scope['method']} {scope['path']}")
            await self._problems.reply(Request(scope), body)(scope, receive, sending)

    def _check(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        self._check_origin(headers, scope["path"])
        if self._access.tokens is None:
            self._check_host(headers)
        elif scope["path"] not in _OPEN:
            self._check_token(self._access.tokens, headers, scope)

    def _check_host(self, headers: Headers) -> None:
        given = headers.getlist("host")
        if len(given) != 1 or _name(given[0]) not in self._access.names:
            raise NotAllowedError(
                "the Host header names another machine",
                way_out="Call the server by localhost or 127.0.0.1; see server.names for a proxy.",
            )

    def _check_origin(self, headers: Headers, path: str) -> None:
        origin = headers.get("origin")
        foreign = origin is not None and origin.lower().partition("://")[2] != headers.get("host", "").lower()
        # a link from elsewhere may open a page, but nothing of the API
        crossing = headers.get("sec-fetch-site") == "cross-site" and path.startswith(_API)
        if foreign or crossing:
            raise NotAllowedError(
                "another site's page may not call this server", way_out="Call it from a program of your own."
            )

    def _check_token(self, book: TokenBook, headers: Headers, scope: Scope) -> None:
        client = scope.get("client") or ("unknown", 0)
        kind, _, text = headers.get("authorization", "").partition(" ")
        token = book.find(text.strip()) if kind.lower() == "bearer" else None
        self._rate.take(token.id if token else str(client[0]))
        if token is None:
            raise UnauthorisedError(
                "a bearer token is needed, and this is none",
                way_out="Make one where the server runs (winnow token create NAME) and send it as "
                "'Authorization: Bearer …'.",
            )
        _check_scope(token, scope)


def _check_scope(token: Token, scope: Scope) -> None:
    if token.scope == "full" or scope["method"] in _READING or scope["path"] in _ASKING:
        return
    raise NotAllowedError(
        f"the token {token.id} may ask and look, not change anything", way_out="Use one made with --full."
    )


def _name(host: str) -> str:
    """The name in a Host header, without its port; an IPv6 address without its brackets; empty if odd."""
    found = _HOST.fullmatch(host)
    return (found["address"] or found["name"]).lower() if found else ""
