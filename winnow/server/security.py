"""Checks in front of every route: tokens, sessions, Host, Origin; and the security headers of every reply.

On the loopback no token is needed, so the Host header must be one of this machine's own names: a foreign page
whose name was rebound to 127.0.0.1 sends its own. Everywhere else a bearer token is needed, or a browser's
session (`winnow.server.sessions`) that was opened with one. In a browser, only the server's own pages may
call it (Origin, Sec-Fetch-Site).
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from http import HTTPStatus
from ipaddress import ip_address
from urllib.parse import quote

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection, Request
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from storage.errors import WinnowError
from winnow.app.visibility import EVERYTHING, Visibility
from winnow.server.errors import NotAllowedError, Problems, TooLargeError, UnauthorisedError
from winnow.server.limits import Rate
from winnow.server.sessions import Sessions, key_of
from winnow.server.tokens import Token, TokenBook

_LOCAL = ("localhost", "127.0.0.1", "::1")
_HOST = re.compile(r"(?:\[(?P<address>[0-9A-Fa-f:.]+)\]|(?P<name>[^:\[\]]+))(?::[0-9]*)?")
_API = ("/v1", "/v2", "/rerank", "/mcp", "/metrics", "/openapi.json")
_OPEN = ("/healthz", "/readyz", "/favicon.ico")
# The looks of a page are no secret.
_STATIC = "/static/"
LOGIN, LOGOUT = "/login", "/logout"
# Besides GET, a read-only token may do these: they change only the log of answers and who is logged in.
_READ_ONLY_POSTS = (
    "/ask",
    "/v1/ask",
    "/v1/search",
    "/v1/chat/completions",
    "/rerank",
    "/v1/rerank",
    "/v2/rerank",
    "/mcp",  # its tools that change anything check the scope themselves
    LOGIN,
    LOGOUT,
)
_SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
# Pages set a policy of their own; nothing else needs any source.
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
    """Tell whether only this machine can reach an address."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True, slots=True)
class Access:
    """The ways to reach a server: `names` are its host names.

    `tokens`, and the `sessions` opened with them, are None where no tokens are needed.
    """

    tokens: TokenBook | None
    sessions: Sessions | None
    names: frozenset[str]

    @classmethod
    def of(cls, host: str, names: Collection[str], tokens: TokenBook) -> Access:
        """Require tokens unless only this machine reaches the server, under its own names.

        A further name means a proxy in front, and so other machines behind it.
        """
        known = frozenset({*_LOCAL, host.lower(), *map(str.lower, names)})
        if is_loopback(host) and not names:
            return cls(None, None, known)
        return cls(tokens, Sessions(tokens), known)


