"""Browser sessions: a token is typed once and replaced by a cookie that scripts cannot read.

The cookie holds 256 random bits, never the token; the server keeps their hash, in memory only. A session ends
when its token is revoked, at logout, after half a day, and with the server.
"""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from dataclasses import dataclass
from secrets import token_urlsafe

from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.responses import Response

from winnow.server.tokens import Token, TokenBook

LIFE_S = 12 * 3600
_MOST_OF_A_TOKEN = 100
# Browsers accept the first name only over TLS, from this host and for all its paths, so that no other host
# can plant a cookie. Over plain HTTP there is no such protection.
_SEALED, _PLAIN = "__Host-winnow", "winnow"


@dataclass(frozen=True, slots=True)
class _BrowserSession:
    """A session: its token by id and by hash, since an id can be reused by another token."""

    token: str
    sha256: str
    until: float


class Sessions:
    """The browsers that are logged in; a session lasts `life_s` seconds, however much it is used.

    One event loop only. Every method raises SettingsError where the tokens cannot be read.
    """

    def __init__(self, book: TokenBook, life_s: float = LIFE_S) -> None:
        self._book = book
        self._life_s = life_s
        self._open: OrderedDict[str, _BrowserSession] = OrderedDict()

    def begin(self, text: str) -> str | None:
        """Open a session for a token's text and return the cookie's value; None for an unknown token."""
        token = self._book.find(text)
        if token is None:
            return None
        self._make_room(token)
        key = token_urlsafe(32)
        self._open[_digest(key)] = _BrowserSession(token.id, token.sha256, time.time() + self._life_s)
        return key

    def find(self, key: str) -> Token | None:
        """Return the current token of a session; None where the session has ended."""
        # looked up by its hash, so that the time taken reveals nothing about the key
        session = self._open.get(_digest(key))
        if session is None or session.until <= time.time():
            return None
        same = (one for one in self._book.tokens() if (one.id, one.sha256) == (session.token, session.sha256))
        return next(same, None)

    def end(self, key: str) -> None:
        """Log out; an unknown session is ignored."""
        self._open.pop(_digest(key), None)

    def _make_room(self, token: Token) -> None:
        """Drop sessions that have ended, and the oldest ones of a token that has very many."""
        now = time.time()
        self._open = OrderedDict((key, one) for key, one in self._open.items() if one.until > now)
        mine = [key for key, one in self._open.items() if one.sha256 == token.sha256]
        for key in mine[: max(0, len(mine) - _MOST_OF_A_TOKEN + 1)]:
            del self._open[key]


def key_of(headers: Headers) -> str | None:
    """Return the value of a request's session cookie; None where there is none."""
    cookies = cookie_parser("; ".join(headers.getlist("cookie")))
    return cookies.get(_SEALED) or cookies.get(_PLAIN) or None


def remember(response: Response, key: str, headers: Headers) -> None:
    """Set the cookie; the Origin in the login's `headers` tells whether the browser used TLS."""
    plain = headers.get("origin", "").startswith("http://")
    response.set_cookie(
        _PLAIN if plain else _SEALED, key, max_age=LIFE_S, secure=not plain, httponly=True, samesite="strict"
    )


def forget(response: Response) -> None:
    """Have the browser drop the cookie under either name."""
    for name, secure in ((_SEALED, True), (_PLAIN, False)):
        response.delete_cookie(name, secure=secure, httponly=True, samesite="strict")


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
