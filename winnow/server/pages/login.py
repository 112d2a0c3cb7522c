"""`/login` and `/logout`: exchange a token for a session cookie, where tokens are needed."""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import APIRouter, Form, Query, Request, Response
from fastapi.responses import RedirectResponse

from winnow.server import sessions
from winnow.server.pages.rendering import render
from winnow.server.security import LOGIN, LOGOUT, token_of
from winnow.server.shared_state import State

router = APIRouter(include_in_schema=False)

# A path of this server. Browsers take `//` and `/\` for another host, and drop unprintable characters.
_OWN_PATH = re.compile(r"/(?![/\\])[^\x00-\x20\x7f]*")

Wanted = Annotated[str, Query(alias="next", max_length=8_000)]


@router.get(LOGIN)
async def page(request: Request, served: State, wanted: Wanted = "/") -> Response:
    if served.sessions is None or token_of(request) is not None:
        return _onward(wanted)
    return render(request, "login.html", wanted=wanted, wrong=False)


@router.post(LOGIN)
async def login(
    request: Request,
    served: State,
    token: Annotated[str, Form(max_length=1_000)] = "",
    wanted: Annotated[str, Form(alias="next", max_length=8_000)] = "/",
) -> Response:
    """Open a session for a valid token; show the form again, with 401, for any other."""
    if served.sessions is None:
        return _onward(wanted)
    key = served.sessions.begin(token.strip())
    if key is None:
        return render(request, "login.html", status=401, wanted=wanted, wrong=True)
    _end(request, served.sessions)
    reply = _onward(wanted)
    sessions.remember(reply, key, request.headers)
    return reply


@router.post(LOGOUT)
async def logout(request: Request, served: State) -> Response:
    """End the session, here and in the browser."""
    reply = _onward(LOGIN if served.sessions else "/")
    _end(request, served.sessions)
    sessions.forget(reply)
    return reply


def _end(request: Request, known: sessions.Sessions | None) -> None:
    key = sessions.key_of(request.headers)
    if known is not None and key is not None:
        known.end(key)


def _onward(wanted: str) -> RedirectResponse:
    """Redirect to the wanted page, if it is one of this server's."""
    return RedirectResponse(wanted if _OWN_PATH.fullmatch(wanted) else "/", status_code=303)