class Guard:
    """The middleware that checks every request and adds the headers to every reply."""

    def __init__(self, app: ASGIApp, access: Access, rate: Rate, problems: Problems) -> None:
        self._app = app
        self._access = access
        self._rate = rate
        self._problems = problems

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        if scope["method"] == "HEAD":  # the server leaves the body out
            scope = {**scope, "method": "GET"}
        started = too_large = False

        async def sending(message: Message) -> None:
            nonlocal started, too_large
            if message["type"] == "http.response.start":
                too_large = _is_plain_413(message)
                started = not too_large
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            if not too_large:
                await send(message)

        try:
            self._check(scope)
            await self._app(scope, receive, sending)
            if too_large:
                raise TooLargeError(
                    f"{scope['method']} {scope['path']}: the body is too large",
                    way_out="Send less at once; server.body_bytes and server.upload_bytes are the limits.",
                )
        except UnauthorisedError as error:
            reply = _to_login(scope) if _is_page(scope) else self._problems.response(Request(scope), error)
            await reply(scope, receive, sending)
        except WinnowError as error:
            await self._problems.response(Request(scope), error)(scope, receive, sending)
        except Exception as error:
            if started:  # the reply has begun and can only be cut short
                raise
            body = self._problems.unforeseen(error, f"{scope['method']} {scope['path']}")
            await self._problems.reply(Request(scope), body)(scope, receive, sending)

    def _check(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        self._check_origin(headers, scope["path"])
        if self._access.tokens is None:
            self._check_host(headers)
        elif scope["path"] not in _OPEN and not scope["path"].startswith(_STATIC):
            self._check_token(headers, scope)

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
        # a link from another site may open a page, but not the API
        crossing = headers.get("sec-fetch-site") == "cross-site" and path.startswith(_API)
        if foreign or crossing:
            raise NotAllowedError(
                "another site's page may not call this server", way_out="Call it from a program instead."
            )

    def _check_token(self, headers: Headers, scope: Scope) -> None:
        client = scope.get("client") or ("unknown", 0)
        token = self._token(headers, scope)
        self._rate.take(token.id if token else str(client[0]))
        scope.setdefault("state", {})["token"] = token
        if token is not None:
            _check_scope(token, scope)
        elif scope["path"] != LOGIN:
            raise UnauthorisedError(
                "a bearer token is required",
                way_out="Make one where the server runs (winnow token create NAME) and send it as "
                "'Authorization: Bearer …'; in a browser, log in at /login.",
            )

    def _token(self, headers: Headers, scope: Scope) -> Token | None:
        """Return the token of a request: its bearer token, or the one of its session cookie."""
        book, sessions = self._access.tokens, self._access.sessions
        assert book is not None
        assert sessions is not None
        kind, _, text = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer":  # any other kind was meant for a proxy
            return book.find(text.strip())
        key = key_of(headers)
        if (key is not None or scope["path"] == LOGIN) and scope["method"] not in _SAFE_METHODS:
            _check_own_page(headers)
        return None if key is None else sessions.find(key)


def token_of(request: HTTPConnection) -> Token | None:
    """Return the token of a request; None where none is needed, or nobody is logged in."""
    token: Token | None = getattr(request.state, "token", None)
    return token


def visibility_of(request: HTTPConnection) -> Visibility:
    """Return what a request may see: everything where no token is needed."""
    token = token_of(request)
    return EVERYTHING if token is None else token.visibility


def locked_out(request: HTTPConnection) -> bool:
    """Tell whether a token is needed and missing."""
    return hasattr(request.state, "token") and token_of(request) is None


def may_change(request: HTTPConnection) -> bool:
    """Tell whether pages should offer changes; the routes check again."""
    token = token_of(request)
    return token is None or token.scope == "full"


def _is_plain_413(message: Message) -> bool:
    """Tell whether a reply is Starlette's own, for a body whose declared length exceeds a limit."""
    media = Headers(raw=message["headers"]).get("content-type", "")
    return message["status"] == HTTPStatus.REQUEST_ENTITY_TOO_LARGE and media.startswith("text/plain")


def _check_own_page(headers: Headers) -> None:
    """Require proof that a page of this server sent a request: browsers add cookies to those of any page.

    An Origin, where there is one, has already been checked.
    """
    if "origin" not in headers and headers.get("sec-fetch-site") != "same-origin":
        raise NotAllowedError(
            "the request does not come from a page of this server",
            way_out="From a program, send a bearer token instead of a cookie.",
        )


def _is_page(scope: Scope) -> bool:
    return scope["method"] in ("GET", "HEAD") and not scope["path"].startswith(_API)


def _to_login(scope: Scope) -> RedirectResponse:
    wanted = (scope.get("raw_path") or scope["path"].encode()).decode("latin-1")
    if query := scope.get("query_string", b"").decode("latin-1"):
        wanted = f"{wanted}?{query}"
    return RedirectResponse(f"{LOGIN}?next={quote(wanted, safe='')}", status_code=303)


def _check_scope(token: Token, scope: Scope) -> None:
    if token.scope == "full" or scope["method"] in _SAFE_METHODS or scope["path"] in _READ_ONLY_POSTS:
        return
    raise NotAllowedError(f"the token {token.id} is read-only", way_out="Use one made with --full.")


def _name(host: str) -> str:
    """Return the name in a Host header, without port and IPv6 brackets; empty for a malformed one."""
    match = _HOST.fullmatch(host)
    return (match["address"] or match["name"]).lower() if match else ""
