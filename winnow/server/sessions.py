"""Sessions of browsers: a token typed once, and from then on a cookie that scripts cannot read.

The cookie holds no token but 256 random bits, of which the server keeps the hash, in memory alone: a session
ends when its token is revoked, at its logout, after half a day, and with the server.
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
# A browser takes the first one only over TLS, from this host alone and for all of it: a neighbouring host
# cannot plant one. Over plain HTTP there is no such name.
_SEALED, _PLAIN = "__Host-winnow", "winnow"


@dataclass(frozen=True, slots=True)
class _Session:
    """Whose it is; `sha256` too, since an id alone may be another token's one day."""

    token: str
    sha256: str
    until: float


class Sessions:
    """Who is logged in. `life_s`: how long a session lasts, in seconds, however much it is used.

    One event loop only. Every method raises SettingsError where the tokens cannot be read.
    """

    def __init__(self, book: TokenBook, life_s: float = LIFE_S) -> None:
        self._book = book
        self._life_s = life_s
        self._open: OrderedDict[str, _Session] = OrderedDict()

    def begin(self, text: str) -> str | None:
        """A new session for who knows a token's text: what the cookie holds. None where it is no token."""
        token = self._book.find(text)
        if token is None:
            return None
        self._make_room(token)
        key = token_urlsafe(32)
        self._open[_digest(key)] = _Session(token.id, token.sha256, time.time() + self._life_s)
        return key

    def find(self, key: str) -> Token | None:
        """The token of a session, as it stands now; None where the session has ended."""
        # looked up by its hash: how long that takes tells nothing of the key
        session = self._open.get(_digest(key))
        if session is None or session.until <= time.time():
            return None
        same = (one for one in self._book.tokens() if (one.id, one.sha256) == (session.token, session.sha256))
        return next(same, None)

    def end(self, key: str) -> None:
        """Log out; nothing happens where there is no such session."""
        self._open.pop(_digest(key), None)

    def _make_room(self, token: Token) -> None:
        """Without what is over; the oldest session of a token goes where it has very many."""
        now = time.time()
        self._open = OrderedDict((key, one) for key, one in self._open.items() if one.until > now)
        mine = [key for key, one in self._open.items() if one.sha256 == token.sha256]
        for key in mine[: max(0, len(mine) - _MOST_OF_A_TOKEN + 1)]:
            del self._open[key]


def key_of(headers: Headers) -> str | None:
    """What the session cookie of a request holds; None where there is none."""
    cookies = cookie_parser("; ".join(headers.getlist("cookie")))
    return cookies.get(_SEALED) or cookies.get(_PLAIN) or None


def remember(response: Response, key: str, headers: Headers) -> None:
    """Set the cookie; `headers` are those of the login, whose Origin says whether the browser used TLS."""
    plain = headers.get("origin", "").startswith("http://")
    response.set_cookie(
        _PLAIN if plain else _SEALED, key, max_age=LIFE_S, secure=not plain, httponly=True, samesite="strict"
    )


def forget(response: Response) -> None:
    """Have the browser drop the cookie, by either name."""
    for name, secure in ((_SEALED, True), (_PLAIN, False)):
        response.delete_cookie(name, secure=secure, httponly=True, samesite="strict")


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
