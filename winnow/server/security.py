"""What stands before every route: who may ask, from which page, and what a browser is told.

On the loopback nobody needs a token, so the Host header must be one of this machine's own names: a page of
somebody else's whose name was rebound to 127.0.0.1 says its own. Everywhere else a bearer token is needed,
or a browser's session (`winnow.server.sessions`), which one began.
No page but the server's own may call it from a browser (Origin, Sec-Fetch-Site).
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
from winnow.server.errors import NotAllowedError, Problems, TooLargeError, UnauthorisedError
from winnow.server.limits import Rate
from winnow.server.sessions import Sessions, key_of
from winnow.server.tokens import Token, TokenBook

_LOCAL = ("localhost", "127.0.0.1", "::1")
_HOST = re.compile(r"(?:\[(?P<address>[0-9A-Fa-f:.]+)\]|(?P<name>[^:\[\]]+))(?::[0-9]*)?")
_API = ("/v1", "/v2", "/metrics", "/openapi.json")
_OPEN = ("/healthz", "/readyz")
# What a page looks like is no secret.
_STATIC = "/static/"
LOGIN, LOGOUT = "/login", "/logout"
# What a read-only token may do beside GET: these change nothing but the log of answers, and who is logged in.
_ASKING = (
    "/ask",
    "/v1/ask",
    "/v1/search",
    "/v1/chat/completions",
    "/v1/rerank",
    "/v2/rerank",
    LOGIN,
    LOGOUT,
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
    """How a server may be reached: `names` are those it is called by.

    `tokens`, and `sessions` that they began, are None where none are asked for.
    """

    tokens: TokenBook | None
    sessions: Sessions | None
    names: frozenset[str]

    @classmethod
    def of(cls, host: str, names: Collection[str], tokens: TokenBook) -> Access:
        """Tokens are asked for unless only this machine reaches the server, under its own names.

        A further name means a proxy in front, and so others behind it.
        """
        known = frozenset({*_LOCAL, host.lower(), *map(str.lower, names)})
        if is_loopback(host) and not names:
            return cls(None, None, known)
        return cls(tokens, Sessions(tokens), known)


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
            if started:  # the reply is cut short, which is all that can be said
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
        # a link from elsewhere may open a page, but nothing of the API
        crossing = headers.get("sec-fetch-site") == "cross-site" and path.startswith(_API)
        if foreign or crossing:
            raise NotAllowedError(
                "another site's page may not call this server", way_out="Call it from a program of your own."
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
                "a bearer token is needed, and this is none",
                way_out="Make one where the server runs (winnow token create NAME) and send it as "
                "'Authorization: Bearer …'; in a browser, log in at /login.",
            )

    def _token(self, headers: Headers, scope: Scope) -> Token | None:
        """Whose request it is: by its bearer token, and only where it has none by its cookie."""
        book, sessions = self._access.tokens, self._access.sessions
        assert book is not None
        assert sessions is not None
        kind, _, text = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer":  # any other kind is a proxy's, which passed it on
            return book.find(text.strip())
        key = key_of(headers)
        if (key is not None or scope["path"] == LOGIN) and scope["method"] not in _READING:
            _check_own_page(headers)
        return None if key is None else sessions.find(key)


def token_of(request: HTTPConnection) -> Token | None:
    """Whose request it is; None where no tokens are asked for, or nobody is logged in."""
    token: Token | None = getattr(request.state, "token", None)
    return token


def locked_out(request: HTTPConnection) -> bool:
    """Whether a token is asked for, and was not given."""
    return hasattr(request.state, "token") and token_of(request) is None


def may_change(request: HTTPConnection) -> bool:
    """Whether pages should offer what changes things; who asks without that right is refused all the same."""
    token = token_of(request)
    return token is None or token.scope == "full"


def _is_plain_413(message: Message) -> bool:
    """Whether a reply is Starlette's own, for a body whose announced length is over a limit."""
    media = Headers(raw=message["headers"]).get("content-type", "")
    return message["status"] == HTTPStatus.REQUEST_ENTITY_TOO_LARGE and media.startswith("text/plain")


def _check_own_page(headers: Headers) -> None:
    """A browser sends its cookies by itself, so it must say that a page of this server's is asking.

    That an Origin, where there is one, is the server's own, is known here.
    """
    if "origin" not in headers and headers.get("sec-fetch-site") != "same-origin":
        raise NotAllowedError(
            "nothing shows that a page of this server's is asking",
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
    if token.scope == "full" or scope["method"] in _READING or scope["path"] in _ASKING:
        return
    raise NotAllowedError(
        f"the token {token.id} may ask and look, not change anything", way_out="Use one made with --full."
    )


def _name(host: str) -> str:
    """The name in a Host header, without its port; an IPv6 address without its brackets; empty if odd."""
    found = _HOST.fullmatch(host)
    return (found["address"] or found["name"]).lower() if found else ""
